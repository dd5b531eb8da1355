"""Passive health: a backend that fails real requests in a row gets none for a while.

Pure: it is told of failures and given the time. See docs/explanation/how-failures-are-met.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from balancer.policy import STABLE
from balancer.reader import Reader

Key = tuple[str, str, str]

# Failures of several workers count together if the last of each is no older than this: a worker that has had
# no request for longer does not know how the backend is now.
TOGETHER_SECONDS = 10.0


@dataclass(frozen=True)
class EjectionLimits:
    """When a backend is ejected, for how long, and how many of a track at most."""

    # 0 switches it off.
    errors: int = 5
    base_seconds: float = 5.0
    max_seconds: float = 300.0
    max_share_percent: float = 50.0
    # Whether answers of 502, 503 and 504 count: they may be an application's own, honest ones.
    gateway_errors: bool = False

    def spared(self, track: str, backends: int) -> int:
        """
        How many backends of a track may be ejected at a time: the share, rounded down. One of stable always
        stays. Of a canary one may always go, though it be the only one: then stable answers.
        """
        share = int(backends * self.max_share_percent / 100)
        return min(share, backends - 1) if track == STABLE else max(share, min(backends, 1))


DEFAULTS = EjectionLimits()


def read_ejection(read: Reader, told: object, path: str) -> EjectionLimits:
    """A service's `ejection` in the file."""
    known = {"errors", "base_seconds", "max_seconds", "max_share_percent", "gateway_errors"}
    table = read.table(told, path, known)

    def number(key: str, default: float, low: float, high: float) -> float:
        return read.number(table.get(key, default), f"{path}.{key}", low, high)

    found = EjectionLimits(
        errors=read.whole(table.get("errors", DEFAULTS.errors), f"{path}.errors", 0, 1000),
        base_seconds=number("base_seconds", DEFAULTS.base_seconds, 0.1, 3600),
        max_seconds=number("max_seconds", DEFAULTS.max_seconds, 0.1, 86_400),
        max_share_percent=number("max_share_percent", DEFAULTS.max_share_percent, 0, 100),
        gateway_errors=table.get("gateway_errors", False) is True,
    )
    if not isinstance(table.get("gateway_errors", False), bool):
        read.wrong(f"{path}.gateway_errors", table["gateway_errors"], "true or false")
    if found.max_seconds < found.base_seconds:
        read.wrong(f"{path}.max_seconds", found.max_seconds, f"at least base_seconds, {found.base_seconds:g}")
    return found


@dataclass
class Record:
    """What the real requests of one backend have shown."""

    # Worker to its failures in a row and the time of the last.
    streaks: dict[int, tuple[int, float]] = field(default_factory=dict)
    # Until when it is ejected.
    until: float = 0.0
    # How often in a row, and ever.
    times: int = 0
    total: int = 0
    reason: str = ""


class Ejections:
    """Who is ejected, and who is on probation after it."""

    def __init__(self) -> None:
        self._records: dict[Key, Record] = {}

    def is_ejected(self, key: Key, now: float) -> bool:
        record = self._records.get(key)
        return record is not None and record.until > now

    def is_watched(self, key: Key) -> bool:
        """True if the next good answer of a backend is news."""
        record = self._records.get(key)
        return record is not None and record.times > 0

    def get(self, key: Key) -> Record:
        return self._records.get(key) or Record()

    def well(self, key: Key, now: float) -> None:
        """A worker got a good answer: its failures are over, and so is a probation."""
        record = self._records.get(key)
        if record is None or record.until > now:
            # While it is ejected, answers to requests from before may still come.
            return
        record.streaks.clear()
        record.times = 0

    def is_due(self, key: Key, worker: int, errors: int, now: float, limits: EjectionLimits) -> bool:
        """Take in a worker's failures in a row; True if they are enough to eject, once if on probation."""
        record = self._records.setdefault(key, Record())
        if record.until > now or limits.errors == 0:
            return False
        record.streaks[worker] = (errors, now)
        together = sum(n for n, at in record.streaks.values() if now - at <= TOGETHER_SECONDS)
        return record.times > 0 or together >= limits.errors

    def eject(self, key: Key, now: float, limits: EjectionLimits, reason: str) -> float:
        """Eject a backend for twice as long as the last time; for how many seconds."""
        record = self._records.setdefault(key, Record())
        # The exponent is kept small: a float has an end.
        seconds = min(limits.base_seconds * 2.0 ** min(record.times, 32), limits.max_seconds)
        record.streaks.clear()
        record.times += 1
        record.total += 1
        record.until = now + seconds
        record.reason = reason
        return seconds

    def end(self, key: Key) -> None:
        """Take a backend back at once, on probation."""
        if key in self._records:
            self._records[key].until = 0.0

    def forget(self, key: Key) -> None:
        """Begin anew with a backend: it was restored, or is another one. How often it was ejected stays."""
        if key in self._records:
            self._records[key] = Record(total=self._records[key].total)
