"""Within a track: who is chosen, and how a backend that came back gets its share by and by."""

import itertools
from collections import Counter

import pytest

from balancer.comebacks import Comebacks
from balancer.policy import WarmUp, part_of_share
from balancer.routes import Route

KEY = ("shop", "stable", "s1")


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def table(backends, balance="least_connections", slow_start_seconds=0.0, canary=()):
    """`backends` is name to when it came back, None if it never was away."""

    def track(names):
        return {
            name: {"address": ["127.0.0.1", port], "state": "up", "since": since}
            for port, (name, since) in enumerate(dict(names).items(), 1)
        }

    return {
        "weights": {"stable": 100, "canary": 0},
        "alert": False,
        "balance": balance,
        "slow_start_seconds": slow_start_seconds,
        "tracks": {"stable": track(backends), "canary": track(canary)},
    }


def route(clock, *args, **settings):
    made = Route("shop", clock)
    made.apply(table(*args, **settings))
    return made


def chosen(from_route, times, busy=()):
    """Who gets so many requests, each under way while the next is chosen if its backend is busy."""
    found = []
    for _ in range(times):
        backend = from_route.choose()
        found.append(backend.id)
        backend.in_flight += backend.id in busy
    return Counter(found)


# How a backend is chosen.


def test_round_robin_gives_each_its_turn_whatever_is_in_flight(clock):
    shop = route(clock, dict.fromkeys("abc"), balance="round_robin")
    assert chosen(shop, 30, busy="a") == {"a": 10, "b": 10, "c": 10}
    assert [shop.choose().id for _ in range(4)] == ["a", "b", "c", "a"]


def test_least_connections_avoids_the_busy_one(clock):
    shop = route(clock, dict.fromkeys("abc"))
    assert chosen(shop, 31, busy="a")["a"] == 1


def test_the_way_of_choosing_changes_with_the_table(clock):
    shop = route(clock, dict.fromkeys("ab"))
    next(b for b in shop.tracks["stable"] if b.id == "a").in_flight = 100
    assert chosen(shop, 10) == {"b": 10}
    shop.apply(table(dict.fromkeys("ab"), balance="round_robin"))
    assert chosen(shop, 10) == {"a": 5, "b": 5}


# Slow start: the part of its share that a backend takes.


def test_a_part_grows_evenly_from_a_tenth_to_all():
    parts = [part_of_share(100, 100 + passed, 20) for passed in (-1, 0, 5, 10, 20, 21)]
    assert parts == pytest.approx([0.1, 0.1, 0.325, 0.55, 1, 1])


def test_without_slow_start_a_backend_takes_all_of_its_share_at_once():
    assert part_of_share(100, 100, 0) == 1
    assert part_of_share(float("-inf"), 100, 20) == 1


@pytest.mark.parametrize("part", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("others", [1, 2, 9])
def test_over_any_window_a_backend_gets_its_part_to_two_requests(part, others):
    warm_up, warm = WarmUp(), {f"w{number}" for number in range(others)}
    parts = {**dict.fromkeys(warm, 1.0), "cold": part}
    turns = [warm_up.among(parts) for _ in range(2000)]
    assert all(turn in (warm, {"cold"}) for turn in turns)
    for start, size in itertools.product(range(0, 1000, 37), (10, 100, 1000)):
        got = sum(turn == {"cold"} for turn in turns[start : start + size])
        assert abs(got - size * part / (part + others)) < 2


def test_where_none_is_warm_all_take_part():
    assert WarmUp().among({"a": 0.1, "b": 0.5}) == {"a", "b"}


@pytest.mark.parametrize("balance", ["least_connections", "round_robin"])
def test_a_backend_that_came_back_gets_more_and_more(clock, balance):
    shop = route(clock, {"a": None, "b": None, "c": 1000.0}, balance=balance, slow_start_seconds=20)
    got = []
    for clock.now in (1000, 1005, 1010, 1015, 1020, 1100):
        got.append(chosen(shop, 300)["c"])
    wanted = [300 * part / (2 + part) for part in (0.1, 0.325, 0.55, 0.775, 1, 1)]
    assert all(abs(one - other) <= 2 for one, other in zip(got, wanted, strict=True)), (got, wanted)


@pytest.mark.parametrize("balance", ["least_connections", "round_robin"])
def test_a_backend_that_is_the_only_one_is_not_spared(clock, balance):
    shop = route(clock, {"a": 1000.0}, balance=balance, slow_start_seconds=20)
    assert chosen(shop, 10) == {"a": 10}


def test_backends_that_all_came_back_share_as_ever(clock):
    shop = route(clock, {"a": 1000.0, "b": 995.0}, slow_start_seconds=20)
    assert chosen(shop, 10) == {"a": 5, "b": 5}


def test_a_request_that_failed_elsewhere_may_go_to_a_backend_that_warms_up(clock):
    shop = route(clock, {"a": None, "b": 1000.0}, slow_start_seconds=20)
    (first,) = [b for b in shop.tracks["stable"] if b.id == "a"]
    assert {shop.choose([first]).id for _ in range(10)} == {"b"}


def test_a_slow_start_of_one_track_is_none_of_the_other(clock):
    shop = route(clock, dict.fromkeys("ab"), canary={"c": 1000.0}, slow_start_seconds=20)
    assert chosen(shop, 10) == {"a": 5, "b": 5}
    assert shop.choose_in("canary").id == "c"


# Who came back.


def test_backends_that_are_up_when_the_balancer_starts_did_not_come_back(clock):
    comebacks = Comebacks(clock)
    assert comebacks.note(KEY, "down") is None
    assert comebacks.note(KEY, "up") is None
    comebacks.begin()
    assert comebacks.note(KEY, "up") is None


@pytest.mark.parametrize("away", ["down", "drained", "ejected"])
def test_a_backend_that_was_away_came_back_when_it_was_up_again(clock, away):
    comebacks = Comebacks(clock)
    comebacks.note(KEY, "up")
    comebacks.begin()
    assert comebacks.note(KEY, away) is None
    clock.now = 1010.0
    assert comebacks.note(KEY, "up") == 1010
    clock.now = 1020.0
    # It goes on being so, however often it is asked.
    assert comebacks.note(KEY, "up") == 1010
    assert comebacks.note(KEY, away) is None


def test_a_new_backend_came_into_service_and_one_that_is_gone_is_forgotten(clock):
    comebacks = Comebacks(clock)
    comebacks.begin()
    assert comebacks.note(KEY, "up") == 1000
    comebacks.keep([])
    clock.now = 2000.0
    assert comebacks.note(KEY, "up") == 2000
    comebacks.keep([KEY])
    assert comebacks.note(KEY, "up") == 2000
