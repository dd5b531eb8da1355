"""Several at the ledger at once: makers, writers, and writers that are killed."""

import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
import sluice_ledger_file
from sluice_ledger import Ledger, versions

ABOUT = """
import sys; sys.path.insert(0, '_utils'); import sluice_ledger
ledger = sluice_ledger.Ledger({path!r})
"""
WRITER = """
release = ledger.release({id_})
print('ready', flush=True); sys.stdin.readline()
for number in range(100):
    ledger.note(release, {name!r}, str(number))
"""
ROLLER = """
number = ledger.release({id_}).id
while True:
    number += 1
    release = ledger.begin_roll('itrust', f'v{{number}}', 'me', '', [('itrust-1', 1)])
    ledger.set_host(release, 'itrust-1', 'verified')
    ledger.finish(release)
    print('done', flush=True)
"""


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "ledger.db")


@pytest.fixture
def release(path):
    """The first roll, to v1, done."""
    ledger = Ledger(path)
    release = ledger.begin_roll("itrust", "v1", "me", "", [("itrust-1", 1)])
    ledger.finish(release)
    return release


@pytest.fixture
def process(path):
    """process(code, **words): another process at the same ledger; ended by the end."""
    begun = []

    def begin(code, **words):
        code = (ABOUT + code).format(path=path, **words)
        begun.append(
            subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, stderr=-1, text=True)
        )
        return begun[-1]

    yield begin
    for one in begun:
        one.kill()
        one.communicate(timeout=30)


def test_ledger_is_seen_whole_or_not_at_all_and_the_first_maker_wins(path, monkeypatch):
    migrate = sluice_ledger_file._migrate

    def slowly(db, name):
        monkeypatch.setattr(sluice_ledger_file, "_migrate", migrate)
        assert not Path(path).exists()
        quicker = threading.Thread(
            target=lambda: Ledger(path).begin_roll("itrust", "v1", "me", "", [("itrust-1", 1)])
        )
        quicker.start()
        quicker.join(30)
        migrate(db, name)

    monkeypatch.setattr(sluice_ledger_file, "_migrate", slowly)
    assert [one.version for one in Ledger(path).history()] == ["v1"]
    assert [one.name for one in Path(path).parent.iterdir()] == ["ledger.db"]


@pytest.mark.parametrize("there", [False, True], ids=["new", "an empty file"])
def test_readers_and_a_writer_do_not_wait_for_each_other(path, there):
    if there:
        Path(path).touch()
    Ledger(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_two_processes_that_write_at_once_lose_no_row(path, release, process):
    both = [process(WRITER, id_=release.id, name=name) for name in ("one", "other")]
    for one in both:
        assert one.stdout.readline() == "ready\n"
    for one in both:
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in both:
        assert one.wait(60) == 0, one.stderr.read()
    noted = [(step["name"], step["note"]) for step in Ledger(path).steps(release)]
    assert [note for name, note in noted if name == "one"] == [str(number) for number in range(100)]
    assert [note for name, note in noted if name == "other"] == [str(number) for number in range(100)]


def test_killed_writer_leaves_whole_rows_and_a_roll_that_another_can_end(path, release, process):
    for _ in range(3):
        last = Ledger(path).last_release("itrust")
        writer = process(ROLLER, id_=last.id)
        for _ in range(3):
            assert writer.stdout.readline() == "done\n", writer.stderr.read()
        writer.send_signal(signal.SIGKILL)
        assert writer.wait(30) == -signal.SIGKILL
        ledger = Ledger(path)
        done = next(one for one in ledger.history() if one.state == "done")
        assert versions(path, "itrust") == {"stable": done.version}
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        open_ = ledger.open_release("itrust", "stable")
        if open_:
            assert not open_.held_elsewhere
            ledger.take_over(open_)
            ledger.finish(open_)
        assert ledger.open_release("itrust", "stable") is None
