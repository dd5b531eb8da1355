"""A worker's side of the listeners: on which sockets it accepts, and for whom."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from balancer.doorman import Doorman
from balancer.sockets import BACKLOG, received

# What a listener's table is served by: makes a protocol for each connection (which may be compiled, and then
# is none by inheritance).
Factory = Callable[[], Any]


class Accepting:
    """The listeners of one worker: what it was told of them, and the servers that follow it."""

    def __init__(
        self,
        line: socket.socket,
        plain: Callable[[str], Factory],
        serve: Callable[[str, dict[str, Any], socket.socket], Doorman | None],
    ) -> None:
        line.setblocking(False)
        self._line, self._plain, self._serve = line, plain, serve
        self._sockets: dict[str, list[socket.socket]] = {}
        self._told: dict[str, dict[str, Any]] = {}
        self._open: dict[str, tuple[dict[str, Any], list[asyncio.AbstractServer | Doorman]]] = {}
        self._changed = asyncio.Event()

    def follow(self, told: dict[str, dict[str, Any]]) -> None:
        """Take over a new table of listeners: what is not in it or other than before is closed at once."""
        for address, one in received(self._line):
            self._sockets.setdefault(address, []).append(one)
        self._told = told
        for address, (before, _) in list(self._open.items()):
            if told.get(address) != before:
                self._close(address)
        for address in self._sockets.keys() - told.keys():
            for one in self._sockets.pop(address):
                one.close()
        self._changed.set()

    async def keep_open(self) -> None:
        """Accept on every listener of the table. Until then connections wait in the socket's queue."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            for address in self._told.keys() - self._open.keys():
                told = self._told[address]
                self._open[address] = told, []
                for one in self._sockets.get(address, ()):
                    await self._accept(address, told, one)

    async def _accept(self, address: str, told: dict[str, Any], one: socket.socket) -> None:
        if not self._is_open(address, told):
            return
        # A copy, so that a server can be closed and another one opened without losing the queue.
        copy = one.dup()
        server: asyncio.AbstractServer | Doorman | None = self._serve(address, told, copy)
        if server is None:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(self._plain(address), sock=copy, backlog=BACKLOG)
        if self._is_open(address, told):
            self._open[address][1].append(server)
        else:
            server.close()

    def _is_open(self, address: str, told: dict[str, Any]) -> bool:
        """False once another table came meanwhile."""
        return address in self._open and self._open[address][0] is told

    def _close(self, address: str) -> None:
        _, servers = self._open.pop(address)
        for server in servers:
            server.close()

    def close(self) -> None:
        """Accept nothing more."""
        self.follow({})
