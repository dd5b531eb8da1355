"""The update of one host: what is done, in which order, and what is left when it does not end."""

import os
import signal
from pathlib import Path

import pytest
import sluice_webapp
import sluice_webapp_files
from sluice_errors import ReleaseError
from sluice_webapp import Found, Marker
from sluice_webapp_files import WantedFile
from sluice_webapp_update import Update, Wanted

V1, V2, V3 = "v1-aaaaaaaaaaaa", "v2-bbbbbbbbbbbb", "v3-cccccccccccc"
STEPS = ["check", "drain", "stop", "install", "start", "verify", "restore"]


class Host:
    """A host whose server, balancers and their states are files, so that they outlive a killed process."""

    def __init__(self, folder):
        self.home = folder / "itrust"
        (self.home / "artifacts").mkdir(parents=True)
        self.config = folder / "server.xml"
        self.log = folder / "log"
        self.log.touch()
        for release in (V1, V2, V3):
            (self.home / "artifacts" / release).mkdir()
        sluice_webapp.switch(self.home, V1)
        self.config.write_text("old")
        self.drained, self.active = folder / "drained", folder / "active"
        self.active.touch()
        self.bad, self.fails, self.dies = set(), {}, {}

    def did(self):
        return self.log.read_text().split()

    def _do(self, what):
        if what in self.fails:
            raise ReleaseError(self.fails[what])
        with self.log.open("a") as log:
            log.write(what + "\n")
        if self.dies.get(what) == "before":
            os.kill(os.getpid(), signal.SIGKILL)

    def _done(self, what):
        if self.dies.get(what) == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    def check(self):
        self._do("check")
        self._done("check")

    def drain(self):
        self._do("drain")
        changed = not self.drained.exists()
        self.drained.touch()
        self._done("drain")
        return changed

    def stop(self):
        assert self.drained.exists() or not self.active.exists() or self.may_stop_undrained
        self._do("stop")
        self.active.unlink(missing_ok=True)
        self._done("stop")

    may_stop_undrained = False

    def install(self):
        self._do("install")
        self._done("install")

    def start(self):
        self._do("start")
        self.active.touch()
        self._done("start")

    def verify(self):
        self._do("verify")
        if sluice_webapp.current(self.home) in self.bad:
            raise ReleaseError("404 from /health after 5 s (want 200)")
        self._done("verify")

    def restore(self):
        self._do("restore")
        self.drained.unlink(missing_ok=True)
        self._done("restore")

    def found(self, release, text):
        file = self.wanted_file(text)
        said = sluice_webapp_files.difference(file)
        return Found(
            sluice_webapp.current(self.home),
            self.active.exists(),
            True,
            sluice_webapp.read_marker(self.home),
            {str(self.config): said} if said else {},
        )

    def wanted_file(self, text):
        user, group = self.config.owner(), self.config.group()
        return WantedFile(self.config, text.encode(), 0o640, user, group, False)

    def update(self, release, text="new", reverts=True):
        """One state run; None if it had nothing to do."""
        found = self.found(release, text)
        if not sluice_webapp.changes(found, release):
            return None
        wanted = Wanted("itrust-1", "itrust", self.home, release, [self.wanted_file(text)], reverts)
        return Update(wanted, found, self).run()

    def is_settled(self, release, text):
        """The release runs, in service, and nothing of an update is left."""
        left = {path.name for path in self.home.iterdir()} - {"artifacts", "current"}
        return (
            sluice_webapp.current(self.home) == release
            and self.config.read_text() == text
            and self.active.exists()
            and not self.drained.exists()
            and left == set()
            and not list(self.config.parent.glob(".*"))
        )


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def killed(host, run):
    """Run in a process of its own, which must kill itself."""
    child = os.fork()
    if child == 0:
        try:
            run()
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


def test_an_update_drains_before_it_stops_and_verifies_before_it_restores(host):
    outcome = host.update(V2)
    assert (outcome.result, outcome.comment) == (
        True,
        "v2 runs; itrust-1 was drained for it and is in service again",
    )
    assert host.did() == STEPS
    assert host.is_settled(V2, "new")


def test_a_second_run_drains_nobody(host):
    host.update(V2)
    assert host.update(V2) is None
    assert host.did() == STEPS


def test_a_changed_file_alone_is_an_update(host):
    assert host.update(V1).result
    assert host.did() == STEPS
    assert host.is_settled(V1, "new")


