"""The flags that pillar declares, applied by the state files to a real Redis."""

import json

import pytest
from salt.exceptions import SaltInvocationError

from tests.support.redis_fleet import RedisFleet, password

FLAGS = {
    "flag1": {"owner": "me", "expires": "2027-03-31", "value": True},
    "flag2": {"rules": {"match": [{"percentage": 10}]}, "variants": {"off": "", "on": "x"}, "value": "on"},
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    with RedisFleet(tmp_path_factory.mktemp("redis")) as fleet:
        yield fleet


@pytest.fixture
def declared(machine, servers):
    """declared(flags): applies them as the host of the master does; what each state returned."""

    def apply(flags, test=False):
        users = {"writer": {"password": password("writer")}}
        redis = {"servers": dict(servers.hosts), "port": servers.port, "users": users, "flags": flags}
        one = machine("redis-1", extra_pillar={"redis": redis})
        chunks = [low for low in one.modules["state.show_low_sls"]("redis.flags") if low["state"] == "flag"]
        order = sorted(chunks, key=lambda low: low["order"])
        return {low["__id__"]: one.call(without_order(low), test) for low in order}

    return apply


def without_order(low):
    """A compiled state without what it waits for."""
    return {key: value for key, value in low.items() if key not in ("require", "require_in", "retry")}


def test_declared_flags_are_made_and_a_second_run_changes_nothing(servers, declared):
    planned = declared(FLAGS, test=True)
    assert {id_: ret["result"] for id_, ret in planned.items() if "flag1" in id_} == {
        "redis-flag-flag1": None
    }
    done = declared(FLAGS)
    # key1 is the lab's own.
    assert list(done) == [
        "redis-flag-flag1",
        "redis-flag-rules-flag2",
        "redis-flag-flag2",
        "redis-flag-key1",
    ]
    assert all(ret["result"] is True and ret["changes"] for ret in done.values()), done
    assert (servers.call("redis-1", "GET", "flag1"), servers.call("redis-1", "GET", "flag2")) == ("1", "on")
    document = json.loads(servers.call("redis-1", "GET", "sluice:flag:flag1"))
    assert document == {"owner": "me", "expires": "2027-03-31"}
    servers.call("redis-1", "SET", "flag1", "0")
    again = declared(FLAGS)
    assert all(ret["result"] is True and not ret["changes"] for ret in again.values()), again


def test_the_lab_declares_the_flag_of_its_route(machine):
    chunks = machine("redis-1").modules["state.show_low_sls"]("redis.flags")
    assert [low["name"] for low in chunks if low["state"] == "flag"] == ["key1"]


def test_a_key_that_nobody_knows_is_refused(declared):
    with pytest.raises(SaltInvocationError, match="ownr"):
        declared({"flag3": {"ownr": "me"}})
