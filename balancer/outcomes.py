"""What backends made of the requests of one worker: failed attempts counted, and told to the supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from balancer.counters import Counters
    from balancer.routes import Backend, Route

# Why an attempt failed: no connection; closed or no HTTP before the answer's head; no head in time; broken
# off or stalled after it; a status that stands for a failure of the connection behind the backend.
CONNECT, NO_ANSWER, TIMEOUT, CUT_SHORT, STATUS = REASONS = (
    "connect",
    "no_answer",
    "timeout",
    "cut_short",
    "status",
)
# What gateways say when what is behind them fails.
GATEWAY_ERRORS = frozenset((502, 503, 504))
# News of many requests in one message, so that a backend that fails every one does not drown the supervisor.
TELL_SECONDS = 0.01
# News of a good answer: no failures in a row, nothing said.
WELL = (0, "")


class Outcomes:
    """One worker's failed attempts."""

    def __init__(self, loop: asyncio.AbstractEventLoop, metrics: Counters) -> None:
        self._loop = loop
        self._metrics = metrics
        self._tell: Callable[[dict[str, Any]], None] | None = None
        self._news: dict[tuple[str, str, str], tuple[int, str]] = {}

    def attach(self, tell: Callable[[dict[str, Any]], None]) -> None:
        """`tell` sends a message to the supervisor."""
        self._tell = tell

    def failed(self, route: Route, backend: Backend, reason: str, said: str, goes_on: bool = False) -> None:
        """Count an attempt that failed; `goes_on`: its request was given to another backend."""
        self._metrics.failed(route.name, backend.track, backend.id, reason, goes_on)
        backend.errors += 1
        backend.watched = True
        self._note(route, backend, said)

    def ended(self, route: Route, backend: Backend, status: int) -> None:
        """Take in a whole answer: after a failure it is news, and so is what counts as one."""
        if status in GATEWAY_ERRORS and route.gateway_errors:
            self.failed(route, backend, STATUS, f"status {status}")
        elif backend.watched:
            backend.errors = 0
            backend.watched = False
            self._note(route, backend, "")

    def _note(self, route: Route, backend: Backend, said: str) -> None:
        who = (route.name, backend.track, backend.id)
        if backend.errors and self._news.get(who) == WELL:
            # It ended a probation: the failure after it must not take its place.
            self._flush()
        if not self._news:
            self._loop.call_later(TELL_SECONDS, self._flush)
        self._news[who] = (backend.errors, said)

    def _flush(self) -> None:
        news, self._news = self._news, {}
        if news and self._tell is not None:
            rows = [[*who, errors, said] for who, (errors, said) in news.items()]
            self._tell({"kind": "outcomes", "backends": rows})
