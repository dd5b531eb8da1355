"""Which track and which backend the next request goes to. Pure: no I/O, no clock of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

STABLE = "stable"
# The steps of weights: one request in a thousand.
STEP_PERCENT = 0.1


def is_in_steps(weight: float) -> bool:
    """True if a weight is a multiple of STEP_PERCENT, as closely as a float can be."""
    tenths = weight / STEP_PERCENT
    return abs(tenths - round(tenths)) < 1e-6


LEAST_CONNECTIONS, ROUND_ROBIN = "least_connections", "round_robin"
# What a backend that came back gets of its share at first: enough to warm up by, too little to fall over.
FIRST_PART = 0.1


def effective_weights(
    declared: Mapping[str, float], alert: bool, usable: Mapping[str, bool]
) -> dict[str, float]:
    """
    The share of requests each track gets now, in percent.

    declared
        Track to weight from pillar, 0-100, summing to 100.
    alert
        True while an alert stands: every track but stable counts as 0.
    usable
        Track to whether it has a backend that is up and not drained; a track without one counts as 0.

    What the other tracks lose goes to stable. Without a usable stable backend a canary that may serve
    takes everything, for an answer is better than none; under an alert it never does. The sum is 100, or
    0 if nothing can serve.
    """
    weights = {
        track: weight if usable.get(track, False) and not alert else 0.0
        for track, weight in declared.items()
        if track != STABLE
    }
    rest = 100.0 - sum(weights.values())
    if usable.get(STABLE, False):
        return {STABLE: rest, **weights}
    total = sum(weights.values())
    return {STABLE: 0.0, **{track: 100.0 * w / total if total else 0.0 for track, w in weights.items()}}


class Shares:
    """
    Smooth weighted choice: over any window the counts differ from the weights by at most one per track.

    The scheme is nginx's smooth weighted round-robin (its commit 52327e0627f4, 2012): every track earns its
    weight at each choice, the richest is chosen and pays the sum.
    """

    def __init__(self) -> None:
        self._credit: dict[str, float] = {}

    def choose(self, weights: Mapping[str, float]) -> str | None:
        """The next track, or None if every weight is 0."""
        best: str | None = None
        total = 0.0
        credit = self._credit
        for track, weight in weights.items():
            if weight <= 0.0:
                credit[track] = 0.0
                continue
            total += weight
            credit[track] = credit.get(track, 0.0) + weight
            if best is None or credit[track] > credit[best]:
                best = track
        if best is not None:
            credit[best] -= total
        return best


def part_of_share(since: float, now: float, seconds: float) -> float:
    """
    How much of its share a backend takes that came into service at `since`, of 1: FIRST_PART at first, all of
    it after `seconds`, and evenly more in between.
    """
    passed = (now - since) / seconds if seconds > 0 else 1.0
    return min(1.0, FIRST_PART + (1.0 - FIRST_PART) * max(0.0, passed))


class Loaded(Protocol):
    """Something with a number of requests in flight."""

    in_flight: int


B = TypeVar("B", bound=Loaded)


def least_loaded(backends: Iterable[B], turn: int) -> B | None:
    """The backend with the fewest requests in flight; among equals they take turns."""
    candidates = list(backends)
    if not candidates:
        return None
    start = turn % len(candidates)
    rotated = candidates[start:] + candidates[:start]
    return min(rotated, key=lambda backend: backend.in_flight)


class WarmUp:
    """
    Slow start: how often a backend that came back takes part in the choice within its track.

    Turns are dealt by `Shares`. One that falls to a backend that warms up is that backend's; all others are
    for those that are warm, to be chosen from as ever.
    """

    def __init__(self) -> None:
        self._shares = Shares()

    def among(self, parts: Mapping[str, float]) -> set[str]:
        """
        Which backends the next request may go to.

        parts
            Backend to the part of its share that it may take, above 0 to 1.

        Where none is warm there is nobody to spare the others anything: all of them.
        """
        warm = {backend for backend, part in parts.items() if part >= 1.0}
        if not warm:
            return set(parts)
        chosen = self._shares.choose(parts)
        return warm if chosen is None or chosen in warm else {chosen}
