"""
Which version a host is to run, for the external pillar: the file is read, and made by nobody here.

Every function raises LedgerError for a ledger that is there and cannot be read: nothing is guessed.
"""

import sqlite3
from contextlib import closing
from typing import Any

from sluice_ledger_file import reading, unusable
from sluice_ledger_rows import TAKEN, Version

# Rolls that were begun and did not come to their end: their hosts are where their rows say.
HALF_WAY = ("running", "stopped", "failed", "aborted")
# Not by id alone: a roll that waited for its turn may begin after one with a higher id.
LATEST_FIRST = "state = 'running' DESC, started_at DESC, id DESC"


def versions(path: str, service: str) -> dict[str, str]:
    """The version each track of `service` should run; a track without one is left out."""
    rows = _looked_up(path, "SELECT track, version FROM versions WHERE service = ?", service)
    return {str(row["track"]): str(row["version"]) for row in rows}


def latest(path: str, service: str) -> int | None:
    """The id of the latest canary release of `service`, open or ended; None if there was none."""
    rows = _looked_up(
        path, "SELECT max(id) AS id FROM releases WHERE service = ? AND kind = 'canary'", service
    )
    return next((int(row["id"]) for row in rows if row["id"] is not None), None)


def desired(path: str, service: str, track: str, host: str) -> Version | None:
    """
    What `host` is to run: the pinned version; in a roll that has not ended well what its row says, that is
    the new version from its turn on and the one before until then; else the version of the track.
    """
    try:
        db = reading(path)
        if db is None:
            return None
        with closing(db):
            version = wanted(db, service, track, host)
            return None if version is None else _with_artifact(db, service, version)
    except sqlite3.Error as error:
        raise unusable(path, error) from error


def wanted(db: sqlite3.Connection, service: str, track: str, host: str) -> str | None:
    """The version that `desired` tells of."""
    if track == "stable":
        row = db.execute("SELECT version FROM pins WHERE service = ?", (service,)).fetchone()
        row = row or _in_a_roll(db, service, host)
        if row:
            return None if row["version"] is None else str(row["version"])
    row = db.execute(
        "SELECT version FROM versions WHERE service = ? AND track = ?", (service, track)
    ).fetchone()
    return str(row["version"]) if row else None


def last_roll(db: sqlite3.Connection, service: str) -> Any:
    """The row of the latest roll that was begun, or None."""
    return db.execute(
        "SELECT * FROM releases WHERE service = ? AND kind = 'rolling' "
        f"AND state NOT IN ('queued', 'superseded', 'refused') ORDER BY {LATEST_FIRST}",
        (service,),
    ).fetchone()


def _in_a_roll(db: sqlite3.Connection, service: str, host: str) -> Any:
    """What the latest roll says of a host; None if that has ended well, or does not know the host."""
    last = last_roll(db, service)
    if last is None or last["state"] not in HALF_WAY:
        return None
    taken = ", ".join(f"'{state}'" for state in TAKEN)
    return db.execute(
        f"SELECT CASE WHEN state IN ({taken}) THEN ? ELSE before END AS version "
        "FROM hosts WHERE release_id = ? AND host = ?",
        (last["version"], last["id"], host),
    ).fetchone()


def _with_artifact(db: sqlite3.Connection, service: str, version: str) -> Version:
    row = db.execute(
        "SELECT url, sha256 FROM artifacts WHERE service = ? AND version = ?", (service, version)
    ).fetchone()
    return Version(version, row["url"], row["sha256"]) if row else Version(version)


def _looked_up(path: str, query: str, service: str) -> list[Any]:
    """The rows of a query about a service; none if there is no ledger yet."""
    try:
        db = reading(path)
        if db is None:
            return []
        with closing(db):
            return db.execute(query, (service,)).fetchall()
    except sqlite3.Error as error:
        raise unusable(path, error) from error
