"""From an offer to switch protocols to the tunnel that comes of it: bytes both ways, as they come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from balancer import limits
from balancer.answers import head_bytes

if TYPE_CHECKING:
    from balancer.exchange import Exchange
    from balancer.frontend import Client
    from balancer.upstream import Upstream


class Offer(asyncio.Protocol):
    """
    The client's connection from an offer until the backend has answered it.

    What the client sends meanwhile is HTTP or not, depending on the answer. So it is kept as it is.
    """

    __slots__ = ("_client", "_kept", "_size", "ended")

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kept: list[bytes] = []
        self._size = 0
        self.ended = False
        client.transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        self._kept.append(data)
        self._size += len(data)
        if self._size > limits.MAX_WAITING_BYTES:
            self._client.transport.pause_reading()

    def take_back(self) -> bytes:
        """Have the client's connection speak HTTP again; what came meanwhile."""
        if not self._client.transport.is_closing():
            self._client.transport.set_protocol(self._client)  # type: ignore[arg-type]
        return self.kept()

    def kept(self) -> bytes:
        return b"".join(self._kept)

    def eof_received(self) -> bool:
        self.ended = True
        return self._client.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self._client.connection_lost(error)

    def pause_writing(self) -> None:
        self._client.pause_writing()

    def resume_writing(self) -> None:
        self._client.resume_writing()


class End(asyncio.Protocol):
    """One end of a tunnel: what comes here goes to the other end."""

    __slots__ = ("_tunnel", "ended", "lost", "other", "transport")

    def __init__(self, tunnel: Tunnel, transport: asyncio.Transport) -> None:
        self._tunnel, self.transport = tunnel, transport
        self.other: End = self
        self.ended = False
        self.lost = False

    def data_received(self, data: bytes) -> None:
        self._tunnel.passed(self, len(data))
        self.other.write(data)

    def write(self, data: bytes) -> None:
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def eof_received(self) -> bool:
        """Half of the tunnel is closed; the other half may go on."""
        self.ended = True
        if self.other.ended or not self.other.transport.can_write_eof():
            self.transport.close()
            self.other.transport.close()
        elif not self.other.transport.is_closing():
            self.other.transport.write_eof()
        # TLS has no halves: it closes by itself.
        return self.transport.can_write_eof()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self._tunnel.passed(self, 0)
        if error is None:
            # What was written before is still sent.
            self.other.transport.close()
        else:
            self.other.transport.abort()
        if self.other.lost:
            self._tunnel.over()

    def pause_writing(self) -> None:
        if not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self.other.transport.is_closing():
            self.other.transport.resume_reading()


class Tunnel:
    """A client and a backend that have switched to another protocol."""

    __slots__ = ("_backend", "_client", "_exchange", "_last")

    def __init__(self, exchange: Exchange, upstream: Upstream) -> None:
        self._exchange = exchange
        self._client = End(self, exchange.client.transport)
        self._backend = End(self, upstream.transport)
        self._client.other, self._backend.other = self._backend, self._client
        self._last = exchange.client.worker.clock()

    def open(self, lines: list[bytes], rest: bytes, offer: Offer, full: bool) -> None:
        """
        Pass on the backend's 101 and the bytes after it, and what the client sent since its offer.

        lines
            The end-to-end headers of the 101.
        full
            True if the client does not take what was written before.
        """
        protocol = self._exchange.request.protocol
        switch = b"Connection: Upgrade\r\nUpgrade: %b\r\n" % protocol
        self._client.transport.set_protocol(self._client)
        self._backend.transport.set_protocol(self._backend)
        self._client.write(head_bytes(101, [*lines, switch]))
        self._backend.data_received(rest)
        self._backend.write(offer.kept())
        self._backend.resume_writing()
        if full:
            self._client.pause_writing()
        if offer.ended:
            self._client.eof_received()

    def passed(self, end: End, size: int) -> None:
        """So many bytes came in at one end."""
        self._last = self._exchange.client.worker.clock()
        if end is self._backend:
            self._exchange.bytes_out += size

    def check_time(self, now: float) -> None:
        """Called now and then: end a tunnel in which nothing moves."""
        ends = (self._client, self._backend)
        closing = any(end.transport.is_closing() for end in ends)
        limit = self._exchange.route.tunnel_idle_seconds
        if closing:
            # What was written is still sent; TLS also waits for the other side's word.
            unsent = any(not end.lost and end.transport.get_write_buffer_size() for end in ends)
            limit = limits.IDLE_SECONDS if unsent else limits.LINGER_SECONDS
        if now - self._last < limit:
            return
        for end in ends:
            if closing:
                end.transport.abort()
            else:
                end.transport.close()
        self._last = now

    def over(self) -> None:
        """Both ends are gone."""
        self._exchange.client.connection_lost(None)
