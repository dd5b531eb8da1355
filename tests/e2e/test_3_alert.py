"""Three doors, each alone; and an alert that stands."""

import contextlib
import json
import time

import pytest

from lab.demo.doors import RedisDoor, http_door

GONE = {"stable": 100.0, "canary": 0.0}


def by_event(fleet):
    event = ["salt-call", "event.send", "release/checkbox/alert", json.dumps({"reason": "e2e: by event"})]
    fleet.ok("canary-1", *event, timeout=60)


def by_redis(fleet):
    RedisDoor(fleet.lab).knock()


def by_http(fleet):
    http_door(fleet.lab)


def by_application(fleet):
    """As the new version would do it itself, with what its environment holds."""
    ask = 'curl -sf -H "Authorization: Bearer $ALERT_TOKEN" -d "$0" "$ALERT_URL"'
    body = json.dumps({"service": "checkbox", "reason": "e2e: by the application"})
    fleet.ok("canary-1", "sh", "-c", f". /etc/sluice/checkbox.env && {ask}", body)


@contextlib.contextmanager
def dead(fleet, *services):
    """Master and Redis as told: stopped for a while."""
    units = {"master": ("master", "salt-master"), "redis": ("redis-1", "redis-server")}
    with contextlib.ExitStack() as stack:
        for service in services:
            stack.enter_context(fleet.stopped(*units[service]))
        yield
    fleet.wait_for_master()


@pytest.mark.parametrize(
    ("door", "without"),
    [
        (by_event, []),
        (by_event, ["redis"]),
        (by_redis, []),
        (by_redis, ["master"]),
        (by_http, []),
        (by_http, ["master"]),
        (by_http, ["redis"]),
        (by_http, ["master", "redis"]),
        (by_application, ["master", "redis"]),
    ],
)
def test_each_door_alone_takes_all_traffic_back(canary, users, door, without):
    with dead(canary, *without):
        door(canary)
        canary.wait_for_weights(seconds=5, **GONE)
        since = len(users.answers)
        time.sleep(1)
        assert {answer.version for answer in users.answers[since + 5 :]} == {"v1"}
    assert canary.weights() == GONE


def test_alert_stands_across_restarts_until_it_is_cleared(canary, users):
    by_http(canary)
    canary.wait_for_weights(**GONE)
    canary.ok("redis-1", "systemctl", "restart", "redis-server")
    canary.ok("master", "systemctl", "restart", "salt-master")
    canary.wait_for_master()
    assert canary.weights() == GONE
    canary.ok("master", "salt-run", "release.clear", "checkbox")
    canary.wait_for_weights(stable=70.0, canary=30.0)


def test_alert_stands_across_a_restart_of_the_balancer(canary):
    by_redis(canary)
    canary.wait_for_weights(**GONE)
    with canary.stopped("redis-1", "redis-server"):
        canary.ok("lb-1", "systemctl", "restart", "sluice-balancer")
        assert canary.weights() == GONE


def test_alert_raised_without_redis_reaches_it_later(canary, users):
    with dead(canary, "redis"):
        by_http(canary)
    told = canary.status()
    assert told["alert"]
    canary.ok("master", "salt-run", "release.clear", "checkbox")
    canary.wait_for_weights(stable=70.0, canary=30.0)


def test_clear_is_refused_while_redis_is_down(canary, users):
    by_http(canary)
    with canary.stopped("redis-1", "redis-server"):
        done = canary.on("master", "salt-run", "release.clear", "checkbox")
        assert done.returncode != 0
        assert "Redis" in done.stdout + done.stderr
        assert canary.weights() == GONE


@pytest.mark.parametrize(
    "payload",
    [
        "{\"reason\": \"{{ salt['cmd.run']('touch /tmp/owned') }}\"}",
        '{"reason": "x\\n    - shell: touch /tmp/owned"}',
        '{"reason": ["a", {"b": 1}]}',
    ],
)
def test_hostile_reason_runs_nothing(canary, users, payload):
    canary.ok("canary-1", "salt-call", "event.send", "release/checkbox/alert", payload, timeout=60)
    canary.wait_for_weights(seconds=5, **GONE)
    assert canary.on("master", "test", "-e", "/tmp/owned").returncode != 0


def test_event_of_a_host_that_may_not_changes_nothing(canary, users):
    canary.ok(
        "redis-1", "salt-call", "event.send", "release/checkbox/alert", '{"reason": "not mine"}', timeout=60
    )
    canary.ok("canary-1", "salt-call", "event.send", "release/nonsense/alert", '{"reason": "x"}', timeout=60)
    assert canary.weights() == {"stable": 70.0, "canary": 30.0}
