"""
The clock of a flip, in a process of its own: nothing else runs in it that could delay what it measures.

It asks each application host for /getPic over and over on one connection, sends the SET, and notes when each
host's answer has changed. Lines of JSON on standard input and output:

    {"hosts": {"checkbox-1": ["10.58.0.21", 3002]}, "username": "operator", "password": "..."}
    {"server": ["10.58.0.12", 6379], "name": "key1", "value": "1"}   ->   a Flip, as JSON

All times are seconds since the epoch.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from lab.demo_flags.judge import kind, shown

REQUEST = b"GET /getPic HTTP/1.1\r\nHost: checkbox.lab\r\n\r\n"
# A flip that no host shows by then is lost.
FLIP_SECONDS = 5.0


@dataclass
class Host:
    """One application, asked again as soon as it has answered."""

    id: str
    address: tuple[str, int]
    begun: float = 0.0
    heard: bytes = b""
    link: socket.socket | None = None
    # Of this flip: when each answer was asked for and had, what it showed, and by whose word.
    answers: list[tuple[float, float, str, str]] = field(default_factory=list)

    def ask(self) -> socket.socket:
        if self.link is None:
            self.link = socket.create_connection(self.address, 2)
            self.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.heard, self.begun = b"", time.time()
        self.link.sendall(REQUEST)
        return self.link

    def hear(self) -> bool:
        """Take what has come; True if that completes an answer."""
        assert self.link is not None
        more = self.link.recv(65536)
        if not more:
            raise ConnectionError(f"{self.id} closed the connection")
        self.heard += more
        head, found, body = self.heard.partition(b"\r\n\r\n")
        told = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        if not found or len(body) < int(told.get(b"content-length", b"0")):
            return False
        what = kind(body) if head.startswith(b"HTTP/1.1 200") else ""
        source = told.get(b"x-flag-source", b"").decode("ascii", "replace")
        self.answers.append((self.begun, time.time(), what, source))
        return True

    def close(self) -> None:
        if self.link:
            self.link.close()
        self.link = None


class Prober:
    """Flips a flag and watches the hosts."""

    def __init__(self, hosts: dict[str, Any], username: str, password: str) -> None:
        self.hosts = [Host(id_, (address, port)) for id_, (address, port) in hosts.items()]
        self._login = command("AUTH", username, password)
        self._server: tuple[str, int] | None = None
        self._redis: socket.socket | None = None

    def _connect(self, server: tuple[str, int]) -> socket.socket:
        """The connection to the master; it is kept from flip to flip."""
        if self._redis is None or self._server != server:
            self._redis, self._server = socket.create_connection(server, 2), server
            self._redis.sendall(self._login)
            if (said := self._redis.recv(4096)) != b"+OK\r\n":
                raise ConnectionError(f"AUTH: {said.decode(errors='replace').strip()}")
        return self._redis

    def flip(self, server: tuple[str, int], name: str, value: str) -> dict[str, Any]:
        """
        SET a flag, and ask until every host shows it.

        Returns `started` and `acked` (before the SET was sent, and when its OK was read) and `hosts`: id to
        its answers, each `[begun, ended, what it showed, source]`. The last one shows the new value, unless
        five seconds were not enough.
        """
        told: dict[str, Any] = {"started": None, "acked": None, "error": None}
        redis = self._connect(server)
        with selectors.DefaultSelector() as waiting:
            waiting.register(redis, selectors.EVENT_READ)
            for host in self.hosts:
                host.answers = []
                waiting.register(host.ask(), selectors.EVENT_READ, host)
            told["started"] = time.time()
            redis.sendall(command("SET", name, value))
            deadline = told["started"] + FLIP_SECONDS
            open_ = {host.id for host in self.hosts}
            while (open_ or told["acked"] is None) and time.time() < deadline:
                for key, _ in waiting.select(0.2):
                    host = key.data
                    if host is None:
                        said = redis.recv(4096)
                        told["acked"] = time.time()
                        if said != b"+OK\r\n":
                            raise ConnectionError(f"SET {name}: {said.decode(errors='replace').strip()}")
                    elif host.hear():
                        if host.answers[-1][2] == shown(value):
                            open_.discard(host.id)
                            waiting.unregister(host.link)
                        else:
                            host.ask()
        told["hosts"] = {host.id: host.answers for host in self.hosts}
        for host in self.hosts:
            if host.id in open_:
                host.close()
        return told

    def close(self) -> None:
        """Drop the connections; the next flip makes new ones."""
        for host in self.hosts:
            host.close()
        if self._redis:
            self._redis.close()
        self._redis = None


def command(*words: str) -> bytes:
    """A Redis command."""
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def main() -> None:
    """Serve the lines of standard input until it ends."""
    prober = Prober(**json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            told = prober.flip(tuple(asked["server"]), asked["name"], asked["value"])
        except OSError as error:
            prober.close()
            told = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
