"""
The ledger: every release that was tried, and the version each track of a service should run.

One small SQLite file on the master. WAL, so that pillar compilation reads while a release writes. A
partial unique index allows one open release per service: that row is the lock, and it names the process
that holds it, so a lock left by a dead process is seen as stale and not waited for.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sluice_errors import LedgerError, RefusedError

SCHEMA_VERSION = 1
# Writers hold the file for milliseconds; whoever waits this long waits for something broken.
BUSY_SECONDS = 5.0

_SCHEMA = """
CREATE TABLE releases (
    id INTEGER PRIMARY KEY,
    service TEXT NOT NULL,
    version TEXT NOT NULL,
    previous TEXT,
    state TEXT NOT NULL CHECK (state IN ('running', 'serving', 'failed', 'aborted')),
    reason TEXT NOT NULL DEFAULT '',
    who TEXT NOT NULL,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    pid INTEGER,
    pid_started TEXT
);
CREATE UNIQUE INDEX one_open_release ON releases (service) WHERE state IN ('running', 'serving');
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
"""


@dataclass(frozen=True)
class Release:
    """One row of `releases`."""

    id: int
    service: str
    version: str
    previous: str | None
    state: str
    reason: str
    who: str
    started_at: str
    ended_at: str | None
    pid: int | None
    pid_started: str | None

    @property
    def held_elsewhere(self) -> bool:
        """True if a living process other than this one is working on the release."""
        return self.pid not in (None, os.getpid()) and started(self.pid) == self.pid_started is not None

    @property
    def held_here(self) -> bool:
        """True if this very process is working on the release."""
        return self.pid == os.getpid() and started(self.pid) == self.pid_started


def started(pid: int | None) -> str | None:
    """When process `pid` started, in clock ticks since boot (proc(5), field 22); None if it is gone."""
    try:
        # The second field is the name in parentheses and may hold anything: count after the last one.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


class Ledger:
    """
    The ledger at `path`, made if it is not there yet.

    Raises LedgerError, with the path and what to do, if the file is corrupt, unreadable or too new.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with self._translated(), self._connect() as db:
            version = _schema_version(db, path)
            if version == 0:
                db.execute("PRAGMA journal_mode = WAL")
                _make(db)

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
            raise _unusable(self.path, error) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._translated(), self._connect() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def open_release(self, service: str) -> Release | None:
        """The release of `service` that is running or serving, if any."""
        with self._translated(), self._connect() as db:
            return _open_release(db, service)

    def last_release(self, service: str) -> Release | None:
        """The latest release of `service`, open or ended."""
        with self._translated(), self._connect() as db:
            query = "SELECT * FROM releases WHERE service = ? ORDER BY id DESC"
            row = db.execute(query, (service,)).fetchone()
            return Release(**row) if row else None

    def steps(self, release: Release) -> list[dict[str, str]]:
        """What was done in `release`, in order: name, at, note."""
        with self._translated(), self._connect() as db:
            query = "SELECT name, at, note FROM steps WHERE release_id = ? ORDER BY rowid"
            return [dict(row) for row in db.execute(query, (release.id,))]

    def begin(self, service: str, version: str, who: str) -> Release:
        """
        Open a release held by this process, or take up again the one that already serves `version`.

        A release whose process died is ended as failed first. RefusedError if another process holds a
        release of this service, or another version serves as its canary.
        """
        with self._transaction() as db:
            current = _open_release(db, service)
            if current:
                refuse_second(current, version)
                if current.state == "serving":
                    db.execute(
                        "UPDATE releases SET pid = ?, pid_started = ? WHERE id = ?",
                        (os.getpid(), started(os.getpid()), current.id),
                    )
                    return _by_id(db, current.id)
                _end(db, current, "failed", f"its process (pid {current.pid}) died before the release ended")
            return _insert(db, service, version, who)

    def note(self, release: Release, name: str, note: str) -> None:
        """Record that a step of `release` was done."""
        with self._transaction() as db:
            db.execute("INSERT INTO steps VALUES (?, ?, ?, ?)", (release.id, name, _now(), note))

    def serve(self, release: Release) -> None:
        """The canary has its share: the release serves, and this process is done with it."""
        with self._transaction() as db:
            db.execute(
                "UPDATE releases SET state = 'serving', pid = NULL, pid_started = NULL "
                "WHERE id = ? AND state IN ('running', 'serving')",
                (release.id,),
            )

    def end(self, release: Release, state: str, reason: str) -> None:
        """End an open release as `failed` or `aborted`; its track goes back to the version before it."""
        with self._transaction() as db:
            current = _by_id(db, release.id)
            if current.ended_at is None:
                _end(db, current, state, reason)


