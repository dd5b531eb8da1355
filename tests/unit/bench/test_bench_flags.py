"""The benchmark of flags: who gets the same flags, what counts as measured, goals and tables."""

import json
import os
import re
import signal
import sys

import pytest
from sluice_flag_rules import parse

from bench.balancer.errors import BenchError
from bench.balancer.results import Round
from bench.flags import evaluation, tools
from bench.flags.__main__ import FULL, QUICK, parser
from bench.flags.changes import Grown
from bench.flags.evaluation import Costs, checked, median
from bench.flags.flagset import COUNT, NAMES, contexts, flagd_flags, is_ruled, sluice_document
from bench.flags.propagation import Delays
from bench.flags.results import GOALS, Found, evaluation_table, goals, per_core, report, serving_table, told
from bench.machine import SIGNALS, ended


def a_round(cpu=100.0, **numbers):
    given = {
        "requests": 1000,
        "failed": 0,
        "requests_per_second": 500.0,
        "p50_us": 100.0,
        "p99_us": 1000.0,
        "p999_us": 2000.0,
        "cpu_us_per_request": cpu,
        "cores_used": 0.5,
        "rss_bytes": 10_000_000,
    }
    return Round(**{**given, **numbers})


def found(**parts):
    given = {
        "evaluation": {"sluice": Costs(0.2, 1.4, 1, 0.3), "flagd": Costs(2.0, 14.0, 1, 0.3)},
        "propagation": {"everysec": {"service": {"p50": 1.0, "p99": 10.0, "max": 20.0}}},
        "serving": {"single": {"sluice": a_round(125.0)}, "bulk": {"sluice": a_round(43_750.0)}},
        "memory": Grown(1_000_000, 100, 102, 5.0),
    }
    return Found(**{**given, **parts})


def test_every_second_flag_has_a_percentage_and_two_conditions_for_everybody():
    assert [is_ruled(name) for name in NAMES[:4]] == [False, True, False, True]
    flagd = flagd_flags()["flags"]
    assert len(NAMES) == len(flagd) == COUNT == 350
    for name in NAMES:
        assert bool(sluice_document(name)) == ("targeting" in flagd[name])
        parse(name, sluice_document(name))


def test_the_people_are_all_different():
    assert len({json.dumps(one) for one in contexts(1000)}) == 1000


def test_the_engine_is_asked_in_a_process_of_its_own_and_lets_in_whom_it_should():
    costs = evaluation.one(sys.executable, "sluice", 0.02)
    assert 0 < costs.on_off_us < costs.ruled_us


@pytest.mark.parametrize(("everybody", "share"), [(0.99, 0.3), (1, 0.2), (1, 0.5), (1, 1)])
def test_an_engine_that_lets_in_others_was_not_measured(everybody, share):
    with pytest.raises(BenchError, match=r"flagd: on for .*, want 100% and about 30%"):
        checked("flagd", Costs(0.1, 0.1, everybody, share))


def test_an_engine_that_cannot_be_asked_says_why():
    with pytest.raises(BenchError, match="nobody: its engine ended with 1:(.|\n)*No module named"):
        evaluation.one(sys.executable, "nobody", 0.02)


def test_each_number_gets_its_own_median():
    assert median([Costs(1, 9, 1, 0.3), Costs(2, 8, 1, 0.3), Costs(3, 7, 1, 0.3)]) == Costs(2, 8, 1, 0.3)


def test_goals_are_kept_up_to_their_limit():
    assert [goal.kept for goal in goals(found())] == [True] * len(GOALS)
    kept = [goal.kept for goal in goals(found(propagation={"everysec": {"service": {"p99": 10.01}}}))]
    assert kept == [False, *[True] * (len(GOALS) - 1)]
    slow = {"single": {"sluice": a_round(125.1)}, "bulk": {"sluice": a_round(43_751.0)}}
    assert [goal.kept for goal in goals(found(serving=slow))][3:5] == [False, False]
    assert goals(found(memory=Grown(1, 1000, 1021, 5.0)))[-1].kept is False


def test_what_was_left_out_is_not_measured():
    assert [goal.kept for goal in goals(Found())] == [None] * len(GOALS)
    assert report(Found(), [], goals(Found())).count("not measured") == len(GOALS)


def test_a_request_for_all_flags_is_as_many_evaluations():
    assert (per_core(a_round(100.0), "single"), per_core(a_round(100.0), "bulk")) == (10_000, 3_500_000)
    assert per_core(a_round(None), "single") is None


def test_what_the_service_adds_is_compared_with_its_own_replica():
    told = Delays(subscriber=[1.0, 2.0], service=[3.0, 2.5]).told()
    assert told["added"] == {"p50": 2.0, "p99": 2.0, "max": 2.0}
    assert told["service"]["max"] == 3.0


def test_tables_begin_with_the_cheapest_and_tell_ratios_to_sluice():
    rows = evaluation_table(found().evaluation)[2:]
    assert [row.split(" | ")[2::2] for row in rows] == [["1.0", "1.0 |"], ["10.0", "10.0 |"]]
    rows = serving_table({"sluice": a_round(100.0), "flagd-core": a_round(50.0)}, "single")[2:]
    assert [row.split(" | ")[1:4] for row in rows] == [
        ["50.0", "0.50", "20,000"],
        ["100.0", "1.00", "10,000"],
    ]


def test_every_row_of_a_report_has_a_cell_for_every_column():
    for block in report(found(), ["a note"], goals(found())).split("\n\n"):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1


def test_the_json_has_all_that_the_tables_have():
    content = json.loads(json.dumps(told(found(), goals(found()))))
    assert content["evaluation"]["flagd"]["ruled_us"] == 14.0
    assert content["serving"]["bulk"]["sluice"]["cpu_us_per_request"] == 43_750.0
    assert [goal["kept"] for goal in content["goals"]] == [True] * len(GOALS)


def test_the_versions_that_are_told_are_those_of_the_lock_file():
    lock = (tools.HERE / "peers.lock").read_text()
    for name, version in tools.versions().items():
        assert f"\n{name}=={version} \\" in lock
    assert not re.search(r"https?://|index-url", lock)


def test_quick_is_less_of_everything():
    assert QUICK.changes < FULL.changes == 1_000_000
    assert QUICK.flips < FULL.flips
    assert parser().parse_args(["--only", "memory", "--only", "serving"]).only == ["memory", "serving"]


def test_what_ends_a_benchmark_is_told_in_one_line(capsys):
    def fail():
        raise BenchError("no wrk here")

    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        assert ended(lambda: None) == 0
        assert ended(fail) == 1
        assert ended(lambda: os.kill(os.getpid(), signal.SIGTERM)) == 130
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert capsys.readouterr().err.splitlines() == [
        "bench: no wrk here",
        "bench: interrupted; everything it started has ended",
    ]
