"""A backend that keeps every byte it got, and answers what h11 reads in them."""

import asyncio
import contextlib

from reading import Reader

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Recorder:
    """Listens like `misbehaving.Backend`; connections of health checks are not recorded."""

    name = "stable-1"

    def __init__(self, loop):
        self._loop = loop
        self._writers = set()
        # Bytes and readers of all connections, in the order of the connections.
        self.raw, self.readers = [], []
        self._server = loop.run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def stop(self):
        self._loop.run(self._stop())

    async def _stop(self):
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        # The tasks of the connections end with them.
        while self._writers:
            await asyncio.sleep(0.01)

    async def _serve(self, reader, writer):
        self._writers.add(writer)
        try:
            first = await reader.read(65536)
            recorded = not first.startswith(b"GET /health ")
            raw, requests = bytearray(), Reader()
            if recorded:
                self.raw.append(raw)
                self.readers.append(requests)
            data = first
            while data:
                raw += data
                for whole in requests.feed(data):
                    writer.write(ANSWER[:-2] if whole.method == b"HEAD" else ANSWER)
                data = await reader.read(65536)
        except OSError:
            pass
        finally:
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()
            self._writers.discard(writer)

    def settle(self):
        """Take whatever the balancer had sent by now: it is in this machine's sockets already."""
        for _ in range(5):
            self._loop.run(asyncio.sleep(0))

    def seen(self):
        """The number of bytes and of whole requests so far."""
        self.settle()
        return sum(map(len, self.raw)), sum(len(reader.whole) for reader in self.readers)

    def take(self, and_cut=False):
        """
        The requests since the last call, all of them read without a doubt, and whole: unless `and_cut` says
        that their client may have left in the middle of one.
        """
        self.settle()
        doubts = [reader.broken or (not and_cut and reader.partial) for reader in self.readers]
        taken = [whole for reader in self.readers for whole in reader.whole]
        for reader in self.readers:
            reader.whole, reader.broken = [], None
        assert not any(doubts), doubts
        return taken
