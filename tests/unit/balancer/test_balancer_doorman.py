"""Connections on their way in: who is slow, who is none, who is too many. Real sockets, one process."""

import asyncio
import contextlib
import re
import socket

import pytest
import uvloop

from balancer import limits
from balancer.doorman import Doorman
from balancer.networks import Networks
from balancer.tls import context_of
from tests.support.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def context(authority):
    return context_of(b"".join(authority.pair("a.example")).decode())


class Echo(asyncio.Protocol):
    def __init__(self, address):
        self.address = address

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        self._transport.write(f"{self.address} said ".encode() + data)


class Door:
    """A doorman, and whom he did not let in."""

    def __init__(self, context, proxies=None):
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self.refused = []
        self.man = Doorman(listener, context, proxies, Echo, self.refused.append, {})

    @contextlib.asynccontextmanager
    async def knock(self, **settings):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, **settings)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


def told(story):
    """Run a test's story; it ends, or fails."""
    uvloop.run(asyncio.wait_for(story, 20))


async def until(is_so):
    while not is_so():
        await asyncio.sleep(0.01)


def test_who_shakes_hands_comes_in_under_his_address(authority, context):
    async def story():
        door = Door(context)
        async with door.knock(ssl=authority.context(), server_hostname="a.example") as (reader, writer):
            writer.write(b"hello")
            assert await reader.read(100) == b"127.0.0.1 said hello"
        door.man.close()
        assert door.refused == []

    told(story())


@pytest.mark.parametrize("begun", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"])
def test_who_never_finishes_the_handshake_is_let_go(context, monkeypatch, begun):
    monkeypatch.setattr(limits, "HANDSHAKE_SECONDS", 0.2)

    async def story():
        door = Door(context)
        async with door.knock() as (reader, writer):
            writer.write(begun)
            with contextlib.suppress(ConnectionError):
                assert await reader.read(100) == b""
        await until(lambda: door.refused == ["tls"])
        door.man.close()

    told(story())


def test_who_leaves_in_the_middle_of_the_handshake_is_counted(context):
    async def story():
        door = Door(context)
        async with door.knock() as (_, writer):
            writer.write(b"\x16\x03\x01")
        await until(lambda: door.refused == ["tls"])
        door.man.close()

    told(story())


def test_of_too_many_the_slowest_go_and_an_honest_one_comes_in(authority, context, monkeypatch):
    monkeypatch.setattr(limits, "MAX_COMING_IN", 10)

    async def story():
        door = Door(context)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(30):
                await stack.enter_async_context(door.knock())
            wire = door.knock(ssl=authority.context(), server_hostname="a.example")
            reader, writer = await stack.enter_async_context(wire)
            writer.write(b"hello")
            assert (await reader.read(100)).endswith(b"hello")
            await until(lambda: len(door.refused) >= 20)
            assert len(door.man._coming_in) <= 10
        await until(lambda: not door.man._coming_in)
        door.man.close()

    told(story())


def test_a_closed_door_lets_those_in_who_are_on_the_way(authority, context):
    async def story():
        door = Door(context)
        async with door.knock() as (reader, writer):
            await until(lambda: door.man._coming_in)
            door.man.close()
            door.man.close()
            await writer.start_tls(authority.context(), server_hostname="a.example")
            writer.write(b"late")
            assert (await reader.read(100)).endswith(b"late")
        with pytest.raises(OSError):
            async with door.knock():
                pass

    told(story())


# Behind the PROXY protocol.

PROXIES = Networks(["127.0.0.0/8"])
V1 = b"PROXY TCP4 203.0.113.7 10.0.0.1 4096 80\r\n"
V1_SIX = b"PROXY TCP6 2001:db8::7 fd00::1 4096 80\r\n"
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"


@pytest.mark.parametrize(
    ("header", "address"), [(V1, "203.0.113.7"), (V1_SIX, "2001:db8::7"), (LOCAL, "127.0.0.1")]
)
def test_the_header_tells_who_asks(header, address):
    async def story():
        door = Door(None, PROXIES)
        async with door.knock() as (reader, writer):
            writer.write(header + b"hello")
            assert await reader.read(100) == f"{address} said hello".encode()
        door.man.close()
        assert door.refused == []

    told(story())


@pytest.mark.parametrize("header", [V1, LOCAL])
def test_the_header_may_come_in_two_parts_wherever_it_is_cut(header):
    async def one(door, cut):
        async with door.knock() as (reader, writer):
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            whole = header + b"hello"
            writer.write(whole[:cut])
            # The first part is there, alone, once somebody waits for more.
            await asyncio.sleep(0.002)
            writer.write(whole[cut:])
            said = b""
            # Each part of the word is echoed alone.
            while b"hello" not in re.sub(rb"[0-9.]+ said ", b"", said):
                part = await reader.read(100)
                assert part, f"refused when cut at {cut}, after {said}"
                said += part

    async def story():
        door = Door(None, PROXIES)
        await asyncio.gather(*(one(door, cut) for cut in range(len(header) + 5)))
        door.man.close()
        assert door.refused == []

    told(story())


def test_a_header_comes_before_the_handshake(authority, context):
    async def story():
        door = Door(context, PROXIES)
        async with door.knock() as (reader, writer):
            writer.write(V1)
            await writer.start_tls(authority.context(), server_hostname="a.example")
            writer.write(b"hello")
            assert await reader.read(100) == b"203.0.113.7 said hello"
        door.man.close()

    told(story())


@pytest.mark.parametrize(
    ("proxies", "sent"),
    [
        (PROXIES, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (PROXIES, b"PROXY TCP4 nobody\r\nhello"),
        (Networks(["10.0.0.0/8"]), V1 + b"hello"),
        (Networks(["10.0.0.0/8"]), b"hello"),
    ],
)
def test_without_a_good_header_or_not_from_a_proxy_nobody_comes_in(proxies, sent):
    async def story():
        door = Door(None, proxies)
        async with door.knock() as (reader, writer):
            writer.write(sent)
            with contextlib.suppress(ConnectionError):
                assert await reader.read(100) == b""
        await until(lambda: door.refused == ["proxy"])
        door.man.close()

    told(story())


@pytest.mark.parametrize("begun", [b"", b"PROXY TCP4 203", LOCAL[:5]])
def test_a_header_that_does_not_end_is_not_waited_for_long(monkeypatch, begun):
    monkeypatch.setattr(limits, "HANDSHAKE_SECONDS", 0.2)

    async def story():
        door = Door(None, PROXIES)
        async with door.knock() as (reader, writer):
            writer.write(begun)
            with contextlib.suppress(ConnectionError):
                assert await reader.read(100) == b""
        async with door.knock() as (_, writer):
            writer.write(begun)
            writer.write_eof()
            await until(lambda: len(door.refused) == 2)
        door.man.close()

    told(story())
