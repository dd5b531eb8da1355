"""redis_server.users on a real server: least rights, and changes that nobody else feels."""

import pytest
import sluice_redis
from redis_machines import NAMES, RedisMachines
from sluice_redis import RedisError


@pytest.fixture(scope="module")
def loaded(machine_of_module):
    return machine_of_module("redis-1")


@pytest.fixture(scope="module")
def fleet(loaded, tmp_path_factory):
    """One server for all tests that change no user."""
    made = RedisMachines(tmp_path_factory.mktemp("redis"), loaded, 1)
    yield made.up()
    made.close()


@pytest.fixture
def single(loaded, tmp_path):
    made = RedisMachines(tmp_path / "redis", loaded, 1)
    yield made.up()["redis-1"]
    made.close()


FLAG, ALERT, CANARY = "key1", "sluice:alert:checkbox", "sluice:canary:checkbox"
DOCUMENT, HISTORY, TERM = "sluice:flag:key1", "sluice:history:key1", "sluice:term"
ADMIN = [
    "CONFIG GET *",
    "ACL LIST",
    "FLUSHALL",
    "SHUTDOWN NOSAVE",
    "REPLICAOF NO ONE",
    "CLIENT KILL TYPE normal",
    "MONITOR",
    "SAVE",
    "KEYS *",
    "EVAL return(1) 0",
    "MODULE LIST",
]
MAY = {
    "admin": [f"SET {FLAG} 1", "CONFIG GET port", "ACL LIST", "SET sluice:term 1", "KEYS *"],
    "operator": [
        f"SET {FLAG} 1",
        f"DEL {ALERT}",
        "KEYS *",
        "INFO",
        "ROLE",
        f"GET {HISTORY}",
        "WAIT 0 1",
        "MULTI",
    ],
    "writer": [
        f"SET {FLAG} 1",
        f"DEL {FLAG}",
        f"GET {DOCUMENT}",
        f"SET {DOCUMENT} {{}}",
        f"LPUSH {HISTORY} a",
        f"LTRIM {HISTORY} 0 99",
        f"EXPIRE {HISTORY} 100",
        f"PERSIST {HISTORY}",
        f"DEL {HISTORY}",
        f"WATCH {FLAG}",
        "UNWATCH",
        "SET s 1",
        "SET sluice 1",
        "SET sluicex 1",
        "SET slow 1",
        "SET Zed.a-b_c 1",
        f"MGET {FLAG} {DOCUMENT}",
        f"GET {TERM}",
        "SCAN 0",
        "WAIT 0 1",
        "ROLE",
        "INFO",
        "SUBSCRIBE __keyspace@0__:key1",
    ],
    "reader": [
        f"GET {FLAG}",
        f"GET {ALERT}",
        f"GET {CANARY}",
        f"GET {TERM}",
        f"MGET {FLAG} {DOCUMENT}",
        "SCAN 0",
        f"LRANGE {HISTORY} 0 -1",
        "ROLE",
        "INFO",
        "PING",
        "PSUBSCRIBE __keyspace@0__:*",
        f"EXISTS {ALERT}",
    ],
    "balancer": [
        f"SET {ALERT} x NX",
        f"GET {ALERT}",
        f"MGET {ALERT} {ALERT}",
        f"EXISTS {ALERT}",
        f"GET {TERM}",
        f"SET {CANARY} 30 EX 30",
        f"DEL {CANARY}",
        "ROLE",
        "INFO replication",
        "PSUBSCRIBE __keyspace@0__:sluice:alert:*",
    ],
    "release": [
        f"SET {ALERT} x",
        f"GET {ALERT}",
        f"DEL {ALERT}",
        f"EXISTS {ALERT}",
        f"GET {TERM}",
        "ROLE",
        "INFO",
    ],
    "replication": ["PING", "REPLCONF listening-port 1"],
    "probe": ["PING", "INFO", "ROLE", f"GET {TERM}"],
    "sentinel": [
        "PING",
        "INFO",
        "ROLE",
        "PUBLISH __sentinel__:hello x",
        "SUBSCRIBE __sentinel__:hello",
        "CONFIG REWRITE",
        "MULTI",
    ],
}
MAY_NOT = {
    "admin": [],
    "operator": [one for one in ADMIN if not one.startswith("KEYS")],
    "writer": [
        *ADMIN,
        f"SET {ALERT} x",
        f"DEL {ALERT}",
        f"GET {ALERT}",
        f"SET {CANARY} 1",
        f"SET {TERM} 9",
        f"MGET {FLAG} {ALERT}",
        "SET sluice:other 1",
        "PUBLISH a b",
    ],
    "reader": [
        *ADMIN,
        f"SET {FLAG} 1",
        f"DEL {FLAG}",
        f"SET {ALERT} x",
        f"EXPIRE {FLAG} 1",
        "PUBLISH a b",
        "MULTI",
        f"LPUSH {HISTORY} x",
        "SUBSCRIBE other",
    ],
    "balancer": [
        *ADMIN,
        f"DEL {ALERT}",
        f"SET {FLAG} 1",
        f"GET {FLAG}",
        f"SET {TERM} 9",
        f"SET {DOCUMENT} x",
        "SCAN 0",
        f"GET {CANARY}",
        "PSUBSCRIBE *",
        "PSUBSCRIBE __keyspace@0__:*",
    ],
    "release": [
        *ADMIN,
        f"GET {FLAG}",
        f"SET {FLAG} 1",
        f"SET {CANARY} 1",
        f"SET {TERM} 9",
        "SCAN 0",
        "SUBSCRIBE x",
    ],
    "replication": [*ADMIN, f"GET {FLAG}", "INFO", "ROLE", f"SET {FLAG} 1"],
    "probe": [*ADMIN, f"GET {FLAG}", f"GET {ALERT}", f"SET {TERM} 9", "SCAN 0"],
    "sentinel": [one for one in ADMIN if one.split()[0] not in ("REPLICAOF", "CLIENT")]
    + [f"GET {FLAG}", f"SET {FLAG} 1", f"GET {TERM}", "SUBSCRIBE other"],
}


