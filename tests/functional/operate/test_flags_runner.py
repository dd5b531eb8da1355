"""The runner `flags` as a Salt master loads it, against real Redis: texts for people, data for programs."""

import json
import re

import pytest
from sluice_runner import Failed

from tests.support.redis_fleet import password


@pytest.fixture
def master(fleet, runner):
    return runner(fleet)


def refused(master, function, *args, **kwargs):
    with pytest.raises(Failed) as caught:
        master.text(function, *args, **kwargs)
    return str(caught.value)


def test_set_prints_one_line(master):
    assert "There is no flag key1." in refused(master, "flags.set", "key1", 1)
    said = master.text("flags.set", "key1", 1, new=True)
    assert re.fullmatch(r"key1 is set to 1 \(was absent\) on redis-1 and [12] replicas?", said)
    assert master.text("flags.set", "key1", True) == "nothing to change, key1 is 1"


def test_set_that_waits_prints_the_time_of_every_server(master):
    said = master.text("flags.set", "key1", 1, new=True, wait=True)
    assert re.fullmatch(
        r"key1 is set to 1 \(was absent\), on every server: "
        r"redis-1 [\d.]+ ms, redis-2 [\d.]+ ms, redis-3 [\d.]+ ms; [\d.]+ ms in all",
        said,
    )


def test_other_code_gets_data(master):
    done = master.call("flags.set", "key1", 1, new=True)
    assert done | {"replicas": 1} == {
        "flag": "key1", "value": "1", "was": None, "changed": True, "master": "redis-1", "replicas": 1,
    }  # fmt: skip
    assert master.call("flags.list")["key1"]["by"] == "unknown@master"
    assert master.call("flags.get", "key1", servers=True)["servers"]["redis-3"] == "1"
    assert [one["what"] for one in master.call("flags.history", "key1")] == ["set"]
    assert set(master.call("flags.wait", "key1", 1)) == {"redis-1", "redis-2", "redis-3"}
    assert master.call("flags.describe", "key1", owner="me")["changed"] is True
    assert master.call("flags.rules", "key1", {"match": [{"percentage": 10}]})["changed"] is True
    assert master.call("flags.delete", "key1")["value"] is None


def test_it_writes_wherever_the_master_is(a_fleet, runner):
    other = a_fleet(replicas=1)
    other.call("redis-1", "REPLICAOF", other.hosts["redis-2"], str(other.port))
    other.call("redis-2", "REPLICAOF", "NO", "ONE")
    other.wait_linked("redis-2")
    assert " on redis-2 and 1 replica" in runner(other).text("flags.set", "key1", 1, new=True)
    assert other.call("redis-2", "GET", "key1") == "1"


def test_a_master_that_changes_between_finding_and_writing_is_found_again(a_fleet, runner, monkeypatch):
    other = a_fleet(replicas=1)
    master = runner(other)
    import sluice_redis_servers

    find, found = sluice_redis_servers.find_master, []

    def find_then_fail_over(*args):
        found.append(find(*args))
        if len(found) == 1:
            other.call("redis-1", "REPLICAOF", other.hosts["redis-2"], str(other.port))
            other.call("redis-2", "REPLICAOF", "NO", "ONE")
            other.wait_linked("redis-2")
        return found[-1]

    monkeypatch.setattr(sluice_redis_servers, "find_master", find_then_fail_over)
    assert " on redis-2 and 1 replica" in master.text("flags.set", "key1", 1, new=True)
    assert [one.id for one in found] == ["redis-1", "redis-2"]
    assert len(master.call("flags.history", "key1")) == 1


def test_the_list_is_a_table(fleet, master):
    master.call("flags.set", "key1", 1, new=True)
    master.call("flags.describe", "key1", owner="pictures", expires="2020-01-31")
    fleet.call("redis-1", "SET", "by_hand", "0")
    fleet.call("redis-1", "RPUSH", "other", "x")
    master.call("flags.rules", "some", {"match": [{"percentage": 10}]})
    lines = master.text("flags.list").splitlines()
    assert lines[0].split() == ["flag", "value", "owner", "expires", "changed", "by"]
    assert [line.split()[:4] for line in lines[1:5]] == [
        ["by_hand", "0", "-", "-"],
        ["key1", "1", "pictures", "2020-01-31"],
        ["other", "absent", "-", "-"],
        ["some", "absent", "-", "-"],
    ]
    assert lines[1].endswith("changed since by redis-cli or another program")
    assert re.search(r" \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ  unknown@master  STALE$", lines[2])
    assert lines[3].endswith("the key of its value is of another type")
    assert lines[4].endswith("rules")
    assert lines[5] == "4 flags, 1 STALE"
    assert lines[0].index("owner") == lines[2].index("pictures")


def test_an_empty_list_tells_how_to_begin(master):
    assert "salt-run flags.set key1 0 new=True" in master.text("flags.list")


