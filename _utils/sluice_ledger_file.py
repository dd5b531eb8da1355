"""
The ledger's file: made, migrated and backed up; every error of SQLite in a user's words.

A migration is one transaction, after a copy of the file was made beside it.
"""

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from sluice_errors import LedgerError

SCHEMA_VERSION = 3
# Writers hold the file for milliseconds; whoever waits this long waits for something broken.
BUSY_SECONDS = 5.0
# Copies kept of those made by hand or by a timer; those made before a migration are never removed.
KEPT_BACKUPS = 14
# What SQLite says of a full disk: no room for a page, or for the index that readers and writers share.
FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)

_RELEASES = """
CREATE TABLE {name} (
    id INTEGER PRIMARY KEY,
    service TEXT NOT NULL,
    version TEXT NOT NULL,
    previous TEXT,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'serving', 'done', 'failed', 'stopped',
        'aborted', 'superseded', 'refused', 'undone')),
    reason TEXT NOT NULL DEFAULT '',
    who TEXT NOT NULL,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    pid INTEGER,
    pid_started TEXT,
    kind TEXT NOT NULL DEFAULT 'canary' CHECK (kind IN ('canary', 'rolling')),
    track TEXT NOT NULL DEFAULT 'canary' CHECK (track IN ('stable', 'canary')),
    "trigger" TEXT NOT NULL DEFAULT ''
)"""
_SINCE_2 = """
CREATE UNIQUE INDEX one_open_release ON releases (service, track) WHERE state IN ('running', 'serving');
CREATE UNIQUE INDEX one_queued_release ON releases (service) WHERE state = 'queued';
CREATE TABLE hosts (
    release_id INTEGER NOT NULL REFERENCES releases (id),
    host TEXT NOT NULL,
    batch INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'updating', 'verified', 'failed', 'reverted', 'skipped')),
    before TEXT,
    note TEXT NOT NULL DEFAULT '',
    at TEXT NOT NULL,
    PRIMARY KEY (release_id, host)
);
CREATE TABLE artifacts (
    service TEXT NOT NULL,
    version TEXT NOT NULL,
    url TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    built_by TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (service, version)
);
CREATE TABLE pins (
    service TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    who TEXT NOT NULL,
    reason TEXT NOT NULL,
    at TEXT NOT NULL
);
"""
_SINCE_3 = """
CREATE TABLE deliveries (
    service TEXT NOT NULL,
    digest TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (service, digest)
);
"""
_NEW = f"""
{_RELEASES.format(name="releases")};
CREATE TABLE steps (
    release_id INTEGER NOT NULL REFERENCES releases (id),
    name TEXT NOT NULL,
    at TEXT NOT NULL,
    note TEXT NOT NULL
);
CREATE TABLE versions (
    service TEXT NOT NULL,
    track TEXT NOT NULL CHECK (track IN ('stable', 'canary')),
    version TEXT NOT NULL,
    PRIMARY KEY (service, track)
);
{_SINCE_2}{_SINCE_3}"""
# SQLite cannot change a CHECK: the table is made anew, and the index goes with the old one.
_FROM_1 = f"""
{_RELEASES.format(name="releases_2")};
INSERT INTO releases_2
    SELECT id, service, version, previous, state, reason, who, started_at, ended_at, pid, pid_started,
        'canary', 'canary', '' FROM releases;
DROP TABLE releases;
ALTER TABLE releases_2 RENAME TO releases;
{_SINCE_2}{_SINCE_3}"""
# From which schema to what is done to reach SCHEMA_VERSION.
_STEPS = {0: _NEW, 1: _FROM_1, 2: _SINCE_3}


class LedgerFile:
    """
    The file at `path`, made if it is not there yet, and migrated if it is older.

    Raises LedgerError, with the path and what to do, if the file is corrupt, unreadable or too new.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with self._translated():
            if not os.path.exists(path):
                _make(path)
            with self._connect() as db:
                found = schema_version(db, path)
                if found == SCHEMA_VERSION:
                    return
                if found:
                    copy_of(db, f"{path}.schema-{found}-{_stamp()}")
                else:
                    db.execute("PRAGMA journal_mode = WAL")
                _migrate(db, path)

    def backup(self, directory: str | None = None, keep: int = KEPT_BACKUPS) -> str:
        """
        Copy the ledger while it may be in use; the copy's path. Older copies than the last `keep` go.

        directory (str)
            Where to. Default: `backups` beside the ledger.
        """
        place = Path(directory or Path(self.path).with_name("backups"))
        with self._translated(), self._connect() as db:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            target = copy_of(db, str(place / f"ledger-{_stamp()}.db"))
            for old in sorted(place.glob("ledger-*.db"))[:-keep]:
                old.unlink()
        return target

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA foreign_keys = ON")
            yield db
        finally:
            db.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise unusable(self.path, error) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._translated(), self._connect() as db, begun(db):
            yield db


@contextmanager
def begun(db: sqlite3.Connection) -> Iterator[None]:
    """A transaction that writes: all of it or nothing. A full disk has ended it already."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def copy_of(db: sqlite3.Connection, target: str) -> str:
    """Copy a ledger whole to `target`, which is there when the copy is, and sound; its path."""
    fresh = _beside(target)
    try:
        os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT, 0o600))
        with closing(sqlite3.connect(fresh)) as copy:
            db.backup(copy)
            found = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(f"it is damaged ({found})")
        os.replace(fresh, target)
    finally:
        Path(fresh).unlink(missing_ok=True)
    return target


