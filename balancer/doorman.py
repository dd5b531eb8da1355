"""Connections on which something comes before HTTP: a header of the PROXY protocol, a TLS handshake."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

from balancer import limits
from balancer.networks import Networks
from balancer.proxyprotocol import BadHeader, take_header

log = logging.getLogger(__name__)

# As asyncio has it: out of descriptors or memory, there is no use in asking again at once.
BREATH_SECONDS = 1.0
# What is taken from the queue in one turn of the loop, so that others get theirs.
AT_ONCE = 64


class Doorman:
    """
    Accepts connections on a socket and brings them in: `make` makes the protocol of one that comes from an
    address, and `refused` is told why one does not come in. `proxies`: whose connections alone come in, and
    begin with a header that tells who connected to them; None: everybody's, without. `coming_in`: who is at
    it, the oldest first, shared by all listeners.
    """

    def __init__(
        self,
        listener: socket.socket,
        context: ssl.SSLContext | None,
        proxies: Networks | None,
        make: Callable[[str], Any],
        refused: Callable[[str], None],
        coming_in: dict[asyncio.Task[None], None],
    ) -> None:
        self._listener, self._proxies = listener, proxies
        settings: dict[str, Any] = {
            "ssl": context,
            "ssl_handshake_timeout": limits.HANDSHAKE_SECONDS,
            "ssl_shutdown_timeout": limits.IDLE_SECONDS,
        }
        self._settings = settings if context is not None else {}
        self._make, self._refused = make, refused
        self._loop = asyncio.get_running_loop()
        self._coming_in = coming_in
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Accept nothing more; who is on the way in comes in."""
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                line, peer = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("no connection can be accepted now: %s", error)
                self._loop.remove_reader(self._listener)
                self._loop.call_later(BREATH_SECONDS, self._go_on)
                return
            self._take(line, str(peer[0]))

    def _go_on(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._accept)

    def _take(self, line: socket.socket, address: str) -> None:
        line.setblocking(False)
        if len(self._coming_in) >= limits.MAX_COMING_IN:
            # An honest client needs a few round trips; who has been at it for longest is the least so.
            next(iter(self._coming_in)).cancel()
        task = self._loop.create_task(self._bring_in(line, address))
        self._coming_in[task] = None
        task.add_done_callback(self._coming_in.pop)

    async def _bring_in(self, line: socket.socket, address: str) -> None:
        step = "proxy"
        try:
            if self._proxies is not None:
                address = await self._told(line, address)
            step = "tls"
            await self._loop.connect_accepted_socket(lambda: self._make(address), line, **self._settings)
        except (OSError, TimeoutError, BadHeader, asyncio.CancelledError):
            # ssl.SSLError is an OSError. That is the client's affair; numbers tell of attacks.
            self._refused(step)
            line.close()

    async def _told(self, line: socket.socket, address: str) -> str:
        """Who connected to the proxy in front. Raises BadHeader, OSError or TimeoutError."""
        if self._proxies is not None and not self._proxies.hold(address.encode()):
            raise BadHeader("not from a proxy")
        async with asyncio.timeout(limits.HANDSHAKE_SECONDS):
            return await take_header(self._loop, line) or address
