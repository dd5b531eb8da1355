"""What all connections of one worker share, and what is told of an exchange that ended."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from balancer.accesslog import AccessLog
from balancer.census import Census
from balancer.counters import Counters
from balancer.outcomes import Outcomes
from balancer.upstream import Pool

if TYPE_CHECKING:
    from balancer.exchange import Exchange
    from balancer.frontend import Client
    from balancer.routes import Backend

# Status of a request whose client did not wait for the answer.
CLIENT_GONE = 499


class Plane:
    """The part of a worker that every request meets."""

    def __init__(self, loop: asyncio.AbstractEventLoop, access_log: Path | None) -> None:
        # Not the loop's own time, which stands still while callbacks run.
        self.clock: Callable[[], float] = time.monotonic
        self.clients: set[Client] = set()
        self.tunnels: set[Exchange] = set()
        self.pool = Pool(loop)
        self.metrics = Counters()
        self.outcomes = Outcomes(loop, self.metrics)
        # Counts connections for the limits; None: there are none to keep, as in tests of one worker alone.
        self.census: Census | None = None
        self.access_log = AccessLog(access_log)
        self.stopping = False
        self._id_prefix = os.urandom(6).hex()
        self._ids = 0

    def next_id(self) -> bytes:
        self._ids += 1
        return f"{self._id_prefix}{self._ids:08x}".encode()

    def tunnel_opened(self, exchange: Exchange, backend: Backend) -> None:
        """Count a tunnel as a request that is answered now: its hours are nobody's latency."""
        self.tunnels.add(exchange)
        seconds = self.clock() - exchange.request.started
        route = exchange.route
        self.metrics.finished(route.name, backend.track, backend.id, exchange.status, seconds)
        self.outcomes.ended(route, backend, exchange.status)

    def finished(self, exchange: Exchange) -> None:
        """Count and log an exchange that ended."""
        request, backend = exchange.request, exchange.backend
        seconds = self.clock() - request.started
        track, name = (backend.track, backend.id) if backend else ("none", "none")
        service = exchange.route.name
        if exchange.tunnel is None:
            self.metrics.finished(service, track, name, exchange.status, seconds)
        else:
            self.tunnels.discard(exchange)
        self.access_log.add(
            service,
            track,
            name,
            request.address.decode(),
            request.method.decode("latin-1"),
            request.path,
            exchange.status,
            exchange.bytes_out,
            seconds * 1000,
            request.id.decode(),
        )
        if exchange.route.mirror is not None and exchange.status != CLIENT_GONE:
            exchange.route.mirror.offer(request, backend)
