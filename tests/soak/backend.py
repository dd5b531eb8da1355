"""A backend of the soak, a process of its own: `python -m tests.soak.backend NAME PORT LOG`.

It answers with a body made from the request's id, tells the checksum of what it got, and writes one line per
request to its log, as soon as it has read the head: `MONOTONIC_SECONDS METHOD ID`. The method is `COPY` for a
copy that no user waits for.
"""

import asyncio
import contextlib
import hashlib
import os
import signal
import sys
import time
from urllib.parse import parse_qs, urlsplit

import uvloop

from tests.soak.content import content

PIECE = 32 * 1024


class Backend:
    """One process's server."""

    def __init__(self, name, port, log):
        self._name, self._port = name, port
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._bad = False
        self._busy, self._idle = set(), set()
        self._stopping = asyncio.Event()

    async def run(self):
        """Serve until SIGTERM, then let requests under way end."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stopping.set)
        server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, backlog=1024)
        await self._stopping.wait()
        server.close()
        for writer in list(self._idle):
            writer.close()
        while self._busy:
            await asyncio.sleep(0.01)

    async def _serve(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            keep = True
            while keep and not self._stopping.is_set():
                self._idle.add(writer)
                head = await reader.readuntil(b"\r\n\r\n")
                self._idle.discard(writer)
                self._busy.add(writer)
                keep = await self._one(head.decode("latin-1"), reader, writer)
                self._busy.discard(writer)
        self._idle.discard(writer)
        self._busy.discard(writer)
        with contextlib.suppress(OSError):
            writer.close()

    async def _one(self, head, reader, writer):
        """One request and its answer; False ends the connection."""
        line, *rows = head[:-4].split("\r\n")
        method, target, _ = line.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rows)}
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        wanted = {name: values[0] for name, values in query.items()}
        if path == "/control":
            self._bad = wanted["bad"] == "1"
        if path not in ("/answer", "/tunnel"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            return True
        request_id = headers["x-request-id"]
        logged = "COPY" if "x-sluice-mirror" in headers else method
        os.write(self._log, f"{time.monotonic():.6f} {logged} {request_id}\n".encode())
        if path == "/tunnel":
            return await self._echo(reader, writer)
        if headers.get("expect") == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        checksum, size = await read_body(reader, headers)
        pause = float(wanted.get("pause", 0))
        if pause:
            await asyncio.sleep(pause)
        own = [f"X-Backend: {self._name}", f"X-Body: {size} {checksum}", f"X-Id: {request_id}"]
        if "cookie" in headers:
            own.append(f"X-Cookie: {headers['cookie']}")
        return await self._answer(method, request_id, wanted, own, writer)

    async def _echo(self, reader, writer):
        """What comes goes back, until its end."""
        lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket"]
        writer.write(("\r\n".join([*lines, f"X-Backend: {self._name}"]) + "\r\n\r\n").encode())
        while part := await reader.read(PIECE):
            writer.write(part)
            await writer.drain()
        return False

    async def _answer(self, method, request_id, wanted, own, writer):
        how = "sized" if self._bad else wanted.get("how", "sized")
        size = 0 if self._bad else int(wanted.get("size", 0))
        last = self._stopping.is_set() or how == "close"
        status = "500 Internal Server Error" if self._bad else "200 OK"
        framing = {
            "sized": [f"Content-Length: {size}"],
            "chunked": ["Transfer-Encoding: chunked"],
            "close": [],
        }[how]
        lines = [f"HTTP/1.1 {status}", *own, *framing, *(["Connection: close"] if last else [])]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        if method != "HEAD":
            await write_body(writer, content(request_id, size), how)
        await writer.drain()
        return not last


async def read_body(reader, headers):
    """The checksum and the size of a request's body."""
    found, size = hashlib.sha256(), 0
    async for part in parts(reader, headers):
        found.update(part)
        size += len(part)
    return found.hexdigest(), size


async def parts(reader, headers):
    if headers.get("transfer-encoding") == "chunked":
        while length := int(await reader.readuntil(b"\r\n"), 16):
            yield await reader.readexactly(length)
            await reader.readexactly(2)
        await reader.readexactly(2)
        return
    left = int(headers.get("content-length", 0))
    while left:
        part = await reader.readexactly(min(left, PIECE))
        left -= len(part)
        yield part


async def write_body(writer, body, how):
    """In pieces; a reader that is slow slows this down."""
    for start in range(0, len(body), PIECE):
        part = body[start : start + PIECE]
        writer.write(b"%x\r\n%b\r\n" % (len(part), part) if how == "chunked" else part)
        await writer.drain()
    if how == "chunked":
        writer.write(b"0\r\n\r\n")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Backend(sys.argv[1], int(sys.argv[2]), sys.argv[3]).run())
