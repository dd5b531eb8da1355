"""Orders about leases: given, ended, and run out, each in force at every worker when it is told so."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from balancer.alerts import told
from balancer.leases import checked

if TYPE_CHECKING:
    from balancer.config import Config
    from balancer.services import Service
    from balancer.supervisor import Supervisor

log = logging.getLogger(__name__)

# A lease's end is looked at just after it, never before.
PAST_SECONDS = 0.002


class Leasing:
    """What the supervisor does about leases."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def weights(self, service: Service) -> dict[str, float]:
        """A live lease's weights, else the declared ones."""
        lease = self._supervisor.state.leases.live(service.name)
        return lease.weights if lease is not None else service.weights

    def told(self, service: str) -> dict[str, Any] | None:
        """The live lease of a service, for its status."""
        leases = self._supervisor.state.leases
        lease = leases.live(service)
        if lease is None:
            return None
        return {
            "weights": lease.weights,
            "by": lease.by,
            "since": told(datetime.fromtimestamp(lease.given, UTC)),
            "until": told(datetime.fromtimestamp(lease.until, UTC)),
            "seconds_left": round(leases.seconds_left(service), 3),
        }

    async def give(self, service: str, weights: object, seconds: float, by: str) -> None:
        """
        Have these weights hold for a while, or for longer; in force and on disk when this returns.

        Raises UnknownName or BadWeights, or OSError: then what held before still holds.
        """
        supervisor, state = self._supervisor, self._supervisor.state
        supervisor.known(service)
        fresh = checked(weights, supervisor.config.services[service].tracks)
        before = state.leases.copy()
        state.leases.give(service, fresh, seconds, by)
        try:
            state.save()
        except OSError:
            state.leases.put_back(before)
            raise
        asyncio.get_running_loop().call_later(seconds + PAST_SECONDS, self.look)
        await supervisor.push()

    async def end(self, service: str) -> bool:
        """Have the declared weights hold again; True if there was a lease. OSError: it still holds."""
        state = self._supervisor.state
        self._supervisor.known(service)
        before = state.leases.copy()
        ended = state.leases.end(service)
        if ended is not None:
            try:
                state.save()
            except OSError:
                state.leases.put_back(before)
                raise
            await self._supervisor.push()
        return ended is not None

    def look(self) -> None:
        """Let what ran out end; called now and then, because the time of day may jump."""
        ended = self._supervisor.state.leases.take_ended()
        for service in ended:
            log.warning("the lease of %s ran out: the declared weights hold", service)
        if ended:
            self._supervisor.state.unsaved = True
            self._supervisor.push_soon()

    def follow(self, fresh: Config) -> None:
        """End the leases that do not fit a new file: their service is gone, or has other tracks."""
        for service, lease in self._supervisor.state.leases.all().items():
            tracks = fresh.services[service].tracks if service in fresh.services else {}
            if set(tracks) != set(lease.weights):
                log.warning("the lease of %s ends: the file has other tracks", service)
                self._supervisor.state.leases.end(service)
                self._supervisor.state.unsaved = True
