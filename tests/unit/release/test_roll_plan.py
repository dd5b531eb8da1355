"""The policy of a roll: order, batches, who can be spared, the budget, the time left."""

import pytest
import sluice_roll_config
import sluice_roll_plan as plan
from sluice_errors import RefusedError
from sluice_roll_config import RollSettings

HOSTS = ["itrust-1", "itrust-2", "itrust-3", "itrust-4", "itrust-5"]


def test_hosts_go_by_name_with_numbers_as_numbers():
    assert plan.ordered(["web-10", "web-2", "web-1"], [], []) == ["web-1", "web-2", "web-10"]


def test_first_goes_first_and_the_host_of_the_database_last():
    order = plan.ordered(HOSTS, ["itrust-4"], ["itrust-1"])
    assert order == ["itrust-4", "itrust-2", "itrust-3", "itrust-5", "itrust-1"]


def test_host_that_is_first_and_last_goes_last():
    assert plan.ordered(["a", "b"], ["a"], ["a"]) == ["b", "a"]


def test_host_of_the_order_that_is_no_host_of_the_service_is_left_out():
    assert plan.ordered(["a", "b"], ["c"], ["d"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [
        ((1,), [1, 1, 1, 1, 1]),
        ((2,), [2, 2, 1]),
        ((1, 2, "50%"), [1, 2, 2]),
        ((1, "100%"), [1, 4]),
        (("10%",), [1, 1, 1, 1, 1]),
        (("100%",), [5]),
        ((7,), [5]),
    ],
)
def test_batches_grow_and_the_last_size_repeats(sizes, wanted):
    cut = plan.batches(HOSTS, sizes)
    assert [len(batch) for batch in cut] == wanted
    assert [host for batch in cut for host in batch] == HOSTS


def test_no_hosts_are_no_batches():
    assert plan.batches([], (1,)) == []


def test_share_that_must_stay_up_is_rounded_up():
    assert [plan.must_stay(size, 5) for size in ("60%", "50%", "1%", "0%", 2)] == [3, 3, 1, 0, 2]


def test_batch_that_leaves_too_few_is_refused_before_the_first():
    plan.refuse_too_large(plan.batches(HOSTS, (1, 2)), 3)
    with pytest.raises(
        RefusedError, match=r"Batch 2 \(3 of 5 hosts\) would leave 2 up, min_available wants 3"
    ):
        plan.refuse_too_large(plan.batches(HOSTS, (1, 3)), 3)


def track(minimum=0, **states):
    return {"min_available": minimum, "backends": {host: {"state": state} for host, state in states.items()}}


def test_batch_is_spared_while_enough_others_are_up():
    assert plan.not_spared(track(1, a="up", b="up"), ["a"], 0) is None
    assert "1 would be left up (b), min_available wants 2" in plan.not_spared(
        track(2, a="up", b="up"), ["a"], 0
    )


def test_stricter_of_the_two_minimums_holds():
    assert plan.not_spared(track(1, a="up", b="up"), ["a"], 2)
    assert plan.not_spared(track(2, a="up", b="up"), ["a"], 1)


def test_host_that_is_not_up_is_always_spared():
    assert plan.not_spared(track(2, a="drained", b="up"), ["a"], 0) is None


def test_host_that_is_up_is_not_spared_when_another_is_down():
    assert plan.not_spared(track(1, a="up", b="down"), ["a"], 0)


def test_failed_reverted_and_skipped_hosts_count_against_the_budget():
    assert plan.failures(["verified", "failed", "reverted", "skipped", "pending", "updating"]) == 3


def test_time_left_is_known_after_the_first_batch():
    settings = RollSettings(soak_seconds=5)
    assert plan.eta_seconds([], [1, 2], settings) is None
    assert plan.eta_seconds([10.0, 20.0], [2, 1, 0], settings) == 40.0
    assert plan.eta_seconds([10.0], [0], settings) == 0.0


def test_changes_are_told_in_their_order_without_what_is_right_already():
    returned = {
        "b": {"__id__": "start", "result": None, "comment": "would  start\nit", "__run_num__": 2},
        "a": {"__id__": "fetch", "result": False, "comment": "x" * 200, "__run_num__": 1},
        "c": {"__id__": "user", "result": True, "comment": "", "__run_num__": 0},
    }
    assert plan.changes(returned) == [f"! fetch: {'x' * 151}...", "~ start: would start it"]


def test_roll_settings_have_defaults_that_touch_one_host_at_a_time():
    read = sluice_roll_config.read({})
    assert (read.batches, read.max_failures, read.on_failure) == ((1,), 0, "stop")


def test_roll_settings_are_read():
    read = sluice_roll_config.read(
        {"batches": [1, "50%"], "order": {"first": "a-1", "last": "N@db"}, "soak_seconds": 2}
    )
    assert (read.batches, read.first, read.last, read.soak_seconds) == ((1, "50%"), "a-1", "N@db", 2.0)
    assert sluice_roll_config.read({"batches": "20%"}).batches == ("20%",)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("batches", []), ("batches", [0]), ("batches", ["0%"]), ("batches", ["101%"]), ("batches", [True]),
        ("batches", [1.5]), ("batches", ["two"]), ("max_failures", -1), ("max_failures", "1"),
        ("min_available", -1), ("min_available", "half"), ("soak_seconds", -1),
        ("soak_seconds", float("nan")),
        ("soak_seconds", "1m"), ("on_failure", "panic"), ("host_timeout_seconds", 1), ("batch", 1),
        ("order", {"middle": "x"}),
    ],
)  # fmt: skip
def test_roll_setting_out_of_range_is_refused_by_its_name(key, value):
    with pytest.raises(ValueError, match=f"roll.*{key}"):
        sluice_roll_config.read({key: value})


def test_changes_of_a_state_run_are_told_with_what_differs():
    returned = {
        "b": {"__id__": "conf", "__run_num__": 2, "result": None, "comment": "would  be\nchanged",
              "changes": {"diff": "--- a\n+++ b\n-x\n+y"}},
        "a": {"__id__": "app", "__run_num__": 1, "result": None, "comment": "would be updated",
              "changes": {"version": {"old": None, "new": "v2"}, "files": {"/etc/x": "differs"}}},
        "c": {"__id__": "fine", "__run_num__": 3, "result": True, "comment": "", "changes": {}},
        "d": {"__id__": "bad", "__run_num__": 4, "result": False, "comment": "no disk", "changes": {}},
    }  # fmt: skip
    assert plan.changes(returned) == [
        "~ app: would be updated",
        "    version: nothing -> v2",
        "    files /etc/x: differs",
        "~ conf: would be changed",
        "    diff:",
        "      --- a",
        "      +++ b",
        "      -x",
        "      +y",
        "! bad: no disk",
    ]


def test_changes_that_are_long_are_cut():
    diff = "\n".join(["x" * 500] * 100)
    lines = plan.changes({"a": {"__id__": "a", "result": None, "comment": "", "changes": {"diff": diff}}})
    assert len(lines) == 42 and lines[-1] == "    ... 61 more lines"
    assert max(map(len, lines)) < 200
