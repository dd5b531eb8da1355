"""Rolling releases in the ledger: artifacts, the queue, the hosts of a roll, pins and promotions."""

import sqlite3
from collections.abc import Sequence
from dataclasses import astuple, replace

from sluice_errors import RefusedError
from sluice_ledger_file import LedgerFile
from sluice_ledger_rows import Artifact, HostRow, Pin, Release
from sluice_ledger_tables import by_id, close, hold, insert, now, open_release, set_version
from sluice_ledger_versions import HALF_WAY, last_roll, wanted


class Rolls(LedgerFile):
    """What the ledger does for rolls of the track `stable`."""

    def add_artifact(self, artifact: Artifact) -> Artifact:
        """
        Write down what was built, once. RefusedError if the version is there with another hash: a version
        never changes.
        """
        with self._transaction() as db:
            known = _artifact(db, artifact.service, artifact.version)
            if known and known.sha256 != artifact.sha256:
                raise RefusedError(
                    f"{artifact.service} {artifact.version} is in the ledger with sha256 "
                    f"{known.sha256[:12]}…, the new one has {artifact.sha256[:12]}…: a version never "
                    "changes. Build another commit."
                )
            if known:
                return known
            new = replace(artifact, at=artifact.at or now())
            db.execute("INSERT INTO artifacts VALUES (?, ?, ?, ?, ?, ?, ?)", astuple(new))
            return new

    def artifact(self, service: str, version: str) -> Artifact | None:
        """What was built as `version`, or None."""
        with self._translated(), self._connect() as db:
            return _artifact(db, service, version)

    def artifacts(self, service: str) -> list[Artifact]:
        """All that was built for a service, oldest first."""
        with self._translated(), self._connect() as db:
            rows = db.execute("SELECT * FROM artifacts WHERE service = ? ORDER BY rowid", (service,))
            return [Artifact(**row) for row in rows]

    def queue(self, service: str, version: str, who: str, trigger: str) -> Release:
        """
        Let a roll wait until none is under way; the same version waits once, an older one gives way and is
        `superseded`.
        """
        with self._transaction() as db:
            waiting = _queued(db, service)
            if waiting and waiting.version == version:
                return waiting
            if waiting:
                close(db, waiting, "superseded", f"{version} came before its turn")
            return insert(db, service, version, who, "rolling", "stable", "queued", trigger)

    def queued(self, service: str) -> Release | None:
        """The roll that waits for its turn, or None."""
        with self._translated(), self._connect() as db:
            return _queued(db, service)

    def refuse(self, service: str, version: str, who: str, trigger: str, reason: str) -> Release:
        """Write down that nothing was rolled, and why."""
        with self._transaction() as db:
            release = insert(db, service, version, who, "rolling", "stable", "refused", trigger)
            close(db, release, "refused", reason)
            return by_id(db, release.id)

    def take_delivery(self, service: str, digest: str, commit: str) -> str | None:
        """Remember a push webhook; None if it is the first with this digest, else when that came."""
        with self._transaction() as db:
            row = db.execute(
                "SELECT at FROM deliveries WHERE service = ? AND digest = ?", (service, digest)
            ).fetchone()
            if row:
                return str(row["at"])
            db.execute("INSERT INTO deliveries VALUES (?, ?, ?, ?)", (service, digest, commit, now()))
            return None

    def forget_delivery(self, service: str, digest: str) -> None:
        """A push webhook started nothing: it may come again."""
        with self._transaction() as db:
            db.execute("DELETE FROM deliveries WHERE service = ? AND digest = ?", (service, digest))

    def begin_roll(
        self, service: str, version: str, who: str, trigger: str, hosts: Sequence[tuple[str, int]]
    ) -> Release:
        """
        Open a roll held by this process, with its hosts pending; the queued one of this version becomes it.

        hosts
            Host id and batch (from 1), in the order of their turns.

        RefusedError if a roll is open, also one whose process died: that is to be resumed or ended; and for
        a service that is pinned to another version.
        """
        with self._transaction() as db:
            _refuse_roll(db, service, version)
            before = {host: wanted(db, service, "stable", host) for host, _ in hosts}
            release = _started(db, service, version, who, trigger)
            db.executemany(
                "INSERT INTO hosts VALUES (?, ?, ?, 'pending', ?, '', ?)",
                [(release.id, host, batch, before[host], now()) for host, batch in hosts],
            )
            return release

    def refuse_roll(self, service: str, version: str) -> None:
        """RefusedError if `begin_roll` would refuse now."""
        with self._translated(), self._connect() as db:
            _refuse_roll(db, service, version)

    def take_over(self, release: Release) -> Release:
        """
        This process works on a roll from here on: one whose process is gone, or the latest, if it stopped.

        RefusedError if a living process holds it, if it has come to its end, or another is open.
        """
        with self._transaction() as db:
            current = by_id(db, release.id)
            if current.held_elsewhere:
                raise RefusedError(why_held(current))
            other = open_release(db, current.service, "stable")
            if current.state not in HALF_WAY or (other and other.id != current.id):
                raise RefusedError(
                    f"{current.service}: release {current.id} is {current.state}"
                    + (f", and release {other.id} is open" if other and other.id != current.id else "")
                    + ": it cannot be gone on with."
                )
            db.execute(
                "UPDATE releases SET state = 'running', reason = '', ended_at = NULL WHERE id = ?",
                (current.id,),
            )
            hold(db, current.id)
            return by_id(db, current.id)

    def set_host(self, release: Release, host: str, state: str, note: str = "") -> None:
        """Write down what a host of a roll is now: one of HOST_STATES."""
        with self._transaction() as db:
            db.execute(
                "UPDATE hosts SET state = ?, note = ?, at = ? WHERE release_id = ? AND host = ?",
                (state, note, now(), release.id, host),
            )

    def hosts(self, release: Release) -> list[HostRow]:
        """The hosts of a roll in the order of their turns."""
        with self._translated(), self._connect() as db:
            rows = db.execute(
                "SELECT host, batch, state, before, note, at FROM hosts WHERE release_id = ? ORDER BY rowid",
                (release.id,),
            )
            return [HostRow(**row) for row in rows]

    def finish(self, release: Release) -> None:
        """A roll came to its goal: its version is what stable is to run."""
        with self._transaction() as db:
            close(db, release, "done", "")
            set_version(db, release.service, "stable", release.version)

    def undone(self, release: Release, reason: str) -> None:
        """A roll that had ended was taken back by another one."""
        with self._transaction() as db:
            db.execute("UPDATE releases SET state = 'undone', reason = ? WHERE id = ?", (reason, release.id))

    def pin(self, service: str, version: str, who: str, reason: str = "") -> Pin:
        """
        Keep a service at a version, until `unpin`: its hosts are to run it from their next state run on.

        RefusedError while a roll is open. One that was stopped half-way is `undone`: nobody resumes it.
        """
        pin = Pin(service, version, who, reason, now())
        with self._transaction() as db:
            _settle(db, service, version, f"pinned to {version} by {who}")
            db.execute("INSERT OR REPLACE INTO pins VALUES (?, ?, ?, ?, ?)", astuple(pin))
        return pin

    def unpin(self, service: str) -> Pin | None:
        """Let rolls move a service again; the pin there was. Its version stays until one does."""
        with self._transaction() as db:
            found = _pinned(db, service)
            db.execute("DELETE FROM pins WHERE service = ?", (service,))
            return found

    def pinned(self, service: str) -> Pin | None:
        """The pin of a service, or None."""
        with self._translated(), self._connect() as db:
            return _pinned(db, service)

    def promote(self, service: str, who: str) -> Release:
        """
        The canary that serves becomes what stable is to run; its release is done.

        RefusedError if no canary serves, a roll is open, or the service is pinned to another version. A roll
        that was stopped half-way is `undone`.
        """
        with self._transaction() as db:
            current = open_release(db, service, "canary")
            if current is None or current.state != "serving":
                state = f"release {current.id} is {current.state}" if current else "no release is open"
                raise RefusedError(f"{service}: no canary serves that could be promoted ({state}).")
            pin = _pinned(db, service)
            if pin:
                pin.refuse(current.version)
            _settle(db, service, current.version, f"{current.version} promoted by {who}")
            close(db, current, "done", f"promoted to stable by {who}")
            return by_id(db, current.id)


