"""Shares are exact and smooth; the weights in force follow one rule."""

import itertools

import pytest

from balancer.policy import Shares, effective_weights, least_loaded

BOTH = {"stable": True, "canary": True}
NO_CANARY = {"stable": True, "canary": False}
NO_STABLE = {"stable": False, "canary": True}
NOTHING = {"stable": False, "canary": False}


@pytest.mark.parametrize(
    ("canary", "alert", "usable", "wanted"),
    [
        (30, False, BOTH, (70, 30)),
        (0, False, BOTH, (100, 0)),
        (100, False, BOTH, (0, 100)),
        (12.5, False, BOTH, (87.5, 12.5)),
        (30, True, BOTH, (100, 0)),
        (100, True, BOTH, (100, 0)),
        (30, False, NO_CANARY, (100, 0)),
        (100, False, NO_CANARY, (100, 0)),
        (30, True, NO_CANARY, (100, 0)),
        # An answer is better than none, but not from an alerted canary, nor from one with no share.
        (30, False, NO_STABLE, (0, 100)),
        (30, True, NO_STABLE, (0, 0)),
        (0, False, NO_STABLE, (0, 0)),
        (30, False, NOTHING, (0, 0)),
        (30, True, NOTHING, (0, 0)),
        # What is not said to be usable is not.
        (30, False, {"stable": True}, (100, 0)),
        (30, False, {}, (0, 0)),
    ],
)
def test_effective_weights(canary, alert, usable, wanted):
    declared = {"stable": 100 - canary, "canary": canary}
    assert effective_weights(declared, alert, usable) == dict(zip(("stable", "canary"), wanted, strict=True))


def test_a_service_without_a_canary_gives_all_to_stable():
    assert effective_weights({"stable": 100}, False, {"stable": True}) == {"stable": 100}
    assert effective_weights({"stable": 100}, True, {"stable": True}) == {"stable": 100}


def test_the_weights_sum_to_100_or_0():
    for canary, alert, stable_up, canary_up in itertools.product(range(101), *[(True, False)] * 3):
        usable = {"stable": stable_up, "canary": canary_up}
        total = sum(effective_weights({"stable": 100 - canary, "canary": canary}, alert, usable).values())
        assert total in (0, 100)
        assert total == 100 or not stable_up


@pytest.mark.parametrize("canary", [0, 1, 3, 10, 30, 33.3, 50, 99, 100])
def test_over_any_window_a_share_is_off_by_at_most_one(canary):
    shares = Shares()
    weights = {"stable": 100 - canary, "canary": canary}
    chosen = [shares.choose(weights) == "canary" for _ in range(2000)]
    sums = [0, *itertools.accumulate(chosen)]
    for size in (1, 7, 10, 33, 100, 1000):
        for start in range(0, 2000 - size, 13):
            assert abs(sums[start + size] - sums[start] - size * canary / 100) <= 1 + 1e-6


def test_shares_follow_a_change_of_weights_at_once():
    shares = Shares()
    for _ in range(17):
        shares.choose({"stable": 70, "canary": 30})
    assert {shares.choose({"stable": 100, "canary": 0}) for _ in range(100)} == {"stable"}
    assert {shares.choose({"stable": 0, "canary": 100}) for _ in range(100)} == {"canary"}
    picked = [shares.choose({"stable": 50, "canary": 50}) for _ in range(100)]
    assert abs(picked.count("canary") - 50) <= 1


def test_an_alert_of_a_moment_owes_the_canary_nothing():
    shares = Shares()
    for _ in range(1000):
        shares.choose({"stable": 100, "canary": 0})
    picked = [shares.choose({"stable": 90, "canary": 10}) for _ in range(100)]
    assert abs(picked.count("canary") - 10) <= 1


def test_without_any_weight_nothing_is_chosen():
    assert Shares().choose({"stable": 0, "canary": 0}) is None
    assert Shares().choose({}) is None


class Host:
    def __init__(self, in_flight):
        self.in_flight = in_flight


def test_the_least_loaded_is_chosen():
    hosts = [Host(3), Host(1), Host(2)]
    assert {least_loaded(hosts, turn) for turn in range(5)} == {hosts[1]}


def test_equals_take_turns():
    hosts = [Host(0), Host(0), Host(0)]
    assert [least_loaded(hosts, turn) for turn in range(6)] == hosts * 2


def test_of_none_none_is_chosen():
    assert least_loaded([], 0) is None
