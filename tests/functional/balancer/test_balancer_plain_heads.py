"""
What is read in one pass means what the parser and its checks make of it, to the last byte.

Both are asked here for the same bytes: tables, variants, and good heads with each of their bytes replaced by
every other. In pure Python there is only the parser: then there is nothing to compare.
"""

import asyncio
import random

import pytest
from inprocess import Wire
from parsing_cases import GET, PASSED, REFUSED, REFUSED_AFTER_A_GOOD_ONE
from variants import variants

from balancer import heads
from balancer.frontend import Client
from balancer.request import HOP_BY_HOP, NOT_FORWARDED
from balancer.upstream import Upstream
from balancer.worker import Worker

pytestmark = pytest.mark.skipif(not heads.COMPILED, reason="the pure version reads no head in one pass")

SEED = 20261124
TABLE = {
    "weights": {"stable": 100.0},
    "alert": False,
    "tracks": {"stable": {"stable-1": {"address": ("127.0.0.1", 1), "state": "up"}}},
}
# Heads that are plain, with all that may be in one.
REQUESTS = [
    GET,
    b"POST /a?b=c HTTP/1.1\r\nhost:shop.test:8080\r\nCONNECTION: Keep-Alive\r\nContent-Length: 3\r\n"
    b"Keep-Alive: 5\r\nX-y:  z z\r\n\r\nabc",
    b"PATCH /%20/~x HTTP/1.1\r\nExpect: 100-continue\r\nHost: 10.0.0.1\r\nCookie: a=b\r\n"
    b"Content-Length: 0\r\n\r\n",
]
RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: a b\r\n\r\nhello",
    b"HTTP/1.1 404 Not Found\r\nconnection:close\r\nKEEP-alive: timeout=5\r\nContent-Length:0\r\n"
    b"X-Request-Id: 7\r\n\r\n",
    b"HTTP/1.1 500 No\r\nConnection: keep-alive\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nhihi",
]


class Both:
    """A worker that reads plain heads in one pass, or not."""

    def __init__(self, loop):
        self.loop = loop
        self.worker = Worker(loop, None)
        self.worker.clock = lambda: 1.0
        route = self.worker.route("shop")
        route.apply(TABLE)
        (self.backend,) = route.tracks["stable"]
        self.names = self.worker.names("127.0.0.1:80")
        self.names.take_over([(route, (), 0)])
        # How many were read in one pass.
        self.plain = 0

    def agree(self, ask, *raw):
        """What both make of it, which must be the same."""
        try:
            heads.COMPILED = False
            meant = ask(*raw)
            heads.COMPILED = True
            assert ask(*raw) == meant, raw
        finally:
            heads.COMPILED = True
        return meant

    def request(self, *pieces):
        """What a worker makes of a client's bytes: its requests, and what is refused."""
        self.worker._ids = 0
        client = Client(self.worker, self.names)
        client.connection_made(Wire(self.loop, client, lambda data: None))
        for piece in pieces:
            if client._refused is None:
                client._parse(piece)
        self.plain += client._parser is None and bool(client._waiting)
        refused = client._refused and (client._refused.status, client._refused.reason)
        found = [
            (one.head, one.body, one.length, one.chunked, one.keep_alive, one.complete, one.path)
            for one in client._waiting
        ]
        return found, refused, client._left, client._line, client._reading is None

    def response(self, *pieces):
        """What a client gets, and whether the connection to the backend is kept."""
        written, self.worker._ids = [], 0
        upstream = Upstream(self.loop, self.backend)
        upstream._pool = self.worker.pool
        upstream.connection_made(Wire(self.loop, upstream, lambda data: None))
        self.worker.pool.put(upstream)
        # Good for this test however long the machine is busy with others.
        upstream.idle_since += 3600
        client = Client(self.worker, self.names)
        client.connection_made(Wire(self.loop, client, written.append))
        # One that is not tried again.
        client.data_received(GET.replace(b"GET", b"POST"))
        for piece in pieces:
            if not upstream.transport.is_closing():
                upstream.data_received(piece)
        self.plain += upstream._parser is None
        kept = self.worker.pool.take(self.backend, 60) is upstream
        over = client._exchange is None
        client.connection_lost(None)
        if len(self.loop._ready) > 100:
            self.loop.run_until_complete(asyncio.sleep(0))
        return written, kept, over, upstream.transport.is_closing()


