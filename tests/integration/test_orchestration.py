"""The canary orchestration on a real master: the story, and what each kind of bad input gets."""

import json
import sqlite3

import pytest
import sluice_ledger


def orchestrate(salt_run, **pillar):
    words = [f"pillar={json.dumps(pillar)}"] if pillar else []
    return salt_run.run("state.orchestrate", "canary", *words)


def steps(ret):
    """The steps that ran, as (id, result, what it said)."""
    states = next(iter(ret.data["data"].values()))
    assert isinstance(states, dict), states
    ran = [state for state in states.values() if state.get("__state_ran__", True)]
    return [(s["__id__"], s["result"], (s["changes"] or {}).get("return", "")) for s in ran]


def assert_refused(ret, world, *words):
    """One step ran, it failed with one line that has `words`, and nothing was touched."""
    assert ret.returncode == 1, ret
    [(name, result, message)] = steps(ret)
    assert (name, result) == ("Check that everything is ready", False)
    for word in (*words, "nothing was changed"):
        assert word in message
    assert "Traceback" not in ret.stdout
    assert "\n" not in message
    assert [call for call in world.balancer.calls if call[0] in ("/drain", "/restore", "/clear")] == []


def test_default_release_of_pillar_gets_its_share(world, salt_run):
    ret = orchestrate(salt_run)
    assert ret.returncode == 0, ret
    assert all(result for _, result, _ in steps(ret))
    assert "canary 30, stable 70" in steps(ret)[-1][2]
    assert [call[0] for call in world.balancer.calls] == ["/drain", "/restore"]
    assert world.service.requests >= 60
    release = sluice_ledger.Ledger(str(world.ledger)).open_release("checkbox")
    assert (release.version, release.state, release.pid) == ("v2", "serving", None)


def test_running_it_again_keeps_the_canary_in_service(world, salt_run):
    assert orchestrate(salt_run).returncode == 0
    world.balancer.calls.clear()
    ret = orchestrate(salt_run)
    assert ret.returncode == 0, ret
    assert "/drain" not in [call[0] for call in world.balancer.calls]
    assert sluice_ledger.Ledger(str(world.ledger)).last_release("checkbox").id == 1


def test_balancers_keep_users_by_the_new_release_when_the_canary_is_admitted(world, salt_run):
    world.balancer.positions = world.balancer_config.with_name(world.balancer_config.name + ".release")
    world.balancer.positions.write_text("0")
    ret = orchestrate(salt_run)
    assert ret.returncode == 0, ret
    release = sluice_ledger.Ledger(str(world.ledger)).open_release("checkbox")
    assert world.balancer.admitted_for == {"release": str(release.id)} == world.balancer.affinity()


def test_canary_that_answers_errors_gets_no_traffic(world, salt_run):
    world.service.bad_every = 5
    world.service.version = "v2-bad"
    ret = orchestrate(salt_run, service="checkbox", version="v2-bad")
    assert ret.returncode == 1
    name, result, message = steps(ret)[-1]
    assert (name, result) == ("Wait until the canary is healthy and good enough", False)
    assert "probe requests failed (20.0%, want at most 0.0%)" in message
    assert "GET /getPic: 500" in message or "GET /health: 500" in message
    assert world.balancer.effective() == {"canary": 0, "stable": 100}
    assert "/restore" not in [call[0] for call in world.balancer.calls]
    ledger = sluice_ledger.Ledger(str(world.ledger))
    assert ledger.open_release("checkbox") is None
    assert ledger.last_release("checkbox").state == "failed"
    assert "20.0%" in ledger.last_release("checkbox").reason
    assert sluice_ledger.versions(str(world.ledger), "checkbox") == {}


def test_canary_that_is_slow_gets_no_traffic(world, salt_run):
    world.service.delay = 0.3
    ret = orchestrate(salt_run)
    assert ret.returncode == 1
    assert "want at most 250 ms" in steps(ret)[-1][2]
    assert world.balancer.effective()["canary"] == 0


def test_canary_that_answers_as_another_version_gets_no_traffic(world, salt_run):
    world.service.version = "v1"
    ret = orchestrate(salt_run)
    assert ret.returncode == 1
    assert "it answers as version v1" in steps(ret)[-1][2]


def test_version_that_does_not_build_fails_with_the_reason(world, salt_run):
    ret = orchestrate(salt_run, service="checkbox", version="v2-broken")
    assert ret.returncode == 1
    name, result, message = steps(ret)[-1]
    assert (name, result) == ("If the installation fails, end the release and say why", False)
    assert "canary-1: checkbox-build: npm ci failed for v2-broken" in message
    assert "Traffic stays off the canary: canary-1 drained at lb-1" in message
    assert world.balancer.effective()["canary"] == 0
    assert sluice_ledger.Ledger(str(world.ledger)).last_release("checkbox").state == "failed"


