"""A client's connection that believes nothing: answers are read to the letter, bodies compared."""

import asyncio
import hashlib
import socket
from dataclasses import dataclass, field

# Longer than anything here may take: a frozen backend is let go after some seconds.
ANSWER_SECONDS = 25.0
PIECE = 32 * 1024
# What the certificate is for.
NAME = "shop.test"


class Broken(Exception):
    """The answer did not come whole."""


@dataclass
class Answer:
    """A response as far as it came."""

    status: int = 0
    headers: dict = field(default_factory=dict)
    interim: list = field(default_factory=list)
    size: int = 0
    checksum: str = ""
    text: bytes = b""
    last: bool = False


class Line:
    """One connection."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self.port = writer.get_extra_info("sockname")[1]
        self.served = 0

    @classmethod
    async def open(cls, port, small=False, tls=None):
        """`small`: with a receive buffer that is soon full."""
        made = socket.socket()
        made.setblocking(False)
        if small:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        try:
            await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
            name = NAME if tls else None
            return cls(*await asyncio.open_connection(sock=made, ssl=tls, server_hostname=name))
        except BaseException:
            made.close()
            raise

    @property
    def is_over(self):
        """The other side ended it; who uses it again must look first."""
        return self._reader.at_eof() or self._reader.exception() is not None or self._writer.is_closing()

    async def send(self, data):
        """A write that fails is no failure yet: the answer may be there already."""
        if self.is_over:
            return
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            pass

    async def switch(self):
        """The head of the answer to an offer to switch protocols. Raises Broken."""
        answer = Answer()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._one_head(answer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            raise broken(f"{type(error).__name__}: {error}"[:120], answer) from error
        return answer

    async def echo(self, data, answer):
        """Send bytes through a tunnel and take as many back. Raises Broken."""
        await self.send(data)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._reader.readexactly(len(data))
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise broken(f"{type(error).__name__}: {error}"[:120], answer) from error

    async def answer(self, method, slow=0.0):
        """The next response; `slow`: seconds to wait after each piece. Raises Broken, with .answer so far."""
        answer = Answer()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._head(answer)
                await self._body(answer, method, slow)
        except TimeoutError as error:
            raise broken(f"no answer within {ANSWER_SECONDS:g} s", answer) from error
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            raise broken(f"{type(error).__name__}: {error}"[:120], answer) from error
        self.served += 1
        return answer

    async def _head(self, answer):
        await self._one_head(answer)
        while answer.status < 200:
            answer.interim.append(answer.status)
            answer.headers.clear()
            await self._one_head(answer)

    async def _one_head(self, answer):
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rows = head[:-4].split("\r\n")
        version, status, _ = line.split(" ", 2)
        if version != "HTTP/1.1":
            raise ValueError(f"version {version}")
        answer.status = int(status)
        for row in rows:
            name, _, value = row.partition(":")
            if answer.headers.setdefault(name.lower(), value.strip()) != value.strip():
                raise ValueError(f"{name} twice")

    async def _body(self, answer, method, slow):
        found = hashlib.sha256()
        async for part in self._parts(answer.headers, method == "HEAD"):
            found.update(part)
            answer.size += len(part)
            answer.text = (answer.text + part)[:200]
            if slow:
                await asyncio.sleep(slow)
        answer.checksum = found.hexdigest()
        framed = {"content-length", "transfer-encoding"} & set(answer.headers)
        answer.last = not framed or answer.headers.get("connection", "").lower() == "close"

    async def _parts(self, headers, none):
        if none:
            return
        if "transfer-encoding" in headers:
            while length := int(await self._reader.readuntil(b"\r\n"), 16):
                async for part in self._exactly(length):
                    yield part
                if await self._reader.readexactly(2) != b"\r\n":
                    raise ValueError("a chunk without an end")
            await self._reader.readexactly(2)
        elif "content-length" in headers:
            async for part in self._exactly(int(headers["content-length"])):
                yield part
        else:
            while part := await self._reader.read(PIECE):
                yield part

    async def _exactly(self, size):
        while size:
            part = await self._reader.readexactly(min(size, PIECE))
            size -= len(part)
            yield part

    async def read_some(self):
        return await self._reader.read(1000)

    def drop(self):
        """End it at once."""
        self._writer.transport.abort()


def broken(what, answer):
    error = Broken(what)
    error.answer = answer
    return error
