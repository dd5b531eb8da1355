"""The ledger's tables, row by row, inside a transaction of whoever calls."""

import os
import sqlite3
from datetime import UTC, datetime

from sluice_ledger_rows import Release, started


def open_release(db: sqlite3.Connection, service: str, track: str) -> Release | None:
    """The release of a track that is running or serving."""
    query = "SELECT * FROM releases WHERE service = ? AND track = ? AND state IN ('running', 'serving')"
    row = db.execute(query, (service, track)).fetchone()
    return Release(**row) if row else None


def by_id(db: sqlite3.Connection, release_id: int) -> Release:
    """A release that is known to be there."""
    return Release(**db.execute("SELECT * FROM releases WHERE id = ?", (release_id,)).fetchone())


def insert(
    db: sqlite3.Connection,
    service: str,
    version: str,
    who: str,
    kind: str,
    track: str,
    state: str,
    trigger: str = "",
) -> Release:
    """A new release; one that runs is held by this process."""
    row = db.execute(
        "SELECT version FROM versions WHERE service = ? AND track = ?", (service, track)
    ).fetchone()
    cursor = db.execute(
        'INSERT INTO releases (service, version, previous, state, who, started_at, kind, track, "trigger") '
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (service, version, row["version"] if row else None, state, who, now(), kind, track, trigger),
    )
    id_ = int(cursor.lastrowid or 0)
    if state == "running":
        hold(db, id_)
    return by_id(db, id_)


def hold(db: sqlite3.Connection, release_id: int) -> None:
    """This process works on the release from here on."""
    db.execute(
        "UPDATE releases SET pid = ?, pid_started = ? WHERE id = ?",
        (os.getpid(), started(os.getpid()), release_id),
    )


def end(db: sqlite3.Connection, release: Release, state: str, reason: str) -> None:
    """End a release that did not come to its goal."""
    close(db, release, state, reason)
    if release.kind == "canary":
        set_version(db, release.service, "canary", release.previous)


def close(db: sqlite3.Connection, release: Release, state: str, reason: str) -> None:
    """Write down how a release ended; versions stay as they are."""
    db.execute(
        "UPDATE releases SET state = ?, reason = ?, ended_at = ?, pid = NULL, pid_started = NULL "
        "WHERE id = ?",
        (state, reason, now(), release.id),
    )


def set_version(db: sqlite3.Connection, service: str, track: str, version: str | None) -> None:
    """What a track should run; None: nothing was released to it."""
    db.execute("DELETE FROM versions WHERE service = ? AND track = ?", (service, track))
    if version is not None:
        db.execute("INSERT INTO versions VALUES (?, ?, ?)", (service, track, version))


def now() -> str:
    """The time as the ledger has it: UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
