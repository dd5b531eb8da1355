"""
Mirroring: copies of safe requests that stable answered go to the canary, and its answers are thrown away.

A copy is made when its user has his answer, on a connection of its own, and nobody waits for it: whatever
becomes of it, no user's request is slower or fails. There are few at a time; what is too much is dropped, and
what takes too long or is too large is broken off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httptools

from balancer import limits, policy
from balancer.reader import Reader

if TYPE_CHECKING:
    from balancer.counters import Counters
    from balancer.request import Request
    from balancer.routes import Backend, Route

TRACK = "canary"
SAFE = (b"GET", b"HEAD")
MARK = b"X-Sluice-Mirror: 1\r\n\r\n"
# What can become of a copy: an answer of some class, none, none in time, broken off, or not even sent.
RESULTS = ("2xx", "3xx", "4xx", "5xx", "failed", "timeout", "cut", "dropped")
# Enough for some hundred copies a second of a fast canary, and no burden for a slow one.
MAX_IN_FLIGHT = 8


@dataclass(frozen=True)
class MirrorSettings:
    """How many of stable's safe requests are copied, and how many copies a worker has under way."""

    percent: float
    max_in_flight: int


def read_mirror(read: Reader, told: object, path: str, tracks: Mapping[str, object]) -> MirrorSettings:
    """`{"percent": 5, "to": "canary", "max_in_flight": 8}`."""
    table = read.table(told, path, {"percent", "to", "max_in_flight"})
    if table.get("to", TRACK) != TRACK or TRACK not in tracks:
        read.wrong(f"{path}.to", table.get("to", TRACK), f'"{TRACK}", and a track of that name')
    return MirrorSettings(
        percent=read.number(table.get("percent"), f"{path}.percent", 0, 100),
        max_in_flight=read.whole(table.get("max_in_flight", MAX_IN_FLIGHT), f"{path}.max_in_flight", 1, 1000),
    )


class Mirror:
    """The copies of one service, at one worker."""

    def __init__(self, service: str, told: Mapping[str, Any], counters: Counters) -> None:
        self.told = told
        self._loop = asyncio.get_running_loop()
        self._service, self._counters = service, counters
        self._max = told["max_in_flight"]
        self._weights = {"copy": told["percent"], "none": 100.0 - told["percent"]}
        self._shares = policy.Shares()
        self._backends: list[Backend] = []
        self._turn = 0
        self._flying: set[Copy] = set()
        self._idle: set[Copy] = set()

    def follow(self, route: Route) -> None:
        """Other backends may be copied to: none while an alert stands. What is under way elsewhere ends."""
        self._backends = [b for b in route.tracks.get(TRACK, ()) if b.usable and not route.alert]
        for copy in [*self._flying, *self._idle]:
            if copy.backend not in self._backends:
                copy.end("cut")

    def stop(self) -> None:
        for copy in [*self._flying, *self._idle]:
            copy.end("cut")

    def offer(self, request: Request, backend: Backend | None) -> None:
        """Copy a request that ended, if it is one to be copied and its turn."""
        if backend is None or backend.track != policy.STABLE or request.method not in SAFE:
            return
        if request.has_body or request.upgrade or not self._backends:
            return
        if self._shares.choose(self._weights) != "copy":
            return
        self._turn += 1
        target = self._backends[self._turn % len(self._backends)]
        if len(self._flying) >= self._max:
            self.count(target, "dropped")
            return
        copy = self._connection(target)
        self._flying.add(copy)
        copy.begin(request.head[:-2] + MARK, request.method == b"HEAD")

    def _connection(self, backend: Backend) -> Copy:
        for copy in self._idle:
            if copy.backend is backend:
                self._idle.discard(copy)
                return copy
        return Copy(self, self._loop, backend)

    def waits_for(self, copy: Copy) -> bool:
        return copy in self._flying

    def count(self, backend: Backend, result: str) -> None:
        self._counters.count_mirrored(self._service, backend.track, backend.id, result)

    def ended(self, copy: Copy, result: str, keep: bool) -> None:
        """A copy came to its end; its connection may be used for another."""
        self._idle.discard(copy)
        if copy in self._flying:
            self._flying.discard(copy)
            self.count(copy.backend, result)
        if keep:
            self._idle.add(copy)


class Copy(asyncio.Protocol):
    """A connection to a backend that carries one copy after the other."""

    def __init__(self, mirror: Mirror, loop: asyncio.AbstractEventLoop, backend: Backend) -> None:
        self._mirror, self._loop, self.backend = mirror, loop, backend
        self._transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._parser: Any = None
        self._head, self._head_only = b"", False
        self._fresh()

    def _fresh(self) -> None:
        self._status, self._received = 0, 0
        self._framed = self._keep = self._whole = False

    def begin(self, head: bytes, head_only: bool) -> None:
        """Send a copy, at once or when the connection is there."""
        self._fresh()
        self._parser = httptools.HttpResponseParser(self)
        self._head, self._head_only = head, head_only
        self._set_timer(limits.MIRROR_SECONDS, "timeout")
        if self._transport is not None:
            self._transport.write(head)
        else:
            self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await self._loop.create_connection(lambda: self, self.backend.host, self.backend.port)
        except OSError:
            self.end("failed")

    def _set_timer(self, seconds: float, result: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self.end, result)

    def end(self, result: str, keep: bool = False) -> None:
        """The copy under way, if any, came to this; without `keep` so does the connection."""
        if keep:
            self._parser = None
            self._set_timer(limits.UNREPEATABLE_IDLE_SECONDS, "cut")
        else:
            self._close()
        self._mirror.ended(self, result, keep)

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._transport is not None:
            self._transport.abort()

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._connecting = None
        if self._mirror.waits_for(self):
            transport.write(self._head)  # type: ignore[attr-defined]
        else:
            transport.abort()  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._parser is None:
            # Nobody asked.
            self.end("cut")
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self._whole:
                self.end("failed")
                return
            self._keep = False
        if self._whole:
            self.end(f"{self._status // 100}xx", self._keep)
        elif self._received > limits.MIRROR_BYTES:
            self.end("cut")

    def connection_lost(self, error: Exception | None) -> None:
        # An answer may end with its connection, if nothing says where else.
        whole = self._status >= 200 and not self._framed and error is None
        self.end(f"{self._status // 100}xx" if whole else "failed")

    # Called by the parser.

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._framed = True

    def on_headers_complete(self) -> None:
        if self._whole:
            # Of an answer that nobody asked for.
            self._keep = False
            return
        self._status = self._parser.get_status_code()
        self._keep = self._parser.should_keep_alive()
        if self._status >= 200 and (self._head_only or self._status in (204, 304)):
            self._whole = True
            # The parser waits for a body that does not come: done with it.
            self._keep = self._keep and self._framed

    def on_message_complete(self) -> None:
        self._whole = self._whole or self._status >= 200


def follow(route: Route, told: Mapping[str, Any] | None, counters: Counters) -> None:
    """Have a route's copies made as its table tells, or none."""
    if route.mirror is not None and told != route.mirror.told:
        route.mirror.stop()
        route.mirror = None
    if told and route.mirror is None:
        route.mirror = Mirror(route.name, told, counters)
    if route.mirror is not None:
        route.mirror.follow(route)
