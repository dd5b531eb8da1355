"""Rolls in the ledger: what each host is to run, queue, pins, artifacts, migration, copies, full disks."""

import os
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sluice_ledger
from sluice_errors import LedgerError, RefusedError
from sluice_ledger import Artifact, Ledger, Version, desired

HOSTS = [("itrust-2", 1), ("itrust-3", 2), ("itrust-1", 3)]
# The tables as the first schema had them.
SCHEMA_1 = """
CREATE TABLE releases (
    id INTEGER PRIMARY KEY, service TEXT NOT NULL, version TEXT NOT NULL, previous TEXT,
    state TEXT NOT NULL CHECK (state IN ('running', 'serving', 'failed', 'aborted')),
    reason TEXT NOT NULL DEFAULT '', who TEXT NOT NULL, started_at TEXT NOT NULL, ended_at TEXT,
    pid INTEGER, pid_started TEXT
);
CREATE UNIQUE INDEX one_open_release ON releases (service) WHERE state IN ('running', 'serving');
CREATE TABLE steps (
    release_id INTEGER NOT NULL REFERENCES releases (id), name TEXT NOT NULL, at TEXT NOT NULL,
    note TEXT NOT NULL
);
CREATE TABLE versions (
    service TEXT NOT NULL, track TEXT NOT NULL CHECK (track IN ('stable', 'canary')), version TEXT NOT NULL,
    PRIMARY KEY (service, track)
);
INSERT INTO releases VALUES (7, 'checkbox', 'v2', 'v1', 'serving', '', 'root', '2026-01-01T00:00:00Z', NULL,
    NULL, NULL);
INSERT INTO steps VALUES (7, 'start', '2026-01-01T00:00:00Z', 'by root');
INSERT INTO versions VALUES ('checkbox', 'canary', 'v2');
PRAGMA user_version = 1;
"""


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "ledger.db")


@pytest.fixture
def ledger(path):
    return Ledger(path)


def built(version, sha256="a" * 64):
    return Artifact("itrust", version, f"http://builds/{version}.war", sha256, "abc", "jenkins")


def roll(ledger, version, hosts=HOSTS):
    return ledger.begin_roll("itrust", version, "root", "operator root", hosts)


def at_version(ledger, version):
    """All hosts run `version` after a roll that went well."""
    release = roll(ledger, version)
    for host, _ in HOSTS:
        ledger.set_host(release, host, "verified")
    ledger.finish(release)
    return release


def wants(path, host):
    found = desired(path, "itrust", "stable", host)
    return found and found.version


def set_pid(path, release, pid):
    with sqlite3.connect(path) as db:
        db.execute("UPDATE releases SET pid = ?, pid_started = '1' WHERE id = ?", (pid, release.id))
    db.close()


@pytest.mark.parametrize(
    "state, version",
    [("pending", "v1"), ("updating", "v2"), ("verified", "v2"), ("failed", "v1"), ("reverted", "v1"),
     ("skipped", "v1")],
)  # fmt: skip
def test_host_of_a_roll_is_to_run_what_its_row_says(ledger, path, state, version):
    at_version(ledger, "v1")
    ledger.set_host(roll(ledger, "v2"), "itrust-3", state)
    assert wants(path, "itrust-3") == version
    assert wants(path, "itrust-1") == "v1"


def test_host_that_is_not_in_the_roll_keeps_the_version_of_the_track(ledger, path):
    at_version(ledger, "v1")
    roll(ledger, "v2")
    assert wants(path, "itrust-9") == "v1"


@pytest.mark.parametrize("state", ["stopped", "failed", "aborted"])
def test_roll_that_stopped_leaves_each_host_where_it_is(ledger, path, state):
    at_version(ledger, "v1")
    release = roll(ledger, "v2")
    ledger.set_host(release, "itrust-2", "verified")
    ledger.end(release, state, "because")
    assert (wants(path, "itrust-2"), wants(path, "itrust-3")) == ("v2", "v1")


