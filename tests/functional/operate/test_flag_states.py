"""The states flag.present, flag.rules and flag.absent, against real Redis servers."""

import datetime
import json

import pytest


@pytest.fixture
def redis_1(fleet, minion):
    return minion(fleet, "redis-1")


def twice(minion, function, **kwargs):
    """Apply a state as a dry run, for good, and again; its changes, which must be the same in both."""
    planned = minion.apply(function, test=True, **kwargs)
    assert planned["result"] is None, planned
    done = minion.apply(function, **kwargs)
    assert done["result"] is True, done
    assert planned["changes"] == done["changes"] != {}
    for test in (True, False):
        again = minion.apply(function, test=test, **kwargs)
        assert (again["result"], again["changes"]) == (True, {}), again
    return done["changes"]


def test_present_makes_a_flag_that_is_off(fleet, redis_1):
    changes = twice(redis_1, "flag.present", name="key1", owner="pictures", expires="2027-03-31")
    assert changes == {
        "value": {"old": None, "new": "0"},
        "owner": {"old": None, "new": "pictures"},
        "expires": {"old": None, "new": "2027-03-31"},
    }
    assert fleet.call("redis-1", "GET", "key1") == "0"
    document = json.loads(fleet.call("redis-1", "GET", "sluice:flag:key1"))
    assert document == {"owner": "pictures", "expires": "2027-03-31"}
    entries = [json.loads(text) for text in fleet.call("redis-1", "LRANGE", "sluice:history:key1", "0", "-1")]
    assert [(one["what"], one["by"]) for one in entries] == [
        ("set", "state@redis-1"),
        ("describe", "state@redis-1"),
    ]


def test_a_test_run_writes_nothing(fleet, redis_1):
    fleet.call("redis-1", "SET", "key2", "1")
    redis_1.apply("flag.present", test=True, name="key1", value=1)
    redis_1.apply("flag.rules", test=True, name="key1", rules={"match": [{"percentage": 10}]})
    redis_1.apply("flag.absent", test=True, name="key2")
    assert fleet.call("redis-1", "KEYS", "*") == ["key2"]


@pytest.mark.parametrize("value", [1, "1", True, "on"])
def test_present_takes_values_as_pillar_may_write_them(redis_1, value):
    assert twice(redis_1, "flag.present", name="key1", value=value)["value"]["new"] == "1"


def test_present_takes_a_day_as_yaml_reads_it(redis_1):
    changes = twice(redis_1, "flag.present", name="key1", expires=datetime.date(2027, 3, 31))
    assert changes["expires"] == {"old": None, "new": "2027-03-31"}


def test_present_never_flips_what_an_operator_flipped(fleet, redis_1, operator):
    redis_1.apply("flag.present", name="key1", value=0)
    operator.set("key1", 1)
    ret = redis_1.apply("flag.present", name="key1", value=0)
    assert (ret["result"], ret["changes"]) == (True, {})
    assert "but for its value: 1, last changed by alice@master" in ret["comment"]
    assert fleet.call("redis-1", "GET", "key1") == "1"


def test_present_holds_the_value_if_it_is_to_win(fleet, redis_1, operator):
    redis_1.apply("flag.present", name="key1", value=0, value_wins=True)
    operator.set("key1", 1)
    changes = twice(redis_1, "flag.present", name="key1", value=0, value_wins=True)
    assert changes == {"value": {"old": "1", "new": "0"}}
    assert fleet.call("redis-1", "GET", "key1") == "0"


def test_present_keeps_rules_and_what_it_is_not_told(redis_1, operator):
    operator.rule("key1", {"match": [{"percentage": 10}]}, None)
    operator.describe("key1", owner="me", description="a picture")
    changes = twice(redis_1, "flag.present", name="key1", owner="", description="another")
    assert changes == {
        "value": {"old": None, "new": "0"},
        "owner": {"old": "me", "new": None},
        "description": {"old": "a picture", "new": "another"},
    }
    assert operator.get("key1").of("rules") == {"match": [{"percentage": 10}]}


def test_rules_and_a_variant_as_value(redis_1, operator):
    variants = {"off": "", "red": "#f00"}
    changes = twice(redis_1, "flag.rules", name="key1", rules={"default": "red"}, variants=variants)
    assert set(changes) == {"rules", "variants"}
    twice(redis_1, "flag.present", name="key1", value="red")
    flag = operator.get("key1")
    assert (flag.value, flag.of("variants")) == ("red", variants)


def test_rules_replace_those_that_are_there_and_keep_the_value(fleet, redis_1, operator):
    operator.set("key1", 1, new=True)
    operator.rule("key1", {"match": [{"percentage": 10}]}, None)
    changes = twice(redis_1, "flag.rules", name="key1", rules={"match": [{"percentage": 20}]})
    assert changes["rules"]["new"] == {"match": [{"percentage": 20}]}
    assert twice(redis_1, "flag.rules", name="key1") == {
        "rules": {"old": {"match": [{"percentage": 20}]}, "new": None}
    }
    assert fleet.call("redis-1", "GET", "key1") == "1"