@pytest.fixture
def both():
    loop = asyncio.new_event_loop()
    yield Both(loop)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def changed(raw):
    """The bytes with each one replaced by every other, each left out, and each put twice."""
    for at in range(len(raw)):
        yield raw[:at] + raw[at + 1 :]
        yield raw[: at + 1] + raw[at:]
        for byte in range(256):
            yield raw[:at] + bytes([byte]) + raw[at + 1 :]


@pytest.mark.parametrize("raw", REQUESTS)
def test_a_request_with_any_byte_changed_is_read_alike(both, raw):
    for one in changed(raw):
        both.agree(both.request, one)
    assert both.plain > 500


@pytest.mark.parametrize("raw", RESPONSES)
def test_a_response_with_any_byte_changed_is_read_alike(both, raw):
    for one in changed(raw):
        both.agree(both.response, one)
    assert both.plain > 500


@pytest.mark.parametrize("raw", REQUESTS)
def test_a_request_in_two_pieces_is_read_alike(both, raw):
    for at in range(len(raw)):
        both.agree(both.request, raw[:at], raw[at:])
        both.agree(both.request, GET + raw[:at], raw[at:] + raw)


@pytest.mark.parametrize("raw", RESPONSES)
def test_a_response_in_two_pieces_is_read_alike(both, raw):
    """Only where the body is cut is what the client gets, and that is cut alike."""
    for at in range(1, len(raw)):
        both.agree(both.response, raw[:at], raw[at:])


def test_the_tables_are_read_alike(both):
    cases = [*REFUSED.values(), *(good + after for good, after in REFUSED_AFTER_A_GOOD_ONE.values())]
    for raw in [*cases, *(raw for raw, _ in PASSED.values())]:
        for tail in (b"", GET, b"\r\n" + GET):
            both.agree(both.request, raw + tail)
            both.agree(both.request, GET + raw + tail)
    assert both.plain > 50


def test_variants_are_read_alike(both):
    for raw in variants(random.Random(SEED), 10_000):
        both.agree(both.request, raw)
    assert both.plain > 500


def test_each_header_is_passed_on_or_dropped_alike(both):
    """Those that are special for any reason, in all ways of writing them, with values that matter."""
    names = {*NOT_FORWARDED, *HOP_BY_HOP, b"host", b"content-length", b"expect", b"x", b"cookie"}
    values = [
        b"a",
        b"1",
        b"close",
        b"keep-alive",
        b"Keep-Alive, x",
        b"shop.test",
        b"chunked",
        b"1.1 sluice",
        b"a:1",
    ]
    for name in sorted(names):
        for written in (name, name.upper(), name.title(), name + b"s", name[:-1]):
            for value in values:
                row = b"%b: %b\r\n" % (written, value)
                both.agree(both.request, GET[:-2] + row + b"\r\n")
                both.agree(both.request, b"GET / HTTP/1.1\r\n" + row + b"\r\n")
                both.agree(both.response, RESPONSES[0].replace(b"Server: a b\r\n", row))
    assert both.plain > 100


@pytest.mark.parametrize("size", [8000, 8192, 8300, 33_000])
def test_large_heads_are_read_alike(both, size):
    for at in range(size - 20, size + 20):
        long = b"x" * at
        both.agree(both.request, GET[:-2] + b"X: " + long + b"\r\n\r\n")
        both.agree(both.request, GET.replace(b"/ ", b"/" + long + b" ", 1))
        both.agree(both.response, RESPONSES[0].replace(b"a b", long))


@pytest.mark.parametrize("count", [98, 99, 100, 101, 127, 128, 129])
def test_many_headers_are_read_alike(both, count):
    rows = b"".join(b"X%d: y\r\n" % number for number in range(count))
    both.agree(both.request, GET[:-2] + rows + b"\r\n")
    both.agree(both.response, RESPONSES[0].replace(b"Server: a b\r\n", rows))


@pytest.mark.parametrize("first", [b"Connection: close\r\n", b"Connection: keep-alive\r\n"])
def test_what_follows_a_last_request_is_refused_alike(both, first):
    both.agree(both.request, GET[:-2] + first + b"\r\n" + GET)
    both.agree(both.request, b"GET / HTTP/1.0\r\n" + first + b"\r\n" + GET)
    both.agree(both.request, GET + GET[:-2] + first + b"\r\n", GET)
