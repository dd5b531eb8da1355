"""Leases: weights that an operator or a release set for a while, in place of the declared ones.

A lease that is not renewed ends by itself, so that a controller that died leaves nothing behind. Two clocks
must agree that it is live: the machine's own running time, which no one can set, and the time of day, which
goes on while the machine or the balancer is stopped.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from typing import Any

from balancer.policy import STEP_PERCENT, is_in_steps

log = logging.getLogger(__name__)

# As long as an order may take to be renewed, and at most a day: what is to hold longer belongs into pillar.
LEAST_SECONDS, MOST_SECONDS = 1.0, 86_400.0
# How far the time of day may be before a lease was given: clocks are corrected in small steps all the time.
BACK_SECONDS = 1.0


class BadWeights(ValueError):
    """The weights that were asked for cannot be."""


@dataclass(frozen=True)
class Lease:
    """Weights by track, in percent, and by whom; `given` and `until` are seconds since 1970."""

    weights: dict[str, float]
    seconds: float
    by: str
    given: float
    until: float


class Leases:
    """The leases of all services."""

    def __init__(
        self, wall: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall, self._clock = wall, clock
        # With each lease, when it ends by `clock`.
        self._leases: dict[str, tuple[Lease, float]] = {}

    def give(self, service: str, weights: dict[str, float], seconds: float, by: str) -> Lease:
        """Give a lease, or a new one in place of one that is live."""
        given = self._wall()
        lease = Lease(weights, seconds, by, given, given + seconds)
        self._leases[service] = (lease, self._clock() + seconds)
        return lease

    def live(self, service: str) -> Lease | None:
        """The lease that holds for a service."""
        found = self._leases.get(service)
        return found[0] if found is not None and self.seconds_left(service) > 0 else None

    def seconds_left(self, service: str) -> float:
        """How long the lease of a service still holds, by the clock that is ahead."""
        lease, ends = self._leases[service]
        return max(0.0, min(ends - self._clock(), lease.until - self._wall()))

    def take_ended(self) -> list[str]:
        """The services whose lease ran out since the last call."""
        ended = [service for service in self._leases if self.live(service) is None]
        for service in ended:
            del self._leases[service]
        return ended

    def end(self, service: str) -> Lease | None:
        """End the lease of a service; the one that was live."""
        lease = self.live(service)
        self._leases.pop(service, None)
        return lease

    def all(self) -> dict[str, Lease]:
        """Service to lease, live or not."""
        return {service: lease for service, (lease, _) in self._leases.items()}

    def copy(self) -> dict[str, tuple[Lease, float]]:
        return dict(self._leases)

    def put_back(self, copy: dict[str, tuple[Lease, float]]) -> None:
        """Have it be as it was when `copy` was called."""
        self._leases = copy

    # On disk.

    def dump(self) -> dict[str, Any]:
        return {service: asdict(lease) for service, (lease, _) in self._leases.items()}

    def load(self, told: dict[str, Any]) -> None:
        """Take over what `dump` gave before a restart, each for the time it has left."""
        self._leases = {}
        today = self._wall()
        for service, fields in told.items():
            lease = Lease(**fields)
            left = min(lease.until - today, lease.seconds)
            if today < lease.given - BACK_SECONDS:
                # The time of day was set back: nobody knows how much of it is over.
                log.warning("the lease of %s ends: the clock is before the time it was given", service)
            elif left > 0:
                self._leases[service] = (lease, self._clock() + left)


def checked(told: object, tracks: Collection[str]) -> dict[str, float]:
    """The weights of an order, one for each track. Raises BadWeights."""
    names = ", ".join(sorted(tracks))
    if not isinstance(told, dict) or set(told) != set(tracks):
        has = ", ".join(map(shown, sorted(told))) if isinstance(told, dict) else shown(told)
        raise BadWeights(f"'weights' has {has or 'nothing'}: want a percentage for each of {names}")
    for track, weight in told.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight <= 100:
            raise BadWeights(f"'weights' has {shown(weight)} for {track}: want a number, 0 to 100")
        if not is_in_steps(weight):
            raise BadWeights(
                f"'weights' has {shown(weight)} for {track}: want steps of {STEP_PERCENT} percent"
            )
    total = sum(told.values())
    if abs(total - 100) > 1e-6:
        raise BadWeights(f"'weights' sum to {total:g}: want 100")
    return {track: float(weight) for track, weight in told.items()}


def shown(value: object) -> str:
    """A value as a part of one short line."""
    return json.dumps(value, default=str)[:40]
