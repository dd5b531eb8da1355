"""Listening sockets, one per worker and address: made and kept by the supervisor, accepted on by workers."""

from __future__ import annotations

import errno
import ipaddress
import json
import socket
import time
from collections.abc import Callable, Collection, Iterable

from balancer import systemd
from balancer.reader import Address

BACKLOG = 4096
# How long a start waits for a port: workers of a supervisor that was killed let go of it when they notice,
# within a tenth of a second.
BIND_SECONDS = 1.0
# As many descriptors as Linux takes in one message (SCM_MAX_FD is 253).
MAX_SENT = 250
# An address as text, as JSON, for each of them.
MAX_NAMES_BYTES = MAX_SENT * 64


class Sockets:
    """
    The listening sockets of this balancer by address.

    Each address has a socket for each worker (SO_REUSEPORT): the kernel spreads new connections evenly over
    them, and what waits in a socket's queue outlives its worker, for the socket is open here as well.
    """

    def __init__(self, handed_over: Iterable[socket.socket] = ()) -> None:
        """`handed_over`: those of the balancer before this one; its users may wait in their queues."""
        self._held: dict[str, list[socket.socket]] = {}
        for one in handed_over:
            host, port = one.getsockname()[:2]
            address = Address(str(ipaddress.ip_address(host)), port)
            self._held.setdefault(str(address), []).append(one)

    def open(self, address: Address, slots: int, seconds: float = 0.0) -> None:
        """
        Have `slots` sockets listen on an address, if need be after `seconds` in which nothing else is done.
        Raises OSError, and none listens, if one cannot.
        """
        held = self._held.get(str(address), [])
        fresh: list[socket.socket] = []
        try:
            if not any(ours.getsockname()[1] == address.port for ours in self._all()):
                _make_sure_it_is_free(address, seconds)
            while len(held) + len(fresh) < slots:
                fresh.append(_listen(address))
        except OSError as error:
            for one in fresh:
                one.close()
            raise OSError(f"cannot listen on {address}: {error.strerror}") from error
        self._held[str(address)] = held + fresh
        if fresh:
            systemd.keep(address, fresh)

    def of(self, address: str, number: int, workers: int) -> list[socket.socket]:
        """
        The sockets of worker `number`. It is one, but for those taken over from a balancer that had more
        workers: nobody's queue may be lost, so they are dealt out.
        """
        return self._held[address][number::workers]

    def only(self, address: Address) -> socket.socket:
        """The one socket of an address that has no more."""
        return self._held[str(address)][0]

    def keep_only(self, addresses: Collection[str]) -> None:
        """Nobody listens any more on any other address."""
        for address in [*self._held]:
            if address not in addresses:
                self._close(address)
                systemd.let_go(address)

    def leave(self, addresses: Iterable[str]) -> None:
        """Close what is here of these addresses: what systemd keeps listens on for the next balancer."""
        for address in addresses:
            self._close(address)

    def _close(self, address: str) -> None:
        for one in self._held.pop(address, ()):
            one.close()

    def _all(self) -> Iterable[socket.socket]:
        return [one for held in self._held.values() for one in held]


def _bound(address: Address, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((address.host, address.port))
    except OSError:
        made.close()
        raise
    return made


def _make_sure_it_is_free(address: Address, seconds: float) -> None:
    """
    Raise OSError if somebody listens there. With SO_REUSEPORT alone a second balancer on the same address
    would not be refused, but take half of the connections.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            with _bound(address, shared=False) as probe:
                probe.listen()
            return
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _listen(address: Address) -> socket.socket:
    made = _bound(address, shared=True)
    made.listen(BACKLOG)
    made.setblocking(False)
    return made


class SocketLine:
    """The supervisor's end of a line on which a worker is given sockets."""

    def __init__(self, end: socket.socket, find: Callable[[str], list[socket.socket]]) -> None:
        end.setblocking(False)
        self._end, self._find = end, find
        # The addresses of which the worker has the sockets.
        self._given: set[str] = set()

    def give(self, addresses: Collection[str]) -> None:
        """Send what the worker lacks of these addresses; of others it lets go by itself. Raises OSError."""
        missing = [(a, s) for a in addresses if a not in self._given for s in self._find(a)]
        for start in range(0, len(missing), MAX_SENT):
            part = missing[start : start + MAX_SENT]
            names = json.dumps([address for address, _ in part]).encode()
            socket.send_fds(self._end, [names], [one.fileno() for _, one in part])
        self._given = set(addresses)

    def close(self) -> None:
        self._end.close()


def received(line: socket.socket) -> list[tuple[str, socket.socket]]:
    """What came on a worker's end since: sockets with their addresses."""
    found: list[tuple[str, socket.socket]] = []
    while True:
        try:
            names, descriptors, _, _ = socket.recv_fds(line, MAX_NAMES_BYTES, MAX_SENT)
        except BlockingIOError:
            return found
        if not names:
            return found
        made = [socket.socket(fileno=number) for number in descriptors]
        found.extend(zip(json.loads(names), made, strict=True))
