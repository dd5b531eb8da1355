"""
The front of a worker without sockets: bytes in, the bytes for the backend and for the client out.

Everything is the balancer's own but the transports and the backend, which is h11.
"""

import asyncio
import dataclasses
import re
import time

from reading import FAMILIES_OF_A_HEAD, OF_THE_HOP, OF_THE_PROXY, Reader, read

from balancer.frontend import Client
from balancer.routes import Route
from balancer.upstream import Pool, Upstream
from balancer.worker import Worker

ADDRESS = b"10.0.0.9"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
# Answers as the client sees them; those of HEAD have no body.
GOOD_ANSWER = re.compile(
    rb"HTTP/1\.1 200 OK\r\nContent-Length: 2\r\n(?:Connection: close\r\n)?\r\n(?:ok(?=HTTP/1|$))?"
)
REFUSAL = re.compile(rb"HTTP/1\.1 (400|405|414|431|508) ")
CALLBACKS = (
    "on_message_begin",
    "on_url",
    "on_header",
    "on_headers_complete",
    "on_body",
    "on_message_complete",
)


def watched(name):
    """A callback of the parser; the parser turns what it raises into errors of its own."""

    def call(client, *args):
        try:
            getattr(Client, name)(client, *args)
        except Exception as error:
            client.errors.append(error)
            raise

    return call


class Watched(Client):
    """A client that tells what its callbacks raise."""

    def __init__(self, worker, names, errors):
        super().__init__(worker, names)
        self.errors = errors

    locals().update({name: watched(name) for name in CALLBACKS})


class Wire(asyncio.Transport):
    """A connection in memory; what is written goes to `take`."""

    def __init__(self, loop, protocol, take):
        super().__init__({"peername": (ADDRESS.decode(), 1)})
        self._loop, self.protocol, self._take = loop, protocol, take
        # Nothing more is written; both directions are closed.
        self.reading, self.ended, self.closed = True, False, False

    def set_protocol(self, protocol):
        self.protocol = protocol

    def write(self, data):
        if not self.ended:
            self._take(bytes(data))

    def writelines(self, parts):
        self.write(b"".join(parts))

    def write_eof(self):
        self.ended = True

    def is_closing(self):
        return self.closed

    def close(self):
        if not self.closed:
            self.ended = self.closed = True
            self._loop.call_soon(self.protocol.connection_lost, None)

    abort = close

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True

    def is_reading(self):
        return self.reading

    def get_write_buffer_size(self):
        return 0


class Backends(Pool):
    """A pool whose connections lead to h11."""

    def __init__(self, loop):
        super().__init__(loop)
        self.whole, self.readers, self.raw = [], [], []

    def take(self, backend, idle_seconds):
        return super().take(backend, idle_seconds) or self._made(backend)

    def _made(self, backend):
        upstream = Upstream(self._loop, backend)
        upstream._pool = self
        reader, raw = Reader(), bytearray()
        self.readers.append(reader)
        self.raw.append(raw)

        def take(data):
            raw.extend(data)
            for request in reader.feed(data):
                self.whole.append(request)
                answer = ANSWER if request.method == b"HEAD" else ANSWER + b"ok"
                self._loop.call_soon(self._answer, upstream, answer)

        upstream.connection_made(Wire(self._loop, upstream, take))
        return upstream

    @staticmethod
    def _answer(upstream, answer):
        if not upstream.transport.is_closing():
            upstream.data_received(answer)


@dataclasses.dataclass
class Outcome:
    """What came of the bytes: the backends' readings and raw bytes, the client's answer, what went wrong."""

    whole: list
    readers: list
    raw: list
    answer: bytes
    refused: bool
    errors: list


class Front:
    """Runs conversations, one after the other, each on a connection and with backends of its own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda _, context: self._errors.append(context))
        self.worker = Worker(self.loop, None)
        # What else the service's table has.
        self.table = {"upgrade": {"protocols": ["websocket"], "idle_seconds": 3600}}
        self._errors = []

    def close(self):
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def send(self, pieces):
        """The outcome of one client's bytes, which come in these pieces."""
        return self.loop.run_until_complete(self._send(pieces))

    async def _send(self, pieces):
        self._errors = []
        self.worker.pool = backends = Backends(self.loop)
        client, answer = self._client(), bytearray()
        wire = Wire(self.loop, client, answer.extend)
        client.connection_made(wire)
        for piece in pieces:
            await self._until(lambda: wire.reading or wire.ended)
            if wire.ended:
                break
            wire.protocol.data_received(piece)
        await self._until(lambda: wire.ended or not self._is_busy(client))
        outcome = Outcome(
            list(backends.whole),
            backends.readers,
            [bytes(raw) for raw in backends.raw],
            bytes(answer),
            client._refused is not None,
            self._errors,
        )
        wire.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.worker.access_log.flush()
        return outcome

    def drip(self, pieces, seconds):
        """Pieces that come so many seconds apart; the answer, and after which piece the end came, if any."""
        return self.loop.run_until_complete(self._drip(pieces, seconds))

    async def _drip(self, pieces, seconds):
        self.worker.pool = Backends(self.loop)
        now, self.worker.clock = self.worker.clock(), lambda: now
        client, answer, ended = self._client(), bytearray(), None
        wire = Wire(self.loop, client, answer.extend)
        client.connection_made(wire)
        for number, piece in enumerate(pieces):
            wire.protocol.data_received(piece)
            now += seconds
            client.check_time(now)
            if wire.ended:
                ended = number
                break
        self.worker.clock = time.monotonic
        wire.close()
        await asyncio.sleep(0)
        return bytes(answer), ended

    @staticmethod
    def _is_busy(client):
        answering = client._exchange is not None and client._exchange.request.complete
        return bool(client._waiting) or answering or client.offer is not None

    async def _until(self, so):
        """A request costs a few turns of the loop, and what is sent here has some hundreds at most."""
        for _ in range(100_000):
            if so():
                return
            await asyncio.sleep(0)
        self._errors.append("the conversation came to no end")

    def _client(self):
        route = Route("shop", self.worker.clock)
        backend = {"address": ("127.0.0.1", 1), "state": "up"}
        route.apply(
            {
                "weights": {"stable": 100.0},
                "alert": False,
                "tracks": {"stable": {"stable-1": backend}},
                **self.table,
            }
        )
        names = self.worker.names("127.0.0.1:80")
        names.take_over([(route, (), 0)])
        return Watched(self.worker, names, self._errors)


