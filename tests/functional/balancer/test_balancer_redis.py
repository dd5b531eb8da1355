"""The Redis door: keys raise alerts, whatever is in them and whatever happens to Redis."""

import json

import pytest
from redis_server import RedisServer
from running import MONITOR_TOKEN, Load, wait_until

KEY = "sluice:alert:shop"


@pytest.fixture
def redis(tmp_path):
    directory = tmp_path / "redis"
    directory.mkdir()
    made = RedisServer(directory)
    yield made
    made.kill()


@pytest.fixture
def shop(redis, backend, balancer):
    """A balancer connected to Redis, a third of its traffic on a canary."""
    redis.start()
    stable, canary = backend("stable-1"), backend("canary-1")
    weights = {"stable": 70, "canary": 30}
    made = balancer(tracks={"stable": [stable], "canary": [canary]}, weights=weights, redis=redis.settings)
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
        assert redis.client_says("set", KEY, "pages are slow", user="operator") == "OK"
        alert = wait_for_alert(shop)
        at_once = len(shop.canary.requests())
        load.wait_for(200)
    assert load.failed == []
    assert len(shop.canary.requests()) - at_once <= 4
    assert (alert["reason"], alert["by"], alert["door"]) == ("pages are slow", "redis", "redis")
    assert shop.served_by(30) == {"stable-1": 30}


def test_the_release_side_may_raise_with_reason_and_name(redis, shop):
    value = json.dumps({"reason": "errors", "by": "canary-1", "at": "2026-11-24T12:00:00Z"})
    redis.client_says("set", KEY, value, user="release")
    assert wait_for_alert(shop) == {
        "reason": "errors",
        "by": "canary-1",
        "at": "2026-11-24T12:00:00Z",
        "door": "redis",
    }


VALUES = {
    "nothing": b"",
    "no UTF-8": b"\xff\xfe\x00",
    "too deep": b"[" * 100_000,
    "a megabyte": b"x" * 2**20,
    "wrong types": b'{"reason": {"a": 1}, "by": 7, "at": []}',
    "control characters": b'{"reason": "a\\nb\\u001b[31m"}',
    "a number": b"1" + b"0" * 5000,
}


def test_whatever_a_key_holds_is_an_alert_and_the_door_stays_open(redis, shop):
    for what, value in VALUES.items():
        redis.client_says("-x", "set", KEY, text=value)
        alert = wait_for_alert(shop)
        assert all(isinstance(text, str) and text.isprintable() for text in alert.values()), what
        assert len(alert["reason"]) <= 200, what
        redis.client_says("del", KEY)
        wait_for_door(shop)
        assert shop.admin("DELETE", "/alert/shop").json == {"cleared": True}, what
    redis.client_says("set", KEY, "again")
    assert wait_for_alert(shop)["reason"] == "again"


def test_a_key_of_another_type_is_an_alert_too(redis, shop):
    redis.client_says("lpush", KEY, "a", "b")
    assert wait_for_alert(shop)["reason"] == "raised in Redis"
    wait_for_door(shop)


def test_a_key_of_an_unknown_service_changes_nothing(redis, shop):
    redis.client_says("set", "sluice:alert:nope", "x")
    redis.client_says("set", KEY, "x")
    wait_for_alert(shop)
    assert list(shop.status()["services"]) == ["shop"]


def test_a_key_that_vanishes_clears_nothing(redis, shop):
    redis.client_says("set", KEY, "bad")
    wait_for_alert(shop)
    redis.client_says("del", KEY)
    redis.client_says("set", KEY, "again", "px", "1")
    redis.kill()
    wait_for_door(shop, "disconnected")
    redis.start()
    wait_for_door(shop)
    assert shop.alert()["reason"] == "bad"
    assert shop.served_by(30) == {"stable-1": 30}


def test_an_alert_stands_over_a_restart_of_balancer_and_redis(redis, shop):
    redis.client_says("set", KEY, "bad")
    wait_for_alert(shop)
    redis.kill()
    shop.stop()
    shop.start().wait_for_backends()
    assert shop.alert()["reason"] == "bad"
    redis.start()
    wait_for_door(shop)
    assert shop.alert()["reason"] == "bad"
    assert shop.served_by(30) == {"stable-1": 30}