def test_get_prints_all_of_a_flag(fleet, master):
    master.call("flags.set", "key1", 1, new=True)
    master.call("flags.describe", "key1", owner="pictures", description="a picture", expires="2020-01-31")
    master.call("flags.rules", "key1", {"match": [{"percentage": 10}]})
    fleet.call("redis-1", "WAIT", "2", "5000", timeout=6)
    text = master.text("flags.get", "key1", servers=True)
    assert text.splitlines()[0] == "key1 is 1"
    assert "  owner        pictures\n  description  a picture\n  expires      2020-01-31 (STALE)\n" in text
    assert '  rules        {"match": [{"percentage": 10}]}\n' in text
    assert "  redis-1      1\n  redis-2      1\n  redis-3      1" in text


def test_get_shows_which_server_differs(fleet, master):
    master.call("flags.set", "key1", 1, new=True, wait=True)
    fleet.call("redis-3", "REPLICAOF", "NO", "ONE")
    fleet.call("redis-3", "SET", "key1", "0")
    try:
        text = master.text("flags.get", "key1", servers=True)
    finally:
        fleet.call("redis-3", "REPLICAOF", fleet.hosts["redis-1"], str(fleet.port))
    assert "  redis-2      1\n  redis-3      0  DIFFERS" in text


def test_the_history_is_a_table(fleet, master):
    master.call("flags.set", "key1", 1, new=True)
    master.call("flags.describe", "key1", owner="me")
    fleet.call("redis-1", "SET", "key1", "0")
    lines = master.text("flags.history", "key1").splitlines()
    assert lines[0].split("  ")[0] == "when"
    assert re.fullmatch(r"since then +redis-cli or another program +set +1 -> 0", lines[1])
    assert re.fullmatch(r"[\d-]+ [\d:]+Z +unknown@master +describe +owner: - -> me", lines[2])
    assert re.fullmatch(r"[\d-]+ [\d:]+Z +unknown@master +set +absent -> 1", lines[3])


def test_a_flag_that_only_redis_cli_knows_has_a_history_of_one_line(fleet, master):
    fleet.call("redis-1", "SET", "key1", "1")
    assert "redis-cli or another program  set   absent -> 1" in master.text("flags.history", "key1")


@pytest.mark.parametrize("text", ["\x1b[2J\x1b[31mred", "a\nb", "\u202eabc", "x" * 5000])
def test_nothing_in_redis_reaches_the_terminal_as_it_is(fleet, master, text):
    fleet.call("redis-1", "SET", "key1", text)
    document = json.dumps({"owner": text[:900], "rules": {text[:30]: 1}})
    fleet.call("redis-1", "SET", "sluice:flag:key1", document)
    for function in ("flags.list", "flags.get", "flags.history"):
        args = [] if function == "flags.list" else ["key1"]
        printed = master.text(function, *args)
        assert all(line.isprintable() for line in printed.split("\n"))
        assert max(map(len, printed.split("\n"))) < 1200


def test_wait_prints_one_line(master):
    master.call("flags.set", "key1", 1, new=True)
    assert re.fullmatch(
        r"every server has it: redis-1 [\d.]+ ms, redis-2 [\d.]+ ms, redis-3 [\d.]+ ms",
        master.text("flags.wait", "key1", "on"),
    )


def test_reading_works_without_a_master(fleet, master):
    master.call("flags.set", "key1", 1, new=True, wait=True)
    fleet.kill("redis-1")
    assert master.text("flags.get", "key1").startswith("key1 is 1")
    assert "key1" in master.text("flags.list")
    said = refused(master, "flags.set", "key1", 0)
    assert "There is no Redis master" in said and "docs/howto/promote-a-redis.md" in said


def test_a_wrong_password_is_told_and_not_shown(fleet, runner):
    master = runner(fleet, users={"writer": "not-the-password"})
    for order in (("set", "key1", 1), ("list",), ("get", "key1")):
        said = refused(master, f"flags.{order[0]}", *order[1:])
        assert "does not know this user with this password" in said
        assert "not-the-password" not in said and password("writer") not in said


def test_settings_without_a_writer_are_told(fleet, runner):
    assert "There is no password of the Redis user writer here" in refused(
        runner(fleet, users={}), "flags.list"
    )


def test_settings_without_servers_are_told(fleet, runner):
    said = refused(runner(fleet, servers=[]), "flags.list")
    assert "names no Redis servers" in said and "redis:servers" in said


def test_watch_ends_by_itself_and_counts(fleet, master):
    assert master.text("flags.watch", seconds=0.2) == "0 changes in 0.2 s"


@pytest.mark.parametrize("module", ["flags", "release"])
def test_salt_can_tell_a_runner_who_gave_the_order(master, module):
    # It puts __user__ and __jid_event__ into the globals of whichever function of a runner it meets first.
    functions = [name for name in master.functions if name.startswith(f"{module}.")]
    assert len(functions) > 8
    for name in functions:
        assert master.functions[name].__globals__["__name__"].endswith(f".runners.{module}"), name
