"""Connections from clients: strict parsing, pipelining in order, back-pressure, time limits."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections import deque
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import httptools

from balancer import heads, limits
from balancer.answers import own_answer
from balancer.exchange import Exchange
from balancer.forwarded import Asked, asked
from balancer.networks import plain_address
from balancer.pace import Pace
from balancer.request import BadRequest, Request
from balancer.tls import all_sent
from balancer.tunnel import Offer
from balancer.upgrade import taken_up

if TYPE_CHECKING:
    from balancer.hosts import Names
    from balancer.plane import Plane

# Closing with this set sends a reset.
LINGER_NOT = struct.pack("ii", 1, 0)
# How a request begins. The parser would let more pass: several spaces, bare line ends before it, RTSP, other
# versions; and of HTTP/2's preface (PRI) it would wait for the rest.
LINE = re.compile(rb"(?:[A-OQ-Z-]|P(?!RI ))[A-Z-]*+ [!-~]++ HTTP/1\.[01]\r\n")
# A part of that, the rest of which may still come, after at most one empty line (RFC 9112, 2.2).
LINE_BEGUN = re.compile(rb"(?:\r\n)?(?:[A-Z-]+(?: (?:[!-~]+(?: [!-~]*)?)?)?)?\r?")
# What a chunk's size and line ends may cost, whatever its data.
CHUNK_BYTES = 16


class Client:
    """One client's connection."""

    def __init__(self, worker: Plane, names: Names, proto: bytes = b"http", address: str = "") -> None:
        """`address`: the client's, if it is another than the connection comes from."""
        self.worker, self.names, self.proto = worker, names, proto
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.address = plain_address(address).encode()
        # What backends are told of this client; made once, it is the same for all its requests.
        self.asked: Asked = None  # type: ignore[assignment]
        # Made when a request is not plain; see heads.py.
        self._parser: Any = None
        # The request under way is plain: its body, if any, is counted, not parsed.
        self._plain = False
        # The last request said that no other follows: what does is for the parser to refuse.
        self._last = False
        self._reading: Request | None = None
        # Bytes that were neither body nor the end of a request: heads, chunk sizes, trailers.
        self._head_bytes = 0
        # A request line that has not come whole yet.
        self._line = b""
        # The last bytes fed of a head or of chunks: the end of either may come in parts.
        self._tail = b""
        # Bytes missing of a body whose length is known.
        self._left = 0
        # What came of the body since its pace is looked at.
        self._body_bytes = 0
        self._pace: Pace | None = None
        # Whether the census counts this connection.
        self._counted = False
        self._in_head = False
        self._refused: BadRequest | None = None
        # Pipelined requests; while there are any, nothing more is read.
        self._waiting: deque[Request] = deque()
        self._exchange: Exchange | None = None
        self._since = worker.clock()
        self._closing = False
        self._half_closed = False
        self._tls = proto == b"https"
        # The client does not take what was written: no further answer is begun.
        self._full = False
        # Nothing is read for now.
        self._paused = False
        # The last request offers to switch protocols; what follows is not read before that is answered.
        self.offer: Offer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        if not self.address:
            # A listener on [::] takes IPv4 as well; who comes so is called by that address.
            self.address = plain_address(str(peer[0])).encode() if peer else b"unknown"
        self.asked = asked([self.address], self.proto)
        if self.worker.census is not None:
            refused = self.worker.census.enter(
                self.address.decode(), limits.now.max_connections, limits.now.max_connections_per_client
            )
            if refused:
                # Without a word: whoever holds too many must not cost more than that.
                self.worker.metrics.turned_away(refused)
                self._closing = True
                self.transport.abort()
                return
            self._counted = True
        self.worker.clients.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.worker.clients.discard(self)
        if self._counted and self.worker.census is not None:
            self.worker.census.leave(self.address.decode())
        self._closing = True
        self._waiting.clear()
        if self._exchange is not None:
            self._exchange.cancel()

    def eof_received(self) -> bool:
        # A client may half-close after its request and still wait for the answer.
        # TLS cannot: who ends it there is gone.
        asked = (self._exchange is not None or bool(self._waiting)) and not self._tls
        self._half_closed = not self._closing and asked and (self._reading is None or self._reading.complete)
        return self._half_closed

    def data_received(self, data: bytes) -> None:
        if self._closing or self._refused is not None:
            return
        if self._reading is None and not self._line:
            self._since = self.worker.clock()
        self._parse(self._line + data if self._line else data)
        if self._refused is not None:
            self._refuse()
        elif self._waiting:
            # Only now, when all that was read is known to be good.
            self._next()
            if self._waiting:
                self.pause_reading()

    def _parse(self, data: bytes) -> None:
        """Feed the parser up to where a request may end at most: each one's beginning is looked at first."""
        start, size = 0, len(data)
        self._line = b""
        while start < size and self._refused is None:
            if self.offer is not None:
                self.offer.data_received(data[start:])
                return
            if self._plain:
                start = self._count_body(data, start)
                continue
            if heads.COMPILED and self._reading is None and not self._last:
                end = self._take_plain(data, start)
                if end:
                    start = end
                    continue
            if self._reading is None and not (
                LINE.match(data, start) or (data.startswith(b"\r\n", start) and LINE.match(data, start + 2))
            ):
                self._begin_later(data[start:])
                return
            end = self._end(data, start)
            self._feed(data[start:end])
            start = end

    def _take_plain(self, data: bytes, start: int) -> int:
        """Take a request whose head is plain, without the parser; where its head ends, 0 if it is not."""
        found = heads.read_request(data, start)
        if found is None:
            return 0
        request = Request(self.worker.clock())
        request.method, request.target, request.host, request.length, request.lines, end = found
        self._reading = request
        if self._accept(request):
            self._left = int(request.length) if request.length is not None else 0
            self._plain = self._left > 0
            if not self._plain:
                self.on_message_complete()
        return end

    def _count_body(self, data: bytes, start: int) -> int:
        """Take what came of a plain request's body; where it ends."""
        end = min(start + self._left, len(data))
        self.on_body(data[start:end] if end - start < len(data) else data)
        if not self._left:
            self._plain = False
            self.on_message_complete()
        return end

    def _accept(self, request: Request) -> bool:
        """The head is good: make of it what goes to the backend, and let the request wait for its turn."""
        try:
            if self._head_bytes > limits.now.header_bytes:
                raise BadRequest(431, "head too large")
            route = request.route = self.names.only or self.names.lead(request)
            if route.rules is not None and request.answer is None:
                route.rules.apply(request)
            if request.upgrade:
                request.protocol = taken_up(request, route.protocols)
            request.id = request.id or self.worker.next_id()
            request.make_head(self.asked)
        except BadRequest as bad:
            self._refused = bad
            return False
        self._waiting.append(request)
        return True

    def _begin_later(self, line: bytes) -> None:
        """A request line that is not whole is kept until it is, if it can become a good one."""
        if not LINE_BEGUN.fullmatch(line):
            self._refused = BadRequest(400, "not valid HTTP/1.1")
        elif len(line) > limits.now.target_bytes + 64:
            self._refused = BadRequest(414, "target too long")
        else:
            self._line = line

    def _end(self, data: bytes, start: int) -> int:
        """Where the request may end that goes on at `start`: at its length, or after an empty line."""
        if self._left:
            return min(start + self._left, len(data))
        if self._tail:
            at = (self._tail + data[start : start + 3]).find(b"\r\n\r\n")
            if at >= 0:
                return start + at + 4 - len(self._tail)
        at = data.find(b"\r\n\r\n", start)
        return at + 4 if at >= 0 else len(data)

    def _feed(self, part: bytes) -> None:
        if not self._left:
            self._head_bytes += len(part)
        if self._parser is None:
            self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(part)
        except httptools.HttpParserUpgrade:
            self._after_upgrade()
        except httptools.HttpParserError:
            self._refused = self._refused or BadRequest(400, "not valid HTTP/1.1")
        if self._reading is None:
            self._tail = b""
            return
        self._tail = (self._tail + part[-3:])[-3:]
        if self._head_bytes > limits.now.header_bytes:
            self._refused = self._refused or self._too_large()

    def _after_upgrade(self) -> None:
        """An Upgrade is not taken up: the request is answered as plain HTTP; go on with its body, if any."""
        self._parser = httptools.HttpRequestParser(self)
        request = self._reading
        if request is None or self._refused is not None:
            if self._refused is None and self._waiting and self._waiting[-1].protocol:
                self.offer = Offer(self)
            return
        # The old parser took the body for another protocol. The new one is told of it, and nobody listens.
        self._reading, self._refused = None, BadRequest(400, "")
        length = b"Content-Length: " + request.length if request.length else b"Transfer-Encoding: chunked"
        self._parser.feed_data(b"POST / HTTP/1.1\r\n" + length + b"\r\n\r\n")
        self._reading, self._refused = request, None

    def _too_large(self) -> BadRequest:
        target = self._reading.target if self._in_head and self._reading is not None else b""
        if len(target) > limits.now.target_bytes:
            return BadRequest(414, "target too long")
        return BadRequest(431, "head too large")

    # Called by the parser. After a refusal nothing more is believed.

    def on_message_begin(self) -> None:
        if self._refused is None:
            self._in_head = True
            self._reading = Request(self.worker.clock())

    def on_url(self, url: bytes) -> None:
        if self._reading is not None:
            self._reading.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        request = self._reading
        if request is None:
            return
        if self._in_head:
            found = request.headers
        elif request.trailers is None:
            found = request.trailers = []
        else:
            found = request.trailers
        found.append((name, value))
        if len(found) > limits.now.headers:
            self._refused = self._refused or BadRequest(431, "too many headers")

    def on_headers_complete(self) -> None:
        request = self._reading
        if request is None or self._refused is not None:
            return
        self._in_head = False
        request.method = self._parser.get_method()
        request.version = self._parser.get_http_version()
        self._left = 0
        try:
            request.check(self.proto)
        except BadRequest as bad:
            self._refused = bad
            return
        request.upgrade = self._parser.should_upgrade()
        if not self._accept(request):
            return
        # With HTTP/1.0 a proxy keeps no connection, whatever the client asks for (RFC 9112, 9.3).
        request.keep_alive = self._parser.should_keep_alive() and request.version == "1.1"
        self._last = not request.keep_alive
        self._left = int(request.length or 0)

    def on_body(self, data: bytes) -> None:
        request = self._reading
        if request is None or self._refused is not None:
            return
        self._body_bytes += len(data)
        if request.chunked:
            # A chunk may cost what it needs, but not a page of extensions for each byte.
            self._head_bytes = max(0, self._head_bytes - 3 * len(data) - CHUNK_BYTES)
            self._part(request, b"%x\r\n%b\r\n" % (len(data), data))
        else:
            self._left -= len(data)
            self._head_bytes = 0
            self._part(request, data)

    def on_message_complete(self) -> None:
        request = self._reading
        if request is None or self._refused is not None:
            return
        if request.upgrade and request.has_body:
            # Not complete at all: see _after_upgrade.
            request.upgrade = False
            return
        if self._head_bytes > limits.now.header_bytes:
            self._refused = self._too_large()
            return
        request.complete = True
        if request.chunked:
            self._part(request, request.last_chunk())
        self._reading = None
        self._head_bytes = 0
        self._since = self.worker.clock()

    def _part(self, request: Request, part: bytes) -> None:
        exchange = self._exchange
        if exchange is not None and exchange.request is request:
            exchange.request_body(part)
        elif request in self._waiting:
            request.body.append(part)
            request.waiting_bytes += len(part)

    # Exchanges, one after the other.

    def _start(self, request: Request) -> None:
        exchange = self._exchange = Exchange(self, request)
        if request.answer is not None:
            exchange.answer(*request.answer)
        else:
            exchange.start()

    def exchange_over(self, exchange: Exchange) -> None:
        """The exchange under way ended: close, or go on with the next request."""
        self._exchange = None
        self._since = self.worker.clock()
        if self._closing:
            return
        if not exchange.request.keep_alive or not exchange.request.complete:
            self._close(unread=not exchange.request.complete or self._refused is not None)
        elif self._waiting:
            # Not at once: a thousand pipelined requests that fail at once would be as many calls deep.
            asyncio.get_running_loop().call_soon(self._next)
        else:
            self._next()

    def _next(self) -> None:
        """Go on with what waits: a request, a refusal, or bytes not read yet."""
        if self._closing or self._full or self._exchange is not None:
            return
        if self._waiting:
            request = self._waiting.popleft()
            self._start(request)
            if not request.complete:
                self.resume_reading()
        elif self._refused is not None:
            self._refuse()
        elif self.offer is not None:
            # Not at once: see exchange_over.
            asyncio.get_running_loop().call_soon(self._take_back)
        elif self._half_closed:
            self._close()
        else:
            self.resume_reading()

    def _take_back(self) -> None:
        """The offer to switch protocols was not taken: what came after it is HTTP."""
        if self.offer is None or self._closing or self._exchange is not None or self._waiting:
            return
        offer, self.offer = self.offer, None
        rest = offer.take_back()
        if rest:
            self.data_received(rest)
        if self._exchange is None and not self._waiting:
            self._next()

    def _refuse(self) -> None:
        """Answer a bad request, in its turn, and close: what follows on the line cannot be trusted."""
        assert self._refused is not None
        if self._waiting and not self._waiting[-1].complete:
            # It turned out bad after its head: no backend may see a part of it.
            self._waiting.pop()
        if self._waiting:
            self._next()
        if self._exchange is not None and not self._exchange.request.complete:
            self.worker.metrics.refused(self._exchange.route.name)
            self._exchange.stop(self._refused.status, self._refused.reason)
        if self._exchange is not None or self._waiting or self._closing:
            return
        self.worker.metrics.refused(self.names.first.name)
        self.transport.write(own_answer(self._refused.status, self._refused.reason, keep_alive=False))
        self._close(unread=True)

    def _close(self, unread: bool = False) -> None:
        """
        Close after what was written is sent. With `unread` the client may be sending still: that is read
        and thrown away for a moment.
        """
        self._closing = True
        self._since = self.worker.clock()
        if self.transport.is_closing():
            return
        if unread and not self._half_closed and not self._tls:
            self.transport.resume_reading()
            self.transport.write_eof()
        else:
            # With TLS what still comes is read and thrown away by itself, until the client ends it, too.
            self.transport.close()

    # For the exchange.

    def write(self, data: bytes) -> None:
        if not self._closing:
            self.transport.write(data)

    def abort(self) -> None:
        """Reset the connection: an orderly end would pass off as whole what is not."""
        self._closing = True
        line = self.transport.get_extra_info("socket")
        if line is not None and not self.transport.is_closing():
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        self.transport.abort()

    def pause_reading(self) -> None:
        if not self._closing and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self._paused and not self._closing and not self._waiting and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    @property
    def is_full(self) -> bool:
        """True while the client does not take what was written."""
        return self._full

    @property
    def may_be_gone(self) -> bool:
        """True if the client closed its half of the connection and took all that was written."""
        return self._half_closed and not self._full

    @property
    def is_reading(self) -> bool:
        """True unless back-pressure holds the client up."""
        return self.transport.is_reading()

    def pause_writing(self) -> None:
        self._full = True
        if self._exchange is not None and self._exchange.upstream is not None:
            self._exchange.upstream.hold()

    def resume_writing(self) -> None:
        self._full = False
        if self._exchange is None:
            self._next()
        elif self._exchange.upstream is not None:
            self._exchange.upstream.go_on()

    # For the worker.

    def check_time(self, now: float) -> None:
        """Called now and then: end what takes too long."""
        if self._closing:
            if not self.transport.is_closing():
                unsent = self.transport.get_write_buffer_size() > 0
            else:
                # Without TLS it is gone when all is sent; with it the client is waited for to end it, too.
                unsent = not self._tls or not all_sent(self.transport)
            if now - self._since > (limits.IDLE_SECONDS if unsent else limits.LINGER_SECONDS):
                self.transport.abort()
        elif self._exchange is not None:
            if self._reading is self._exchange.request and limits.now.body_bytes:
                self._check_pace(self._exchange, now)
            if self._exchange is not None:
                self._exchange.check_time(now)
        elif self._reading is not None or len(self._line) > 2:
            if now - self._since > limits.now.head_seconds:
                self._refused = BadRequest(408, "the request took too long")
                self._refuse()
        elif now - self._since > limits.now.idle_seconds:
            self.close_if_idle()

    def _check_pace(self, exchange: Exchange, now: float) -> None:
        """End an exchange whose request's body drips."""
        if self._pace is None or self._pace.body is not exchange.request:
            self._pace = Pace(exchange.request, now)
            self._body_bytes = 0
        elif not self.is_reading:
            self._pace.pardon(now)
        elif self._pace.is_too_slow(now, self._body_bytes, limits.now.body_seconds, limits.now.body_bytes):
            exchange.stop(408, "the request's body came too slowly")

    def is_quiet_since(self, then: float) -> bool:
        """True if since then nothing was under way, nor a part of a request there."""
        idle = self._exchange is None and self._reading is None and not self._line
        return idle and not self._closing and self._since <= then

    def close_if_idle(self) -> None:
        if self._exchange is None and not self._closing:
            self._close()

    def leave(self, backends: Collection[object]) -> None:
        """These are down: what waits for one of them goes elsewhere if it may."""
        if self._exchange is not None and self._exchange.backend in backends:
            self._exchange.leave()

    def cut(self, backend: object) -> bool:
        """End the exchange under way if it is with this backend; True if it was."""
        exchange = self._exchange
        if exchange is None or exchange.backend is not backend:
            return False
        exchange.stop(503, "the backend was taken out of service")
        return True
