"""Connections for copies: used again, a few at a time, none for longer than it may take."""

import asyncio
import types

import pytest

from balancer import limits, mirror
from balancer.counters import Counters
from balancer.routes import Route

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TOLD = {"percent": 100, "max_in_flight": 2}


class Server:
    """Answers every request with `answer`; None is no answer at all."""

    def __init__(self):
        self.answer, self.connections, self.requests = ANSWER, 0, 0
        self.lines = set()

    async def start(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self):
        for line in self.lines:
            line.transport.abort()
        self._server.close()
        await asyncio.sleep(0)

    async def _serve(self, reader, writer):
        self.connections += 1
        self.lines.add(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                if self.answer is not None:
                    writer.write(self.answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def table(port, state="up", alert=False):
    def one(number, state):
        return {"b": {"address": ["127.0.0.1", number], "state": state}}

    tracks = {"stable": one(1, "up"), "canary": one(port, state)}
    return {"weights": {"stable": 100, "canary": 0}, "alert": alert, "tracks": tracks}


class Shop:
    """A route whose copies go to a server."""

    def __init__(self, server):
        self.server, self.counters = server, Counters()
        self.route = Route("shop", asyncio.get_running_loop().time)
        self.apply(TOLD)
        (self.stable,) = self.route.tracks["stable"]

    def apply(self, told, **how):
        self.route.apply(table(self.server.port, **how))
        mirror.follow(self.route, told, self.counters)

    def offer(self, method=b"GET"):
        head = method + b" / HTTP/1.1\r\nHost: x\r\n\r\n"
        request = types.SimpleNamespace(method=method, has_body=False, upgrade=False, head=head)
        self.route.mirror.offer(request, self.stable)

    async def until(self, **wanted):
        keys = {f"shop canary b {result.lstrip('_')}": count for result, count in wanted.items()}
        async with asyncio.timeout(10):
            while self.counters.mirrored != keys:
                await asyncio.sleep(0.001)


@pytest.fixture
def with_shop():
    def run(story):
        async def told():
            server = await Server().start()
            shop = Shop(server)
            await story(shop)
            mirror.follow(shop.route, None, shop.counters)
            await server.stop()

        asyncio.run(told())

    return run


def test_a_connection_is_used_again(with_shop):
    async def story(shop):
        for number in range(1, 6):
            shop.offer()
            await shop.until(_2xx=number)
        assert (shop.server.requests, shop.server.connections) == (5, 1)

    with_shop(story)


def test_after_a_head_the_connection_is_used_again(with_shop):
    async def story(shop):
        shop.server.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
        shop.offer(b"HEAD")
        await shop.until(_2xx=1)
        shop.server.answer = ANSWER
        shop.offer()
        await shop.until(_2xx=2)
        assert shop.server.connections == 1

    with_shop(story)


def test_a_copy_that_takes_too_long_is_given_up(with_shop, monkeypatch):
    monkeypatch.setattr(limits, "MIRROR_SECONDS", 0.05)

    async def story(shop):
        shop.server.answer = None
        shop.offer()
        await shop.until(timeout=1)
        # Half an answer is none.
        shop.server.answer = ANSWER[:-1]
        shop.offer()
        await shop.until(timeout=2)
        shop.server.answer = ANSWER
        shop.offer()
        await shop.until(timeout=2, _2xx=1)

    with_shop(story)


def test_an_idle_connection_is_closed_after_a_while(with_shop, monkeypatch):
    monkeypatch.setattr(limits, "UNREPEATABLE_IDLE_SECONDS", 0.01)

    async def story(shop):
        for number in (1, 2):
            shop.offer()
            await shop.until(_2xx=number)
            async with asyncio.timeout(10):
                while shop.route.mirror._idle:
                    await asyncio.sleep(0.001)
        assert shop.server.connections == 2

    with_shop(story)


def test_there_are_never_more_than_the_limit(with_shop):
    async def story(shop):
        shop.server.answer = None
        for _ in range(5):
            shop.offer()
        await shop.until(dropped=3)
        # Other settings, or none: what is under way ends.
        shop.apply({**TOLD, "max_in_flight": 3})
        await shop.until(dropped=3, cut=2)

    with_shop(story)


@pytest.mark.parametrize("how", [{"alert": True}, {"state": "drained"}, {"state": "down"}], ids=str)
def test_a_canary_that_must_go_gets_no_copy_and_those_under_way_end(with_shop, how):
    async def story(shop):
        shop.server.answer = None
        shop.offer()
        shop.apply(TOLD, **how)
        await shop.until(cut=1)
        shop.offer()
        await shop.until(cut=1)
        shop.server.answer = ANSWER
        shop.apply(TOLD)
        shop.offer()
        await shop.until(cut=1, _2xx=1)

    with_shop(story)


def test_a_canary_that_refuses_connections_is_counted(with_shop):
    async def story(shop):
        await shop.server.stop()
        shop.offer()
        await shop.until(failed=1)

    with_shop(story)
