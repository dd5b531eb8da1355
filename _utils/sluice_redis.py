"""
The part of the Redis protocol that Sluice needs, over one socket.

Not redis-py: importing it costs the first alert more than 100 ms in the reactor, and it would have to be
installed into Salt's own Python. Replies are read in RESP2 (https://redis.io/docs/reference/protocol-spec).
"""

import socket
import ssl
from collections.abc import Sequence
from time import monotonic
from types import TracebackType

from sluice_config import RedisServer, Tls
from sluice_errors import ReleaseError

# Long enough for a Redis that is alive, short enough that a dead one cannot hold an alert back.
TIMEOUT_SECONDS = 0.3
# The values here are alerts and flags of a few thousand bytes; more is not ours.
MAX_REPLY_BYTES = 1_000_000
# One reply with all that is nested in it: the histories of thousands of flags; no server fills our memory.
MAX_REPLY_TOTAL = 16_000_000
MAX_ITEMS = 100_000
# EXEC around LRANGE is 2, ROLE on a master 3.
MAX_DEPTH = 8
MAX_LINE_BYTES = 65_536

Reply = str | int | None | list["Reply"]
Command = Sequence[str]

# What an operator should make of the error codes that a healthy client meets.
MEANINGS = {
    "READONLY": "it is a replica, and only the master takes writes",
    "NOPERM": "its user may not do that",
    "NOAUTH": "it wants a log-in and there is no password for it in the settings",
    "WRONGPASS": "it does not know this user with this password",
    "OOM": "its memory is full (maxmemory): delete what is not needed or raise redis:maxmemory",
    "MISCONF": "it cannot write to its disk: see its log and free space there",
    "NOREPLICAS": "too few replicas are linked to it",
    "LOADING": "it has just started and still reads its data",
    "MASTERDOWN": "it is a replica without its master",
}


