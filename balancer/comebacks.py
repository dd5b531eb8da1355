"""When backends came into service, for their slow start: after they were down or drained, or new."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from balancer.health import Key

UP = "up"


class Comebacks:
    """
    Kept by the supervisor, so that a worker that takes another's place knows as much.

    Times are of the clock that all processes of a machine share (CLOCK_MONOTONIC, clock_gettime(2)).
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._states: dict[Key, str] = {}
        self._since: dict[Key, float] = {}
        self._begun = False

    def begin(self) -> None:
        """From here on it is news if a backend comes up; that all do when the balancer starts is none."""
        self._begun = True

    def note(self, key: Key, state: str) -> float | None:
        """Take in the state of a backend; when it came back, None if it never was away."""
        before = self._states.get(key)
        self._states[key] = state
        if state != UP:
            self._since.pop(key, None)
        elif before != UP and self._begun:
            self._since[key] = self._clock()
        return self._since.get(key)

    def keep(self, known: Collection[Key]) -> None:
        """Forget all backends but these."""
        for key in self._states.keys() - set(known):
            del self._states[key]
            self._since.pop(key, None)
