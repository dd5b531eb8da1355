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
        # What came, and how far it is read.
        self._buffer, self._at = b"", 0
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
        self._is_lost = False
        self._is_advancing = False
        # The answer under way ends with the connection.
        self.is_stream = False
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
        self._closing = self._is_lost = True
        self._buffer, self._at = b"", 0
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
            while (
                self._at < len(self._buffer) and self._busy is None and not (self._closing or self._is_full)
            ):
                request = self._next()
                if request is None:
                    break
                self._answer(request)
        except BadRequest as bad:
            self._refuse(bad)
        self._is_advancing = False
        if not self._closing:
            self._buffer, self._at = self._buffer[self._at :], 0
            self._hold()

    @property
    def _is_full(self) -> bool:
        """True while the client does not take what was written; the loop tells that later than it is so."""
        return self._full or self.unsent > MAX_UNSENT_BYTES

    def _hold(self) -> None:
        """Read no more from a client than can be answered, and go on when it can."""
        is_held = self._busy is not None or self._is_full
        if is_held and len(self._buffer) > MAX_WAITING_BYTES:
            if not self._paused:
                self._paused = True
                self.transport.pause_reading()
        elif self._paused and not is_held:
            self._paused = False
            self.transport.resume_reading()
        if self._buffer and self._busy is None and not self._full and self._is_full:
            asyncio.get_running_loop().call_soon(self._advance)

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
        if data.startswith(b"\r\n", self._at):
            # RFC 9112, 2.2: an empty line before a request is left out.
            self._at += 2
        start = self._at
        end = data.find(b"\r\n\r\n", start, start + MAX_HEAD_BYTES + 4)
        if end < 0:
            self._check_begun(data[start : start + MAX_HEAD_BYTES + 1])
            return False
        line, _, block = data[start : end + 2].partition(b"\r\n")
        method, target, minor = read_line(line)
        if self._fields is None or self._block != (block, minor):
            self._fields, self._block = Fields(block, minor), (block, minor)
        self._head = (method, target, minor, self._fields)
        self._at = end + 4
        self._expect(self._fields)
        return True

    @staticmethod
    def _check_begun(head: bytes) -> None:
        """Refuse a head that is not whole if it cannot become a good one."""
        line, found, _ = head.partition(b"\n")
        if found:
            # With a bare line end it is none.
            read_line(line.removesuffix(b"\r") if line.endswith(b"\r") else line + found)
        elif len(line) > MAX_TARGET_BYTES + 64:
            raise BadRequest(414, "target too long")
        if len(head) > MAX_HEAD_BYTES:
            raise BadRequest(431, "head too large")

    def _expect(self, fields: Fields) -> None:
        """Refuse a body that is too large before it comes; ask for one that waits to be asked for."""
        most = self._service.config.limits.body_bytes
        if fields.length > most:
            raise BadRequest(413, f"a body of more than {most} bytes")
        self._chunks = Chunks(most) if fields.is_chunked else None
        if fields.expects and self._at == len(self._buffer) and (fields.length or fields.is_chunked):
            self.transport.write(CONTINUE)

    def _take_body(self, fields: Fields) -> bytes | None:
        start = self._at
        if self._chunks is not None:
            end = self._chunks.take(self._buffer, start)
            self._at = self._chunks.rest if end is None else end
            return self._chunks.body if end is not None else None
        if len(self._buffer) - start < fields.length:
            return None
        self._at = start + fields.length
        return self._buffer[start : self._at]

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
        self.write(b"".join(parts))

    def write(self, data: bytes) -> None:
        """Send more of an answer; of no use, and no error, once the client is gone."""
        if not self._is_lost:
            self.transport.write(data)

    def over(self, request: Request, status: int, size: int) -> None:
        """The answer is sent."""
        self._service.answered(self, request, status, size)
        was_busy, self._busy, self.on_close = self._busy is not None, None, None
        if self._closing:
            return
        if not request.fields.keep_alive or self._service.is_stopping:
            self._end()
        elif was_busy and not self._is_advancing:
            self._go_on()

    def _go_on(self) -> None:
        self.since = self._service.now()
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
        self._buffer, self._at = b"", 0
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
        # A client may close its half after its request and still wait for the answer, but not for a stream's.
        return (
            self._busy is not None
            and not self._closing
            and self.transport.can_write_eof()
            and not self.is_stream
        )

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
        return 0 if self._is_lost else self.transport.get_write_buffer_size()

    def abort(self) -> None:
        self._closing = True
        self.transport.abort()

    def close_if_idle(self) -> None:
        """End a connection on which nothing is under way; one that is ending need not linger."""
        if self._closing:
            if not self.unsent:
                self.transport.close()
        elif self._busy is None and not self._buffer and self._head is None:
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