class RedisError(ReleaseError):
    """Redis did not answer, or refused. `code` is the first word of a refusal (`READONLY`), else empty."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Redis:
    """A connection with one deadline for everything done on it. Use as a context manager."""

    def __init__(self, server: RedisServer, timeout: float = TIMEOUT_SECONDS) -> None:
        self.where = f"redis {server.name}" if server.id else server.name
        self._server = server
        self._deadline = monotonic() + timeout
        self._buffer = bytearray()
        try:
            self._socket = socket.create_connection((server.host, server.port), timeout)
        except OSError as error:
            raise RedisError(f"{self.where} does not answer ({error})") from error
        try:
            self._socket = self._secured(server.tls) if server.tls else self._socket
            self._login(server)
        except BaseException:
            self._socket.close()
            raise

    def _secured(self, tls: Tls) -> socket.socket:
        try:
            context = _context(tls)
        except (OSError, ValueError) as error:
            named = "the authority's certificate" if _is_text(tls.ca) else f"TLS file {tls.ca}"
            also = f" or {tls.cert}" if tls.cert else ""
            raise RedisError(f"{self.where}: {named}{also} cannot be used ({error})") from error
        try:
            self._limit()
            return context.wrap_socket(self._socket, server_hostname=self._server.host)
        except OSError as error:
            raise RedisError(f"{self.where}: no TLS connection ({error})") from error

    def _login(self, server: RedisServer) -> None:
        if server.password:
            self.call("AUTH", *([server.username] if server.username else []), server.password)

    def __enter__(self) -> "Redis":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def extend(self, timeout: float) -> None:
        """A new deadline, `timeout` seconds from now: for what comes next on this connection."""
        self._deadline = monotonic() + timeout

    def call(self, *words: str) -> Reply:
        """Send one command and return its reply. RedisError if Redis says no or nothing."""
        (reply,) = self.pipeline([words])
        if isinstance(reply, RedisError):
            raise reply
        return reply

    def pipeline(self, commands: Sequence[Command]) -> list[Reply | RedisError]:
        """Send all commands at once; each one's reply or refusal. RedisError if the server falls silent."""
        first = commands[0][0]
        try:
            self._limit()
            self._socket.sendall(b"".join(_encoded(words) for words in commands))
            return [self._answer(words[0]) for words in commands]
        except (OSError, ValueError) as error:
            # What comes later on this connection would be taken for the answer to something else.
            self._socket.close()
            raise RedisError(f"{self.where} does not answer {first} ({error})") from error

    def transaction(self, commands: Sequence[Command]) -> list[Reply]:
        """
        All commands in one MULTI/EXEC: all of them are done or none.

        RedisError if one is refused, and with code `CHANGED` if a key under WATCH was changed meanwhile.
        Only a command on a key of another type is refused after others were done.
        """
        replies = self.pipeline([("MULTI",), *commands, ("EXEC",)])
        for reply in replies:
            if isinstance(reply, RedisError):
                raise reply
        done = replies[-1]
        if done is None:
            raise RedisError(f"{self.where}: a key was changed by someone else meanwhile", "CHANGED")
        if not isinstance(done, list):
            raise RedisError(f"{self.where} answers EXEC with no list")
        return done

    def pushed(self, seconds: float) -> Reply:
        """The next message of a subscription; None if none came in so many seconds. RedisError if lost."""
        try:
            self.extend(seconds)
            while b"\r\n" not in self._buffer:
                self._receive()
        except TimeoutError:
            return None
        except OSError as error:
            raise RedisError(f"{self.where} is lost ({error})") from error
        try:
            # What has begun to come comes at once.
            self.extend(TIMEOUT_SECONDS)
            return self._reply(0)
        except (OSError, ValueError) as error:
            raise RedisError(f"{self.where} is lost ({error})") from error

    def _limit(self) -> None:
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)

    def _answer(self, command: str) -> Reply | RedisError:
        """The reply to one command. A refusal within an array (of EXEC) is the refusal of the whole."""
        self._budget, self._items, self._refused = MAX_REPLY_TOTAL, MAX_ITEMS, ""
        reply = self._reply(0)
        return self._refusal(command) if self._refused else reply

    def _refusal(self, command: str) -> RedisError:
        """The error for a user. What the server says is not trusted, and may quote the log-in."""
        code = self._refused.split(" ", 1)[0]
        text = code if command == "AUTH" else self._refused
        if self._server.password:
            text = text.replace(self._server.password, "***")
        as_user = f" as {self._server.username}" if command == "AUTH" or code == "NOPERM" else ""
        meaning = f" ({MEANINGS[code]})" if code in MEANINGS else ""
        return RedisError(
            f"{self.where} refuses {command}{as_user}: {ascii(text[:200])[1:-1]}{meaning}", code
        )

    def _reply(self, depth: int) -> Reply:
        line = self._line()
        kind, rest = line[:1], line[1:].decode(errors="replace")
        if kind == b"-":
            self._refused = self._refused or rest or "ERR"
            return None
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == "-1" else self._bulk(int(rest))
        if kind == b"*":
            return None if rest == "-1" else self._array(int(rest), depth)
        raise ValueError(f"unexpected reply {line[:20]!r}")

    def _array(self, size: int, depth: int) -> list[Reply]:
        self._items -= size
        if size < 0 or self._items < 0 or depth >= MAX_DEPTH:
            raise ValueError(f"a reply of {size} items at depth {depth}")
        return [self._reply(depth + 1) for _ in range(size)]

    def _bulk(self, size: int) -> str:
        if not 0 <= size <= MAX_REPLY_BYTES:
            raise ValueError(f"a reply of {size} bytes")
        while len(self._buffer) < size + 2:
            self._receive()
        return self._take(size).decode(errors="replace")

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > MAX_LINE_BYTES:
                raise ValueError("a line without an end")
            self._receive()
        return self._take(end)

    def _take(self, size: int) -> bytes:
        """The next `size` bytes, which a line end must follow."""
        self._budget -= size
        if self._budget < 0 or self._buffer[size : size + 2] != b"\r\n":
            raise ValueError("a reply that is too long or without an end")
        value = bytes(self._buffer[:size])
        del self._buffer[: size + 2]
        return value

    def _receive(self) -> None:
        self._limit()
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("connection closed")
        self._buffer += data


def _context(tls: Tls) -> ssl.SSLContext:
    path, text = (None, tls.ca) if _is_text(tls.ca) else (tls.ca, None)
    context = ssl.create_default_context(cafile=path, cadata=text)
    context.check_hostname = tls.check_hostname
    if tls.cert:
        context.load_cert_chain(tls.cert, tls.key or None)
    return context


def _is_text(authority: str) -> bool:
    return authority.startswith("-----BEGIN")


def _encoded(words: Command) -> bytes:
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def alert_key(service: str) -> str:
    """The key whose existence is an alert."""
    return f"sluice:alert:{service}"
