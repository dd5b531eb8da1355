"""Connections from clients: strict parsing, pipelining in order, back-pressure, time limits."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import httptools

from balancer import limits
from balancer.exchange import Exchange, own_answer
from balancer.request import BadRequest, Request

if TYPE_CHECKING:
    from balancer.routes import Route
    from balancer.worker import Worker


class Client(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, worker: Worker, route: Route) -> None:
        self.worker, self.route = worker, route
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.address = b""
        self._parser: Any = httptools.HttpRequestParser(self)
        self._reading: Request | None = None
        self._head_bytes = 0
        self._in_head = False
        self._refused: BadRequest | None = None
        self._waiting: deque[Request] = deque()
        self._exchange: Exchange | None = None
        self._since = worker.clock()
        self._closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]).encode() if peer else b"unknown"
        self.worker.clients.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.worker.clients.discard(self)
        self._closing = True
        self._waiting.clear()
        if self._exchange is not None:
            self._exchange.cancel()

    def eof_received(self) -> bool:
        # A client may half-close after its request and still wait for the answer.
        return self._exchange is not None and (self._reading is None or self._reading.complete)

    def data_received(self, data: bytes) -> None:
        if self._closing or self._refused is not None:
            return
        if self._reading is None and not self._in_head:
            self._since = self.worker.clock()
        if self._reading is None or self._in_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as stop:
            self._after_upgrade(data[stop.args[0] :])
        except httptools.HttpParserError:
            self._refused = self._refused or BadRequest(400, "not valid HTTP/1.1")
        if self._in_head and self._head_bytes > limits.MAX_HEAD_BYTES:
            self._refused = self._refused or BadRequest(431, "head too large")
        if self._refused is not None:
            self._refuse()

    def _after_upgrade(self, rest: bytes) -> None:
        """An Upgrade is not taken up: the request was answered as plain HTTP; go on with the rest."""
        self._parser = httptools.HttpRequestParser(self)
        if rest:
            self.data_received(rest)

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
        # Trailers arrive here as well: they are for this hop and end with it.
        if request is None or not self._in_head:
            return
        request.headers.append((name, value))
        if len(request.headers) > limits.MAX_HEADERS:
            self._refused = self._refused or BadRequest(431, "too many headers")

    def on_headers_complete(self) -> None:
        request = self._reading
        if request is None or self._refused is not None:
            return
        self._in_head = False
        request.method = self._parser.get_method()
        request.version = self._parser.get_http_version()
        try:
            if request.version not in ("1.1", "1.0"):
                raise BadRequest(400, "want HTTP/1.1 or 1.0")
            request.check(self._parser.should_upgrade())
        except BadRequest as bad:
            self._refused = bad
            return
        request.keep_alive = self._parser.should_keep_alive() and request.version == "1.1"
        request.id = request.id or self.worker.next_id()
        request.make_head(self.address)
        if self._exchange is None:
            self._start(request)
        else:
            self._waiting.append(request)
            self.pause_reading()

    def on_body(self, data: bytes) -> None:
        request = self._reading
        if request is None or self._refused is not None:
            return
        self._part(request, b"%x\r\n%b\r\n" % (len(data), data) if request.chunked else data)

    def on_message_complete(self) -> None:
        request = self._reading
        if request is None or self._refused is not None:
            return
        request.complete = True
        if request.chunked:
            self._part(request, b"0\r\n\r\n")
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
        self._exchange = Exchange(self, request)
        self._exchange.start()

    def exchange_over(self, exchange: Exchange) -> None:
        """The exchange under way ended: close, or go on with the next request."""
        self._exchange = None
        self._since = self.worker.clock()
        if self._closing:
            return
        if not exchange.request.keep_alive or not exchange.request.complete or self.worker.stopping:
            self._closing = True
            self.transport.close()
        elif self._waiting:
            self._start(self._waiting.popleft())
        elif self._refused is not None:
            self._refuse()
        else:
            self.resume_reading()

    def _refuse(self) -> None:
        """Answer a bad request, in its turn, and close: what follows on the line cannot be trusted."""
        assert self._refused is not None
        if self._exchange is not None or self._closing:
            if self._exchange is not None and not self._exchange.request.complete:
                self._exchange.stop(self._refused.status, self._refused.reason)
            return
        self._closing = True
        self.worker.metrics.refused(self.route.name)
        self.transport.write(own_answer(self._refused.status, self._refused.reason, keep_alive=False))
        self.transport.close()

    # For the exchange.

    def write(self, data: bytes) -> None:
        if not self._closing:
            self.transport.write(data)

    def abort(self) -> None:
        self._closing = True
        self.transport.abort()

    def pause_reading(self) -> None:
        if not self._closing:
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._closing:
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        if self._exchange is not None and self._exchange.upstream is not None:
            self._exchange.upstream.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._exchange is not None and self._exchange.upstream is not None:
            self._exchange.upstream.transport.resume_reading()

    # For the worker.

    def check_time(self, now: float) -> None:
        """Called now and then: end what takes too long."""
        if self._exchange is not None:
            self._exchange.check_time(now)
        elif self._reading is not None or self._head_bytes:
            if now - self._since > limits.HEAD_SECONDS:
                self._refused = BadRequest(408, "the request took too long")
                self._refuse()
        elif now - self._since > limits.IDLE_SECONDS:
            self.close_if_idle()

    def close_if_idle(self) -> None:
        if self._exchange is None and not self._closing:
            self._closing = True
            self.transport.close()

    def cut(self, backend: object) -> bool:
        """End the exchange under way if it is with this backend; True if it was."""
        exchange = self._exchange
        if exchange is None or exchange.backend is not backend:
            return False
        exchange.stop(503, "the backend was taken out of service")
        return True
