"""
The four Redis commands the release side needs, over one socket.

Not redis-py: importing it costs the first alert more than 100 ms in the reactor, and it would have to be
installed into Salt's own Python. Replies are read in RESP2 (https://redis.io/docs/reference/protocol-spec).
"""

import socket
from time import monotonic
from types import TracebackType

from sluice_config import RedisServer
from sluice_errors import ReleaseError

# Long enough for a Redis that is alive, short enough that a dead one cannot hold an alert back.
TIMEOUT_SECONDS = 0.3
# The values here are alerts of a few hundred bytes; more is not ours.
MAX_REPLY_BYTES = 1_000_000


class RedisError(ReleaseError):
    """Redis did not answer, or refused."""


class Redis:
    """A connection with one deadline for everything done on it. Use as a context manager."""

    def __init__(self, server: RedisServer, timeout: float = TIMEOUT_SECONDS) -> None:
        self.where = f"redis {server.host}:{server.port}"
        self._deadline = monotonic() + timeout
        try:
            self._socket = socket.create_connection((server.host, server.port), timeout)
        except OSError as error:
            raise RedisError(f"{self.where} does not answer ({error})") from error
        self._buffer = b""
        if server.password:
            self._login(server)

    def _login(self, server: RedisServer) -> None:
        try:
            self.call("AUTH", *([server.username] if server.username else []), server.password)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> "Redis":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def call(self, *words: str) -> str | int | None:
        """Send one command and return its reply. RedisError if Redis says no or nothing."""
        parts = [word.encode() for word in words]
        request = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        try:
            self._limit()
            self._socket.sendall(request)
            return self._reply(words[0])
        except (OSError, ValueError) as error:
            raise RedisError(f"{self.where} does not answer {words[0]} ({error})") from error

    def _limit(self) -> None:
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)

    def _reply(self, command: str) -> str | int | None:
        line = self._until(b"\r\n")
        kind, rest = line[:1], line[1:].decode(errors="replace")
        if kind == b"-":
            raise RedisError(f"{self.where} refuses {command}: {rest}")
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == "-1" else self._bulk(int(rest))
        raise ValueError(f"unexpected reply {line[:20]!r}")

    def _bulk(self, size: int) -> str:
        if size > MAX_REPLY_BYTES:
            raise ValueError(f"a reply of {size} bytes")
        while len(self._buffer) < size + 2:
            self._receive()
        value, self._buffer = self._buffer[:size], self._buffer[size + 2 :]
        return value.decode(errors="replace")

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._receive()
        line, _, self._buffer = self._buffer.partition(mark)
        return line

    def _receive(self) -> None:
        self._limit()
        data = self._socket.recv(65536)
        if not data or len(self._buffer) > 2 * MAX_REPLY_BYTES:
            raise ConnectionError("connection closed")
        self._buffer += data


def alert_key(service: str) -> str:
    """The key whose existence is an alert."""
    return f"sluice:alert:{service}"