def test_next_roll_remembers_what_each_host_ran_before(ledger):
    at_version(ledger, "v1")
    release = roll(ledger, "v2")
    ledger.set_host(release, "itrust-2", "verified")
    ledger.end(release, "stopped", "an alert")
    before = {row.host: row.before for row in ledger.hosts(roll(ledger, "v3"))}
    assert before == {"itrust-2": "v2", "itrust-3": "v1", "itrust-1": "v1"}


def test_first_roll_of_all_gives_pending_hosts_no_version(ledger, path):
    ledger.set_host(roll(ledger, "v1"), "itrust-2", "updating")
    assert (wants(path, "itrust-2"), wants(path, "itrust-3")) == ("v1", None)


def test_finished_roll_is_what_every_host_is_to_run_with_its_artifact(ledger, path):
    ledger.add_artifact(built("v1"))
    at_version(ledger, "v1")
    assert desired(path, "itrust", "stable", "itrust-9") == Version("v1", "http://builds/v1.war", "a" * 64)
    assert ledger.last_release("itrust").state == "done"


def test_undone_roll_is_no_word_on_any_host(ledger, path):
    first, second = at_version(ledger, "v1"), at_version(ledger, "v2")
    at_version(ledger, "v1")
    ledger.undone(second, "undone by release 3")
    assert wants(path, "itrust-2") == "v1"
    assert [one.state for one in ledger.history("itrust")] == ["done", "undone", "done"]
    assert first.previous is None


def test_second_roll_is_refused_with_who_holds_the_first(ledger, path):
    first = roll(ledger, "v2")
    with pytest.raises(
        RefusedError, match=rf"release {first.id} of v2 is under way \(pid {os.getpid()}, root"
    ):
        roll(ledger, "v3")


def test_roll_whose_process_died_is_not_ended_but_can_be_taken_over(ledger, path):
    first = roll(ledger, "v2")
    set_pid(path, first, 4194999)
    with pytest.raises(RefusedError, match=r"was interrupted: its process \(pid 4194999\) is gone.*resume"):
        roll(ledger, "v3")
    assert ledger.open_release("itrust", "stable").state == "running"
    assert ledger.take_over(first).held_here


def test_roll_of_a_living_process_is_not_taken_over(ledger, path):
    first = roll(ledger, "v2")
    with sqlite3.connect(path) as db:
        db.execute(
            "UPDATE releases SET pid = ?, pid_started = ?",
            (os.getppid(), sluice_ledger.started(os.getppid())),
        )
    db.close()
    with pytest.raises(RefusedError, match=f"under way \\(pid {os.getppid()}"):
        ledger.take_over(first)


def test_stopped_roll_is_taken_over_but_not_one_that_is_done(ledger):
    release = roll(ledger, "v2")
    ledger.end(release, "stopped", "an alert")
    assert ledger.take_over(release).state == "running"
    ledger.finish(release)
    with pytest.raises(RefusedError, match="is done: it cannot be gone on with"):
        ledger.take_over(release)


def test_newer_push_supersedes_the_one_that_waits(ledger):
    roll(ledger, "v1")
    first = ledger.queue("itrust", "v2", "jenkins", "push abc")
    assert ledger.queue("itrust", "v2", "jenkins", "push abc").id == first.id
    ledger.queue("itrust", "v3", "jenkins", "push def")
    assert ledger.queued("itrust").version == "v3"
    assert (ledger.release(first.id).state, ledger.release(first.id).reason) == (
        "superseded", "v3 came before its turn",
    )  # fmt: skip


def test_queued_roll_becomes_the_one_that_runs(ledger):
    queued = ledger.queue("itrust", "v2", "jenkins", "push abc")
    begun = roll(ledger, "v2")
    assert (begun.id, begun.state, begun.trigger, begun.held_here) == (queued.id, "running", "push abc", True)
    assert ledger.queued("itrust") is None


def test_refused_roll_is_in_the_history_and_changes_nothing(ledger, path):
    at_version(ledger, "v1")
    ledger.refuse("itrust", "v2", "jenkins", "push abc", "the hash does not match")
    assert (ledger.history("itrust")[0].state, ledger.history("itrust")[0].reason) == (
        "refused", "the hash does not match",
    )  # fmt: skip
    assert (ledger.last_release("itrust").version, wants(path, "itrust-1")) == ("v1", "v1")


