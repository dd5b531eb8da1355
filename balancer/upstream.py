"""Connections to backends: one response at a time, read as it streams, and kept for the next request."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

import httptools

from balancer import heads, limits, trailers
from balancer.request import HOP_BY_HOP, connection_options
from balancer.routes import Backend

if TYPE_CHECKING:
    from balancer.exchange import Exchange


# The headers of a response that say something about this hop; all others go on to the client.
CODING, LENGTH, CONNECTION, UPGRADE, TRAILER, HOP = range(6)
SPECIAL = {
    **dict.fromkeys(HOP_BY_HOP, HOP),
    b"transfer-encoding": CODING,
    b"content-length": LENGTH,
    b"connection": CONNECTION,
    b"upgrade": UPGRADE,
    b"trailer": TRAILER,
}


class Upstream:
    """A connection to a backend."""

    def __init__(self, loop: asyncio.AbstractEventLoop, backend: Backend) -> None:
        self._loop = loop
        self.backend = backend
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.exchange: Exchange | None = None
        self.reused = False
        self.idle_since = 0.0
        self.closed = False
        self._pool: Pool | None = None
        # What the backend would speak instead of HTTP, and that it does so now.
        self._protocol = b""
        self._switched = False
        self._held = False
        # The parser came to the end of a message by itself, and nothing of it can be left in there.
        self._ended = False
        self._fresh()
        self._fresh_head()

    def _fresh(self) -> None:
        """Ready for the next response. A new parser costs as much as reading a small head: only if needed."""
        if not self._ended:
            self._parser: Any = None
        # Bytes missing of a plain response's body; see heads.py.
        self._left = 0
        self._ended = False
        self._head_bytes = 0
        self._in_head = True
        # The response is there, to the last byte, and whether the backend takes another request after it.
        self._whole = False
        self._keep = False
        # Something came after it.
        self._stray = False

    def _fresh_head(self) -> None:
        self._in_head = True
        # Lines for the client.
        self._lines: list[bytes] = []
        # The coding for this hop, empty if there is none, and whether the length is told.
        self._coding, self._sized = b"", False
        # What Connection names.
        self._options: set[bytes] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    @property
    def answered(self) -> bool:
        """True if a byte came of the answer that is due."""
        return self._head_bytes > 0

    def begin(self, exchange: Exchange) -> None:
        """The next response on this connection is for this exchange."""
        self.exchange = exchange
        self._fresh()

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            # Nobody asked: whatever this is, it must not become the answer to the next request.
            self.transport.abort()
            return
        exchange.touch()
        if self._left:
            self._count_body(exchange, data)
            return
        if heads.COMPILED and self._in_head and not self._head_bytes and self._take_plain(exchange, data):
            return
        self._parse(exchange, data)

    def _take_plain(self, exchange: Exchange, data: bytes) -> bool:
        """Take a response whose head is plain, without the parser; False if it is not."""
        if exchange.request.method == b"HEAD":
            return False
        found = heads.read_response(data)
        if found is None:
            return False
        status, self._left, self._keep, lines, start = found
        self._in_head, self._head_bytes = False, start
        # Nothing was fed to the parser, if there is one from the response before.
        self._ended = True
        exchange.response_head(status, [lines], False, False)
        if not self._left and len(data) == start:
            self._whole = True
            self._finish(exchange)
        else:
            self._count_body(exchange, data[start:])
        return True

    def _count_body(self, exchange: Exchange, data: bytes) -> None:
        """Pass on what came of a plain response's body."""
        if len(data) > self._left:
            self._stray = True
            data = data[: self._left]
        self._left -= len(data)
        if data:
            exchange.response_body(data)
        if not self._left:
            self._whole = True
            self._finish(exchange)
        else:
            exchange.flush()

    def _parse(self, exchange: Exchange, data: bytes) -> None:
        """Feed the parser, which calls back, and see what came of it."""
        if self._in_head:
            self._head_bytes += len(data)
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as end:
            if self._switched and not self._stray:
                exchange.switched(self._end_to_end(), data[end.args[0] :])
                return
            self._stray = True
        except httptools.HttpParserError:
            self._stray = True
        if self._in_head and self._head_bytes > limits.now.response_header_bytes:
            self._stray = True
        if self._whole:
            self._finish(exchange)
        elif self._stray:
            self.exchange = None
            self.transport.abort()
            # None if the client broke off meanwhile.
            if not exchange.over:
                exchange.upstream_failed("the backend sent no valid HTTP")
        else:
            exchange.flush()

    def _finish(self, exchange: Exchange) -> None:
        """Keep the connection for another request if that is safe, and end the exchange."""
        self.exchange = None
        keep = self._keep and exchange.request.complete and not self._stray
        if keep and self._pool is not None and not self.transport.is_closing():
            self._pool.put(self)
        else:
            self.transport.close()
        if not exchange.over:
            exchange.response_end()

    def hold(self) -> None:
        """Read no further for now: the client does not take it."""
        if not self.transport.is_closing():
            self._held = True
            self.transport.pause_reading()

    def go_on(self) -> None:
        if self._held and not self.transport.is_closing():
            self._held = False
            self.transport.resume_reading()

    # Called by the parser, only from data_received.

    def on_message_begin(self) -> None:
        self._fresh_head()
        self._stray = self._stray or self._whole

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            self._on_trailer(name, value)
            return
        special = SPECIAL.get(name.lower())
        if special is None:
            self._lines.append(b"%b: %b\r\n" % (name, value))
        elif special == LENGTH:
            self._sized = True
            self._lines.append(b"%b: %b\r\n" % (name, value))
        elif special == CODING:
            self._coding += value.strip().lower()
        elif special == TRAILER and self.exchange is not None and self.exchange.request.takes_trailers:
            self._lines.append(trailers.announcement(value))
        elif special == UPGRADE:
            self._protocol = value.strip().lower()
        elif special == CONNECTION and value != b"keep-alive":
            self._options |= connection_options([(name, value)])

    def _on_trailer(self, name: bytes, value: bytes) -> None:
        exchange = self.exchange
        if exchange is None or not exchange.request.takes_trailers or name.lower() in self._options:
            return
        # They count as the head does, for as long they wait in memory.
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > limits.now.response_header_bytes:
            self._stray = True
        else:
            exchange.response_trailer(name, value)

    def _end_to_end(self) -> list[bytes]:
        """The lines that go on to the client: but for those of headers that Connection names."""
        if not self._options:
            return self._lines
        return [line for line in self._lines if line.partition(b":")[0].lower() not in self._options]

    def on_headers_complete(self) -> None:
        exchange = self.exchange
        if exchange is None or self._whole or self._stray:
            return
        self._in_head = False
        status = self._parser.get_status_code()
        if status == 101:
            # The parser goes on to say that HTTP ends here.
            self._switched = self._protocol == exchange.request.protocol != b""
            self._stray = not self._switched
            return
        if status < 200:
            exchange.interim(status, self._end_to_end())
            return
        if self._coding not in (b"", b"chunked"):
            # Nobody offered to take another coding than chunked (RFC 9112, 6.1), and it would be lost here.
            self._stray = True
            return
        # Only now does the parser know: after the end of a message it forgets.
        self._keep = self._parser.should_keep_alive()
        self._whole = exchange.request.method == b"HEAD" or status in (204, 304)
        unframed = not self._coding and not self._sized
        exchange.response_head(status, self._end_to_end(), not self._whole and not self._sized, unframed)

    def on_body(self, data: bytes) -> None:
        if self._whole:
            self._stray = True
        elif self.exchange is not None and not self._stray:
            self.exchange.response_body(data)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() >= 200 and not self._stray:
            self._whole = True
            # Not after chunks: to the parser their trailers may say that nothing can follow.
            self._ended = self._sized and not self._coding

    # Called by the event loop.

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        exchange, self.exchange = self.exchange, None
        if self._pool is not None:
            self._pool.forget(self)
        if exchange is None:
            return
        if exchange.ends_with_connection and error is None:
            exchange.response_end()
        else:
            exchange.upstream_failed("the backend closed the connection")

    def pause_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.client.pause_reading()

    def resume_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.client.resume_reading()


