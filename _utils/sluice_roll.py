"""
A roll: one host after the other, batch by batch, until all run the version or something says stop.

The ledger is written before a host is touched and after it was looked at, so whoever comes next, after this
process has died, knows of each host what it was to run and looks what it runs.
"""

import contextlib
import time
from collections.abc import Mapping
from itertools import groupby
from typing import Any

import sluice_balancers
import sluice_ready
import sluice_roll_plan
from sluice_errors import ReleaseError
from sluice_ledger import HostRow, Release
from sluice_roll_hosts import TRACK, Hosts
from sluice_service import ServiceView

# The trigger of a roll that takes another one back.
UNDO = "undo of "
# What an operator's abort leaves in the steps of a roll that another process holds.
ABORT = "abort"
OPEN_STATES = ("pending", "updating")
SOAK_POLL_SECONDS = 1.0
Statuses = Mapping[str, Any]


class RollStopped(ReleaseError):
    """The roll may not go on. `state` is how it stands in the ledger."""

    def __init__(self, why: str, state: str = "stopped") -> None:
        super().__init__(why)
        self.state = state


class Roll:
    """One roll of one service, as this process walks it."""

    def __init__(self, view: ServiceView, release: Release) -> None:
        self.view, self.release = view, release
        self.ledger, self.fleet = view.ledger, view.fleet
        self.settings = view.service.roll
        self.hosts = Hosts(view)
        self.took: list[float] = []

    def walk(self) -> str:
        """Update every host that is left. ReleaseError, with the roll ended, if it has to stop."""
        self.tell("started", state="running")
        try:
            batches = self._left()
            for number, batch in enumerate(batches):
                self._batch(batch)
                if number + 1 < len(batches):
                    self._soak()
        except ReleaseError as error:
            raise self._stop(error) from error
        return self.told()

    def finish(self) -> str:
        """From here on every host is to run the version; ReleaseError if the turn of one has not come."""
        if self._left():
            raise ReleaseError(f"{self.told()}. It is not at its end.")
        self.ledger.finish(self.release)
        if self.release.trigger.startswith(UNDO):
            undone = self.ledger.release(int(self.release.trigger.removeprefix(UNDO)))
            self.ledger.undone(undone, f"undone by release {self.release.id}")
        self.tell("done", state="done")
        return self.told()

    def told(self, reasons: bool = True) -> str:
        """How far it is, in a line; with the reasons of hosts that failed, or without."""
        rows = self.ledger.hosts(self.release)
        verified = sum(row.state == "verified" for row in rows)
        others = [
            f"{row.host} {row.state}{f': {row.note}' if reasons and row.note else ''}"
            for row in rows
            if row.state not in ("verified", "pending")
        ]
        left = sum(row.state == "pending" for row in rows)
        parts = [f"{verified} of {len(rows)} hosts verified", *others, f"{left} not begun" if left else ""]
        about = f"roll {self.release.id} of {self.view.name} {self.release.version}"
        return f"{about}: {'; '.join(filter(None, parts))}"

    def tell(self, what: str, **data: object) -> None:
        """An event about it."""
        rows = self.ledger.hosts(self.release)
        left = self._left(rows)
        told = {
            "release": self.release.id,
            "service": self.view.name,
            "version": self.release.version,
            "done": sum(row.state not in OPEN_STATES for row in rows),
            "total": len(rows),
            "eta_seconds": sluice_roll_plan.eta_seconds(self.took, [len(one) for one in left], self.settings),
        }
        self.fleet.fire(f"release/{self.view.name}/roll/{what}", told | data)

    def _left(self, rows: list[HostRow] | None = None) -> list[list[str]]:
        """The hosts that are not done yet, by batch."""
        rows = self.ledger.hosts(self.release) if rows is None else rows
        still = [row for row in rows if row.state in OPEN_STATES]
        return [[row.host for row in batch] for _, batch in groupby(still, key=lambda row: row.batch)]

    def _batch(self, batch: list[str]) -> None:
        began = time.monotonic()
        statuses = self._may_go_on()
        present = self._present(batch)
        self._within_budget()
        if not present:
            return
        self._check_spared(present, statuses)
        self.tell("batch", hosts=present)
        for host in present:
            self.mark(host, "updating")
        for host, why in self.hosts.update(present, self.release.version).items():
            self._record(host, why)
        self.took.append(time.monotonic() - began)
        self._within_budget()

    def _may_go_on(self) -> Statuses:
        """What the balancers say; ReleaseError if somebody said stop: by an alert, or by an abort."""
        self._check_aborted()
        return self.check_alerts()

    def check_alerts(self) -> Statuses:
        """What the balancers say; ReleaseError if an alert stands."""
        statuses = self.view.statuses()
        # The way back is what an alert asks for: it must not be in its way.
        if not self.release.trigger.startswith(UNDO):
            refuse_alerts(self.view, statuses)
        return statuses

    def _check_aborted(self) -> None:
        current = self.ledger.open_release(self.view.name, TRACK)
        if current is None or current.id != self.release.id or not current.held_here:
            raise RollStopped("this process does not hold the roll any more")
        asked = [step["note"] for step in self.ledger.steps(self.release) if step["name"] == ABORT]
        if asked:
            raise RollStopped(asked[-1], "aborted")

    def _present(self, batch: list[str]) -> list[str]:
        """Those of a batch that can be updated; the others are skipped."""
        absent = self.hosts.absent(batch)
        there = [host for host in batch if host not in absent]
        silent = {
            host: look.error
            for host, look in (self.hosts.looks(there) if there else {}).items()
            if look.error
        }
        for host, why in (absent | silent).items():
            self.mark(host, "skipped", why)
        return [host for host in there if host not in silent]

    def _check_spared(self, batch: list[str], statuses: Statuses) -> None:
        own = sluice_roll_plan.must_stay(self.settings.min_available, len(self.ledger.hosts(self.release)))
        for balancer, status in statuses.items():
            why = sluice_roll_plan.not_spared(self.hosts.track(status, balancer), batch, own)
            if why:
                raise RollStopped(f"{', '.join(batch)} cannot be spared at {balancer}: {why}")

    def _within_budget(self) -> None:
        bad = [row for row in self.ledger.hosts(self.release) if row.state in sluice_roll_plan.FAILURES]
        if len(bad) > self.settings.max_failures:
            lines = [f"{row.host} {row.state}: {row.note}" for row in bad]
            raise RollStopped(f"{'; '.join(lines)} (max_failures {self.settings.max_failures})")

    def _record(self, host: str, why: str | None) -> None:
        """What became of a host that was updated."""
        if why is None:
            self.mark(host, "verified")
        elif host in self.hosts.absent([host]):
            self.mark(host, "skipped", f"{self.hosts.absent([host])[host]} during its update")
        elif self._is_back(host):
            self.mark(host, "reverted", why)
        elif self.settings.on_failure == "revert":
            self._revert(host, why)
        else:
            self.mark(host, "failed", why)

    def _is_back(self, host: str) -> bool:
        """Whether a host has gone back to the version before by itself, and serves."""
        before = self._before(host)
        return (
            before not in (None, self.release.version) and not self.hosts.verified([host], str(before))[host]
        )

    def _before(self, host: str) -> str | None:
        return next(row.before for row in self.ledger.hosts(self.release) if row.host == host)

    def _revert(self, host: str, why: str) -> None:
        """A host that failed is to run the version before: from then on its pillar says so."""
        self.mark(host, "failed", why)
        before = self._before(host)
        if before in (None, self.release.version):
            return
        trouble = self.hosts.update([host], str(before))[host]
        if trouble is None:
            self.mark(host, "reverted", why)
        else:
            self.mark(host, "failed", f"{why}; going back to {before} failed too: {trouble}")

    def mark(self, host: str, state: str, note: str = "") -> None:
        """A host is something else now: in the ledger, then for who listens."""
        self.ledger.set_host(self.release, host, state, note)
        self.tell("host", host=host, state=state, note=note)

    def _soak(self) -> None:
        """Watch alerts and the hosts that are done, before the next ones."""
        if not self.settings.soak_seconds:
            return
        deadline = time.monotonic() + self.settings.soak_seconds
        self.tell("soak", seconds=self.settings.soak_seconds)
        while True:
            statuses = self._may_go_on()
            done = [row.host for row in self.ledger.hosts(self.release) if row.state == "verified"]
            for host, why in self.hosts.not_up(done, statuses).items():
                raise RollStopped(f"{host} was verified, but {why}")
            if time.monotonic() >= deadline:
                return
            time.sleep(min(SOAK_POLL_SECONDS, max(0.0, deadline - time.monotonic())))

    def _stop(self, error: ReleaseError) -> ReleaseError:
        """End the roll in the ledger; the error to raise says where it stands and what can be done."""
        state = error.state if isinstance(error, RollStopped) else "stopped"
        why = str(error).rstrip(".")
        try:
            self.ledger.end(self.release, state, why)
            where = self.told(reasons=False)
        except ReleaseError as trouble:
            where = f"the ledger could not be written ({trouble}), so the roll still stands as running"
        with contextlib.suppress(ReleaseError):
            self.tell("stopped", state=state, note=why)
        name = self.view.name
        return ReleaseError(
            f"{name} {self.release.version}: the roll is {state}. {why}. Where it stands: {where}. When the "
            f"cause is gone: salt-run release.resume {name}; to go back: salt-run release.undo {name}"
        )


def refuse_alerts(view: ServiceView, statuses: Statuses) -> None:
    """ReleaseError if an alert for the service stands, in Redis or at a balancer; or if Redis is silent."""
    sluice_ready.check_redis(view)
    for balancer, status in statuses.items():
        stands = sluice_balancers.alert(status, view.name)
        if stands:
            raise ReleaseError(sluice_balancers.alert_text(view.name, stands, balancer))