def versions(path: str, service: str) -> dict[str, str]:
    """
    The version each track of `service` should run; a track without one is left out.

    Opens the file for reading only and makes nothing: a ledger that is not there has released nothing.
    LedgerError if it is there and cannot be read.
    """
    rows = _looked_up(path, "SELECT track, version FROM versions WHERE service = ?", service)
    return {str(track): str(version) for track, version in rows}


def latest(path: str, service: str) -> int | None:
    """
    The id of the latest release of `service`, open or ended; None if there was none.

    As `versions` does, it makes nothing, and raises LedgerError for a ledger that cannot be read.
    """
    rows = _looked_up(path, "SELECT max(id) FROM releases WHERE service = ?", service)
    return next((int(id_) for (id_,) in rows if id_ is not None), None)


def _looked_up(path: str, query: str, service: str) -> list[tuple[Any, ...]]:
    """The rows of a query about a service; none if there is no ledger yet."""
    if not os.path.exists(path):
        return []
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=BUSY_SECONDS)
        try:
            return db.execute(query, (service,)).fetchall() if _schema_version(db, path) else []
        finally:
            db.close()
    except sqlite3.Error as error:
        raise _unusable(path, error) from error


def refuse_second(current: Release, version: str) -> None:
    """RefusedError if the open release `current` forbids starting `version` now."""
    if current.held_elsewhere:
        raise RefusedError(
            f"{current.service}: release {current.id} of {current.version} is under way (pid {current.pid}, "
            f"{current.who}, since {current.started_at}). Wait for it, or end it with "
            f"'salt-run release.abort {current.service}'."
        )
    if current.state == "serving" and current.version != version:
        raise RefusedError(
            f"{current.service}: {current.version} already serves as the canary since {current.started_at}; "
            f"two canaries at once are not possible. End it first with "
            f"'salt-run release.abort {current.service}'."
        )


def _unusable(path: str, error: Exception) -> LedgerError:
    return LedgerError(
        f"The ledger {path} cannot be used: {error}. Nothing was guessed or changed. Check its owner and the "
        "disk; restore it from a backup, or move it away to start with an empty one."
    )


def _make(db: sqlite3.Connection) -> None:
    """Make the tables, unless another process was quicker: user_version changes with them or not at all."""
    db.execute("BEGIN IMMEDIATE")
    if db.execute("PRAGMA user_version").fetchone()[0] == 0:
        for statement in _SCHEMA.strip().rstrip(";").split(";\n"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    db.execute("COMMIT")


def _schema_version(db: sqlite3.Connection, path: str) -> int:
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"The ledger {path} has schema {version}, this code knows {SCHEMA_VERSION}: update the master."
        )
    return version


def _open_release(db: sqlite3.Connection, service: str) -> Release | None:
    query = "SELECT * FROM releases WHERE service = ? AND state IN ('running', 'serving')"
    row = db.execute(query, (service,)).fetchone()
    return Release(**row) if row else None


def _by_id(db: sqlite3.Connection, release_id: int) -> Release:
    return Release(**db.execute("SELECT * FROM releases WHERE id = ?", (release_id,)).fetchone())


def _insert(db: sqlite3.Connection, service: str, version: str, who: str) -> Release:
    row = db.execute(
        "SELECT version FROM versions WHERE service = ? AND track = 'canary'", (service,)
    ).fetchone()
    cursor = db.execute(
        "INSERT INTO releases (service, version, previous, state, who, started_at, pid, pid_started) "
        "VALUES (?, ?, ?, 'running', ?, ?, ?, ?)",
        (service, version, row["version"] if row else None, who, _now(), os.getpid(), started(os.getpid())),
    )
    _set_version(db, service, version)
    return _by_id(db, int(cursor.lastrowid or 0))


def _end(db: sqlite3.Connection, release: Release, state: str, reason: str) -> None:
    db.execute(
        "UPDATE releases SET state = ?, reason = ?, ended_at = ?, pid = NULL, pid_started = NULL "
        "WHERE id = ?",
        (state, reason, _now(), release.id),
    )
    _set_version(db, release.service, release.previous)


def _set_version(db: sqlite3.Connection, service: str, version: str | None) -> None:
    db.execute("DELETE FROM versions WHERE service = ? AND track = 'canary'", (service,))
    if version is not None:
        db.execute("INSERT INTO versions VALUES (?, 'canary', ?)", (service, version))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