def test_a_host_that_cannot_be_spared_is_not_touched(host):
    host.fails["drain"] = "min_available wants 3"
    outcome = host.update(V2)
    assert not outcome.result
    assert outcome.comment == (
        "itrust-1: it cannot be drained: min_available wants 3. "
        "Nothing was changed: what runs goes on running."
    )
    assert host.did() == ["check"]
    assert host.is_settled(V1, "old")


def test_a_host_whose_needs_are_missing_is_not_touched(host):
    host.fails["check"] = "the database at 10.0.0.1 is read-only"
    outcome = host.update(V2)
    assert "the database at 10.0.0.1 is read-only. Nothing was changed" in outcome.comment
    assert host.did() == []
    assert host.is_settled(V1, "old")


def test_a_server_that_does_not_run_is_updated_even_if_no_balancer_answers(host):
    host.active.unlink()
    host.fails["drain"] = "lb-1 does not answer"
    outcome = host.update(V2)
    assert outcome.result
    assert host.did() == ["check", "stop", "install", "start", "verify"]
    assert host.is_settled(V2, "new")


def test_a_server_that_died_is_drained_as_well_so_that_no_user_meets_it_unverified(host):
    host.active.unlink()
    host.bad = {V1}
    outcome = host.update(V1, "old", reverts=False)
    assert not outcome.result
    assert host.drained.exists()


def test_a_host_that_somebody_drained_before_stays_drained(host):
    host.drained.touch()
    outcome = host.update(V2)
    assert (outcome.result, outcome.comment) == (True, "v2 runs; itrust-1 was drained before, and stays so")
    assert "restore" not in host.did()
    assert host.drained.exists()


def test_a_bad_release_is_reverted_with_its_files_and_the_run_fails(host):
    host.bad = {V2}
    outcome = host.update(V2)
    assert not outcome.result
    assert not outcome.changed
    assert outcome.comment == (
        "itrust-1: v2 failed: 404 from /health after 5 s (want 200). "
        "Reverted: v1 runs, was verified and is in service again."
    )
    assert host.is_settled(V1, "old")


def test_a_bad_release_stays_drained_if_pillar_says_so(host):
    host.bad = {V2}
    outcome = host.update(V2, reverts=False)
    assert not outcome.result
    assert "v2 failed: 404 from /health after 5 s (want 200). It stays drained; look at" in outcome.comment
    assert host.drained.exists()
    told = sluice_webapp.running_version(host.home)
    assert told == {
        "version": "v2",
        "half_way": {
            "version": "v2",
            "from": "v1",
            "step": "verify",
            "reason": "404 from /health after 5 s (want 200)",
        },
    }


def test_a_host_that_stayed_drained_is_back_once_a_good_release_is_wanted(host):
    host.bad = {V2}
    host.update(V2, reverts=False)
    assert host.update(V3).result
    assert host.is_settled(V3, "new")


def test_a_host_that_stayed_drained_goes_back_to_what_was_verified_last_not_to_the_bad_release(host):
    host.bad = {V2, V3}
    host.update(V2, reverts=False)
    outcome = host.update(V3)
    assert "v3 failed" in outcome.comment
    assert "Reverted: v1 runs" in outcome.comment
    assert host.is_settled(V1, "old")


def test_a_revert_that_fails_too_says_both_and_leaves_the_host_drained(host):
    host.bad = {V1, V2}
    outcome = host.update(V2)
    assert "v2 failed: 404" in outcome.comment
    assert "going back to v1 failed too: 404" in outcome.comment
    assert "It stays drained" in outcome.comment
    assert host.drained.exists()


def test_the_first_release_has_nothing_to_go_back_to(host):
    sluice_webapp.switch(host.home, None)
    host.bad = {V1}
    outcome = host.update(V1)
    assert "Reverted" not in outcome.comment
    assert "It stays drained" in outcome.comment


def test_a_release_whose_artifact_is_gone_is_nothing_to_go_back_to(host):
    host.bad = {V2}
    (host.home / "artifacts" / V1).rmdir()
    assert "It stays drained" in host.update(V2).comment