def test_pin_wins_until_it_is_taken_away(ledger, path):
    at_version(ledger, "v1")
    at_version(ledger, "v2")
    ledger.pin("itrust", "v1", "root", "v2 is slow")
    assert wants(path, "itrust-2") == "v1"
    with pytest.raises(RefusedError, match=r"pinned to v1 by root .*v2 is slow.*release.unpin itrust"):
        roll(ledger, "v3")
    assert ledger.unpin("itrust").reason == "v2 is slow"
    assert (ledger.pinned("itrust"), wants(path, "itrust-2")) == (None, "v1")
    assert roll(ledger, "v3").previous == "v1"


def test_pin_is_refused_while_a_roll_is_open(ledger):
    roll(ledger, "v2")
    with pytest.raises(RefusedError, match="is under way"):
        ledger.pin("itrust", "v1", "root")


def test_version_of_an_artifact_never_changes(ledger):
    first = ledger.add_artifact(built("v1"))
    assert ledger.add_artifact(built("v1")) == first == ledger.artifact("itrust", "v1")
    with pytest.raises(RefusedError, match="a version never changes"):
        ledger.add_artifact(built("v1", "b" * 64))
    ledger.add_artifact(built("v2"))
    assert [one.version for one in ledger.artifacts("itrust")] == ["v1", "v2"]


def test_roll_and_canary_of_one_service_do_not_exclude_each_other(ledger):
    ledger.begin("checkbox", "v2", "root")
    assert ledger.begin_roll("checkbox", "v1", "root", "", [("checkbox-1", 1)]).track == "stable"


def serving(ledger, version):
    release = ledger.begin("itrust", version, "root")
    ledger.serve(release)
    return release


def test_promoted_canary_is_what_stable_is_to_run(ledger, path):
    release = ledger.begin("itrust", "v2", "root")
    with pytest.raises(RefusedError, match=r"no canary serves .*\(release 1 is running\)"):
        ledger.promote("itrust", "root")
    ledger.serve(release)
    assert ledger.promote("itrust", "root").version == "v2"
    assert sluice_ledger.versions(path, "itrust") == {"stable": "v2", "canary": "v2"}
    assert (ledger.release(release.id).state, ledger.release(release.id).reason) == (
        "done", "promoted to stable by root",
    )  # fmt: skip
    with pytest.raises(RefusedError, match="no canary serves .*no release is open"):
        ledger.promote("itrust", "root")


def test_promotion_is_refused_while_a_roll_is_open_or_a_pin_says_otherwise(ledger, path):
    serving(ledger, "v3")
    release = roll(ledger, "v2")
    with pytest.raises(RefusedError, match="release 2 of v2 is under way"):
        ledger.promote("itrust", "root")
    ledger.end(release, "stopped", "an alert")
    ledger.pin("itrust", "v1", "root")
    with pytest.raises(RefusedError, match="pinned to v1 .*To have v3: salt-run release.unpin itrust"):
        ledger.promote("itrust", "root")
    assert wants(path, "itrust-2") == "v1"
    assert ledger.open_release("itrust", "canary").state == "serving"


def promoted(ledger):
    serving(ledger, "v5")
    ledger.promote("itrust", "root")


def pinned_for_a_while(ledger):
    ledger.pin("itrust", "v5", "root")
    ledger.unpin("itrust")


@pytest.mark.parametrize("settle", [promoted, pinned_for_a_while])
def test_roll_that_was_stopped_half_way_says_nothing_after_a_pin_or_a_promotion(ledger, path, settle):
    at_version(ledger, "v1")
    stopped = roll(ledger, "v2")
    ledger.set_host(stopped, "itrust-2", "verified")
    ledger.end(stopped, "stopped", "an alert")
    settle(ledger)
    assert {wants(path, host) for host, _ in HOSTS} == {"v5"}
    found = ledger.release(stopped.id)
    assert found.state == "undone" and found.reason.startswith("stopped: an alert; then ")
    with pytest.raises(RefusedError, match="is undone: it cannot be gone on with"):
        ledger.take_over(stopped)


