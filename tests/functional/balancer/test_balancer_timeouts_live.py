"""Time limits over real sockets, made short: connecting, the head, idle bodies both ways, and in all."""

import asyncio
import contextlib
import socket
import time

import pytest
from misbehaving import Backend
from running import Balancer, read_all, read_until, wait_until


class Slow(Backend):
    """Drips the head or the body of its answer."""

    async def say_drip_head(self, seen, reader, writer):
        await self.drip(writer, b"HTTP/1.1 200 OK\r\nX-Slow: " + b"y" * 1000)

    async def say_drip_body(self, seen, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        await self.drip(writer, b"y" * 1000)

    @staticmethod
    async def drip(writer, data):
        for byte in data:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def slow_shop(loop, tmp_path_factory):
    """A balancer before a slow backend, `one`."""
    one = Slow(loop, "stable-1").start()
    directory = tmp_path_factory.mktemp("slow")
    made = Balancer(directory, {"stable": [one]}, workers=1).start().wait_for_backends()
    made.one = one
    yield made
    made.stop()
    one.stop()


@pytest.fixture
def limited(slow_shop):
    """Gives that balancer other time limits."""

    def limit(**timeouts):
        slow_shop.shop["timeouts"] = timeouts
        slow_shop.write()
        assert slow_shop.admin("POST", "/reload").status == 200
        slow_shop.one.seen.clear()
        slow_shop.before = slow_shop.metrics()
        return slow_shop

    return limit


def failures(shop, reason):
    """Attempts that failed since the limits were set."""
    labels = f'backend="stable-1",reason="{reason}",service="shop",track="stable"'
    name = f"sluice_upstream_failures_total{{{labels}}}"
    return shop.metrics()[name] - shop.before[name]


def timed(shop, path):
    """What came of a request, byte by byte, and after how many seconds the connection ended."""
    began = time.monotonic()
    with shop.connect() as line:
        line.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return read_all(line), time.monotonic() - began


def test_a_head_that_does_not_come_is_504(limited):
    shop = limited(response_seconds=0.6)
    answer, took = timed(shop, b"/wait")
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert answer.endswith(b"the backend did not answer in time\n")
    assert 0.6 <= took < 5
    assert failures(shop, "timeout") == 1
    assert shop.get("/").status == 200


def test_a_head_that_comes_byte_by_byte_does_not_come(limited):
    shop = limited(response_seconds=0.6)
    answer, took = timed(shop, b"/drip-head")
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert took < 10


def test_an_answer_that_stops_is_broken_off(limited):
    shop = limited(idle_seconds=0.6)
    answer, took = timed(shop, b"/half-then-wait")
    assert answer.endswith(b"\r\n\r\nfirst")
    assert 0.6 <= took < 5
    assert failures(shop, "cut_short") == 1


def test_an_answer_that_moves_outlives_the_idle_limit_and_the_one_for_its_head(limited):
    shop = limited(idle_seconds=1, response_seconds=1)
    with shop.connect() as line:
        line.sendall(b"GET /drip-body HTTP/1.1\r\nHost: x\r\n\r\n")
        began, got = time.monotonic(), b""
        while time.monotonic() - began < 2.5:
            part = line.recv(4096)
            assert part, f"broken off after {time.monotonic() - began} s"
            got += part
    assert got.endswith(b"yyyyy")


def test_the_head_may_take_longer_than_what_follows_may_idle(limited):
    shop = limited(idle_seconds=0.3, response_seconds=10)
    with shop.connect() as line:
        line.sendall(b"GET /pause?seconds=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_until(line, b"stable-1").startswith(b"HTTP/1.1 200 ")


def test_the_total_ends_even_an_answer_that_moves(limited):
    shop = limited(total_seconds=1)
    answer, took = timed(shop, b"/drip-body")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert 1 <= took < 5
    assert timed(shop, b"/wait")[0].endswith(b"the request took too long in all\n")


def test_a_body_that_stops_coming_is_408_and_not_the_backends_fault(limited):
    shop = limited(idle_seconds=0.6)
    with shop.connect() as line:
        line.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        answer = read_all(line)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b"the request's body stopped coming\n")
    assert failures(shop, "timeout") == failures(shop, "cut_short") == 0


def test_a_client_that_takes_nothing_is_cut_off_and_that_is_not_the_backends_fault(limited):
    shop = limited(idle_seconds=0.6)
    with shop.connect() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        line.sendall(b"GET /download?megabytes=50 HTTP/1.1\r\nHost: x\r\n\r\n")
        flying = 'sluice_in_flight_requests{backend="stable-1",service="shop",track="stable"}'
        wait_until(lambda: shop.one.requests("/download"), "it is under way")
        wait_until(lambda: shop.metrics()[flying] == 0, "it was cut off")
    assert failures(shop, "cut_short") == 0


def test_a_connection_that_is_not_taken_ends_after_its_own_limit(backend, balancer):
    """A backend whose queue is full answers nothing at all."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as fillers:
        shop = balancer(start=False, tracks={"stable": [backend("stable-1")]}, workers=1)
        shop.shop["tracks"]["canary"] = {"canary-1": f"127.0.0.1:{full.getsockname()[1]}"}
        shop.shop["weights"] = {"stable": 0, "canary": 100}
        shop.shop["timeouts"] = {"connect_seconds": 0.5}
        shop.shop["health"]["interval_seconds"] = 3600
        shop.write()
        shop.start(wait=False)
        line, _ = full.accept()
        line.recv(65536)
        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        line.close()
        wait_until(shop.is_ready, "the balancer is ready")
        shop.wait_for_backends()
        for _ in range(3):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        began = time.monotonic()
        answer = shop.get("/")
        took = time.monotonic() - began
    assert (answer.status, answer.body) == (200, b"stable-1")
    assert 0.5 <= took < 1.9
    labels = 'backend="canary-1",reason="connect",service="shop",track="canary"'
    assert shop.metrics()[f"sluice_upstream_failures_total{{{labels}}}"] == 1


def test_a_reload_changes_them_for_what_is_under_way(limited):
    shop = limited()
    with shop.connect() as line:
        line.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: shop.one.requests("/wait"), "it is under way")
        limited(response_seconds=0.5)
        assert read_until(line, b"in time\n").startswith(b"HTTP/1.1 504 ")