def check(front, pieces):
    """
    Send bytes and say what is wrong with what came of it; None if nothing is.

    However the bytes come: nothing is raised; what is whole at the backend is, in order, what h11 reads in
    the bytes as they were sent; each is answered, and a refusal is the last answer. If all came at once, not
    a byte of a refused request is at the backend.
    """
    sent = b"".join(pieces)
    outcome = front.send(pieces)
    if outcome.errors:
        return f"raised: {outcome.errors}"
    wanted = read(sent)
    if len(outcome.whole) > len(wanted):
        return f"{len(outcome.whole)} requests at the backend, but h11 reads {len(wanted)}"
    for seen, meant in zip(outcome.whole, wanted, strict=False):
        if wrong := differs(seen, meant):
            return wrong
    if not outcome.refused and len(outcome.whole) < len(wanted):
        return f"{len(wanted)} requests were sent, {len(outcome.whole)} reached the backend"
    if outcome.refused and len(pieces) == 1 and any(reader.partial for reader in outcome.readers):
        return "a part of a refused request is at the backend"
    if len(pieces) == 1 and outcome.refused and not outcome.whole and outcome.raw:
        return f"nothing was good, but this is at the backend: {outcome.raw}"
    return wrong_answer(outcome)


def is_of_a_head(name):
    """True if a field of this name would mean something to a server that takes trailers for headers."""
    plain = name.replace(b"_", b"-")
    names = OF_THE_HOP | OF_THE_PROXY | {b"host", b"content-length", b"authorization", b"cookie"}
    return plain in names or plain.startswith(FAMILIES_OF_A_HEAD)


def differs(seen, meant, address=ADDRESS):
    """How a request at the backend differs from the one that was sent; None if it does not."""
    headers = meant.end_to_end()
    if not meant.all(b"host"):
        headers.append((b"host", b""))
    ours = {
        b"x-forwarded-for": [address],
        b"x-forwarded-proto": [b"http"],
        b"x-forwarded-host": [b"".join(meant.all(b"host"))],
        b"x-forwarded-port": [],
        b"x-real-ip": [address],
        b"forwarded": [b'for=%b;proto=http;host="%b"' % (address, b"".join(meant.all(b"host")))],
    }
    *before, by_us = seen.all(b"via")
    pairs = {
        "method": (seen.method, meant.method),
        "target": (seen.target, meant.path_target()),
        "body": (seen.body, meant.body),
        "harmless trailers": (seen.harmless_trailers(), meant.harmless_trailers()),
        "other trailers": ([pair for pair in seen.trailers if pair not in meant.trailers], []),
        "bad trailers": ([name for name, _ in seen.trailers if is_of_a_head(name)], []),
        "headers": (seen.end_to_end(), headers),
        "coding": (len(seen.all(b"transfer-encoding")), len(meant.all(b"transfer-encoding"))),
        "who asked": ({name: seen.all(name) for name in ours}, ours),
        "via": (before, meant.all(b"via")),
        "the balancer's via": (by_us[1:], b".%b sluice" % by_us[2:3]),
    }
    for what, (got, want) in pairs.items():
        if got != want:
            return f"{what}: {got!r} at the backend, {want!r} sent"
    return None


def wrong_answer(outcome):
    """What is wrong with the answers; None if nothing is."""
    rest, good = outcome.answer, 0
    while found := GOOD_ANSWER.match(rest):
        rest, good = rest[found.end() :], good + 1
    if good != len(outcome.whole):
        return f"{len(outcome.whole)} requests at the backend, {good} answers"
    if not rest:
        # After an answer that ends the connection no refusal can follow.
        silent = outcome.refused and b"Connection: close" not in outcome.answer
        return "refused without an answer" if silent else None
    if not outcome.refused or not REFUSAL.match(rest) or b"\r\nConnection: close\r\n" not in rest:
        return f"answered {rest!r}"
    return None
