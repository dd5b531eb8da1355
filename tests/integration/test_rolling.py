"""Rolls on a real master with real minions: planned, walked, stopped, killed in the middle and resumed."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
import sluice_ledger
import sluice_roll_job

HOSTS = ("web-1", "web-2", "web-3")


class Web:
    """The service `web` as an operator sees it, and the hands the tests have in its hosts."""

    def __init__(self, folder, world, salt_run):
        self.folder, self.salt_run, self.told = folder, salt_run, world.balancer.others["web"]
        self.ledger = sluice_ledger.Ledger(str(world.ledger))
        self.opts = {"conf_file": os.path.join(str(salt_run.config_dir), "master")}

    def run(self, *words):
        """salt-run as a user types it."""
        script = self.salt_run.get_script_path()
        command = [sys.executable, script, f"--config-dir={self.salt_run.config_dir}", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert "Traceback" not in done.stdout + done.stderr, done
        return done

    def roll(self, version, *words):
        pillar = json.dumps({"service": "web", "version": version})
        return self.run("state.orchestrate", "rolling", f"pillar={pillar}", *words)

    def versions(self):
        """What each host runs."""
        return {host: self.text(host, "version") for host in HOSTS}

    def updates(self, host):
        """To which versions a host was updated, in this test."""
        return self.text(host, "updates").split()

    def text(self, host, name):
        path = self.folder / host / name
        return path.read_text().strip() if path.exists() else ""

    def hold(self, host):
        """A host that is updated from now on stays in the middle of it until it is released."""
        (self.folder / host / "hold").touch()

    def release(self, host):
        (self.folder / host / "hold").unlink()

    def last(self):
        return self.ledger.last_release("web", "stable")

    def states(self):
        return {row.host: row.state for row in self.ledger.hosts(self.last())}


@pytest.fixture
def web(world, web_hosts, release_settings, salt_run, folder):
    """All three hosts run v1, which was rolled."""
    service = {"stable": "N@web", "state": "web", "health_path": "/health", "port": 80}
    services = release_settings["services"] | {"web": service | {"roll": {"host_timeout_seconds": 60}}}
    world.settings.write_text(json.dumps(release_settings | {"services": services}))
    backends = {host: {"address": "127.0.0.1:1", "state": "up", "in_flight": 0} for host in HOSTS}
    world.balancer.others = {"web": {"alert": None, "tracks": {"stable": {"backends": backends}}}}
    for host in HOSTS:
        shutil.rmtree(folder / "web" / host)
        (folder / "web" / host).mkdir()
        (folder / "web" / host / "version").write_text("v1\n")
    made = Web(folder / "web", world, salt_run)
    made.ledger.finish(made.ledger.begin_roll("web", "v1", "the tests", "", [(host, 1) for host in HOSTS]))
    yield made
    world.settings.write_text(json.dumps(release_settings))


def killed_in_the_middle(web, eventually, host):
    """A roll to v2, begun as a job of its own and killed while `host` is at its update."""
    web.hold(host)
    pid = sluice_roll_job.start(web.opts, "web", "v2")
    eventually(lambda: web.updates(host), 180, f"the update of {host}")
    assert web.last().pid == pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not web.last().held_elsewhere, 20, "the end of the process")


def test_plan_and_dry_run_tell_each_host_and_change_nothing(web):
    plan = web.run("release.plan", "web", "v2")
    assert plan.returncode == 0, plan
    assert "web-1          v1 -> v2" in plan.stdout and "web-version: The file" in plan.stdout
    dry = web.roll("v2", "test=True")
    assert dry.returncode == 0, dry
    assert "Tell what the roll would do" in dry.stdout and "now: v1" in dry.stdout
    assert set(web.versions().values()) == {"v1"}
    assert web.last().version == "v1"


def test_dry_run_of_a_roll_that_could_not_begin_fails_with_the_reason(web):
    web.told["alert"] = {"reason": "too slow", "by": "web-1", "at": "noon"}
    dry = web.roll("v2", "test=True")
    assert dry.returncode == 1
    assert "An alert stands for web at lb-1" in dry.stdout


def test_roll_updates_each_host_once_and_the_next_begins_by_itself_after_its_caller_has_gone(web, eventually):
    web.ledger.queue("web", "v3", "somebody", "push 1")
    assert web.roll("v2").returncode == 0
    eventually(lambda: (web.last().version, web.last().state) == ("v3", "done"), 180, "the roll that waited")
    assert [web.updates(host) for host in HOSTS] == [["v2", "v3"]] * 3
    assert set(web.versions().values()) == {"v3"}


def test_roll_that_was_killed_is_gone_on_with_and_repeats_no_host(web, eventually):
    killed_in_the_middle(web, eventually, "web-2")
    assert web.states() == {"web-1": "verified", "web-2": "updating", "web-3": "pending"}
    watched = web.run("release.watch", "web")
    assert watched.returncode == 1 and "its process is gone" in watched.stdout
    second = web.roll("v3")
    assert second.returncode == 1 and "was interrupted" in second.stdout
    web.release("web-2")
    resumed = web.run("release.resume", "web")
    assert resumed.returncode == 0 and "3 of 3 hosts verified" in resumed.stdout, resumed
    assert [web.updates(host) for host in HOSTS] == [["v2"]] * 3
    assert set(web.versions().values()) == {"v2"}


def test_roll_that_was_killed_is_taken_back(web, eventually):
    killed_in_the_middle(web, eventually, "web-2")
    web.release("web-2")
    undone = web.run("release.undo", "web")
    assert undone.returncode == 0, undone
    assert set(web.versions().values()) == {"v1"} and web.updates("web-3") == []
    assert [row.state for row in web.ledger.history("web")][:2] == ["done", "undone"]


def test_version_that_never_starts_stops_at_the_first_host_which_stays_drained(web):
    done = web.roll("v-bad")
    assert done.returncode == 1
    assert "web-health: 503 from /health for 30 s" in done.stdout and "release.undo web" in done.stdout
    assert web.states() == {"web-1": "failed", "web-2": "pending", "web-3": "pending"}
    assert [web.updates(host) for host in HOSTS] == [["v-bad"], [], []]


def test_alert_during_an_update_stops_the_roll_before_the_next_host(web, eventually):
    web.hold("web-1")
    sluice_roll_job.start(web.opts, "web", "v2")
    eventually(lambda: web.updates("web-1"), 180, "the update of web-1")
    web.told["alert"] = {"reason": "too slow", "by": "web-1", "at": "noon"}
    web.release("web-1")
    eventually(lambda: web.last().state == "stopped", 180, "the end of the roll")
    assert "too slow" in web.last().reason
    assert web.states() == {"web-1": "verified", "web-2": "pending", "web-3": "pending"}


def test_host_that_does_not_answer_is_skipped_and_the_roll_stops(web, web_hosts):
    web_hosts["web-2"].terminate()
    try:
        done = web.roll("v2")
    finally:
        web_hosts["web-2"].start()
    assert done.returncode == 1 and "web-2 skipped: no answer within 15 s" in done.stdout
    assert web.versions() == {"web-1": "v2", "web-2": "v1", "web-3": "v1"}