class Pool:
    """Idle connections by backend, the latest used first."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._idle: dict[Backend, list[Upstream]] = {}

    def take(self, backend: Backend, idle_seconds: float) -> Upstream | None:
        """A connection to a backend that was idle for no longer than this, or None."""
        idle = self._idle.get(backend)
        while idle:
            if self._loop.time() - idle[-1].idle_since > idle_seconds:
                return None
            upstream = idle.pop()
            if not upstream.closed and not upstream.transport.is_closing():
                upstream.reused = True
                return upstream
        return None

    async def connect(self, backend: Backend, seconds: float) -> Upstream:
        """A new connection, made within so many seconds. Raises OSError or TimeoutError."""
        async with asyncio.timeout(seconds):
            make: Any = functools.partial(Upstream, self._loop, backend)
            upstream: Upstream
            _, upstream = await self._loop.create_connection(make, backend.host, backend.port)
        upstream._pool = self
        return upstream

    def put(self, upstream: Upstream) -> None:
        """Keep a connection for the next request."""
        idle = self._idle.setdefault(upstream.backend, [])
        if not upstream.backend.usable or len(idle) >= limits.MAX_IDLE_PER_BACKEND:
            upstream.transport.close()
            return
        upstream.idle_since = self._loop.time()
        upstream.go_on()
        idle.append(upstream)

    def forget(self, upstream: Upstream) -> None:
        idle = self._idle.get(upstream.backend)
        if idle and upstream in idle:
            idle.remove(upstream)

    def drop(self, backend: Backend) -> None:
        """Close the idle connections to a backend that gets no further request."""
        for upstream in self._idle.pop(backend, ()):
            upstream.transport.close()

    def sweep(self, now: float) -> None:
        """Close connections that were idle for too long."""
        for idle in self._idle.values():
            while idle and now - idle[0].idle_since > limits.UPSTREAM_IDLE_SECONDS:
                idle.pop(0).transport.close()
