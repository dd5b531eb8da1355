"""One request and its response: the choice of a backend, the second try, and the way back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from balancer import limits
from balancer.affinity import add_cookie
from balancer.answers import head_bytes, own_answer
from balancer.outcomes import CONNECT, CUT_SHORT, NO_ANSWER, TIMEOUT
from balancer.request import Request
from balancer.routes import Backend
from balancer.timeouts import late
from balancer.trailers import LAST_CHUNK, last_chunk
from balancer.tunnel import Tunnel
from balancer.upstream import Upstream

if TYPE_CHECKING:
    from balancer.frontend import Client


class Exchange:
    """Carries one request to a backend and its response to the client."""

    __slots__ = (
        "_chunk",
        "_connecting",
        "_counted",
        "_failure",
        "_held",
        "_last",
        "_retried",
        "_stale",
        "_tried",
        "backend",
        "bytes_out",
        "client",
        "ends_with_connection",
        "head_sent",
        "over",
        "request",
        "route",
        "status",
        "trailers",
        "tunnel",
        "upstream",
    )

    def __init__(self, client: Client, request: Request) -> None:
        self.client, self.request, self.route = client, request, request.route
        self.backend: Backend | None = None
        self.upstream: Upstream | None = None
        # What came after the last chunk of the response, for clients that take it.
        self.trailers: list[tuple[bytes, bytes]] | None = None
        # Set once client and backend have switched to another protocol.
        self.tunnel: Tunnel | None = None
        self.status = 0
        self.bytes_out = 0
        self.head_sent = False
        self.over = False
        self.ends_with_connection = False
        self._chunk = False
        # The response's head, until there is something of its body to go with it.
        self._held = b""
        # Those that were given this request, and whether it had its second try.
        self._tried: list[Backend] = []
        self._retried = False
        # An idle connection turned out to be dead, once: that is not yet the backend's failure.
        self._stale = False
        self._counted = False
        self._failure = "no backend can serve this now"
        self._connecting: asyncio.Task[None] | None = None
        self._last = client.worker.clock()

    # The way to the backend.

    def start(self) -> None:
        """Choose a backend and send it the request; 503 if there is none."""
        steering = self.route.steering
        if steering is None:
            self._go_to(self.route.choose(self._tried))
        else:
            self._go_to(steering.choose(self.route, self.request, self._tried))

    def _go_to(self, backend: Backend | None) -> None:
        self._release()
        if backend is None:
            self._give_up()
            return
        self._tried.append(backend)
        self.backend = backend
        backend.in_flight += 1
        self._counted = True
        may_repeat = self.request.may_repeat()
        idle_seconds = limits.UPSTREAM_IDLE_SECONDS if may_repeat else limits.UNREPEATABLE_IDLE_SECONDS
        upstream = self.client.worker.pool.take(backend, idle_seconds)
        if upstream is not None:
            self._send(upstream)
        else:
            self._connecting = asyncio.ensure_future(self._connect(backend))

    async def _connect(self, backend: Backend) -> None:
        try:
            upstream = await self.client.worker.pool.connect(backend, self.route.timeouts.connect_seconds)
        except (OSError, TimeoutError):
            self._connecting = None
            if not self.over:
                self.route.suspect(backend)
                self._attempt_failed(backend, CONNECT, "no connection to the backend", sent=False)
            return
        self._connecting = None
        if self.over:
            upstream.transport.close()
        elif self._may_go_to(backend):
            self._send(upstream)
        else:
            # While the connection was made an alert or a drain took effect: nothing new may begin there.
            upstream.transport.close()
            self._tried.remove(backend)
            self.start()

    def _may_go_to(self, backend: Backend) -> bool:
        """True unless an alert or a drain took effect since the backend was chosen."""
        steering = self.route.steering
        if steering is None:
            return self.route.serves(backend)
        return steering.may_have(self.route, self.request, backend)

    def _send(self, upstream: Upstream) -> None:
        """Head and whatever waits of the body, in one write."""
        self.upstream = upstream
        upstream.begin(self)
        self._last = self.client.worker.clock()
        request = self.request
        if request.body:
            upstream.transport.writelines([request.head, *request.body])
            request.body.clear()
            request.waiting_bytes = 0
            request.body_sent = True
            self.client.resume_reading()
        else:
            upstream.transport.write(request.head)

    def request_body(self, part: bytes) -> None:
        """A part of the request's body, framed for the backend."""
        self._last = self.client.worker.clock()
        request = self.request
        if self.upstream is not None and not request.body:
            request.body_sent = True
            self.upstream.transport.write(part)
            return
        request.body.append(part)
        request.waiting_bytes += len(part)
        if request.waiting_bytes > limits.MAX_WAITING_BYTES:
            self.client.pause_reading()

    # The way back.

    def interim(self, status: int, lines: list[bytes]) -> None:
        """A 1xx response goes on to clients that know them."""
        if self.request.version == "1.1":
            self.client.write(head_bytes(status, lines))

    def switched(self, lines: list[bytes], rest: bytes) -> None:
        """The backend took up the offer to switch protocols; `rest` is what it sent after that."""
        offer, upstream, backend = self.client.offer, self.upstream, self.backend
        assert offer is not None and upstream is not None and backend is not None
        if not self.may_stay:
            self.stop(503, "the backend was taken out of service")
            return
        self.status = 101
        self.head_sent = True
        if self.request.steered is not None and self.request.steered.cookie:
            add_cookie(lines, self.request.steered.cookie)
        self.tunnel = Tunnel(self, upstream)
        self.client.worker.tunnel_opened(self, backend)
        self.tunnel.open(lines, rest, offer, self.client.is_full)

    @property
    def may_stay(self) -> bool:
        """False if its tunnel must end: under an alert all traffic leaves the canary."""
        return self.backend is not None and self.route.keeps(self.backend)

    def response_head(self, status: int, lines: list[bytes], unsized_body: bool, unframed: bool) -> None:
        """
        Make the response's head, framed for the client's connection; it goes out with the first part of the
        body, or by `flush`. `lines`: its end-to-end headers; `unsized_body`: a body follows whose length is
        not known; `unframed`: it ends with the backend's connection.
        """
        self.status = status
        self.head_sent = True
        self._last = self.client.worker.clock()
        if unsized_body:
            self.ends_with_connection = unframed
            if self.request.version == "1.1":
                self._chunk = True
                lines.append(b"Transfer-Encoding: chunked\r\n")
            else:
                self.request.keep_alive = False
        if not self.request.keep_alive or not self.request.complete or self.client.worker.stopping:
            self.request.keep_alive = False
            lines.append(b"Connection: close\r\n")
        if self.request.steered is not None and self.request.steered.cookie:
            # A plain head's lines come in one.
            lines = b"".join(lines).splitlines(keepends=True)
            add_cookie(lines, self.request.steered.cookie)
        self._held = head_bytes(status, lines)

    def response_trailer(self, name: bytes, value: bytes) -> None:
        """Keep a trailer until the end of the body, if the client takes them and it does not end here."""
        if self.trailers is None:
            self.trailers = []
        self.trailers.append((name, value))

    def response_body(self, data: bytes) -> None:
        """Pass a part of the body on."""
        self.bytes_out += len(data)
        if self._chunk:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if self._held:
            data, self._held = self._held + data, b""
        self.client.write(data)

    def flush(self) -> None:
        """Nothing more came for now: a head that waits for its body goes out alone."""
        if self._held:
            head, self._held = self._held, b""
            self.client.write(head)

    def response_end(self) -> None:
        """The response is whole."""
        self.flush()
        if self._chunk:
            self.client.write(last_chunk(self.trailers) if self.trailers else LAST_CHUNK)
        self.upstream = None
        backend = self.backend
        if backend is not None and (backend.watched or self.status > 501):
            self.client.worker.outcomes.ended(self.route, backend, self.status)
        self._finish()

    # When something breaks.

    def upstream_failed(self, why: str) -> None:
        """The connection to the backend ended before the response did."""
        upstream, self.upstream = self.upstream, None
        worker, route, backend = self.client.worker, self.route, self.backend
        if upstream is None or backend is None:
            return
        if upstream.reused:
            # The others that were idle are as old.
            worker.pool.drop(backend)
        else:
            route.suspect(backend)
        if self.head_sent:
            # A part of the answer is with the client: a clean end would pass it off as the whole.
            worker.outcomes.failed(route, backend, CUT_SHORT, why)
            self.client.abort()
            self._finish()
        elif upstream.reused and not upstream.answered and not self._stale and self._may_repeat(upstream):
            # It died of old age, perhaps: the backend is not under suspicion and is asked again.
            self._stale = True
            worker.metrics.retried(route.name)
            self._tried.pop()
            if self._may_go_to(backend):
                self._go_to(backend)
            else:
                self.start()
        else:
            self._attempt_failed(backend, NO_ANSWER, why, sent=True, may_repeat=self._may_repeat(upstream))

    def leave(self) -> None:
        """The backend is down by its checks: do not wait for it any longer if another may answer."""
        upstream, backend = self.upstream, self.backend
        if upstream is None or backend is None or self.head_sent or self._retried:
            return
        if self._may_repeat(upstream) and self.route.again(self._tried) is not None:
            self._drop_upstream()
            self._attempt_failed(backend, TIMEOUT, "the backend is down", sent=True)

    def _may_repeat(self, upstream: Upstream) -> bool:
        """True if a request that was sent may be sent again: no byte of an answer, no harm, not too often."""
        return (
            not upstream.answered
            and self.request.may_repeat()
            and self.client.worker.metrics.may_retry(self.route.name)
        )

    def _attempt_failed(
        self, backend: Backend, reason: str, why: str, sent: bool, may_repeat: bool = True
    ) -> None:
        """A backend failed before the head of its answer: one other may try, else the client is told."""
        worker = self.client.worker
        self._failure = why
        other = self.route.again(self._tried) if may_repeat and not self._retried else None
        worker.outcomes.failed(self.route, backend, reason, why, goes_on=other is not None)
        if other is None:
            self.answer(502, why)
            return
        self._retried = True
        worker.metrics.retried(self.route.name, sent)
        self._go_to(other)

    def check_time(self, now: float) -> None:
        """Called now and then: end an exchange in which nothing moves."""
        if self.tunnel is not None:
            self.tunnel.check_time(now)
            return
        idle, limit = now - self._last, self.route.timeouts
        if idle > limits.HALF_CLOSED_SECONDS and self.head_sent and self.client.may_be_gone:
            self.client.abort()
            self.cancel()
            return
        if limit.total_seconds is None and idle < limit.response_seconds and idle < limit.idle_seconds:
            # Most, and they are looked at often.
            return
        found = late(
            limit,
            now - self.request.started,
            idle,
            sent=self.upstream is not None,
            body_due=not self.request.complete and self.client.is_reading,
            answered=self.head_sent,
            client_slow=self.client.is_full,
        )
        if found is None:
            return
        if found.backend_failed and self.backend is not None:
            reason = CUT_SHORT if self.head_sent else TIMEOUT
            self.client.worker.outcomes.failed(self.route, self.backend, reason, found.why)
        self.stop(found.status, found.why)

    def touch(self) -> None:
        """Something of the answer came; before its head is whole that is no reason to wait on."""
        if self.head_sent:
            self._last = self.client.worker.clock()

    def cancel(self) -> None:
        """The client is gone, or the backend was cut off."""
        if not self.over:
            self._drop_upstream()
            self.status = self.status or 499
            self._finish()

    def stop(self, status: int, why: str) -> None:
        """End it from this side: answer what can still be answered, break off what cannot."""
        if self.head_sent:
            self.client.abort()
            self.cancel()
        else:
            self._drop_upstream()
            self.answer(status, why)

    def _drop_upstream(self) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.exchange = None
            upstream.transport.abort()
        if self._connecting is not None:
            self._connecting.cancel()

    def _give_up(self) -> None:
        if self._tried:
            self.answer(502, self._failure)
        else:
            self.answer(503, self._failure)

    def answer(self, status: int, why: str, lines: Sequence[bytes] = ()) -> None:
        """The balancer's own answer; `lines`: headers that only this answer has."""
        self.status = status
        self.head_sent = True
        if not self.request.complete or self.client.worker.stopping:
            self.request.keep_alive = False
        head_only = self.request.method == b"HEAD"
        self.client.write(own_answer(status, why, self.request.keep_alive, head_only, lines))
        self._finish()

    def _release(self) -> None:
        if self._counted and self.backend is not None:
            self.backend.in_flight -= 1
            self._counted = False

    def _finish(self) -> None:
        if self.over:
            return
        self.over = True
        self._release()
        self.client.worker.finished(self)
        self.client.exchange_over(self)
