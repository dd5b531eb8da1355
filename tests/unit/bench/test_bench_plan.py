"""What is measured, for how long, on which cores."""

import pytest

from bench.balancer.__main__ import make_plan, neighbours, parser
from bench.balancer.contenders import CONTENDERS
from bench.balancer.errors import BenchError
from bench.balancer.plan import BODIES, GOAL_CASE, LOADS, QUICK, Case, cores, full

EVERYBODY = len(CONTENDERS) + 1
VARIANTS = sum(one.variant for one in CONTENDERS.values())


def plan(*words):
    return make_plan(parser().parse_args(words))


def test_the_full_plan_has_every_value_of_every_axis_and_the_goals_case_first():
    cases = full().cases
    assert {case.body for case in cases} == set(BODIES)
    assert {case.load for case in cases} == set(LOADS)
    assert {case.connections for case in cases} == {1, 64, 512}
    assert {case.workers for case in cases} == {1, 2}
    assert cases[0] == GOAL_CASE
    assert len(cases) == len(set(cases))


def test_the_plans_take_no_longer_than_they_say():
    assert QUICK.estimate(EVERYBODY) < QUICK.limit_seconds < 60
    assert full().estimate(EVERYBODY - VARIANTS) < full().limit_seconds < 15 * 60


def test_the_cases_of_one_number_of_workers_are_together():
    workers = [case.workers for case in full().cases]
    assert workers == sorted(workers)


def test_quick_is_the_goals_case_alone():
    assert plan("--quick") == QUICK
    assert QUICK.cases == (GOAL_CASE,)


def test_given_axes_replace_the_plan_with_their_product():
    made = plan("--bodies=160B,1MB", "--connections=1,64", "--rounds=2")
    assert made.cases == tuple(Case("keep-alive", b, n, 1) for b in ("160B", "1MB") for n in (1, 64))
    assert made.rounds == 2


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("--bodies=2GB", "2GB: want some of 160B"),
        ("--connections=0", "0: want some of 1 to 1000"),
        ("--workers=many", "many: want some of 1 to 64"),
        ("--loads=none", "none: want some of keep-alive"),
        ("--rounds=101", "want 1 to 100"),
        ("--seconds=601", "want 1 to 600"),
        ("--rounds=0", "want 1 to 100"),
    ],
)
def test_values_out_of_range_are_named_with_what_is_wanted(option, named):
    with pytest.raises(BenchError, match=named):
        plan(option)


@pytest.mark.parametrize(
    ("workers", "available", "wanted"),
    [
        (1, [0, 1], ([0], [1])),
        (2, [0, 1], ([0, 1], [0, 1])),
        (2, [2, 3, 4, 5], ([2, 3], [4, 5])),
        (1, [0], ([0], [0])),
    ],
)
def test_the_load_gets_cores_of_its_own_while_there_are_any(workers, available, wanted):
    assert cores(workers, available) == wanted


def test_a_case_says_what_it_is():
    assert GOAL_CASE.title == "160 B, keep-alive, 64 connections, 1 worker"
    assert Case("new", "1MB", 1, 2).title == "1 MB, a new connection each, 1 connection, 2 workers"


def test_a_busy_machine_is_told_and_a_quiet_one_is_not():
    assert neighbours(0.9, 2) == []
    assert "load average 1.0 on 2 cores" in neighbours(1.0, 2)[0]
