"""The ledger on a disk that is truly full: hosts keep their versions, nothing is lost, people are told."""

import os
import sqlite3
import subprocess
from contextlib import closing

import pytest
import sluice_ledger_file
from sluice_errors import LedgerError
from sluice_ledger import Artifact, Ledger, Version, desired, versions

FULL = "the disk is full. Nothing was changed, and hosts keep their versions"
V1 = Version("v1", "http://builds/v1.war", "a" * 64)


@pytest.fixture
def disk(tmp_path):
    """A file system of 512 kB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def path(disk):
    return str(disk / "ledger.db")


@pytest.fixture
def ledger(path):
    """Version v1 of itrust is an artifact and was rolled to itrust-1."""
    ledger = Ledger(path)
    ledger.add_artifact(Artifact("itrust", V1.version, V1.url, V1.sha256))
    ledger.finish(ledger.begin_roll("itrust", "v1", "root", "operator root", [("itrust-1", 1)]))
    return ledger


def fill(disk, left=0):
    """Take all room there is but `left` bytes; undone by removing the file."""
    with open(disk / "fill", "wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(b"x" * 4096)
    os.truncate(disk / "fill", (disk / "fill").stat().st_size - left)
    return disk / "fill"


def test_hosts_keep_their_version_while_the_disk_is_full(ledger, path, disk):
    fill(disk)
    assert os.statvfs(disk).f_bfree == 0
    for _ in range(2):
        assert desired(path, "itrust", "stable", "itrust-1") == V1
        assert versions(path, "itrust") == {"stable": "v1"}


@pytest.mark.parametrize("left", [0, 40_960], ids=["no room for the index", "no room for the rows"])
def test_order_on_a_full_disk_is_told_so_and_can_be_given_again(ledger, disk, left):
    release = ledger.last_release("itrust")
    full = fill(disk, left)
    with pytest.raises(LedgerError, match=FULL):
        ledger.note(release, "soak", "x" * 60_000)
    full.unlink()
    assert ledger.steps(release) == []
    ledger.note(release, "soak", "x" * 60_000)
    assert len(ledger.steps(release)) == 1


def test_roll_that_meets_a_full_disk_goes_on_from_its_rows_when_there_is_room(ledger, path, disk):
    release = ledger.begin_roll("itrust", "v2", "root", "push 1", [("itrust-1", 1), ("itrust-2", 2)])
    ledger.set_host(release, "itrust-1", "verified")
    full = fill(disk)
    with pytest.raises(LedgerError, match=FULL):
        ledger.set_host(release, "itrust-2", "updating")
    assert desired(path, "itrust", "stable", "itrust-1") == Version("v2")
    assert desired(path, "itrust", "stable", "itrust-2") == V1
    full.unlink()
    ledger.take_over(release)
    ledger.set_host(release, "itrust-2", "verified")
    ledger.finish(release)
    assert ledger.last_release("itrust").state == "done"


def test_rows_that_a_killed_writer_left_in_the_log_are_read_on_a_full_disk_or_nothing_is(ledger, path, disk):
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("UPDATE versions SET version = 'v2'")
        writer.commit()
        left = {name: (disk / f"ledger.db{name}").read_bytes() for name in ("", "-wal")}
    os.unlink(path)
    for name, content in left.items():
        (disk / f"ledger.db{name}").write_bytes(content)
    full = fill(disk)
    with pytest.raises(LedgerError, match="the disk is full"):
        versions(path, "itrust")
    full.unlink()
    assert versions(path, "itrust") == {"stable": "v2"}


def test_ledger_that_is_written_while_it_is_read_from_a_full_disk_is_not_believed(
    ledger, path, disk, monkeypatch
):
    fill(disk)
    lies = iter([(1, 4096, 0), (2, 4096, 0)])
    monkeypatch.setattr(sluice_ledger_file, "_as_it_lies", lambda _path: next(lies))
    with pytest.raises(LedgerError, match="the disk is full"):
        versions(path, "itrust")


def test_copy_that_does_not_fit_leaves_nothing_and_no_older_one_goes(ledger, disk):
    for number in range(20):
        ledger.add_artifact(Artifact("itrust", f"v2.{number}", "http://builds/" + "x" * 2000, "b" * 64))
    first = ledger.backup(keep=1)
    kept = {"ledger-20200101T000000.db", first.rpartition("/")[2]}
    (disk / "backups/ledger-20200101T000000.db").write_bytes(b"older")
    fill(disk, 40_960)
    with pytest.raises(LedgerError, match=FULL):
        ledger.backup(keep=1)
    assert {one.name for one in (disk / "backups").iterdir()} == kept


def test_ledger_of_an_older_schema_is_not_migrated_without_room_for_its_copy(ledger, path, disk):
    with closing(sqlite3.connect(path)) as db:
        db.executescript("DROP TABLE deliveries; PRAGMA user_version = 2")
    full = fill(disk, 40_960)
    with pytest.raises(LedgerError, match="the disk is full"):
        versions(path, "itrust")
    assert sorted(one.name for one in disk.iterdir()) == ["fill", "ledger.db"]
    full.unlink()
    assert versions(path, "itrust") == {"stable": "v1"}
    assert len(list(disk.glob("ledger.db.schema-2-*"))) == 1
