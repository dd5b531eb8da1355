"""An alert reaches the true master, wherever it is, with the same settings."""

import json
from dataclasses import dataclass

import pytest
import sluice_alert
from sluice_config import RedisServers
from sluice_redis import alert_key
from sluice_redis_roles import TERM_KEY

ALERT = {"service": "checkbox", "reason": "errors went up", "by": "canary-1", "at": "now"}
KEY = alert_key("checkbox")


@dataclass
class OnlyRedis:
    """Settings of a release side that has no balancers."""

    redis: RedisServers


@pytest.fixture
def settings(fleet):
    return OnlyRedis(fleet.declared())


def raised(settings):
    return sluice_alert.raise_everywhere(ALERT, settings, {})["redis"]


def kept(fleet, id_):
    found = fleet.call(id_, "GET", KEY)
    return found and json.loads(found)["reason"]


def test_alert_reaches_the_master(fleet, settings):
    assert raised(settings) == "ok"
    assert kept(fleet, "redis-1") == "errors went up"


def test_alert_reaches_the_new_master_after_a_promotion(fleet, settings):
    assert raised(settings) == "ok"
    fleet.call("redis-2", "REPLICAOF", "NO", "ONE")
    fleet.call("redis-2", "SET", TERM_KEY, "1")
    fleet.call("redis-2", "DEL", KEY)
    assert raised(settings) == "ok"
    assert kept(fleet, "redis-2") == "errors went up"
    fleet.kill("redis-1")
    fleet.call("redis-2", "DEL", KEY)
    assert raised(settings) == "ok"
    assert kept(fleet, "redis-2") == "errors went up"


def test_hanging_replica_does_not_hold_an_alert_back(fleet, settings):
    fleet.pause("redis-2")
    try:
        assert raised(settings) == "ok"
    finally:
        fleet.resume("redis-2")


def test_without_a_master_the_door_says_so_and_each_server_is_named(fleet, settings):
    fleet.kill("redis-1")
    said = raised(settings)
    assert "no Redis master" in said
    assert all(f"redis-{number} " in said for number in (1, 2, 3))


def test_the_doors_are_tried_at_the_master_without_raising_anything(fleet, settings):
    assert sluice_alert.try_doors(settings, {}) == {"redis": "ok"}
    assert kept(fleet, "redis-1") is None
    fleet.kill("redis-1")
    assert "no Redis master" in sluice_alert.try_doors(settings, {})["redis"]
