"""The line between the supervisor and a worker: JSON, one message a line, every order answered."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import Callable
from typing import Any

Message = dict[str, Any]

# A table of thousands of backends still fits into one line.
MAX_LINE_BYTES = 16 * 1024 * 1024
# A worker answers within a millisecond; one that is silent this long is stuck and gets replaced.
ANSWER_SECONDS = 5.0


class ChannelClosed(Exception):
    """The other side is gone or stuck."""


class Orders:
    """The supervisor's end: sends orders and waits for their answers, and hears what was not asked for."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        told: Callable[[Message], None] | None = None,
    ) -> None:
        self._reader, self._writer, self._told = reader, writer, told
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self.closed = asyncio.Event()
        self._task = asyncio.ensure_future(self._read())

    @classmethod
    async def open(cls, end: socket.socket, told: Callable[[Message], None] | None = None) -> Orders:
        reader, writer = await asyncio.open_connection(sock=end, limit=MAX_LINE_BYTES)
        return cls(reader, writer, told)

    async def order(self, kind: str, seconds: float = ANSWER_SECONDS, **details: Any) -> Message:
        """Send one order, at once, and return its answer. Raises ChannelClosed if none comes."""
        if self.closed.is_set():
            raise ChannelClosed("the worker is gone")
        number = next(self._numbers)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._writer.write(encode({"n": number, "kind": kind, **details}))
            return await asyncio.wait_for(answer, seconds)
        except (OSError, TimeoutError) as error:
            raise ChannelClosed(f"no answer to '{kind}'") from error
        finally:
            self._waiting.pop(number, None)

    async def _read(self) -> None:
        try:
            while line := await self._reader.readline():
                message = json.loads(line)
                if "n" not in message:
                    if self._told is not None:
                        self._told(message)
                    continue
                waiting = self._waiting.get(message["n"])
                if waiting is not None and not waiting.done():
                    waiting.set_result(message)
        except (OSError, ValueError):
            pass
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ChannelClosed("the worker is gone"))
        self.closed.set()

    def close(self) -> None:
        self._task.cancel()
        self._writer.close()
        self.closed.set()


async def obey(
    end: socket.socket,
    carry_out: Callable[[Message], Message],
    attach: Callable[[Callable[[Message], None]], None] | None = None,
) -> None:
    """
    A worker's end: carry out each order and answer it; returns when the supervisor is gone. `attach` gets a
    function that tells the supervisor something it did not ask for.
    """
    reader, writer = await asyncio.open_connection(sock=end, limit=MAX_LINE_BYTES)
    if attach is not None:
        # After the end of the line there is nobody to tell.
        attach(lambda message: None if writer.is_closing() else writer.write(encode(message)))
    try:
        while line := await reader.readline():
            order = json.loads(line)
            writer.write(encode({"n": order["n"], **carry_out(order)}))
    except (OSError, ValueError):
        pass
    finally:
        writer.close()


def encode(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
