"""The Redis door: keys raise alerts, whatever is in them and whatever happens to Redis."""

import json

import pytest
from running import MONITOR_TOKEN, Load, redis_settings, wait_until

from tests.support.redis_fleet import RedisFleet

KEY = "sluice:alert:shop"


class One(RedisFleet):
    """A single server."""

    def __call__(self, *words, user="admin"):
        return self.call("redis-1", *words, user=user)

    def die(self):
        self.kill("redis-1")

    def come_back(self):
        self.restart("redis-1")


@pytest.fixture
def redis(tmp_path):
    with One(tmp_path / "redis", replicas=0) as made:
        yield made


@pytest.fixture
def shop(redis, backend, balancer, tmp_path):
    """A balancer connected to Redis, a third of its traffic on a canary."""
    stable, canary = backend("stable-1"), backend("canary-1")
    weights, told = {"stable": 70, "canary": 30}, redis_settings(redis, tmp_path)
    made = balancer(tracks={"stable": [stable], "canary": [canary]}, weights=weights, redis=told)
    made.stable, made.canary = stable, canary
    wait_for_door(made)
    return made


def wait_for_door(shop, state="connected"):
    wait_until(lambda: shop.status()["redis"] == state, f"redis is {state}")


def wait_for_alert(shop):
    return wait_until(shop.alert, "an alert stands")


def test_a_key_set_by_hand_takes_the_canary_out(redis, shop):
    with Load(shop.port) as load:
        load.wait_for(50)
        assert redis("SET", KEY, "pages are slow", user="operator") == "OK"
        alert = wait_for_alert(shop)
        at_once = len(shop.canary.requests())
        load.wait_for(200)
    assert load.failed == []
    assert len(shop.canary.requests()) - at_once <= 4
    assert (alert["reason"], alert["by"], alert["door"]) == ("pages are slow", "redis", "redis")
    assert shop.served_by(30) == {"stable-1": 30}


def test_the_release_side_may_raise_with_reason_and_name(redis, shop):
    value = json.dumps({"reason": "errors", "by": "canary-1", "at": "2026-11-24T12:00:00Z"})
    redis("SET", KEY, value, user="release")
    assert wait_for_alert(shop) == {
        "reason": "errors",
        "by": "canary-1",
        "at": "2026-11-24T12:00:00Z",
        "door": "redis",
    }


VALUES = {
    "nothing": ("SET", KEY, ""),
    # The first bit alone: no UTF-8.
    "no UTF-8": ("SETBIT", KEY, "0", "1"),
    "too deep": ("SET", KEY, "[" * 100_000),
    "a megabyte": ("SET", KEY, "x" * 2**20),
    "wrong types": ("SET", KEY, '{"reason": {"a": 1}, "by": 7, "at": []}'),
    "control characters": ("SET", KEY, '{"reason": "a\\nb\\u001b[31m"}'),
    "a number": ("SET", KEY, "1" + "0" * 5000),
}


def test_whatever_a_key_holds_is_an_alert_and_the_door_stays_open(redis, shop):
    for what, words in VALUES.items():
        redis(*words)
        alert = wait_for_alert(shop)
        assert all(isinstance(text, str) and text.isprintable() for text in alert.values()), what
        assert len(alert["reason"]) <= 200, what
        redis("DEL", KEY)
        wait_for_door(shop)
        assert shop.admin("DELETE", "/alert/shop").json == {"cleared": True}, what
    redis("SET", KEY, "again")
    assert wait_for_alert(shop)["reason"] == "again"


def test_a_key_of_another_type_is_an_alert_too(redis, shop):
    redis("LPUSH", KEY, "a", "b")
    assert wait_for_alert(shop)["reason"] == "raised in Redis"
    wait_for_door(shop)


def test_a_key_of_an_unknown_service_changes_nothing(redis, shop):
    redis("SET", "sluice:alert:nope", "x")
    redis("SET", KEY, "x")
    wait_for_alert(shop)
    assert list(shop.status()["services"]) == ["shop"]


def test_a_key_that_vanishes_clears_nothing(redis, shop):
    redis("SET", KEY, "bad")
    wait_for_alert(shop)
    redis("DEL", KEY)
    redis("SET", KEY, "again", "PX", "1")
    redis.die()
    wait_for_door(shop, "disconnected")
    redis.come_back()
    wait_for_door(shop)
    assert shop.alert()["reason"] == "bad"
    assert shop.served_by(30) == {"stable-1": 30}


