"""Backends on raw sockets that answer as they are told: well, slowly, cut short, or not in HTTP at all."""

import asyncio
import contextlib
import threading
from urllib.parse import parse_qs, urlsplit

from tests.support.ports import free_port

CHUNK = b"x" * 65536


class Loop:
    """An event loop in a thread of its own, for all backends of a test run."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine, timeout=20):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


class Seen:
    """One request as a backend read it."""

    def __init__(self, line, headers):
        self.method, self.target, _ = line.split(" ", 2)
        self.headers = headers
        self.trailers = []
        self.body_bytes = 0
        self.body = b""

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name]

    def one(self, name):
        (value,) = self.all(name)
        return value

    @property
    def path(self):
        return urlsplit(self.target).path

    @property
    def query(self):
        return {key: values[0] for key, values in parse_qs(urlsplit(self.target).query).items()}


class Backend:
    """A server whose answer depends on the path; see the methods named `say_*`."""

    def __init__(self, loop, name):
        self._loop, self.name = loop, name
        self.healthy = True
        self.seen = []
        self.connections = 0
        # Answers of /wait stand until this is set.
        self.gate = asyncio.Event()
        self._writers = set()
        self._tasks = set()
        self._server = None
        self.port = free_port()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        """Listen, now or again."""
        self._server = self._loop.run(asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=2**20))
        return self

    def stop(self):
        """Be gone, at once, with all connections."""
        self._loop.run(self._stop())

    async def _stop(self):
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def open_gate(self):
        self._loop.loop.call_soon_threadsafe(self.gate.set)

    def close_gate(self):
        self._loop.loop.call_soon_threadsafe(self.gate.clear)

    def requests(self, path=None):
        """What came in, without health checks."""
        return [
            one for one in list(self.seen) if one.path != "/health" and (path is None or one.path == path)
        ]

    # One connection.

    async def _serve(self, reader, writer):
        if self._server is None:  # accepted while it stopped
            writer.transport.abort()
            return
        self.connections += 1
        self._writers.add(writer)
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()

    async def _one(self, reader, writer):
        """One request and its answer; False ends the connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rows = head[:-4].split("\r\n")
        seen = Seen(line, [tuple(row.split(": ", 1)) for row in rows])
        self.seen.append(seen)
        if not self.healthy and seen.path == "/health":
            return await self.answer(writer, 503, b"ill")
        answer = getattr(self, "say_" + seen.path.strip("/").replace("-", "_"), None)
        if answer is not None:
            return await answer(seen, reader, writer)
        await self.read_body(seen, reader)
        return await self.answer(writer, 200, self.name.encode(), head_only=seen.method == "HEAD")

    async def read_body(self, seen, reader):
        if seen.all("transfer-encoding"):
            while size := int(await reader.readline(), 16):
                self._took(seen, await reader.readexactly(size))
                assert await reader.readexactly(2) == b"\r\n"
            while (row := await reader.readline()) != b"\r\n":
                seen.trailers.append(row.decode())
            return
        left = int((seen.all("content-length") or ["0"])[0])
        while left:
            data = await reader.read(min(left, 65536))
            if not data:
                raise ValueError("the body is cut short")
            self._took(seen, data)
            left -= len(data)

    def _took(self, seen, data):
        seen.body_bytes += len(data)
        if seen.body_bytes < 65536:
            seen.body += data

    async def answer(self, writer, status, body, *headers, head_only=False):
        head = f"HTTP/1.1 {status} Said\r\nX-Backend: {self.name}\r\nContent-Length: {len(body)}\r\n"
        head += "".join(f"{header}\r\n" for header in headers)
        writer.write(head.encode() + b"\r\n" + (b"" if head_only else body))
        await writer.drain()
        return True

    # The answers.

    async def say_wait(self, seen, reader, writer):
        await self.read_body(seen, reader)
        await self.gate.wait()
        return await self.answer(writer, 200, self.name.encode())

    async def say_half_then_wait(self, seen, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        await self.gate.wait()
        writer.write(b"-last")
        return True

    async def say_stream(self, seen, reader, writer):
        """A head alone, a part of the body once the gate is open, and no end."""
        framing = {"length": "Content-Length: 99\r\n", "chunks": "Transfer-Encoding: chunked\r\n", "none": ""}
        event = b"data: 1\n\n"
        writer.write(f"HTTP/1.1 200 OK\r\n{framing[seen.query['framing']]}\r\n".encode())
        await self.gate.wait()
        writer.write(b"%x\r\n%b\r\n" % (len(event), event) if seen.query["framing"] == "chunks" else event)
        await reader.read(1)
        return False

    async def say_pause(self, seen, reader, writer):
        await asyncio.sleep(float(seen.query["seconds"]))
        return await self.answer(writer, 200, self.name.encode())

    async def say_status(self, seen, reader, writer):
        await self.read_body(seen, reader)
        return await self.answer(writer, int(seen.query["code"]), b"told so")

    async def say_cached(self, seen, reader, writer):
        return await self.answer(writer, 200, b"", f"Cache-Control: {seen.query['control']}")

    async def say_no_content(self, seen, reader, writer):
        writer.write(b"HTTP/1.1 204 No Content\r\nX-Backend: x\r\n\r\n")
        return True

    async def say_not_modified(self, seen, reader, writer):
        writer.write(b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nContent-Length: 77\r\n\r\n')
        return True

    async def say_chunked(self, seen, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n")
        await writer.drain()
        writer.write(b"1;ext=1\r\n \r\n5\r\nworld\r\n0\r\nX-Sum: 11\r\n\r\n")
        return True

    async def say_close_delimited(self, seen, reader, writer):
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end")
        await writer.drain()
        return False

    async def say_nothing(self, seen, reader, writer):
        return False

    async def say_short(self, seen, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        await writer.drain()
        return False

    async def say_short_chunked(self, seen, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()
        return False

    async def say_garbage(self, seen, reader, writer):
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await writer.drain()
        return False

    async def say_two_lengths(self, seen, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc")
        return True

    async def say_gzip_coded(self, seen, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nzip\r\n0\r\n\r\n")
        return True

    async def say_huge_head(self, seen, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-More: " + b"y" * 8000 + b"\r\n")
            await writer.drain()

    async def say_two_answers(self, seen, reader, writer):
        """A second answer nobody asked for, its last bytes a little later."""
        smuggled = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none" + smuggled)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"\r\nstray")
        return True

    async def say_hints(self, seen, reader, writer):
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        await writer.drain()
        return await self.answer(writer, 200, self.name.encode())

    async def say_switch(self, seen, reader, writer):
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        return True

    async def say_hop_headers(self, seen, reader, writer):
        headers = [
            "Connection: X-Private, keep-alive",
            "X-Private: 1",
            "Keep-Alive: timeout=5",
            "X-Public: 1",
        ]
        return await self.answer(writer, 200, b"", *headers)

    async def say_continue(self, seen, reader, writer):
        """Asks for the body before it reads it, as Expect: 100-continue wants."""
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await self.read_body(seen, reader)
        return await self.answer(writer, 200, seen.body)

    async def say_refuse_body(self, seen, reader, writer):
        """A final answer without having taken the body, which is read and thrown away."""
        await self.answer(writer, 413, b"too much for me")
        while await reader.read(65536):
            pass
        return False

    async def say_close_after(self, seen, reader, writer):
        """A whole answer that allows another request, and then the connection is closed all the same."""
        await self.answer(writer, 200, self.name.encode())
        return False

    async def say_die_on_second(self, seen, reader, writer):
        """Answers, takes the next request on the connection, and closes instead of answering it."""
        await self.answer(writer, 200, self.name.encode())
        await reader.readuntil(b"\r\n\r\n")
        return False

    async def say_upload(self, seen, reader, writer):
        await self.read_body(seen, reader)
        return await self.answer(writer, 200, str(seen.body_bytes).encode())

    async def say_download(self, seen, reader, writer):
        size = int(float(seen.query["megabytes"]) * 2**20)
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        while size:
            part = CHUNK[:size]
            writer.write(part)
            await writer.drain()
            size -= len(part)
        return True
