"""Server-sent events and other answers that come bit by bit: each at once, as long as someone listens."""

import asyncio
import contextlib
import socket
import struct
import time

import pytest
from misbehaving import Backend
from running import read_until, wait_until

HOST = b"Host: shop.test\r\n"
FLYING = 'sluice_in_flight_requests{backend="stable-1",service="shop",track="stable"}'


class Ticking(Backend):
    """A backend that sends one event whenever the test says so."""

    def __init__(self, loop, name):
        super().__init__(loop, name)
        self.ticks = asyncio.Queue()
        self.gone = False

    def tick(self, event):
        self._loop.loop.call_soon_threadsafe(self.ticks.put_nowait, event)

    async def say_events(self, seen, reader, writer):
        chunked = seen.query["framing"] == "chunks"
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
        writer.write(
            head + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Connection: close\r\n\r\n")
        )
        watching = asyncio.ensure_future(self._watch(reader))
        while not self.gone:
            event = await self.ticks.get()
            writer.write(b"%x\r\n%b\r\n" % (len(event), event) if chunked else event)
        await watching
        return False

    async def say_early(self, seen, reader, writer):
        await self.answer(writer, int(seen.query["code"]), b"told so")
        return False

    async def _watch(self, reader):
        with contextlib.suppress(OSError):
            await reader.read()
        self.gone = True
        self.ticks.put_nowait(b"")


@pytest.fixture
def one(loop):
    made = Ticking(loop, "stable-1").start()
    yield made
    made.stop()


@pytest.fixture
def shop(one, balancer):
    return balancer(tracks={"stable": [one]}, workers=1)


def reset_at_the_end(line):
    """Have the connection end in a way that cannot be taken for a half."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def listen(line, framing="chunks"):
    line.sendall(b"GET /events?framing=" + framing.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    head = read_until(line, b"\r\n\r\n")
    assert b"\r\nContent-Type: text/event-stream\r\n" in head


@pytest.mark.parametrize("framing", ["chunks", "none"])
def test_each_event_is_with_the_client_before_the_next_is_sent(one, shop, framing):
    with shop.connect() as line:
        listen(line, framing)
        for number in range(200):
            event = b"id: %d\ndata: x\n\n" % number
            one.tick(event)
            assert event in read_until(line, b"\n\n")
        reset_at_the_end(line)


def test_a_listener_that_leaves_is_noticed_at_the_next_event(one, shop):
    with shop.connect() as line:
        listen(line)
        one.tick(b"data: 1\n\n")
        read_until(line, b"data: 1\n\n")
    wait_until(lambda: one.tick(b"data: 2\n\n") or one.gone, "the backend's connection is closed")
    wait_until(lambda: shop.metrics()[FLYING] == 0, "nothing is in flight")


def test_a_listener_that_leaves_between_events_is_given_up_within_seconds(one, shop):
    with shop.connect() as line:
        listen(line)
        one.tick(b"data: 1\n\n")
        read_until(line, b"data: 1\n\n")
    begun = time.monotonic()
    wait_until(lambda: one.gone, "the backend's connection is closed")
    assert 3 < time.monotonic() - begun < 15


def test_a_client_that_half_closes_gets_the_rest_of_what_keeps_coming(one, shop):
    with shop.connect() as line:
        listen(line)
        line.shutdown(socket.SHUT_WR)
        for number in range(12):
            one.tick(b"data: %d\n\n" % number)
            assert b"data: %d\n\n" % number in read_until(line, b"\n\n")
            time.sleep(0.5)
        reset_at_the_end(line)


def test_a_listener_that_resets_is_noticed_at_once(one, shop):
    with shop.connect() as line:
        listen(line)
        wait_until(lambda: shop.metrics()[FLYING] == 1, "it is in flight")
        reset_at_the_end(line)
    begun = time.monotonic()
    wait_until(lambda: one.gone, "the backend's connection is closed")
    assert time.monotonic() - begun < 5


def test_a_listener_that_does_not_read_holds_up_its_backend_and_nobody_else(one, shop):
    with shop.connect() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        line.sendall(b"GET /download?megabytes=300 HTTP/1.1\r\n" + HOST + b"\r\n")
        assert line.recv(100)
        for _ in range(50):
            assert shop.get("/").body == b"stable-1"
        assert shop.worker_memory()[0] < 110
    wait_until(lambda: shop.metrics()[FLYING] == 0, "nothing is in flight")


@pytest.mark.parametrize("status", [b"413", b"417"])
def test_a_refusal_before_the_body_reaches_a_client_that_waits_to_continue(shop, status):
    head = b"POST /early?code=" + status + b" HTTP/1.1\r\n" + HOST
    with shop.connect() as line:
        line.sendall(head + b"Expect: 100-continue\r\nContent-Length: 1000000000\r\n\r\n")
        answer = read_until(line, b"told so")
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"Connection: close\r\n" in answer