@pytest.mark.parametrize("id_", [0, -1, 2**63, True, "7", 7.0, None, "7; DROP TABLE releases"])
def test_what_is_no_id_of_a_release_is_refused(ledger, id_):
    with pytest.raises(RefusedError, match="is not the id of a release"):
        ledger.release(id_)


def old(path):
    db = sqlite3.connect(path)
    db.executescript(SCHEMA_1)
    db.close()


def test_first_schema_is_migrated_with_a_copy_of_before(path, tmp_path):
    old(path)
    release = Ledger(path).open_release("checkbox")
    assert (release.id, release.kind, release.track, release.previous) == (7, "canary", "canary", "v1")
    assert Ledger(path).steps(release)[0]["name"] == "start"
    copies = list(tmp_path.glob("ledger.db.schema-1-*"))
    assert len(copies) == 1 and copies[0].stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(copies[0]) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
    db.close()


def test_pillar_that_is_the_first_to_read_an_old_ledger_migrates_it(path):
    old(path)
    assert desired(path, "checkbox", "canary", "canary-1") == Version("v2")


def test_new_ledger_and_a_migrated_one_have_the_same_tables(path, tmp_path):
    old(path)
    Ledger(path)
    Ledger(str(tmp_path / "new.db"))

    def columns(file):
        db = sqlite3.connect(file)
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master ORDER BY name")]
        tables = ("releases", "steps", "versions", "hosts", "artifacts", "pins", "deliveries")
        found = {name: db.execute(f"PRAGMA table_info({name})").fetchall() for name in tables}
        db.close()
        return names, found

    assert columns(path) == columns(tmp_path / "new.db")


def test_backup_is_a_whole_ledger_and_old_ones_go(ledger, path):
    at_version(ledger, "v1")
    place = Path(path).with_name("backups")
    place.mkdir()
    for number in range(3):
        (place / f"ledger-2020010{number}T000000.db").touch()
    copy = ledger.backup(keep=2)
    assert [one.name for one in sorted(place.iterdir())] == ["ledger-20200102T000000.db", Path(copy).name]
    assert wants(copy, "itrust-1") == "v1"


def test_backup_put_in_place_of_a_broken_ledger_is_the_ledger_again(ledger, path):
    at_version(ledger, "v1")
    copy = ledger.backup()
    Path(path).write_bytes(b"not a database, but long enough to be looked at as one" * 50)
    for other in ("-wal", "-shm"):
        Path(path + other).unlink(missing_ok=True)
    with pytest.raises(LedgerError, match="restore it from a backup"):
        wants(path, "itrust-1")
    os.replace(copy, path)
    assert wants(path, "itrust-1") == "v1"
    assert Ledger(path).last_release("itrust").state == "done"


def test_damaged_ledger_is_not_copied_over_good_copies(ledger, path):
    for number in range(300):
        ledger.add_artifact(built(f"v{number}"))
    good = ledger.backup(keep=1)
    db = sqlite3.connect(path)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    root = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'artifacts'").fetchone()[0]
    size = db.execute("PRAGMA page_size").fetchone()[0]
    db.close()
    with open(path, "r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\x05" + b"\xff" * 200)
    with pytest.raises(LedgerError, match="damaged|malformed"):
        ledger.backup(keep=1)
    assert [str(one) for one in Path(good).parent.iterdir()] == [good]


