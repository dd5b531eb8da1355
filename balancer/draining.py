"""Backends taken out of service and put back by an operator's order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from balancer.supervisor import Supervisor

POLL_SECONDS = 0.02


class NotSpared(Exception):
    """A track would be left with fewer backends than it needs; `brief` tells so without other backends."""

    def __init__(self, brief: str, states: dict[str, str]) -> None:
        super().__init__(f"{brief} ({listed(states)}); restore or heal one first, or use force")
        self.brief = brief


class Draining:
    """What the supervisor does about drains."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def check(self, service: str, backend: str) -> None:
        """Raise NotSpared if a drain would leave a track with fewer backends up than it needs."""
        self._supervisor.known(service, backend)
        settings = self._supervisor.config.services[service]
        for track, backends in settings.tracks.items():
            if backend not in backends:
                continue
            states = self._supervisor.states(settings, track)
            needed = settings.needed(track)
            left = sum(state == "up" for state in states.values()) - 1
            if states[backend] == "up" and left < needed:
                raise NotSpared(
                    f"{backend} is not drained: {left} of {track} would be left up, min_available wants "
                    f"{needed}",
                    states,
                )

    async def drain(self, service: str, backend: str, deadline_seconds: float) -> dict[str, int]:
        """
        Send no new request to a backend and wait for those in flight; what is left after
        `deadline_seconds` is cut off. Returns how many are in flight (0) and how many were cut.
        Whether it can be spared is for `check` to say, with nothing awaited in between.
        """
        self._supervisor.known(service, backend)
        self._supervisor.state.drained.setdefault(service, set()).add(backend)
        self._supervisor.state.unsaved = True
        await self._supervisor.push()
        self._supervisor.state.save()
        deadline = asyncio.get_running_loop().time() + deadline_seconds
        while await self.in_flight(service, backend):
            if asyncio.get_running_loop().time() >= deadline:
                cut = await self._supervisor.workers.cut(service, backend)
                # Their 503s are the operator's doing, not the version's.
                self._supervisor.monitor.start_anew(service)
                return {"in_flight": 0, "cut": cut}
            await asyncio.sleep(POLL_SECONDS)
        return {"in_flight": 0, "cut": 0}

    async def restore(self, service: str, backend: str) -> bool:
        """Put a drained backend back into service; True if it was drained. OSError: it still is."""
        self._supervisor.known(service, backend)
        drained = self._supervisor.state.drained.get(service, set())
        if backend not in drained:
            return False
        drained.discard(backend)
        try:
            self._supervisor.state.save()
        except OSError:
            drained.add(backend)
            raise
        for track in self._supervisor.config.services[service].tracks:
            self._supervisor.ejecting.ejections.forget((service, track, backend))
        await self._supervisor.push()
        return True

    async def in_flight(self, service: str, backend: str) -> int:
        _, flying = await self._supervisor.workers.numbers()
        return sum(n for key, n in flying.items() if key.split()[0] == service and key.split()[2] == backend)


def listed(states: dict[str, str]) -> str:
    """Backends by state, for a sentence: `up: a, b; drained: c; down: none`, and who is ejected, if any."""
    return "; ".join(
        f"{state}: {some([name for name, found in states.items() if found == state])}"
        for state in ("up", "drained", "down", "ejected")
        if state != "ejected" or state in states.values()
    )


def some(names: list[str], most: int = 10) -> str:
    """The first names of a list that may be long."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more or "none"