def test_unknown_service_is_refused(world, salt_run):
    ret = orchestrate(salt_run, service="chessbox", version="v2")
    assert ret.returncode == 1
    [(_, result, message)] = steps(ret)
    assert result is False
    assert "Unknown service 'chessbox'; known services: checkbox" in message
    assert world.balancer.calls == []


def test_unknown_version_is_refused_and_known_ones_are_named(world, salt_run):
    ret = orchestrate(salt_run, service="checkbox", version="v9")
    assert_refused(ret, world, "Unknown version v9", "v1, v2, v2-bad, v2-broken, v3")


@pytest.mark.parametrize("version", ["--upload-pack=/bin/false", "v2\n", "../v2", 2, "", "{{ 1 }}"])
def test_version_that_is_no_name_is_refused(version):
    from sluice_config import checked_version
    from sluice_errors import RefusedError

    with pytest.raises(RefusedError, match="is not a version"):
        checked_version(version)


def test_git_source_that_does_not_answer_is_refused(world, salt_run, settings_with):
    with settings_with(source="git://127.0.0.1:9/checkbox"):
        assert_refused(orchestrate(salt_run), world, "git://127.0.0.1:9/checkbox does not answer")


def test_mongodb_down_is_refused(world, salt_run):
    world.mongo.stop()
    assert_refused(orchestrate(salt_run), world, "MongoDB at 127.0.0.1", "does not answer canary-1")


def test_redis_down_is_refused(world, salt_run):
    world.redis.stop()
    assert_refused(orchestrate(salt_run), world, "redis redis-1 (127.0.0.1", "does not answer")


def test_missing_canary_host_is_refused(world, salt_run, settings_with):
    with settings_with(canary="nobody-*"):
        assert_refused(orchestrate(salt_run), world, "There is no canary host for checkbox", "nobody-*")


def test_silent_canary_host_is_refused(world, salt_run, fleet):
    fleet["canary-1"].terminate()
    try:
        assert_refused(orchestrate(salt_run), world, "canary-1: test.ping failed: no answer")
    finally:
        fleet["canary-1"].start()


def test_second_version_is_refused_while_one_serves(world, salt_run):
    assert orchestrate(salt_run).returncode == 0
    world.balancer.calls.clear()
    ret = orchestrate(salt_run, service="checkbox", version="v3")
    assert_refused(ret, world, "v2 already serves as the canary", "release.abort checkbox")
    assert world.balancer.effective()["canary"] == 30


def test_second_orchestration_is_refused_while_one_runs(world, salt_run):
    ledger = sluice_ledger.Ledger(str(world.ledger))
    ledger.begin("checkbox", "v2", "this test")  # held by this process, which lives
    assert_refused(orchestrate(salt_run), world, "release 1 of v2 is under way", "this test")


def test_release_of_a_dead_process_does_not_block(world, salt_run):
    ledger = sluice_ledger.Ledger(str(world.ledger))
    ledger.begin("checkbox", "v2", "a process that died")
    with sqlite3.connect(world.ledger) as db:
        db.execute("UPDATE releases SET pid_started = '1'")
    ret = orchestrate(salt_run)
    assert ret.returncode == 0, ret
    assert ledger.last_release("checkbox").id == 2


def test_standing_alert_at_a_balancer_is_refused(world, salt_run):
    world.balancer.alert = {"reason": "too slow", "by": "canary-1", "at": "noon", "door": "http"}
    ret = orchestrate(salt_run)
    assert_refused(ret, world, "An alert stands for checkbox at lb-1", "too slow", "release.clear")


def test_standing_alert_in_redis_is_refused(world, salt_run):
    world.redis.call("SET", "sluice:alert:checkbox", "x")
    assert_refused(orchestrate(salt_run), world, "An alert stands for checkbox at redis")


def test_balancer_that_does_not_know_the_canary_is_refused(world, salt_run):
    world.balancer.hide_canary = True
    assert_refused(orchestrate(salt_run), world, "lb-1 does not know canary-1 as a canary of checkbox")


def test_ratio_that_was_not_applied_is_refused(world, salt_run):
    world.balancer.declared = {"canary": 10, "stable": 90}
    assert_refused(
        orchestrate(salt_run), world, "declares canary 10, stable 90", "pillar says canary 30, stable 70"
    )


def test_corrupt_ledger_is_refused(world, salt_run):
    world.ledger.write_text("this is no database, and it is long enough to be read as one. " * 20)
    ret = orchestrate(salt_run)
    assert ret.returncode == 1
    assert "cannot be used" in ret.stdout
    assert "Traceback" not in ret.stdout
    assert world.balancer.calls == []