def test_a_key_set_while_the_balancer_was_away_is_found(redis, shop):
    shop.stop()
    redis.client_says("set", KEY, "bad")
    shop.start()
    assert wait_for_alert(shop)["reason"] == "bad"


def test_a_key_set_before_the_connection_is_back_is_found(redis, shop):
    redis.client_says("acl", "setuser", "balancer", "off")
    redis.client_says("client", "kill", "user", "balancer")
    wait_for_door(shop, "disconnected")
    redis.client_says("set", KEY, "bad")
    assert shop.alert() is None
    redis.client_says("acl", "setuser", "balancer", "on")
    assert wait_for_alert(shop)["reason"] == "bad"


def test_an_alert_raised_while_redis_is_dead_is_handed_on_later(redis, shop):
    redis.kill()
    wait_for_door(shop, "disconnected")
    told = {"service": "shop", "reason": "bad"}
    assert shop.admin("POST", "/alert", told, token=MONITOR_TOKEN, port=shop.alert_port).status == 200
    assert shop.served_by(30) == {"stable-1": 30}
    redis.start()
    value = json.loads(wait_until(lambda: redis.client_says("get", KEY), "redis has the key"))
    assert (value["reason"], value["by"]) == ("bad", "canary-1")


def test_an_alert_raised_while_redis_is_dead_outlives_the_balancer_too(redis, shop):
    redis.kill()
    shop.admin("POST", "/alert", {"service": "shop", "reason": "bad"})
    shop.kill()
    shop.start()
    redis.start()
    assert (
        json.loads(wait_until(lambda: redis.client_says("get", KEY), "redis has the key"))["reason"] == "bad"
    )


def test_an_alert_cleared_before_redis_came_back_is_not_handed_on(redis, shop):
    redis.kill()
    wait_for_door(shop, "disconnected")
    shop.admin("POST", "/alert", {"service": "shop"})
    assert shop.admin("DELETE", "/alert/shop").json == {"cleared": True}
    redis.start()
    wait_for_door(shop)
    assert redis.client_says("get", KEY) == ""
    assert shop.alert() is None


def test_a_balancer_does_not_overwrite_the_first_word_in_redis(redis, shop):
    redis.client_says("acl", "setuser", "balancer", "off")
    redis.client_says("client", "kill", "user", "balancer")
    wait_for_door(shop, "disconnected")
    redis.client_says("set", KEY, "first")
    shop.admin("POST", "/alert", {"service": "shop", "reason": "second"})
    redis.client_says("acl", "setuser", "balancer", "on")
    wait_for_door(shop)
    assert redis.client_says("get", KEY) == "first"


def test_two_balancers_hear_of_each_other_through_redis(redis, shop, balancer):
    other = balancer(
        tracks={"stable": [shop.stable], "canary": [shop.canary]},
        weights={"stable": 70, "canary": 30},
        redis=redis.settings,
    )
    wait_for_door(other)
    shop.admin("POST", "/alert", {"service": "shop", "reason": "bad"})
    assert wait_for_alert(other)["reason"] == "bad"


def test_redis_with_a_wrong_password_leaves_everything_else_alone(redis, shop):
    (redis.directory / "password").write_text("wrong")
    redis.client_says("client", "kill", "user", "balancer")
    wait_for_door(shop, "disconnected")
    assert shop.admin("POST", "/alert", {"service": "shop", "reason": "bad"}).status == 200
    assert shop.served_by(30) == {"stable-1": 30}
    assert "wrong" not in shop.said().replace("WRONGPASS", "")
    (redis.directory / "password").write_text("password-of-balancer")
    wait_until(lambda: redis.client_says("get", KEY), "redis has the key")


def test_a_quiet_redis_stays_connected(redis, shop):
    before = shop.said().count("listening for alerts")
    clients = redis.client_says("client", "list")
    wait_until(
        lambda: " age=3 " in redis.client_says("client", "list") or clients == "", "three seconds went by"
    )
    assert shop.said().count("listening for alerts") == before
    assert "trying again" not in shop.said()
