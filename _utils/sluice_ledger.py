"""
The ledger: every release that was tried, and the version each track of a service should run.

One small SQLite file on the master. WAL, so that pillar compilation reads while a release writes. A
partial unique index allows one open release per service and track: that row is the lock, and it names the
process that holds it, so a lock left by a dead process is seen as stale and not waited for.

Rolling releases are added in sluice_ledger_rolls, what minions are to run is told in sluice_ledger_versions.
"""

from sluice_errors import RefusedError
from sluice_ledger_rolls import Rolls
from sluice_ledger_rows import Artifact, HostRow, Pin, Release, Version, started
from sluice_ledger_tables import by_id, end, hold, insert, now, open_release, set_version
from sluice_ledger_versions import LATEST_FIRST, desired, latest, versions

__all__ = [
    "Artifact", "HostRow", "Ledger", "Pin", "Release", "Version", "desired", "latest", "refuse_second",
    "started", "versions",
]  # fmt: skip

# SQLite's integers end there.
HIGHEST_ID = 2**63


class Ledger(Rolls):
    """
    The ledger at `path`, made if it is not there yet.

    Raises LedgerError, with the path and what to do, if the file is corrupt, unreadable or too new.
    """

    def open_release(self, service: str, track: str = "canary") -> Release | None:
        """The release of a track of `service` that is running or serving, if any."""
        with self._translated(), self._connect() as db:
            return open_release(db, service, track)

    def last_release(self, service: str, track: str | None = None) -> Release | None:
        """The latest release of `service` that was begun, open or ended; of one track, if it is named."""
        with self._translated(), self._connect() as db:
            row = db.execute(
                "SELECT * FROM releases WHERE service = ? AND (? IS NULL OR track = ?) "
                f"AND state NOT IN ('queued', 'superseded', 'refused') ORDER BY {LATEST_FIRST}",
                (service, track, track),
            ).fetchone()
            return Release(**row) if row else None

    def release(self, id_: object) -> Release:
        """The release with an id; RefusedError if there is none, or if it is no id at all."""
        if isinstance(id_, bool) or not isinstance(id_, int) or not 0 < id_ < HIGHEST_ID:
            raise RefusedError(
                f"{ascii(id_)[:60]} is not the id of a release (want a number); see salt-run release.history"
            )
        with self._translated(), self._connect() as db:
            row = db.execute("SELECT * FROM releases WHERE id = ?", (id_,)).fetchone()
        if row is None:
            raise RefusedError(f"There is no release {id_} in the ledger; see salt-run release.history")
        return Release(**row)

    def history(self, service: str | None = None, limit: int = 20) -> list[Release]:
        """The latest releases, also those that were queued or refused, newest first."""
        with self._translated(), self._connect() as db:
            rows = db.execute(
                "SELECT * FROM releases WHERE ? IS NULL OR service = ? ORDER BY id DESC LIMIT ?",
                (service, service, limit),
            )
            return [Release(**row) for row in rows]

    def steps(self, release: Release) -> list[dict[str, str]]:
        """What was done in `release`, in order: name, at, note."""
        with self._translated(), self._connect() as db:
            query = "SELECT name, at, note FROM steps WHERE release_id = ? ORDER BY rowid"
            return [dict(row) for row in db.execute(query, (release.id,))]

    def begin(self, service: str, version: str, who: str) -> Release:
        """
        Open a canary's release held by this process, or take up again the one that already serves `version`.

        A release whose process died is ended as failed first. RefusedError if another process holds a
        release of this service, or another version serves as its canary.
        """
        with self._transaction() as db:
            current = open_release(db, service, "canary")
            if current:
                refuse_second(current, version)
                if current.state == "serving":
                    hold(db, current.id)
                    return by_id(db, current.id)
                end(db, current, "failed", f"its process (pid {current.pid}) died before the release ended")
            release = insert(db, service, version, who, "canary", "canary", "running")
            set_version(db, service, "canary", version)
            return release

    def note(self, release: Release, name: str, note: str) -> None:
        """Record that a step of `release` was done."""
        with self._transaction() as db:
            db.execute("INSERT INTO steps VALUES (?, ?, ?, ?)", (release.id, name, now(), note))

    def serve(self, release: Release) -> None:
        """The canary has its share: the release serves, and this process is done with it."""
        with self._transaction() as db:
            db.execute(
                "UPDATE releases SET state = 'serving', pid = NULL, pid_started = NULL "
                "WHERE id = ? AND state IN ('running', 'serving')",
                (release.id,),
            )

    def end(self, release: Release, state: str, reason: str) -> None:
        """
        End an open release as `failed`, `aborted` or `stopped`. A canary's track goes back to the version
        before it; hosts of a roll stay at what their rows say.
        """
        with self._transaction() as db:
            current = by_id(db, release.id)
            if current.ended_at is None:
                end(db, current, state, reason)


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