def test_a_variant_that_becomes_a_boolean_is_a_change(redis_1, operator):
    operator.rule("key1", None, {"off": 0, "red": 1})
    assert twice(redis_1, "flag.rules", name="key1", variants={"off": False, "red": True})["variants"]


def test_absent_removes_a_flag(fleet, redis_1, operator):
    operator.set("key1", 1, new=True)
    operator.describe("key1", owner="me")
    assert twice(redis_1, "flag.absent", name="key1") == {"value": {"old": "1", "new": None}}
    assert fleet.call("redis-1", "EXISTS", "key1", "sluice:flag:key1") == 0


@pytest.mark.parametrize("test", [True, False])
@pytest.mark.parametrize(
    ("function", "kwargs", "said"),
    [
        ("present", {"name": "bad name"}, "not a flag's name"),
        ("present", {"name": "sluice:alert:checkbox"}, "a key of Sluice itself"),
        ("present", {"name": "key1", "value": "blue"}, "want 1 or 0"),
        ("present", {"name": "key1", "expires": "soon"}, "expires"),
        ("present", {"name": "key1", "value_wins": "yes"}, "value_wins is 'yes', want True or False"),
        ("present", {"name": "key1", "owner": 7}, "owner is 7, want text"),
        ("rules", {"name": "key1", "rules": {"match": [{"percentage": 101}]}}, "rules.match[0].percentage"),
        ("rules", {"name": "key1", "variants": {"red": 1}}, "variants: no off"),
        ("absent", {"name": "two\nlines"}, "not a flag's name"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_written(fleet, redis_1, function, kwargs, said, test):
    ret = redis_1.apply(f"flag.{function}", test=test, **kwargs)
    assert (ret["result"], ret["changes"]) == (False, {})
    assert said in ret["comment"]
    assert fleet.call("redis-1", "DBSIZE") == 0


@pytest.mark.parametrize("test", [True, False])
def test_a_replicas_host_leaves_it_to_the_master(fleet, minion, test):
    redis_2 = minion(fleet, "redis-2")
    for function in ("present", "rules", "absent"):
        ret = redis_2.apply(f"flag.{function}", test=test, name="key1")
        assert (ret["result"], ret["changes"]) == (True, {})
        assert "the host of Redis' master looks after flags" in ret["comment"]
    assert fleet.call("redis-1", "DBSIZE") == 0


def test_a_host_without_redis_is_told_so(fleet, minion):
    ret = minion(fleet, "checkbox-1").apply("flag.present", name="key1")
    assert ret["result"] is False
    assert "checkbox-1 has no Redis: apply the states of flags to the Redis hosts" in ret["comment"]
    ret = minion(fleet, "web-9", {}).apply("flag.present", name="key1")
    assert ret["result"] is False
    assert "redis:servers" in ret["comment"]


def test_no_master_is_a_failure(fleet, minion):
    redis_1 = minion(fleet, "redis-1")
    fleet.kill("redis-1")
    ret = redis_1.apply("flag.present", name="key1")
    assert (ret["result"], ret["changes"]) == (False, {})
    assert "does not answer" in ret["comment"]


def test_a_state_waits_for_no_replica(fleet, redis_1):
    fleet.kill("redis-2")
    fleet.kill("redis-3")
    ret = redis_1.apply("flag.present", name="key1")
    assert (ret["result"], ret["comment"]) == (True, "key1 is set to 0 (was absent) on redis-1")


def test_a_replicas_host_needs_no_master(fleet, minion):
    fleet.kill("redis-1")
    ret = minion(fleet, "redis-2").apply("flag.present", name="key1")
    assert (ret["result"], ret["changes"]) == (True, {})


def test_a_master_left_over_leaves_it_to_the_true_one(fleet, minion):
    fleet.call("redis-2", "REPLICAOF", "NO", "ONE")
    fleet.call("redis-2", "SET", "sluice:term", "7")
    try:
        ret = minion(fleet, "redis-1").apply("flag.present", name="key1")
    finally:
        fleet.call("redis-2", "REPLICAOF", fleet.hosts["redis-1"], str(fleet.port))
    assert (ret["result"], ret["changes"]) == (True, {})
    assert fleet.call("redis-1", "EXISTS", "key1") == 0


def test_a_test_run_before_redis_runs_is_no_failure(fleet, minion):
    redis_1 = minion(fleet, "redis-1")
    fleet.kill("redis-1")
    ret = redis_1.apply("flag.present", test=True, name="key1")
    assert (ret["result"], ret["changes"]) == (None, {})
    assert "key1 would be looked at once Redis runs" in ret["comment"]
