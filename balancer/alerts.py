"""Standing alerts, drained backends and leases: latched in memory, kept on disk, never lost in doubt."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from balancer.leases import Leases

log = logging.getLogger(__name__)

# A reason is one line of a page and of a log.
MAX_REASON = 200
NO_REASON = "no reason given"
# Every service counts as alerted under this name while the state on disk cannot be read.
ANY = "*"


@dataclass(frozen=True)
class Alert:
    """The standing fact that a service's canary is bad."""

    reason: str
    by: str
    at: str
    door: str


def now() -> str:
    """The time in UTC as in 2026-11-24T12:00:00.123Z."""
    return told(datetime.now(UTC))


def after(seconds: float) -> str:
    """The time in so many seconds, as `now` tells it."""
    return told(datetime.now(UTC) + timedelta(seconds=seconds))


def told(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clean(text: object, default: str = NO_REASON, limit: int = MAX_REASON) -> str:
    """One printable line of at most `limit` characters, whatever was sent."""
    if not isinstance(text, str):
        return default
    line = "".join(char if char.isprintable() else " " for char in text[: limit * 4]).strip()
    return line[:limit] or default


class State:
    """What must outlive a restart: alerts, drained backends and leases, by service."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.alerts: dict[str, Alert] = {}
        self.drained: dict[str, set[str]] = {}
        self.leases = Leases()
        # True while memory knows what the disk does not.
        self.unsaved = False

    def load(self) -> None:
        """Read the file; in doubt about it every service is alerted."""
        try:
            told = json.loads(self._path.read_text())
            self.alerts = {name: Alert(**alert) for name, alert in told["alerts"].items()}
            self.drained = {name: set(backends) for name, backends in told["drained"].items()}
            self.leases.load(told.get("leases", {}))
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.error(
                "%s cannot be read (%s): no canary gets traffic until the alerts are cleared",
                self._path,
                error,
            )
            self.alerts = {
                ANY: Alert(f"state file unreadable: {error}"[:MAX_REASON], "balancer", now(), "state")
            }
            self.drained = {}
            self.leases.load({})

    def save(self) -> None:
        """Write the file whole and have it on disk before returning. Raises OSError."""
        self.unsaved = True
        told = {
            "alerts": {name: asdict(alert) for name, alert in self.alerts.items()},
            "drained": {name: sorted(backends) for name, backends in self.drained.items() if backends},
            "leases": self.leases.dump(),
        }
        fresh = self._path.with_suffix(".new")
        with open(fresh, "w") as handle:
            json.dump(told, handle, indent=2)
            handle.flush()
            os.fsync(handle.fileno())
        fresh.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        self.unsaved = False

    def alert(self, service: str) -> Alert | None:
        """The alert that stands for a service."""
        return self.alerts.get(service) or self.alerts.get(ANY)

    def clear(self, service: str, services: set[str]) -> bool:
        """End a service's alert; True if there was one."""
        everywhere = self.alerts.pop(ANY, None)
        if everywhere:
            self.alerts.update(dict.fromkeys(services, everywhere))
        return self.alerts.pop(service, None) is not None
