"""
One connection to a Redis server, in RESP3.

Replies and messages of subscriptions come on the same connection and in order, which redis-py's two
connections do not give; and what came in one read is taken in one go, so that a flood of messages is one
batch of names. The protocol: https://redis.io/docs/latest/develop/reference/protocol-spec.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

# A flag's document has some kilobytes. What is longer is no flag of ours: read and thrown away.
MAX_VALUE_BYTES = 65_536
# One page of SCAN is the largest reply that is kept whole.
MAX_REPLY_BYTES = 8 * 1024 * 1024
# A server that says nothing for so long is not there; one that is flooded with changes may answer later.
TIMEOUT_SECONDS = 2.0
LATE_SECONDS = 15.0
# A message of a subscription, as nearly all come: read in one step, for there may be 100,000 in a second. The
# length is compared afterwards, so that no key can pass itself off as two messages.
MESSAGE = re.compile(
    rb">4\r\n\$8\r\npmessage\r\n\$[0-9]+\r\n[^\r\n]*\r\n\$([0-9]+)\r\n([^\r\n]*)\r\n\$[0-9]+\r\n[^\r\n]*\r\n"
)


class RedisError(Exception):
    """Redis did not answer, refused, or spoke something else. Never with a password in it."""


class Refusal(str):
    """An error reply, as Redis worded it."""

    __slots__ = ()


class Push(list[Any]):
    """A message nobody asked for: of a subscription."""


class TooLong:
    """Stands for a value that was longer than any of ours may be."""


TOO_LONG = TooLong()
Found = tuple[Any, int] | None


def parse(data: bytes, at: int) -> Found:
    """The reply that begins at `at` and where it ends; None if it has not come whole."""
    end = data.find(b"\r\n", at)
    if end < 0:
        return None
    kind, rest, at = data[at : at + 1], data[at + 1 : end], end + 2
    if kind in b"$=!":
        return _bulk(kind, data, int(rest), at)
    if kind in b"*%>~":
        return _many(kind, data, int(rest), at)
    if kind == b"+":
        return rest, at
    if kind == b"-":
        return Refusal(rest.decode(errors="replace")), at
    if kind == b":":
        return int(rest), at
    if kind == b"_":
        return None, at
    if kind in b"#,(":
        return rest, at
    raise RedisError(f"does not speak Redis' protocol (it said {ascii(data[:20])})")


def _bulk(kind: bytes, data: bytes, size: int, at: int) -> Found:
    if size < 0:
        return None, at
    if len(data) < at + size + 2:
        return None
    value = data[at : at + size]
    if kind == b"=":
        # A verbatim string says first what kind of text it is.
        value = value[4:]
    return (Refusal(value.decode(errors="replace")) if kind == b"!" else value), at + size + 2


def _many(kind: bytes, data: bytes, count: int, at: int) -> Found:
    made: list[Any] = Push() if kind == b">" else []
    for _ in range(2 * count if kind == b"%" else count):
        found = parse(data, at)
        if found is None:
            return None
        made.append(found[0])
        at = found[1]
    return made, at


def command(words: Sequence[str | bytes]) -> bytes:
    """A command as it is sent."""
    parts = [word if isinstance(word, bytes) else word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


class Link(asyncio.Protocol):
    """A connection on which several commands may be under way."""

    def __init__(self, pushed: Callable[[list[bytes]], None]) -> None:
        """`pushed` is called with the channels of all messages that came in one read."""
        self._pushed = pushed
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        # Bytes still to come of a value that is thrown away.
        self._skip = 0
        # When anything came last, on the loop's clock.
        self._heard_at = 0.0
        # What is asked and not answered: replies so far, how many there will be, and who waits.
        self._waiting: deque[tuple[list[Any], int, asyncio.Future[list[Any]]]] = deque()
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, error: Exception | None) -> None:
        self.end(RedisError(f"the connection ended ({error})" if error else "the connection ended"))

    def end(self, why: RedisError) -> None:
        """Close it; `why` is what everybody hears who waits for something."""
        if not self.lost.done():
            self.lost.set_result(why)
        for _, _, future in self._waiting:
            if not future.done():
                future.set_exception(why)
                # Whoever waited may be gone by now.
                future.exception()
        self._waiting.clear()
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.lost.done():
            return
        self._heard_at = asyncio.get_running_loop().time()
        try:
            channels = self._take(self._rest + data if self._rest else data)
        except (RedisError, ValueError, RecursionError) as error:
            self.end(error if isinstance(error, RedisError) else RedisError("spoke something else"))
            return
        if channels:
            self._pushed(channels)

    def _take(self, data: bytes) -> list[bytes]:
        """Hand on all whole replies; the channels of the messages among them."""
        channels: list[bytes] = []
        at, size = 0, len(data)
        while at < size:
            if self._skip:
                at = self._pass(at, size)
                continue
            message = MESSAGE.match(data, at)
            if message is not None and int(message[1]) == len(message[2]):
                channels.append(message[2])
                at = message.end()
                continue
            found = parse(data, at)
            if found is None:
                self._skip = self._too_long(data, at)
                if self._skip:
                    at = data.find(b"\r\n", at) + 2
                    continue
                break
            value, at = found
            if not isinstance(value, Push):
                self._answer(value)
            elif len(value) == 4 and isinstance(value[2], bytes):
                channels.append(value[2])
        self._rest = data[at:]
        if len(self._rest) > MAX_REPLY_BYTES:
            raise RedisError(f"a reply of more than {MAX_REPLY_BYTES} bytes")
        return channels

    def _pass(self, at: int, size: int) -> int:
        """Throw away what is there of a value that is too long; where what follows it begins."""
        passed = min(self._skip, size - at)
        self._skip -= passed
        if not self._skip:
            self._answer(TOO_LONG)
        return at + passed

    def _too_long(self, data: bytes, at: int) -> int:
        """How many bytes to throw away of a value that began at `at`; 0 if it may be kept."""
        end = data.find(b"\r\n", at)
        if end < 0 or data[at : at + 1] != b"$":
            return 0
        size = int(data[at + 1 : end])
        return size + 2 if size > MAX_VALUE_BYTES else 0

    def _answer(self, value: Any) -> None:
        if not self._waiting:
            said = value if isinstance(value, Refusal) else "an answer that nobody asked for"
            raise RedisError(str(said))
        replies, count, future = self._waiting[0]
        replies.append(TOO_LONG if isinstance(value, bytes) and len(value) > MAX_VALUE_BYTES else value)
        if len(replies) == count:
            self._waiting.popleft()
            if not future.done():
                future.set_result(replies)

    async def ask(self, *commands: Sequence[str | bytes]) -> list[Any]:
        """
        Send commands at once and return their replies, errors among them as `Refusal`.

        Raises RedisError, and the connection is over, if they do not all come in time: one that is half
        open is noticed so.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Any]] = loop.create_future()
        self.send(future, *commands)
        asked_at = loop.time()
        while not future.done():
            await asyncio.wait([future], timeout=TIMEOUT_SECONDS)
            silent = loop.time() - max(self._heard_at, asked_at)
            if not future.done() and (silent >= TIMEOUT_SECONDS or loop.time() > asked_at + LATE_SECONDS):
                self.end(RedisError(f"no answer within {TIMEOUT_SECONDS:g} s"))
        return future.result()

    def send(self, future: asyncio.Future[list[Any]], *commands: Sequence[str | bytes]) -> None:
        """Send commands at once; their replies go to `future`."""
        if self.lost.done() or self._transport is None:
            future.set_exception(RedisError("the connection ended"))
            return
        self._waiting.append(([], len(commands), future))
        self._transport.write(b"".join(map(command, commands)))

    def subscribe(self, pattern: str) -> None:
        """Ask for messages. RESP3 confirms with a message; a refusal ends the connection, with its words."""
        if self._transport is not None and not self.lost.done():
            self._transport.write(command(("PSUBSCRIBE", pattern)))


async def connect(
    host: str,
    port: int,
    username: str,
    password: str | None,
    tls: ssl.SSLContext | None,
    pushed: Callable[[list[bytes]], None],
) -> Link:
    """A connection that is logged in. Raises RedisError or OSError."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            _, link = await loop.create_connection(lambda: Link(pushed), host, port, ssl=tls)
    except TimeoutError as error:
        raise RedisError(f"no connection within {TIMEOUT_SECONDS:g} s") from error
    login = ("AUTH", username, password) if password is not None else ()
    try:
        (said,) = await link.ask(("HELLO", "3", *login, "SETNAME", "sluice-flags"))
    except BaseException:
        link.end(RedisError("not logged in"))
        raise
    if isinstance(said, Refusal):
        why = RedisError(f"refuses the log-in: {said}")
        link.end(why)
        raise why
    return link