def test_an_alert_stands_over_a_restart_of_balancer_and_redis(redis, shop):
    redis("SET", KEY, "bad")
    wait_for_alert(shop)
    redis.die()
    shop.stop()
    shop.start().wait_for_backends()
    assert shop.alert()["reason"] == "bad"
    redis.come_back()
    wait_for_door(shop)
    assert shop.alert()["reason"] == "bad"
    assert shop.served_by(30) == {"stable-1": 30}


def test_a_key_set_while_the_balancer_was_away_is_found(redis, shop):
    shop.stop()
    redis("SET", KEY, "bad")
    shop.start()
    assert wait_for_alert(shop)["reason"] == "bad"


def test_a_key_set_before_the_connection_is_back_is_found(redis, shop):
    redis("ACL", "SETUSER", "balancer", "off")
    redis("CLIENT", "KILL", "USER", "balancer")
    wait_for_door(shop, "disconnected")
    redis("SET", KEY, "bad")
    assert shop.alert() is None
    redis("ACL", "SETUSER", "balancer", "on")
    assert wait_for_alert(shop)["reason"] == "bad"


def test_an_alert_raised_while_redis_is_dead_is_handed_on_later(redis, shop):
    redis.die()
    wait_for_door(shop, "disconnected")
    told = {"service": "shop", "reason": "bad"}
    assert shop.admin("POST", "/alert", told, token=MONITOR_TOKEN, port=shop.alert_port).status == 200
    assert shop.served_by(30) == {"stable-1": 30}
    redis.come_back()
    value = json.loads(wait_until(lambda: redis("GET", KEY), "redis has the key"))
    assert (value["reason"], value["by"]) == ("bad", "canary-1")


def test_an_alert_raised_while_redis_is_dead_outlives_the_balancer_too(redis, shop):
    redis.die()
    shop.admin("POST", "/alert", {"service": "shop", "reason": "bad"})
    shop.kill()
    shop.start()
    redis.come_back()
    assert json.loads(wait_until(lambda: redis("GET", KEY), "redis has the key"))["reason"] == "bad"


def test_an_alert_cleared_before_redis_came_back_is_not_handed_on(redis, shop):
    redis.die()
    wait_for_door(shop, "disconnected")
    shop.admin("POST", "/alert", {"service": "shop"})
    assert shop.admin("DELETE", "/alert/shop").json == {"cleared": True}
    redis.come_back()
    wait_for_door(shop)
    assert redis("GET", KEY) is None
    assert shop.alert() is None


def test_a_balancer_does_not_overwrite_the_first_word_in_redis(redis, shop):
    redis("ACL", "SETUSER", "balancer", "off")
    redis("CLIENT", "KILL", "USER", "balancer")
    wait_for_door(shop, "disconnected")
    redis("SET", KEY, "first")
    shop.admin("POST", "/alert", {"service": "shop", "reason": "second"})
    redis("ACL", "SETUSER", "balancer", "on")
    wait_for_door(shop)
    assert redis("GET", KEY) == "first"


def test_two_balancers_hear_of_each_other_through_redis(redis, shop, balancer, tmp_path):
    other = balancer(
        tracks={"stable": [shop.stable], "canary": [shop.canary]},
        weights={"stable": 70, "canary": 30},
        redis=redis_settings(redis, tmp_path),
    )
    wait_for_door(other)
    shop.admin("POST", "/alert", {"service": "shop", "reason": "bad"})
    assert wait_for_alert(other)["reason"] == "bad"


def test_a_server_that_refuses_events_is_said_so_once_and_not_asked_all_the_time(redis, shop):
    redis("ACL", "SETUSER", "balancer", "resetchannels")
    wait_for_door(shop, "disconnected")
    wait_until(lambda: "no permissions to access one of the channels" in shop.said(), "it is said")
    line = 'sluice_redis_failures_total{what="line"}'
    before = shop.metrics()[line]
    wait_until(lambda: shop.metrics()[line] >= before + 3, "it was tried again")
    assert shop.said().count("no permissions") == 1
    redis("ACL", "SETUSER", "balancer", "&__keyspace@0__:sluice:alert:*")
    wait_for_door(shop)


def test_a_quiet_redis_stays_connected(redis, shop):
    before = shop.said().count("listening for alerts")
    clients = redis("CLIENT", "LIST")
    wait_until(lambda: " age=3 " in redis("CLIENT", "LIST") or clients == "", "three seconds went by")
    assert shop.said().count("listening for alerts") == before
    assert "trying again" not in shop.said()