def reading(path: str) -> sqlite3.Connection | None:
    """
    A connection for reading only, to close; None if there is no ledger yet, or an empty one. An older one is
    migrated first.

    Raises sqlite3.Error if it cannot be read, LedgerError if its schema is another one.
    """
    if not os.path.exists(path):
        return None
    db = _read_only(path)
    try:
        found = schema_version(db, path)
    except BaseException:
        db.close()
        raise
    if found == SCHEMA_VERSION:
        return db
    db.close()
    if found:
        LedgerFile(path)
        return reading(path)
    return None


def _read_only(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=BUSY_SECONDS)
    try:
        db.execute("PRAGMA user_version")
    except sqlite3.Error as error:
        db.close()
        if _code(error) != sqlite3.SQLITE_IOERR_SHMSIZE:
            raise
        db = _in_memory(path, error)
    db.row_factory = sqlite3.Row
    return db


def _in_memory(path: str, full: sqlite3.Error) -> sqlite3.Connection:
    """
    A copy of a ledger on a full disk: hosts are to get their versions though nothing can be written.

    The disk has no room for the index that writers and readers share, so nobody writes, unless room was made
    just now: then, or if something waits in the log beside the file, `full` is raised.
    """
    before = _as_it_lies(path)
    copy = sqlite3.connect(":memory:")
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as db:
        db.backup(copy)
    if before[2] or before != _as_it_lies(path):
        copy.close()
        raise full
    return copy


def _as_it_lies(path: str) -> tuple[int, int, int]:
    """When the file was written last, its size, and that of the log beside it."""
    log = Path(f"{path}-wal")
    about = os.stat(path)
    return about.st_mtime_ns, about.st_size, log.stat().st_size if log.exists() else 0


def schema_version(db: sqlite3.Connection, path: str) -> int:
    """The schema of a ledger, 0 for an empty file; LedgerError if this code is older than it."""
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"The ledger {path} has schema {version}, this code knows {SCHEMA_VERSION}: update the master."
        )
    return version


def unusable(path: str, error: Exception) -> LedgerError:
    """What a user is told of an error of SQLite or of the file system."""
    if _code(error) in FULL:
        return LedgerError(
            f"The ledger {path} cannot be used: the disk is full. Nothing was changed, and hosts keep their "
            "versions. Make room where it lies and where its copies go, then give the order again."
        )
    return LedgerError(
        f"The ledger {path} cannot be used: {error}. Nothing was guessed or changed. Check its owner and the "
        "disk; restore it from a backup, or move it away to start with an empty one."
    )


def _code(error: Exception) -> int | None:
    """SQLite's code of an error; the file system's is told in its terms. None if it has none."""
    if isinstance(error, OSError):
        return sqlite3.SQLITE_FULL if error.errno == errno.ENOSPC else None
    return getattr(error, "sqlite_errorcode", None)


def _make(path: str) -> None:
    """A new ledger is there when it is whole: while its journal is set up SQLite lets nobody else wait."""
    fresh = _beside(path)
    try:
        with closing(sqlite3.connect(fresh, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            _migrate(db, path)
        with suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        Path(fresh).unlink(missing_ok=True)


def _beside(path: str) -> str:
    """Where this thread, and no other of this or another process, prepares a file for `path`."""
    return f"{path}.{threading.get_native_id()}.new"


def _migrate(db: sqlite3.Connection, path: str) -> None:
    """To today's schema, unless another process was quicker: user_version changes with the tables."""
    # Steps name their release; while the table is made anew there is none.
    db.execute("PRAGMA foreign_keys = OFF")
    with begun(db):
        found = schema_version(db, path)
        if found != SCHEMA_VERSION:
            for statement in _STEPS[found].strip().rstrip(";").split(";\n"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
