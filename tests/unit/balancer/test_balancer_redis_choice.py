"""Which Redis is the master, which one is heard, and when it is told of what."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from balancer.alerts import Alert, State
from balancer.redischoice import MASTER, REPLICA, Choice, Look, choose
from balancer.redisdoor import RedisDoor
from balancer.redisfile import RedisServer, RedisSettings
from balancer.rediskeys import RENEW_SECONDS, AlertKeys, CanaryKeys


def master(term=0, replicas=0):
    return Look(MASTER, term, replicas=replicas)


def replica(term=0, linked=True):
    return Look(REPLICA, term, linked=linked)


def chosen(known_term=0, named=None, **looks):
    """Keyword to look: `one` is None if it does not answer."""
    return choose(looks, known_term, named)


def test_the_only_master_is_written_to_and_read():
    assert chosen(one=replica(), two=master(replicas=2), three=replica()) == Choice(0, "two", "two")


def test_of_two_masters_the_higher_term_counts_and_the_other_is_stale():
    assert chosen(one=master(4, replicas=2), two=master(5)) == Choice(5, "two", "two", ("one",))


def test_of_the_same_term_the_one_that_more_replicas_follow_counts_then_the_first():
    assert chosen(one=master(), two=master(replicas=1), three=replica()).master == "two"
    assert chosen(one=master(), two=master()).master == "one"


def test_without_a_master_a_replica_is_read_whose_link_is_up():
    assert chosen(one=None, two=replica(linked=False), three=replica()) == Choice(0, None, "three")


def test_a_replica_that_lost_its_master_is_not_read():
    assert chosen(one=None, two=replica(linked=False), three=replica(linked=False)) == Choice()


def test_a_replica_of_a_stale_master_is_not_read():
    assert chosen(one=None, two=replica(4), three=replica(5)).reader == "three"
    assert chosen(5, one=None, two=replica(4), three=None) == Choice(5)


def test_a_stale_master_is_not_used_because_its_successor_is_away():
    assert chosen(5, one=master(4), two=None, three=replica(5, linked=False)) == Choice(5, stale=("one",))


def test_a_term_that_every_server_denies_is_forgotten():
    assert chosen(5, one=master(1), two=replica(1)) == Choice(1, "one", "one")
    assert chosen(5, one=master(1), two=None).master is None


def test_whom_the_sentinels_name_is_the_master_whatever_the_terms():
    assert chosen(3, "two", one=master(3), two=master(2), three=replica(2)) == Choice(
        2, "two", "two", ("one",)
    )


def test_whom_the_sentinels_name_has_to_say_so_too():
    assert chosen(0, "two", one=None, two=replica(), three=replica()) == Choice(0, None, "two")
    assert chosen(0, "two", one=None, two=None, three=replica()) == Choice(0, None, "three")
    assert chosen(0, "10.0.0.9:6379", one=master(), two=replica()).master is None


def test_where_nobody_answers_nothing_is_chosen_and_the_term_is_kept():
    assert chosen(5, one=None, two=None) == Choice(5)


ALERT = Alert("bad", "x", "T0", "http")


def test_an_alert_is_told_once_to_each_master():
    keys = AlertKeys()
    assert keys.due({"shop": ALERT}) == {"shop": ALERT}
    keys.told("shop", ALERT)
    assert keys.due({"shop": ALERT}) == {}
    keys.begin_anew()
    assert keys.due({"shop": ALERT}) == {"shop": ALERT}


def test_an_alert_that_was_cleared_and_raised_again_is_told_again():
    keys = AlertKeys()
    keys.told("shop", ALERT)
    again = Alert("bad", "x", "T1", "http")
    assert keys.due({"shop": again}) == {"shop": again}
    keys.told("shop", again)
    assert keys.due({}) == {}
    assert keys.due({"shop": again}) == {"shop": again}


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_canary_is_told_at_once_and_again_in_time(clock):
    keys = CanaryKeys(clock)
    assert keys.due({"shop": 30.0}) == {"shop": "30"}
    keys.told("shop", "30")
    clock.now += RENEW_SECONDS - 0.1
    assert keys.due({"shop": 30.0}) == {}
    clock.now += 0.2
    assert keys.due({"shop": 30.0}) == {"shop": "30"}


def test_another_weight_is_told_at_once(clock):
    keys = CanaryKeys(clock)
    keys.told("shop", "30")
    assert keys.due({"shop": 0.1}) == {"shop": "0.1"}


def test_a_canary_that_stops_is_deleted_until_that_was_done(clock):
    keys = CanaryKeys(clock)
    keys.told("shop", "30")
    assert keys.due({}) == {"shop": None}
    assert keys.due({}) == {"shop": None}
    keys.told("shop", None)
    assert keys.due({}) == {}


def test_a_canary_that_was_perhaps_told_is_told_again_or_deleted(clock):
    keys = CanaryKeys(clock)
    keys.trying("shop", "30")
    assert keys.due({"shop": 30.0}) == {"shop": "30"}
    assert keys.due({}) == {"shop": None}


def test_a_canary_that_never_served_here_is_not_deleted(clock):
    assert CanaryKeys(clock).due({}) == {}


def test_a_new_master_is_told_of_canaries_that_serve_and_of_those_that_stopped(clock):
    keys = CanaryKeys(clock)
    keys.told("shop", "30")
    keys.told("cart", "10")
    keys.begin_anew()
    assert keys.due({"shop": 30.0}) == {"shop": "30", "cart": None}


class Truth:
    """Of the supervisor what the door asks for."""

    def __init__(self):
        self.state = State(Path("/nowhere"))
        self.config = SimpleNamespace(services={"shop": None})
        self.clears = 0
        self.raised = []

    async def alert_from_redis(self, service, alert):
        self.raised.append((service, alert.reason))


@pytest.mark.parametrize(
    ("reader", "clears", "raised"),
    [
        ("redis-1", 0, [("shop", "bad")]),
        # Cleared since, or another server is the right one since: it is read again in a second.
        ("redis-1", 1, []),
        ("redis-2", 0, []),
        (None, 0, []),
    ],
)
def test_what_was_read_before_a_clear_or_from_another_server_raises_nothing(reader, clears, raised):
    servers = (RedisServer("redis-1", "10.0.0.12", 6379), RedisServer("redis-2", "10.0.0.14", 6379))
    truth = Truth()
    door = RedisDoor(RedisSettings(servers, "none", 26379, None, "balancer", None), truth)
    door._choice, truth.clears = Choice(reader=reader), clears
    asyncio.run(door._take(door._lines["redis-1"], "shop", "bad", before=0))
    assert truth.raised == raised


def test_the_door_outlives_whatever_goes_wrong_when_keys_are_written(caplog):
    def unknown(_):
        raise KeyError("a backend that is not known yet")

    async def tried():
        truth = Truth()
        truth.config.services["shop"] = SimpleNamespace(name="shop")
        truth.status = SimpleNamespace(effective=unknown)
        servers = (RedisServer("redis-1", "10.0.0.12", 6379),)
        door = RedisDoor(RedisSettings(servers, "none", 26379, None, "balancer", None), truth)
        door._choice = Choice(master="redis-1")
        writing = asyncio.ensure_future(door._write_always())
        while "keys are not written" not in caplog.text:
            await asyncio.sleep(0)
        assert not writing.done()
        writing.cancel()

    asyncio.run(asyncio.wait_for(tried(), 5))
