"""The event door: from the bus to Redis and the balancers, and what hostile events get."""

import json
import time
from pathlib import Path

import pytest
import salt.config
import salt.utils.event

TAG = "release/checkbox/alert"
KEY = "sluice:alert:checkbox"


@pytest.fixture(scope="session")
def bus(master, fleet):
    """Fires events as the master's own bus does when it passes on one from a minion."""
    opts = salt.config.master_config(master.config_file)
    with salt.utils.event.get_master_event(opts, opts["sock_dir"], listen=False) as found:
        yield found


def from_minion(bus, payload, id_="canary-1", tag=TAG):
    bus.fire_event({"cmd": "_minion_event", "id": id_, "tag": tag, "data": payload}, tag)


def sentinel(world, bus, eventually):
    """Send a proper alert after the hostile ones: when it is through, they all were looked at."""
    from_minion(bus, {"reason": "sentinel"})

    def heard():
        return [body["reason"] for path, body in world.balancer.calls if path == "/alert"]

    eventually(lambda: "sentinel" in heard(), 20, "the sentinel alert")
    return heard()


def test_minion_raises_an_alert_with_salt_call(world, fleet, eventually):
    done = fleet["canary-1"].salt_call_cli().run("event.send", TAG, '{"reason": "errors went up"}')
    assert done.returncode == 0, done
    eventually(lambda: world.balancer.alert, 10, "the alert at the balancer")
    assert world.balancer.alert["reason"] == "errors went up"
    eventually(lambda: world.redis.call("EXISTS", KEY), 10, "the alert in redis")
    kept = json.loads(world.redis.call("GET", KEY))
    assert (kept["reason"], kept["by"]) == ("errors went up", "canary-1")


def test_balancer_gets_it_while_redis_is_dead(world, bus, eventually):
    world.redis.stop()
    from_minion(bus, {"reason": "no redis"})
    eventually(lambda: world.balancer.alert, 10, "the alert at the balancer")


def test_alert_is_in_force_within_half_a_second(world, bus, eventually):
    """On the bus to the balancer's answer; the slowest of ten."""
    took = []
    for _ in range(10):
        world.balancer.reset()
        begin = time.monotonic()
        from_minion(bus, {"reason": "quick"})
        eventually(lambda: world.balancer.alert, 10, "the alert")
        took.append((world.balancer.alert_at - begin) * 1000)
    print(f"\nevent to alert: {', '.join(f'{ms:.0f}' for ms in took)} ms")
    assert max(took) < 500


HOSTILE_REASONS = {
    "jinja": "{{ salt['cmd.run']('touch /tmp/sluice-pwned') }}{% include 'x' %}",
    "yaml": "x\n  runner.cmd.run:\n    - args: !!python/object/apply:os.system ['touch /tmp/sluice-pwned']",
    "newline": "line one\nline two",
    "quotes": '\'"\\" }} - [',
    "escape": "\x1b[2Jcleared\x7f\x85\u2028\ufeff",
    "emoji": "all \U0001f600 well",
    "huge": "A" * 900_000,
    "number": 7,
    "list": ["a", {"b": 1}],
    "dict": {"<<": {"x": 1}, "__kwarg__": True},
    "none": None,
    "bool": True,
}


@pytest.mark.parametrize("reason", HOSTILE_REASONS.values(), ids=HOSTILE_REASONS)
def test_hostile_reason_is_an_alert_and_nothing_else(world, bus, eventually, reason):
    """An alert of a host that may raise one counts; its text is used as text or not at all."""
    from_minion(bus, {"reason": reason})
    eventually(lambda: world.balancer.alert, 20, "the alert")
    heard = world.balancer.alert["reason"]
    printable = isinstance(reason, str) and reason.isprintable() and len(reason) <= 200
    assert heard == (reason if printable else "alert raised by a Salt event without a usable reason")
    assert not Path("/tmp/sluice-pwned").exists()


@pytest.mark.parametrize(
    "payload",
    ["text", 7, None, ["reason"], {}, {"reason": "x" * 900_000}, {"a" * 5000: {"b": ["c"] * 5000}}],
    ids=["text", "number", "none", "list", "empty", "huge", "nested"],
)
def test_payload_of_any_shape_is_an_alert_without_a_reason(world, bus, eventually, payload):
    from_minion(bus, payload)
    eventually(lambda: world.balancer.alert, 20, "the alert")
    assert world.balancer.alert["reason"] == "alert raised by a Salt event without a usable reason"


def test_events_that_are_no_alerts_change_nothing_and_run_nothing(world, bus, eventually):
    payload = {"reason": "must not be heard"}
    for id_ in ("redis-1", "", "*", "canary-1\n", "../canary-1", "CANARY-1", 7, None, ["canary-1"], {}):
        from_minion(bus, payload, id_=id_)
    for tag in (
        "release/chessbox/alert",
        "release/checkbox/x/alert",
        "release/CHECKBOX/alert",
        "release/../alert",
        "release//alert",
        "release/checkbox\n/alert",
        "release/{{ 7 * 7 }}/alert",
        "release/checkbox alert/alert",
        "release/'\": - \U0001f600/alert",
        "release/checkbox/alert/",
    ):
        from_minion(bus, payload, tag=tag)
    bus.fire_event({"data": payload}, TAG)
    bus.fire_event({"id": {"canary-1": 1}, "data": payload}, TAG)
    assert sentinel(world, bus, eventually) == ["sentinel"]


def test_one_balancer_with_a_hostile_address_in_the_mine_is_left_out():
    from sluice_balancers import mine_address

    for mined in (["127.0.0.1; rm -rf /"], ["evil.example"], "x", 7, None, [], [{}], ["0.0.0.0"], {"a": 1}):
        assert mine_address(mined) is None
    assert mine_address(["10.0.0.1"]) == "10.0.0.1"
    assert mine_address({"__saltmine_acl__": 1, "__data__": ["10.0.0.1"]}) == "10.0.0.1"