def _artifact(db: sqlite3.Connection, service: str, version: str) -> Artifact | None:
    row = db.execute(
        "SELECT * FROM artifacts WHERE service = ? AND version = ?", (service, version)
    ).fetchone()
    return Artifact(**row) if row else None


def _queued(db: sqlite3.Connection, service: str) -> Release | None:
    row = db.execute("SELECT * FROM releases WHERE service = ? AND state = 'queued'", (service,)).fetchone()
    return Release(**row) if row else None


def _pinned(db: sqlite3.Connection, service: str) -> Pin | None:
    row = db.execute("SELECT * FROM pins WHERE service = ?", (service,)).fetchone()
    return Pin(**row) if row else None


def _refuse_roll(db: sqlite3.Connection, service: str, version: str) -> None:
    current = open_release(db, service, "stable")
    if current:
        raise RefusedError(why_held(current))
    pin = _pinned(db, service)
    if pin:
        pin.refuse(version)


def _settle(db: sqlite3.Connection, service: str, version: str, why: str) -> None:
    """Stable is to run `version` on every host, whatever a roll that was stopped half-way said of some."""
    current = open_release(db, service, "stable")
    if current:
        raise RefusedError(why_held(current))
    row = last_roll(db, service)
    if row and row["state"] in HALF_WAY:
        reason = f"{row['state']}: {row['reason']}; then {why}"
        db.execute("UPDATE releases SET state = 'undone', reason = ? WHERE id = ?", (reason, row["id"]))
    set_version(db, service, "stable", version)


def why_held(current: Release) -> str:
    """For an open release: why nothing else may be done now, and what may."""
    about = f"{current.service}: release {current.id} of {current.version}"
    if current.held_elsewhere or current.held_here:
        return (
            f"{about} is under way (pid {current.pid}, {current.who}, since {current.started_at}). Wait for "
            f"it, or stop it with 'salt-run release.abort {current.service}'."
        )
    return (
        f"{about} was interrupted: its process (pid {current.pid}) is gone. Go on with 'salt-run "
        f"release.resume {current.service}', or back with 'salt-run release.undo {current.service}'."
    )


def _started(db: sqlite3.Connection, service: str, version: str, who: str, trigger: str) -> Release:
    """The queued release of this version, if it waits, or a new one; held by this process."""
    waiting = _queued(db, service)
    if waiting is None or waiting.version != version:
        return insert(db, service, version, who, "rolling", "stable", "running", trigger)
    db.execute(
        "UPDATE releases SET state = 'running', started_at = ?, "
        "previous = (SELECT version FROM versions WHERE service = ? AND track = 'stable') WHERE id = ?",
        (now(), service, waiting.id),
    )
    hold(db, waiting.id)
    return by_id(db, waiting.id)
