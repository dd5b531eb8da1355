"""Leases: how long they hold, by which clock, over a restart, and which weights may be asked for."""

import json

import pytest
import sluice_balancer_config

from balancer.alerts import State
from balancer.leases import BadWeights, Leases, checked
from balancer.policy import is_in_steps

WEIGHTS = {"stable": 70.0, "canary": 30.0}


class Clocks:
    """The time of day and the machine's running time, which usually go together."""

    def __init__(self):
        self.wall, self.running = 1_800_000_000.0, 50.0

    def go(self, seconds):
        self.wall += seconds
        self.running += seconds

    def leases(self):
        return Leases(lambda: self.wall, lambda: self.running)


@pytest.fixture
def clocks():
    return Clocks()


@pytest.fixture
def leases(clocks):
    return clocks.leases()


def restarted(clocks, leases):
    """The leases of a balancer that was started again, maybe on a machine that was too."""
    told = json.loads(json.dumps(leases.dump()))
    clocks.running = 3.0
    fresh = clocks.leases()
    fresh.load(told)
    return fresh


def test_a_lease_holds_for_its_time_and_no_longer(clocks, leases):
    leases.give("shop", WEIGHTS, 60, "admin")
    clocks.go(59.9)
    assert leases.live("shop").weights == WEIGHTS
    assert leases.take_ended() == []
    clocks.go(0.2)
    assert leases.live("shop") is None
    assert leases.take_ended() == ["shop"]
    assert leases.take_ended() == []


def test_giving_it_again_renews_it(clocks, leases):
    leases.give("shop", WEIGHTS, 60, "admin")
    clocks.go(50)
    leases.give("shop", WEIGHTS, 60, "admin")
    clocks.go(50)
    assert leases.live("shop") is not None


def test_leases_of_services_are_apart(clocks, leases):
    leases.give("shop", WEIGHTS, 60, "admin")
    leases.give("cart", WEIGHTS, 600, "admin")
    clocks.go(100)
    assert leases.take_ended() == ["shop"]
    assert leases.end("cart").weights == WEIGHTS
    assert leases.end("cart") is None
    assert leases.end("nope") is None


def test_a_clock_that_is_set_back_makes_no_lease_longer(clocks, leases):
    leases.give("shop", WEIGHTS, 60, "admin")
    clocks.wall -= 1_000_000
    clocks.go(59)
    assert leases.live("shop") is not None
    clocks.go(2)
    assert leases.live("shop") is None


def test_a_clock_that_is_set_forward_ends_it(clocks, leases):
    """It looks the same as a machine that was stopped for so long."""
    leases.give("shop", WEIGHTS, 60, "admin")
    clocks.wall += 61
    assert leases.live("shop") is None


def test_after_a_restart_it_holds_for_what_is_left_of_it(clocks, leases):
    leases.give("shop", WEIGHTS, 60, "admin")
    clocks.go(40)
    fresh = restarted(clocks, leases)
    assert fresh.live("shop").weights == WEIGHTS
    assert fresh.seconds_left("shop") == pytest.approx(20)
    clocks.go(21)
    assert fresh.live("shop") is None


def test_what_ran_out_while_the_balancer_was_stopped_does_not_come_back(clocks, leases):
    leases.give("shop", WEIGHTS, 60, "admin")
    clocks.go(61)
    assert restarted(clocks, leases).live("shop") is None


def test_after_a_restart_with_a_clock_before_it_was_given_it_is_over(clocks, leases):
    leases.give("shop", WEIGHTS, 60, "admin")
    clocks.wall -= 3600
    assert restarted(clocks, leases).live("shop") is None


def test_a_small_correction_of_the_clock_over_a_restart_costs_no_lease(clocks, leases):
    leases.give("shop", WEIGHTS, 60, "admin")
    clocks.wall -= 0.5
    fresh = restarted(clocks, leases)
    assert fresh.seconds_left("shop") <= 60


def test_after_a_restart_with_a_clock_that_stands_still_it_ends_all_the_same_and_for_good(clocks, leases):
    leases.give("shop", WEIGHTS, 60, "admin")
    leases = restarted(clocks, leases)
    clocks.running += 59
    assert leases.live("shop") is not None
    clocks.running += 2
    assert leases.take_ended() == ["shop"]
    assert restarted(clocks, leases).live("shop") is None


def test_the_state_on_disk_has_leases_and_one_without_them_is_read(tmp_path):
    state = State(tmp_path / "state.json")
    state.leases.give("shop", WEIGHTS, 60, "admin")
    state.save()
    fresh = State(tmp_path / "state.json")
    fresh.load()
    assert fresh.leases.live("shop") == state.leases.live("shop")
    (tmp_path / "state.json").write_text('{"alerts": {}, "drained": {}}')
    fresh.load()
    assert fresh.leases.live("shop") is None
    assert fresh.alerts == {}


@pytest.mark.parametrize("row", [{}, [], {"weights": WEIGHTS}, None, "x"])
def test_a_lease_on_disk_that_is_none_makes_the_state_doubtful(tmp_path, row):
    (tmp_path / "state.json").write_text(json.dumps({"alerts": {}, "drained": {}, "leases": {"shop": row}}))
    state = State(tmp_path / "state.json")
    state.load()
    assert state.alert("shop").door == "state"
    assert state.leases.live("shop") is None


# Weights.


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"stable": 100}, "'weights' has \"stable\": want a percentage for each of canary, stable"),
        ({}, "'weights' has nothing: want a percentage for each of canary, stable"),
        ({"stable": 90, "beta": 10}, '\'weights\' has "beta", "stable": want'),
        ([70, 30], "'weights' has [70, 30]: want"),
        (None, "'weights' has null: want"),
        ({"stable": 90, "canary": True}, "'weights' has true for canary: want a number, 0 to 100"),
        ({"stable": 90, "canary": "10"}, "'weights' has \"10\" for canary: want a number, 0 to 100"),
        ({"stable": 110, "canary": -10}, "'weights' has 110 for stable: want a number, 0 to 100"),
        ({"stable": 50, "canary": float("nan")}, "'weights' has NaN for canary: want a number, 0 to 100"),
        ({"stable": 99.95, "canary": 0.05}, "'weights' has 99.95 for stable: want steps of 0.1 percent"),
        ({"stable": 70, "canary": 40}, "'weights' sum to 110: want 100"),
    ],
)
def test_weights_that_cannot_be_are_told_in_one_line(told, said):
    with pytest.raises(BadWeights) as refused:
        checked(told, {"stable", "canary"})
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)


def test_a_thousandth_of_the_requests_is_a_weight():
    for tenths in range(1001):
        told = {"stable": (1000 - tenths) / 10, "canary": tenths / 10}
        assert checked(told, {"stable", "canary"}) == told
        assert all(is_in_steps(weight) for weight in told.values())
        sluice_balancer_config.checked_weights("shop", told, ["stable", "canary"])


@pytest.mark.parametrize("weight", [0.05, 33.33, 99.999, 0.1001])
def test_finer_weights_are_refused_by_the_balancer_and_by_pillar_alike(weight):
    assert not is_in_steps(weight)
    told = {"stable": 100 - weight, "canary": weight}
    with pytest.raises(sluice_balancer_config.ConfigError, match=r"pillar traffic:shop.* want steps of 0\.1"):
        sluice_balancer_config.checked_weights("shop", told, ["stable", "canary"])
