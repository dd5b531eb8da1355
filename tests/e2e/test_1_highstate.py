"""Every machine's highstate, a second time."""

import json

import pytest

MACHINES = [
    "master",
    "lb-1",
    "redis-1",
    "git-1",
    "redis-2",
    "redis-3",
    "checkbox-1",
    "checkbox-2",
    "canary-1",
]


def apply(fleet, *words):
    said = fleet.on(
        "master", "salt", "--static", "--out=json", "*", "state.apply", *words, timeout=300
    ).stdout
    return json.loads(said)


@pytest.fixture(scope="module")
def second(fleet):
    return apply(fleet)


@pytest.fixture(scope="module")
def tried(fleet):
    return apply(fleet, "test=True")


@pytest.mark.parametrize("machine", MACHINES)
def test_second_highstate_succeeds_and_changes_nothing(second, machine):
    states = second[machine]
    assert isinstance(states, dict), states
    assert {name: s["comment"] for name, s in states.items() if s["result"] is not True} == {}
    assert {name: s["changes"] for name, s in states.items() if s["changes"]} == {}


@pytest.mark.parametrize("machine", MACHINES)
def test_dry_run_says_that_nothing_would_change(tried, machine):
    states = tried[machine]
    assert isinstance(states, dict), states
    assert {name: s["comment"] for name, s in states.items() if s["result"] is not True} == {}


def test_dry_run_tells_what_is_missing_and_changes_nothing(fleet):
    fleet.ok("checkbox-2", "rm", "/etc/nginx/sites-enabled/checkbox")
    try:
        tried = apply(fleet, "test=True")["checkbox-2"]
        would = [name for name, state in tried.items() if state["result"] is None]
        assert any("checkbox-nginx" in name for name in would)
        assert fleet.on("checkbox-2", "test", "-e", "/etc/nginx/sites-enabled/checkbox").returncode != 0
    finally:
        fleet.ok("master", "salt", "checkbox-2", "state.apply", timeout=120)


def test_no_secret_is_shown_by_a_highstate(fleet):
    fleet.ok("lb-1", "rm", "/etc/sluice/redis.password", "/etc/sluice/admin.token")
    fleet.ok("redis-1", "rm", "/etc/redis/users.acl")
    said = fleet.ok("master", "salt", "--out=json", "*", "state.apply", timeout=300)
    assert "lab-fake" not in said