def said(one, user, words):
    """The code of the refusal, or None."""
    try:
        one.call(*words.split(), user=user)
    except RedisError as error:
        return error.code or str(error)
    return None


@pytest.mark.parametrize(("user", "words"), [(user, words) for user in NAMES for words in MAY[user]])
def test_a_user_may_what_it_is_for(fleet, user, words):
    refused = said(fleet["redis-1"], user, words)
    # A wrong type is a matter of the test's data, not of rights.
    assert refused in (None, "WRONGTYPE"), refused


@pytest.mark.parametrize(("user", "words"), [(user, words) for user in NAMES for words in MAY_NOT[user]])
def test_a_user_may_nothing_else(fleet, user, words):
    assert said(fleet["redis-1"], user, words) == "NOPERM"


def test_nobody_gets_in_without_a_password(fleet):
    one = fleet["redis-1"]
    fleet.words["nobody"] = ""
    fleet.words["default"] = "x"
    assert said(one, "nobody", "PING") == "NOAUTH"
    assert said(one, "default", "PING") == "WRONGPASS"


def test_a_password_is_changed_live_and_connections_of_all_users_stay(single):
    fleet = single.fleet
    links = {user: sluice_redis.Redis(single.server(user), 20.0) for user in NAMES}
    old = fleet.word("reader")
    for user in ("reader", "admin"):
        fleet.change_password(user, f"hidden-word-new-{user}")
    changed = single.users()
    assert set(changed["changes"]) == {"file", "reader", "admin"}
    for link in links.values():
        with link:
            assert link.call("PING") == "PONG"
    assert single.call("PING", user="reader") == "PONG"
    assert single.call("PING") == "PONG"
    fleet.words["reader"] = old
    assert said(single, "reader", "PING") == "WRONGPASS"
    assert single.users()["changes"] == {}
    assert single.units.restarts == ["redis-server"]


@pytest.mark.parametrize("rule", ["~* +acl|frobnicate", "+@nothing", "~* +get (~x", "%Z~* +get"])
def test_a_rule_that_redis_does_not_know_fails_with_its_reason_and_touches_nobody(single, rule):
    single.fleet.pillar["rules"] = {**single.fleet.pillar["rules"], "probe": rule}
    single.fleet.change_password("reader", "hidden-word-new")
    before = (single.folder / "redis.acl").read_bytes(), single.call("ACL", "LIST")
    refused = single.users()
    assert (refused["result"], refused["changes"]) == (False, {})
    assert "user probe" in refused["comment"] and "refuses ACL: ERR" in refused["comment"]
    assert ((single.folder / "redis.acl").read_bytes(), single.call("ACL", "LIST")) == before


def test_a_user_that_pillar_no_longer_has_is_gone_at_once(single):
    link = sluice_redis.Redis(single.server("probe"), 10.0)
    del single.fleet.pillar["users"]["probe"]
    assert single.users()["changes"]["probe"] == {"old": "present", "new": "absent"}
    with link, pytest.raises(RedisError):
        link.call("PING")
    assert said(single, "probe", "PING") == "WRONGPASS"


def test_rights_that_somebody_changed_by_hand_are_put_right(single):
    single.call("ACL", "SETUSER", "reader", "+set", "~*")
    single.call("ACL", "SETUSER", "intruder", "on", "nopass", "~*", "+@all")
    assert set(single.users()["changes"]) == {"reader", "intruder"}
    assert said(single, "reader", "SET key1 1") == "NOPERM"
    assert single.users()["changes"] == {}


def test_the_users_are_the_same_after_a_restart(single):
    before = single.call("ACL", "LIST")
    single.units.restart("redis-server")
    assert single.configured()["result"] is True
    assert single.users()["changes"] == {}
    after = single.call("ACL", "LIST")
    # The order of commands in a line is another one in each process.
    words = [
        {frozenset(line.replace(")", " )").split()) - {"sanitize-payload"} for line in lines}
        for lines in (before, after)
    ]
    assert words[0] == words[1]


@pytest.mark.parametrize(
    ("users", "words"),
    [
        ({"default": {"password": "x"}}, "this name is taken"),
        ({"salt": {"password": "x"}}, "this name is taken"),
        ({"stranger": {"password": "x"}}, "redis:users:stranger has no line in redis:rules"),
        ({"reader": {"password": "two\nlines"}}, "redis:users:reader:password is empty or not one line"),
        ({"reader": {"password": 7}}, "redis:users:reader:password is empty or not one line"),
    ],
)
def test_users_that_cannot_be_meant_are_refused(single, users, words):
    single.fleet.pillar["users"] = single.fleet.pillar["users"] | users
    refused = single.users()
    assert (refused["result"], refused["changes"]) == (False, {})
    assert words in refused["comment"]