def test_two_processes_that_begin_at_once_get_one_roll(ledger, path):
    code = (
        "import sys; sys.path.insert(0, '_utils'); import sluice_ledger; from sluice_errors import *\n"
        f"ledger = sluice_ledger.Ledger({path!r})\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try:\n    ledger.begin_roll('itrust', 'v2', 'me', '', [('itrust-1', 1)])\n"
        "    print('begun', flush=True)\n"
        "except RefusedError:\n    print('refused', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) for _ in range(2)]
    for one in both:
        assert one.stdout.readline() == "ready\n"
    for one in both:
        one.stdin.write("go\n")
        one.stdin.flush()
    said = sorted(one.stdout.readline() for one in both)
    for one in both:
        one.communicate("end\n", timeout=30)
    assert said == ["begun\n", "refused\n"]


def test_full_disk_is_told_and_leaves_the_ledger_whole(ledger, path):
    at_version(ledger, "v1")
    release = roll(ledger, "v2")
    code = (
        "import sys, resource, signal; sys.path.insert(0, '_utils'); import sluice_ledger\n"
        "from sluice_errors import LedgerError\n"
        f"ledger = sluice_ledger.Ledger({path!r})\n"
        f"release = ledger.release({release.id})\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))\n"
        "try:\n    ledger.note(release, 'x', 'y' * 200_000)\n"
        "except LedgerError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert "cannot be used" in done.stdout and "the disk" in done.stdout, done.stderr
    ledger.set_host(release, "itrust-2", "verified")
    assert ledger.steps(release) == []
    assert [row.state for row in ledger.hosts(release)] == ["verified", "pending", "pending"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def on_a_full_disk(order):
    """What a process says that may write no file longer than 4096 bytes."""
    code = (
        "import sys, resource, signal; sys.path.insert(0, '_utils')\n"
        "from sluice_ledger import Ledger\nfrom sluice_errors import LedgerError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))\n"
        f"try:\n    {order}\nexcept LedgerError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_copy_that_does_not_fit_on_the_disk_leaves_the_older_ones_and_no_rest(ledger, path):
    good = ledger.backup(keep=1)
    assert "cannot be used: the disk is full" in on_a_full_disk(f"Ledger({path!r}).backup(keep=1)")
    assert [str(one) for one in Path(good).parent.iterdir()] == [good]


def test_migration_that_does_not_fit_on_the_disk_leaves_the_old_ledger(path, tmp_path):
    old(path)
    before = Path(path).read_bytes()
    assert "Check its owner and the disk" in on_a_full_disk(f"Ledger({path!r})")
    assert Path(path).read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["ledger.db"]
    assert Ledger(path).open_release("checkbox").id == 7


def test_processes_that_migrate_at_once_do_it_once(path):
    old(path)
    code = (
        "import sys; sys.path.insert(0, '_utils'); import sluice_ledger\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        f"print(sluice_ledger.Ledger({path!r}).open_release('checkbox').id)\n"
    )
    many = [subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) for _ in range(4)]
    for one in many:
        assert one.stdout.readline() == "ready\n"
    for one in many:
        one.stdin.write("go\n")
        one.stdin.flush()
    assert [one.communicate(timeout=30)[0] for one in many] == ["7\n"] * 4
    assert [one.id for one in Ledger(path).history()] == [7]


def test_delivery_is_taken_once_per_service_until_it_is_forgotten(ledger):
    assert ledger.take_delivery("itrust", "d" * 64, "c" * 40) is None
    assert ledger.take_delivery("itrust", "d" * 64, "c" * 40).endswith("Z")
    assert ledger.take_delivery("checkbox", "d" * 64, "c" * 40) is None
    ledger.forget_delivery("itrust", "d" * 64)
    assert ledger.take_delivery("itrust", "d" * 64, "c" * 40) is None


def test_second_schema_is_migrated_with_all_that_is_in_it(path, ledger, tmp_path):
    at_version(ledger, "v1")
    db = sqlite3.connect(path)
    db.executescript("DROP TABLE deliveries; PRAGMA user_version = 2")
    db.close()
    assert wants(path, "itrust-1") == "v1"
    assert Ledger(path).take_delivery("itrust", "d", "c") is None
    assert len(list(tmp_path.glob("ledger.db.schema-2-*"))) == 1


def test_roll_that_waited_is_the_last_one_though_another_came_between(ledger, path):
    at_version(ledger, "v1")
    waiting = ledger.queue("itrust", "v3", "push", "push 1")
    ledger.finish(ledger.begin_roll("itrust", "v2", "root", "operator root", HOSTS))
    begun = ledger.begin_roll("itrust", "v3", "root", "push 1", HOSTS)
    ledger.set_host(begun, "itrust-2", "updating")
    assert ledger.last_release("itrust", "stable").id == begun.id == waiting.id
    assert (wants(path, "itrust-2"), wants(path, "itrust-3")) == ("v3", "v2")
