"""Shipping a canary: the good one gets its share, every bad one ends in one clear message."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.process import wait_until


def refused(done, *words):
    """The orchestration failed, and said these words to its user, without a traceback."""
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert "Traceback" not in said, said
    for word in words:
        assert word in said, said


def untouched(fleet, users):
    """All traffic is on production, and was."""
    assert fleet.weights() == {"stable": 100.0, "canary": 0.0}
    assert {answer.version for answer in users.answers} <= {"v1"}


def test_good_version_gets_its_share_and_nobody_notices(no_canary, users):
    done = no_canary.orchestrate("v2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert no_canary.weights() == {"stable": 70.0, "canary": 30.0}
    since = len(users.answers)
    wait_until(lambda: len(users.answers) > since + 500, "500 requests", 30)
    window = users.answers[since : since + 500]
    share = 100 * sum(answer.version == "v2" for answer in window) / len(window)
    assert share == pytest.approx(30, abs=3)


def test_status_tells_versions_weights_and_release(canary):
    told = canary.status()
    assert told["release"]["version"] == "v2"
    assert not told["alert"]
    text = canary.ok("master", "salt-run", "release.status", "checkbox")
    assert "v1" in text
    assert "v2" in text


def test_same_version_again_is_accepted_and_keeps_serving(canary, users):
    done = canary.orchestrate("v2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert canary.weights() == {"stable": 70.0, "canary": 30.0}


def test_another_version_while_a_canary_serves_is_refused(canary, users):
    refused(canary.orchestrate("v2-bad"), "release.abort")
    assert canary.weights() == {"stable": 70.0, "canary": 30.0}
    assert {answer.version for answer in users.answers} <= {"v1", "v2"}


def test_two_orchestrations_at_once_do_not_mix(no_canary, users):
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(no_canary.orchestrate, ["v2", "v2"]))
    assert sorted(done.returncode != 0 for done in both) == [False, True], [d.stdout for d in both]
    assert no_canary.weights() == {"stable": 70.0, "canary": 30.0}


def test_orchestration_while_an_alert_stands_is_refused(canary, users):
    canary.ok("master", "salt", "lb-1", "balancer.alert", "checkbox", "too slow")
    refused(canary.orchestrate("v2"), "alert", "release.clear")
    assert canary.weights() == {"stable": 100.0, "canary": 0.0}


def test_bad_version_never_gets_traffic(no_canary, users):
    refused(no_canary.orchestrate("v2-bad"), "canary-1", "want")
    untouched(no_canary, users)


def test_version_that_does_not_build_never_gets_traffic(no_canary, users):
    refused(no_canary.orchestrate("v2-broken"), "npm ci")
    untouched(no_canary, users)


def test_good_version_ships_after_a_broken_one(no_canary, users):
    refused(no_canary.orchestrate("v2-broken"), "npm ci")
    done = no_canary.orchestrate("v2")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("service", "version", "words"),
    [
        ("nonsense", "v2", ["nonsense", "checkbox"]),
        ("checkbox", "v9", ["v9"]),
        ("checkbox", "v2; touch /tmp/owned", ["version"]),
        ("checkbox", "{{ 7 * 7 }}", ["version"]),
    ],
)
def test_unknown_names_are_refused(no_canary, users, service, version, words):
    refused(no_canary.orchestrate(version, service), *words)
    untouched(no_canary, users)
    assert no_canary.on("canary-1", "test", "-e", "/tmp/owned").returncode != 0


def test_git_server_that_does_not_answer_is_named(no_canary, users):
    with no_canary.stopped("git-1", "git-daemon"):
        refused(no_canary.orchestrate("v2"), "git://")
    untouched(no_canary, users)


def test_redis_down_is_named(no_canary, users):
    with no_canary.stopped("redis-1", "redis-server"):
        refused(no_canary.orchestrate("v2"), "Redis")
    untouched(no_canary, users)


def test_missing_canary_host_is_named(no_canary, users):
    with no_canary.stopped("canary-1", "salt-minion"):
        refused(no_canary.orchestrate("v2"), "canary-1")
    no_canary.wait_for_master()
    untouched(no_canary, users)


def test_database_down_is_named(no_canary):
    with no_canary.stopped("checkbox-1", "secantus"):
        refused(no_canary.orchestrate("v2"), "MongoDB")
    no_canary.wait_for_weights(stable=100.0, canary=0.0)


def test_highstate_keeps_the_released_version(canary, users):
    said = canary.ok("master", "salt", "--static", "--out=json", "canary-1", "state.apply", timeout=200)
    changes = [name for name, state in json.loads(said)["canary-1"].items() if state["changes"]]
    assert changes == []
    assert canary.weights() == {"stable": 70.0, "canary": 30.0}


def test_interrupted_orchestration_leaves_traffic_on_stable(no_canary, users):
    done = no_canary.on("master", "timeout", "--signal=INT", "4", "salt-run", "state.orchestrate", "canary")
    assert isinstance(done, subprocess.CompletedProcess)
    assert no_canary.weights() in ({"stable": 100.0, "canary": 0.0}, {"stable": 70.0, "canary": 30.0})
    no_canary.reset()
    again = no_canary.orchestrate("v2")
    assert again.returncode == 0, again.stdout + again.stderr
