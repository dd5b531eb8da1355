"""
Connections of clients: HTTP/1.1, one request after the other.

An evaluation is answered here, at once. All else goes to Tornado's handlers, which are a hundred times as
slow and as easy to write: see docs/decisions/0035-the-flag-service.md.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from email.utils import formatdate
from json import dumps
from typing import TYPE_CHECKING

from balancer.answers import FIRST_LINES
from balancer.networks import plain_address
from flags.heads import MAX_HEAD_BYTES, MAX_TARGET_BYTES, BadRequest, Chunks, Fields, read_line

if TYPE_CHECKING:
    from flags.service import Service

# A program sends its request at once; who needs longer holds a connection for its own sake.
REQUEST_SECONDS = 10.0
# Longer than SDKs keep idle connections.
IDLE_SECONDS = 75.0
# After an error, what the client still sends is thrown away for so long: a reset would take the answer away.
LINGER_SECONDS = 2.0
# What a client that does not read may leave in memory.
MAX_UNSENT_BYTES = 256 * 1024
# A client that sends more before its answers are taken has to wait.
MAX_WAITING_BYTES = 128 * 1024

JSON_TYPE = b"Content-Type: application/json\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE = b"Connection: close\r\n"


class Request:
    """One request, read whole."""

    __slots__ = ("body", "fields", "method", "minor", "since", "target")

    def __init__(
        self, method: bytes, target: bytes, minor: bytes, fields: Fields, body: bytes, since: float
    ) -> None:
        self.method, self.target, self.minor = method, target, minor
        self.fields, self.body, self.since = fields, body, since

    @property
    def path(self) -> bytes:
        """The target without its query: that may hold a ticket."""
        return self.target.partition(b"?")[0]


class Clock:
    """The Date header, made once a second."""

    def __init__(self) -> None:
        self._second, self._line = 0, b""

    def line(self) -> bytes:
        now = int(time.time())
        if now != self._second:
            self._second, self._line = now, b"Date: %b\r\n" % formatdate(now, usegmt=True).encode()
        return self._line


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, service: Service, closed: Callable[[Connection], None]) -> None:
        self._service, self._closed = service, closed
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.address = "unknown"
        self._buffer = b""
        # The last head's lines of fields, which are the same for all requests of most clients.
        self._block: tuple[bytes, bytes] = (b"", b"")
        self._fields: Fields | None = None
        # The request whose body is not there yet.
        self._head: tuple[bytes, bytes, bytes, Fields] | None = None
        self._chunks: Chunks | None = None
        # A request is with Tornado.
        self._busy: Request | None = None
        self.on_close: Callable[[], None] | None = None
        self._full = False
        self._paused = False
        self._closing = False
        self.since = service.now()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        if peer:
            self.address = plain_address(str(peer[0]))
        self.transport.set_write_buffer_limits(high=MAX_UNSENT_BYTES)
        if not self._service.enter(self):
            # Without a word: a connection too many must not cost more than that.
            self._closing = True
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        self._buffer = b""
        self._closed(self)
        if self.on_close is not None:
            self.on_close()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        if not self._buffer and self._head is None:
            self.since = self._service.now()
        self._buffer = self._buffer + data if self._buffer else data
        self._advance()

    def _advance(self) -> None:
        """Answer what came, until a request is not whole or has to be waited for."""
        try:
            while self._buffer and self._busy is None and not self._closing and not self._full:
                request = self._next()
                if request is None:
                    break
                self._answer(request)
        except BadRequest as bad:
            self._refuse(bad)
        if len(self._buffer) > MAX_WAITING_BYTES and (self._busy is not None or self._full):
            self._paused = True
            self.transport.pause_reading()

    def _next(self) -> Request | None:
        """The next request, if it has come whole. Raises BadRequest."""
        if self._head is None and not self._read_head():
            return None
        assert self._head is not None
        method, target, minor, fields = self._head
        body = self._take_body(fields)
        if body is None:
            return None
        self._head = None
        request = Request(method, target, minor, fields, body, self._service.now())
        self.since = request.since
        return request

    def _read_head(self) -> bool:
        data = self._buffer
        if data.startswith(b"\r\n"):
            # RFC 9112, 2.2: an empty line before a request is left out.
            data = self._buffer = data[2:]
        end = data.find(b"\r\n\r\n")
        first = data.find(b"\n")
        if first >= 0 and (end < 0 or end > MAX_HEAD_BYTES):
            read_line(data[: first - 1] if data[first - 1 : first] == b"\r" else data[: first + 1])
        if end < 0:
            if len(data) > (MAX_TARGET_BYTES + 64 if first < 0 else MAX_HEAD_BYTES):
                raise BadRequest(*((414, "target too long") if first < 0 else (431, "head too large")))
            return False
        if end > MAX_HEAD_BYTES:
            raise BadRequest(431, "head too large")
        line, _, block = data[: end + 2].partition(b"\r\n")
        method, target, minor = read_line(line)
        if self._fields is None or self._block != (block, minor):
            self._fields, self._block = Fields(block, minor), (block, minor)
        self._head = (method, target, minor, self._fields)
        self._buffer = data[end + 4 :]
        self._expect(self._fields)
        return True

    def _expect(self, fields: Fields) -> None:
        """Refuse a body that is too large before it comes; ask for one that waits to be asked for."""
        most = self._service.config.limits.body_bytes
        if fields.length > most:
            raise BadRequest(413, f"a body of more than {most} bytes")
        self._chunks = Chunks(most) if fields.is_chunked else None
        if fields.expects and not self._buffer and (fields.length or fields.is_chunked):
            self.transport.write(CONTINUE)

    def _take_body(self, fields: Fields) -> bytes | None:
        data = self._buffer
        if self._chunks is not None:
            end = self._chunks.take(data, 0)
            if end is None:
                self._buffer = data[self._chunks.rest :]
                return None
            body, self._buffer = self._chunks.body, data[end:]
            return body
        length = fields.length
        if len(data) < length:
            return None
        if len(data) == length:
            self._buffer = b""
            return data
        self._buffer = data[length:]
        return data[:length]

    # Answers.

    def _answer(self, request: Request) -> None:
        found = self._service.evaluate(self, request)
        if found is None:
            self._busy = request
            self._service.hand_on(self, request)
            return
        self.answer(request, *found)

    def answer(self, request: Request, status: int, body: bytes, lines: bytes = b"") -> None:
        """Send a whole answer of JSON."""
        self.send_head(request, status, b"%bContent-Length: %d\r\n%b" % (JSON_TYPE, len(body), lines), body)
        self.over(request, status, len(body))

    def send_head(self, request: Request, status: int, lines: bytes, rest: bytes = b"") -> None:
        """Send an answer's head and what there is of its body."""
        keeps = request.fields.keep_alive and not self._service.is_stopping
        parts = (
            FIRST_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status,
            lines,
            self._service.clock.line(),
            b"Cache-Control: no-store\r\n" if keeps else b"Cache-Control: no-store\r\n" + CLOSE,
            b"\r\n",
            rest,
        )
        self.transport.write(b"".join(parts))

    def over(self, request: Request, status: int, size: int) -> None:
        """The answer is sent."""
        self._service.answered(self, request, status, size)
        was_busy, self._busy, self.on_close = self._busy is not None, None, None
        if self._closing:
            return
        if not request.fields.keep_alive or self._service.is_stopping:
            self._end()
        elif was_busy:
            self._go_on()

    def _go_on(self) -> None:
        self.since = self._service.now()
        if self._paused and not self._full:
            self._paused = False
            self.transport.resume_reading()
        # Not at once: a hundred pipelined requests would be as many calls deep.
        asyncio.get_running_loop().call_soon(self._advance)

    def _refuse(self, bad: BadRequest) -> None:
        """Answer what cannot be read, and close: what follows cannot be trusted."""
        body = dumps({"errorCode": "PARSE_ERROR", "errorDetails": bad.why}).encode()
        head = FIRST_LINES[bad.status] + JSON_TYPE + b"Content-Length: %d\r\n" % len(body)
        self.transport.write(head + self._service.clock.line() + CLOSE + b"\r\n" + body)
        self._service.refused(self, bad.status)
        self._end()

    def _end(self) -> None:
        """Close when all is sent; what still comes is read and thrown away for a moment."""
        self._closing = True
        self._buffer = b""
        self.since = self._service.now()
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            if self._paused:
                self.transport.resume_reading()
            self.transport.write_eof()
        else:
            self.transport.close()

    def eof_received(self) -> bool:
        # A client may close its half after its request and still wait for the answer.
        return self._busy is not None and self.transport.can_write_eof() and not self._closing

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        if self._busy is None and not self._closing:
            self._go_on()

    # For the service.

    @property
    def unsent(self) -> int:
        """Bytes that the client has not taken yet."""
        return self.transport.get_write_buffer_size()

    def abort(self) -> None:
        self._closing = True
        self.transport.abort()

    def close_if_idle(self) -> None:
        """End a connection on which nothing is under way."""
        if self._busy is None and not self._closing and not self._buffer and self._head is None:
            self._end()

    def check_time(self, now: float) -> None:
        """Called once a second: end what takes too long."""
        waited = now - self.since
        if self._closing:
            if waited > (IDLE_SECONDS if self.unsent else LINGER_SECONDS):
                self.transport.abort()
        elif self._busy is not None:
            return
        elif self._full:
            if waited > IDLE_SECONDS:
                self.abort()
        elif self._buffer or self._head is not None:
            if waited > REQUEST_SECONDS:
                self._refuse(BadRequest(408, "the request took too long"))
        elif waited > IDLE_SECONDS:
            self._end()