def test_a_host_that_is_verified_but_gets_no_traffic_fails_and_the_next_run_only_restores(host):
    host.fails["restore"] = "lb-1 does not answer"
    outcome = host.update(V2)
    assert not outcome.result
    assert "v2 runs and is well, but is not in service: lb-1 does not answer" in outcome.comment
    host.fails.clear()
    host.log.write_text("")
    assert host.update(V2).result
    assert host.did() == ["restore"]
    assert host.is_settled(V2, "new")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_the_next_run_ends_an_update_that_was_killed(host, step, when):
    host.dies = {step: when}
    killed(host, lambda: host.update(V2))
    host.dies.clear()
    host.log.write_text("")
    outcome = host.update(V2)
    assert outcome is not None
    assert outcome.result
    assert host.is_settled(V2, "new")


@pytest.mark.parametrize("step", STEPS[1:])
def test_after_a_kill_the_host_can_go_back_to_what_ran_before(host, step):
    host.dies = {step: "after"}
    killed(host, lambda: host.update(V2))
    host.dies.clear()
    told = sluice_webapp.running_version(host.home)
    assert told["half_way"]["version"] == "v2"
    assert told["half_way"]["from"] == "v1"
    assert host.update(V1, "old").result
    assert host.is_settled(V1, "old")


@pytest.mark.parametrize("step", ["stop", "start", "verify", "restore"])
def test_a_revert_that_was_killed_is_ended_by_the_next_run(host, step):
    host.bad = {V2}

    def second_time(original, calls):
        def run():
            calls.append(1)
            if len(calls) == (1 if step == "restore" else 2):
                host.dies = {step: "after"}
            return original()

        return run

    setattr(host, step, second_time(getattr(host, step), []))
    killed(host, lambda: host.update(V2))
    again = Host.__new__(Host)
    again.__dict__.update(host.__dict__, dies={})
    again.__dict__.pop(step)
    assert again.update(V1, "old").result
    assert again.is_settled(V1, "old")


def test_a_marker_that_cannot_be_read_is_an_update_that_is_done_again(host):
    (host.home / "update.json").write_text("{")
    assert host.update(V1, "old").result
    assert host.is_settled(V1, "old")


def test_what_was_before_is_readable_for_root_alone(host):
    host.bad = {V2}
    host.update(V2, reverts=False)
    assert (host.home / "before").stat().st_mode & 0o7777 == 0o700


def test_a_file_that_was_not_there_before_is_gone_after_a_revert(host):
    host.config.unlink()
    Path(host.config.parent / "server.xml").write_text("x")
    owner = host.wanted_file
    file = owner("new")
    host.config.unlink()
    host.wanted_file = lambda text: file
    host.bad = {V2}
    assert not host.update(V2).result
    assert not host.config.exists()


def test_a_disk_that_is_full_before_the_drain_changes_nothing(host, monkeypatch):
    def full(_files):
        raise ReleaseError("/etc/x cannot be written: No space left on device")

    monkeypatch.setattr(sluice_webapp_files, "stage", full)
    outcome = host.update(V2)
    assert "No space left on device. Nothing was changed" in outcome.comment
    assert host.did() == ["check"]
    assert host.is_settled(V1, "old")


def test_a_disk_that_is_full_after_the_drain_is_told_and_ends_in_no_traceback(host, monkeypatch):
    write, written = sluice_webapp.write_marker, []

    def full(home, marker):
        written.append(marker.step)
        if "start" in written:
            raise OSError(28, "No space left on device")
        write(home, marker)

    monkeypatch.setattr(sluice_webapp, "write_marker", full)
    outcome = host.update(V2)
    assert not outcome.result
    assert "No space left on device" in outcome.comment
    monkeypatch.undo()
    assert host.update(V2).result
    assert host.is_settled(V2, "new")


@pytest.mark.parametrize(
    ("marker", "release", "restarts"),
    [
        (None, V1, False),
        (Marker(V1, None, "restore", drained=True), V1, False),
        (Marker(V2, V1, "restore", drained=True), V1, True),
        (Marker(V1, None, "verify"), V1, True),
        (None, V2, True),
    ],
)
def test_what_was_verified_is_not_restarted(marker, release, restarts):
    assert sluice_webapp.must_restart(Found(V1, True, True, marker), release) is restarts


@pytest.mark.parametrize(
    ("directory", "version"),
    [(V1, "v1"), ("2026-0123456789ab", "2026"), ("x", None), ("", None), (None, None)],
)
def test_the_version_is_in_the_name_of_the_directory(directory, version):
    assert sluice_webapp.version_of(directory) == version
