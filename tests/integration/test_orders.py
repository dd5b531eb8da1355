"""What an operator orders and asks: status, clear, abort; their text, JSON and exit codes."""

import json
import subprocess
import sys

import sluice_ledger


def shell(salt_run, *words):
    """salt-run as a user types it, without the --out=json the test tools add."""
    command = [sys.executable, salt_run.get_script_path(), f"--config-dir={salt_run.config_dir}", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_status_reads_well_as_text(world, salt_run):
    done = shell(salt_run, "release.status", "checkbox")
    assert done.returncode == 0, done
    assert "checkbox\n" in done.stdout
    assert "release  none yet" in done.stdout
    assert "canary 30 (declared 30), stable 70 (declared 70)" in done.stdout
    assert "canary-1         canary  nothing installed" in done.stdout


def test_status_is_clean_json(world, salt_run):
    done = shell(salt_run, "release.status", "checkbox", "--out=json")
    report = json.loads(done.stdout)["checkbox"]
    assert report["balancers"]["lb-1"]["effective"] == {"canary": 30, "stable": 70}
    assert report["hosts"]["canary-1"]["track"] == "canary"
    assert report["alert"] is None and report["problems"] == []


def test_status_names_the_balancer_that_does_not_answer(world, salt_run, fleet):
    fleet["lb-1"].terminate()
    try:
        done = shell(salt_run, "release.status")
    finally:
        fleet["lb-1"].start()
    assert done.returncode == 1
    assert "lb-1: no answer within 5 s" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_status_tells_of_an_alert(world, salt_run):
    world.balancer.alert = {"reason": "too slow", "by": "canary-1", "at": "noon", "door": "http"}
    done = shell(salt_run, "release.status", "checkbox")
    assert "An alert stands for checkbox at lb-1 since noon (by canary-1: too slow)" in done.stdout


def test_unknown_service_is_one_line_and_an_exit_code(world, salt_run):
    for order in ("status", "clear", "abort"):
        done = shell(salt_run, f"release.{order}", "chessbox")
        assert done.returncode == 1, done
        assert "Unknown service 'chessbox'" in done.stdout
        assert "Traceback" not in done.stdout + done.stderr


def test_clear_ends_the_alert_everywhere(world, salt_run):
    world.balancer.alert = {"reason": "x", "by": "y", "at": "z", "door": "http"}
    world.redis.call("SET", "sluice:alert:checkbox", "x")
    done = shell(salt_run, "release.clear", "checkbox")
    assert done.returncode == 0, done
    assert "the alert is cleared" in done.stdout
    assert world.balancer.alert is None
    assert world.redis.call("EXISTS", "sluice:alert:checkbox") == 0
    assert "no alert stood" in shell(salt_run, "release.clear", "checkbox").stdout


def test_clear_is_refused_while_redis_is_down(world, salt_run):
    world.balancer.alert = {"reason": "x", "by": "y", "at": "z", "door": "http"}
    world.redis.stop()
    done = shell(salt_run, "release.clear", "checkbox")
    assert done.returncode == 1
    assert "was not cleared" in done.stdout and "would come back" in done.stdout
    assert world.balancer.alert is not None


def test_clear_says_when_the_alert_comes_back(world, salt_run):
    world.balancer.alert = {"reason": "x", "by": "y", "at": "z", "door": "http"}
    world.balancer.reraise = True
    done = shell(salt_run, "release.clear", "checkbox")
    assert done.returncode == 1
    assert "came back at once at lb-1" in done.stdout


def test_abort_drains_and_ends_and_may_be_repeated(world, salt_run):
    assert salt_run.run("state.orchestrate", "canary").returncode == 0
    done = shell(salt_run, "release.abort", "checkbox")
    assert done.returncode == 0, done
    assert "release 1 of v2 aborted; canary-1 drained at lb-1" in done.stdout
    assert world.balancer.effective()["canary"] == 0
    assert sluice_ledger.Ledger(str(world.ledger)).last_release("checkbox").state == "aborted"
    again = shell(salt_run, "release.abort", "checkbox")
    assert again.returncode == 0
    assert "no release was open" in again.stdout


def test_step_of_an_aborted_release_does_not_admit(world, salt_run):
    done = shell(salt_run, "release.admit", "checkbox")
    assert done.returncode == 1
    assert "holds no open release" in done.stdout
    assert world.balancer.calls == []


def test_pillar_gives_versions_to_hosts_of_the_service_only(world, salt_run):
    assert salt_run.run("state.orchestrate", "canary").returncode == 0
    on_host = salt_run.run("pillar.show_pillar", "canary-1").data
    assert on_host["release"] == {"checkbox": {"canary": {"version": "v2"}}}
    # Balancers need to know which release it is, to keep users on their tracks, and no more.
    at_balancer = salt_run.run("pillar.show_pillar", "lb-1").data["release"]
    assert list(at_balancer) == ["checkbox"] and list(at_balancer["checkbox"]) == ["id"]


def test_corrupt_ledger_is_an_error_of_the_pillar(world, salt_run):
    world.ledger.write_text("this is no database, and it is long enough to be read as one. " * 20)
    try:
        on_host = salt_run.run("pillar.show_pillar", "canary-1").data
    finally:
        # Later tests of the same master need a pillar.
        world.ledger.unlink()
    assert "ledger" in " ".join(on_host["_errors"])
    assert "release" not in on_host
