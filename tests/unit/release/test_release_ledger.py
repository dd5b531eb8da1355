"""The ledger: one open release per service, locks that do not outlive their process, no guessing."""

import os
import sqlite3
import subprocess
import sys
import threading

import pytest
import sluice_ledger
from sluice_errors import LedgerError, RefusedError


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "ledger.db")


@pytest.fixture
def ledger(path):
    return sluice_ledger.Ledger(path)


def edit(path, statement):
    with sqlite3.connect(path) as db:
        db.execute(statement)
    db.close()


def test_release_gives_the_canary_its_version(ledger, path):
    release = ledger.begin("checkbox", "v2", "me")
    assert (release.state, release.held_here, release.previous) == ("running", True, None)
    assert sluice_ledger.versions(path, "checkbox") == {"canary": "v2"}
    assert sluice_ledger.versions(path, "itrust") == {}


@pytest.mark.parametrize("state", ["failed", "aborted"])
def test_ended_release_takes_the_version_away_again(ledger, path, state):
    release = ledger.begin("checkbox", "v2", "me")
    ledger.end(release, state, "because")
    assert sluice_ledger.versions(path, "checkbox") == {}
    last = ledger.last_release("checkbox")
    assert (last.state, last.reason, last.pid) == (state, "because", None)
    assert last.ended_at


def test_ending_twice_keeps_the_first_reason(ledger):
    release = ledger.begin("checkbox", "v2", "me")
    ledger.end(release, "aborted", "first")
    ledger.end(release, "failed", "second")
    assert ledger.last_release("checkbox").reason == "first"


def test_aborted_release_cannot_serve(ledger):
    release = ledger.begin("checkbox", "v2", "me")
    ledger.end(release, "aborted", "stop")
    ledger.serve(release)
    assert ledger.last_release("checkbox").state == "aborted"


def test_serving_version_is_taken_up_again(ledger):
    release = ledger.begin("checkbox", "v2", "me")
    ledger.serve(release)
    again = ledger.begin("checkbox", "v2", "me")
    assert (again.id, again.state, again.held_here) == (release.id, "serving", True)


def test_other_version_is_refused_while_one_serves(ledger):
    ledger.serve(ledger.begin("checkbox", "v2", "me"))
    with pytest.raises(RefusedError, match="v2 already serves.*release.abort checkbox"):
        ledger.begin("checkbox", "v3", "me")


def test_release_held_by_a_living_process_blocks(ledger, path):
    ledger.begin("checkbox", "v2", "parent")
    edit(
        path,
        f"UPDATE releases SET pid = {os.getppid()}, pid_started = '{sluice_ledger.started(os.getppid())}'",
    )
    for version in ("v2", "v3"):
        with pytest.raises(RefusedError, match="is under way"):
            ledger.begin("checkbox", version, "me")


@pytest.mark.parametrize("change", ["pid_started = '1'", "pid = 4194999"])
def test_release_of_a_dead_process_does_not_block(ledger, path, change):
    first = ledger.begin("checkbox", "v2", "me")
    edit(path, f"UPDATE releases SET {change}")
    second = ledger.begin("checkbox", "v3", "me")
    assert second.id == first.id + 1
    assert (second.previous, sluice_ledger.versions(path, "checkbox")) == (None, {"canary": "v3"})


def test_services_do_not_block_each_other(ledger):
    ledger.begin("checkbox", "v2", "me")
    assert ledger.begin("itrust", "v2", "me").state == "running"


def test_only_one_of_many_processes_gets_the_release(path):
    code = (
        "import sys, time; sys.path.insert(0, '_utils'); import sluice_ledger; from sluice_errors import *\n"
        f"ledger = sluice_ledger.Ledger({path!r})\n"
        "try: ledger.begin('checkbox', 'v2', 'me'); print('got it', flush=True)\n"
        "except RefusedError: print('refused', flush=True)\n"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", code]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(6)
    ]
    said = sorted(process.stdout.readline().strip() for process in started)
    for process in started:
        process.communicate("", timeout=10)
    assert said == ["got it"] + ["refused"] * 5


def test_steps_are_kept_in_order(ledger):
    release = ledger.begin("checkbox", "v2", "me")
    for name in ("start", "drain"):
        ledger.note(release, name, "done")
    assert [step["name"] for step in ledger.steps(release)] == ["start", "drain"]


def test_ledger_that_is_not_there_has_released_nothing(path):
    assert sluice_ledger.versions(path, "checkbox") == {}
    assert not os.path.exists(path)


@pytest.mark.parametrize(
    "content", [b"no database at all, and long enough to look like one" * 50, b"SQLite format 3\0"]
)
def test_corrupt_ledger_is_an_error_that_names_it(path, content):
    with open(path, "wb") as file:
        file.write(content)
    with pytest.raises(LedgerError, match="ledger.db cannot be used"):
        sluice_ledger.versions(path, "checkbox")
    with pytest.raises(LedgerError, match="ledger.db cannot be used"):
        sluice_ledger.Ledger(path)


def test_ledger_without_its_tables_is_an_error(ledger, path):
    edit(path, "DROP TABLE versions")
    with pytest.raises(LedgerError, match="no such table"):
        sluice_ledger.versions(path, "checkbox")


def test_newer_ledger_is_an_error(ledger, path):
    edit(path, "PRAGMA user_version = 99")
    with pytest.raises(LedgerError, match="update the master"):
        sluice_ledger.Ledger(path)
    with pytest.raises(LedgerError, match="update the master"):
        sluice_ledger.versions(path, "checkbox")


def test_reading_does_not_wait_for_a_writer(ledger, path):
    ledger.serve(ledger.begin("checkbox", "v2", "me"))
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM versions")
    found = []
    reader = threading.Thread(target=lambda: found.append(sluice_ledger.versions(path, "checkbox")))
    reader.start()
    reader.join(2)
    writer.execute("ROLLBACK")
    writer.close()
    assert found == [{"canary": "v2"}]


def test_start_time_of_a_process_is_known_and_of_none_is_not():
    assert sluice_ledger.started(os.getpid()).isdigit()
    assert sluice_ledger.started(4194999) is None
    assert sluice_ledger.started(None) is None
