"""
What is known of all flags: in memory, answered from there, and told to whoever wants to hear of changes.

Nothing here waits for anything. Whatever Redis holds is taken for hostile until it was checked.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sluice_flag_rules import Flag, FlagError, check_name, load, parse

from flags.resp import Refusal, TooLong

log = logging.getLogger(__name__)

# Ten times what a large fleet has; beyond it, names in alphabetical order are left out.
MAX_FLAGS = 10_000
# As it is told in an answer or a line of the log.
MAX_PROBLEM_CHARACTERS = 200
# Stands for a value that is there and cannot be one: of another type, or endless.
UNREADABLE = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Raw:
    """A flag as Redis has it."""

    value: str | None
    document: str | None


class Known:
    """A flag, ready to be evaluated; without `flag` its document is unreadable, and it is off."""

    __slots__ = ("bodies", "flag", "name", "problem", "raw")

    def __init__(self, name: str, raw: Raw, before: Known | None) -> None:
        """`before`: what was known of it; a document that is the same is not read again."""
        self.name, self.raw = name, raw
        self.flag: Flag | None
        self.problem: str
        if before is not None and before.raw.document == raw.document:
            self.flag, self.problem = before.flag, before.problem
        else:
            self.flag, self.problem = read(name, raw)
        # Answers as they are sent, by variant and reason; made when they are needed first.
        self.bodies: dict[tuple[str, str], bytes] = {}


def text(told: object) -> str | None:
    """A value of Redis as text; None if there is none. What no flag may have stays recognisable as such."""
    if told is None:
        return None
    if isinstance(told, bytes):
        return told.decode(errors="replace")
    if isinstance(told, (Refusal, TooLong)):
        return UNREADABLE
    return str(told)


def read(name: str, raw: Raw) -> tuple[Flag | None, str]:
    """The flag that Redis has, or None and what is wrong with it."""
    try:
        return parse(name, load(name, raw.document) if raw.document is not None else {}), ""
    except FlagError as error:
        return None, ascii(str(error))[1:-1][:MAX_PROBLEM_CHARACTERS]


def is_name(name: str) -> bool:
    """True for what a flag may be called."""
    try:
        check_name(name)
    except FlagError:
        return False
    return True


class Store:
    """All flags, and which services' canaries serve."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.flags: dict[str, Known] = {}
        # Services whose canary serves without an alert; what rules ask for.
        self.serving: frozenset[str] = frozenset()
        # Until when each canary serves, on the clock; and the services with an alert.
        self._canaries: dict[str, float] = {}
        self._alerts: set[str] = set()
        # Raised with each change.
        self.version = 0
        self.changed_at = time.time()
        self.changes = 0
        # Until when the memory is known to be what the master has, on the clock.
        self.confirmed_at = -math.inf
        # Whether anything was ever read, from Redis or from disk.
        self.is_loaded = False
        self._is_over_full = False
        self._fingerprint = 0
        self._heard: list[Callable[[], None]] = []

    def listen(self, heard: Callable[[], None]) -> None:
        """Have `heard` called after each change."""
        self._heard.append(heard)

    @property
    def fingerprint(self) -> str:
        """The same wherever the same flags are known, on every host."""
        return f"{self._fingerprint:016x}"

    @property
    def unreadable(self) -> int:
        """How many flags are off because their document cannot be read."""
        return sum(1 for one in self.flags.values() if one.flag is None)

    def age(self) -> float:
        """Seconds since the data were known to be those of the master; infinite if they never were."""
        return max(0.0, self._clock() - self.confirmed_at)

    def confirm(self, at: float) -> None:
        self.confirmed_at = max(self.confirmed_at, at)

    # Flags.

    def replace(self, raws: Mapping[str, Raw]) -> None:
        """These are all flags there are."""
        self.is_loaded = True
        names = sorted(raws)
        self._tell_left_out(len(names) - MAX_FLAGS)
        gone = {name: Raw(None, None) for name in self.flags.keys() - raws.keys()}
        self.update({**gone, **{name: raws[name] for name in names[:MAX_FLAGS]}})

    def _tell_left_out(self, count: int) -> None:
        """Say it when it becomes so: all is read again every few seconds."""
        if count > 0 and not self._is_over_full:
            log.error("there are more than %d flags: %d, the last by name, are left out", MAX_FLAGS, count)
        self._is_over_full = count > 0

    def update(self, raws: Mapping[str, Raw]) -> None:
        """These flags are so; one without value and document is gone."""
        changed = [name for name, raw in raws.items() if self._set(name, raw)]
        if changed:
            self.changes += len(changed)
            self._tell()

    def _set(self, name: str, raw: Raw) -> bool:
        """True if that is a change."""
        before = self.flags.get(name)
        if raw.value is None and raw.document is None:
            if before is None:
                return False
            del self.flags[name]
        elif before is not None and before.raw == raw or before is None and len(self.flags) >= MAX_FLAGS:
            return False
        else:
            found = self.flags[name] = Known(name, raw, before)
            self._fingerprint ^= digest(name, raw)
            if found.problem and (before is None or found.problem != before.problem):
                log.error("%s; it is off", found.problem)
        if before is not None:
            self._fingerprint ^= digest(name, before.raw)
        return True

    def _tell(self) -> None:
        self.version += 1
        self.changed_at = time.time()
        for heard in self._heard:
            heard()

    # Releases.

    def set_release(self, service: str, canary_seconds: float | None, has_alert: bool | None) -> None:
        """How long a service's canary serves, 0 if it does not; whether there is an alert."""
        if canary_seconds is not None:
            self._canaries.pop(service, None)
            if canary_seconds > 0:
                self._canaries[service] = self._clock() + canary_seconds
        if has_alert is not None:
            (self._alerts.add if has_alert else self._alerts.discard)(service)

    def forget_releases(self, services: Iterable[str]) -> None:
        """Of all others nothing is there any more."""
        kept = set(services)
        self._canaries = {name: until for name, until in self._canaries.items() if name in kept}
        self._alerts &= kept

    def settle_releases(self) -> float | None:
        """Work out which canaries serve now; in how many seconds the next one may end by itself."""
        now = self._clock()
        self._canaries = {name: until for name, until in self._canaries.items() if until > now}
        serving = frozenset(self._canaries.keys() - self._alerts)
        if serving != self.serving:
            self.serving = serving
            self._tell()
        return min(self._canaries.values()) - now if self._canaries else None


def digest(name: str, raw: Raw) -> int:
    """64 bits of a flag; those of all flags together, in any order, are the fingerprint."""
    whole = repr((name, raw.value, raw.document)).encode()
    return int.from_bytes(hashlib.blake2b(whole, digest_size=8).digest(), "big")
