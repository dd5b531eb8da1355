"""WebSockets and other protocols that a connection switches to: offered, taken up or not, and tunnelled."""

import asyncio
import contextlib
import os
import socket
import struct
import threading
import time

import pytest
from misbehaving import Backend
from running import PATIENCE, Balancer, read_all, read_until, wait_until
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler, websocket_connect

from tests.support.certificates import Authority
from tests.support.ports import free_port

HOST = b"Host: shop.test\r\n"
OFFER = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
FLYING = 'sluice_in_flight_requests{{backend="{0}-1",service="shop",track="{0}"}}'


class Switching(Backend):
    """A backend that takes up offers; what goes on then depends on the path."""

    async def _switch(self, writer, *headers, protocol="websocket", rest=b""):
        rows = ("HTTP/1.1 101 Switching", "Connection: Upgrade", f"Upgrade: {protocol}", *headers, "", "")
        writer.write("\r\n".join(rows).encode() + rest)

    async def say_echo(self, seen, reader, writer):
        await self._switch(writer, "Sec-WebSocket-Accept: x", "X-Backend: " + self.name)
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write(b"the end")
        return False

    async def say_speak_first(self, seen, reader, writer):
        await self._switch(writer, rest=b"hello")
        self.heard = await reader.read()
        return False

    async def say_speak_and_end(self, seen, reader, writer):
        await self._switch(writer, rest=b"bye")
        writer.write_eof()
        self.heard = await reader.read()
        return False

    async def say_hold_then_switch(self, seen, reader, writer):
        await self.gate.wait()
        await self._switch(writer)
        self.heard = await reader.read()
        return False

    async def say_pour(self, seen, reader, writer):
        await self._switch(writer)
        self.poured = 0
        while self.poured < 300 * 2**20:
            writer.write(b"p" * 65536)
            await writer.drain()
            self.poured += 65536
        return False

    async def say_never_read(self, seen, reader, writer):
        await self._switch(writer)
        await self.gate.wait()
        return False

    async def say_other(self, seen, reader, writer):
        await self._switch(writer, protocol="other")
        return False

    async def say_no_upgrade(self, seen, reader, writer):
        writer.write(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\n\r\n")
        return False

    async def say_no_connection(self, seen, reader, writer):
        writer.write(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n")
        return False

    async def say_half_a_head(self, seen, reader, writer):
        writer.write(b"HTTP/1.1 101 Switching\r\nUpgr")
        await writer.drain()
        return False


@pytest.fixture
def switching(loop):
    made = []

    def make(name):
        made.append(Switching(loop, name).start())
        return made[-1]

    yield make
    for one in made:
        one.open_gate()
        one.stop()


@pytest.fixture
def one(switching):
    return switching("stable-1")


@pytest.fixture
def shop(one, balancer):
    return balancer(tracks={"stable": [one]}, workers=1)


def ask(path, *headers, offer=OFFER, method=b"GET", version=b"1.1", body=b""):
    return (
        b"%b %b HTTP/%b\r\n" % (method, path.encode(), version)
        + HOST
        + b"".join(headers)
        + offer
        + b"\r\n"
        + body
    )


@contextlib.contextmanager
def tunnel(shop, path="/echo"):
    """A raw tunnel."""
    with shop.connect() as line:
        line.sendall(ask(path))
        head = read_until(line, b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n"), head
        yield line


def flying(shop, track="stable"):
    return shop.metrics()[FLYING.format(track)]


# Real WebSockets, by Tornado.


class Echo(WebSocketHandler):
    there = set()

    def open(self):
        self.there.add(self)

    def on_close(self):
        self.there.discard(self)

    def on_message(self, message):
        self.write_message(message, binary=isinstance(message, bytes))

    def get_compression_options(self):
        return {}

    def select_subprotocol(self, subprotocols):
        return subprotocols[-1] if subprotocols else None


class Health(RequestHandler):
    def get(self):
        self.write("ok")


@pytest.fixture
def sockets(loop, balancer):
    """A balancer before a Tornado server with WebSockets at /ws."""

    class Named:
        name, port = "stable-1", free_port()
        address = f"127.0.0.1:{port}"

    async def start():
        application = Application([("/health", Health), ("/ws", Echo)], websocket_max_message_size=64 * 2**20)
        server = HTTPServer(application)
        server.listen(Named.port, "127.0.0.1")
        return server

    async def stop():
        server.stop()
        await server.close_all_connections()
        while Echo.there:
            await asyncio.sleep(0.01)

    server = loop.run(start())
    yield balancer(tracks={"stable": [Named]})
    loop.run(stop())


async def talk(port, messages, **options):
    line = await websocket_connect(
        f"ws://127.0.0.1:{port}/ws", max_message_size=64 * 2**20, connect_timeout=PATIENCE, **options
    )
    answers = []
    for message in messages:
        await line.write_message(message, binary=isinstance(message, bytes))
        answers.append(await line.read_message())
    chosen = line.selected_subprotocol
    line.close(1000, "done")
    end = await line.read_message()
    return answers, chosen, end, line.close_code


def test_a_websocket_client_and_server_talk_through_it(sockets):
    messages = ["hello", "ä" * 1000, b"\x00\xff" * 5000, ""]
    answers, chosen, end, code = asyncio.run(
        talk(sockets.port, messages, compression_options={}, subprotocols=["a", "b"])
    )
    assert answers == messages
    assert chosen == "b"
    assert (end, code) == (None, 1000)


def test_messages_of_megabytes_pass_unchanged(sockets):
    messages = [os.urandom(20 * 2**20), "x" * (8 * 2**20)]
    answers, *_ = asyncio.run(talk(sockets.port, messages))
    assert answers == messages


def test_many_websockets_at_a_time(sockets):
    async def all_of_them():
        return await asyncio.gather(*(talk(sockets.port, [f"message {n}"] * 5) for n in range(100)))

    found = asyncio.run(all_of_them())
    assert [answers for answers, *_ in found] == [[f"message {n}"] * 5 for n in range(100)]


# Over TLS.


@pytest.fixture
def secure(one, balancer, tmp_path):
    """A balancer that speaks TLS as well, and a client's connection to it."""
    authority = Authority(tmp_path)
    shop = balancer(tracks={"stable": [one]}, start=False, workers=1)
    port, files = free_port(), {}
    for kind, content in zip(("certificate", "key"), authority.pair("shop.test"), strict=True):
        files[f"{kind}_file"] = str(tmp_path / kind)
        (tmp_path / kind).write_bytes(content)
    shop.shop["tls"] = {"listen": f"127.0.0.1:{port}", **files}
    shop.write()
    shop.start().wait_for_backends()
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as line,
        authority.context().wrap_socket(
            line, server_hostname="shop.test", suppress_ragged_eofs=False
        ) as wire,
    ):
        shop.wire = wire
        yield shop


def test_a_tunnel_over_tls_carries_megabytes_and_ends_with_either_side(one, secure):
    wire = secure.wire
    wire.sendall(ask("/echo") + b"eager")
    assert read_until(wire, b"eager").startswith(b"HTTP/1.1 101 ")
    assert one.requests("/echo")[-1].one("x-forwarded-proto") == "https"
    sent, got = os.urandom(2**20) * 8, bytearray()
    writing = threading.Thread(target=wire.sendall, args=(sent,))
    writing.start()
    while len(got) < len(sent):
        got += wire.recv(2**20)
    writing.join(PATIENCE)
    assert bytes(got) == sent
    one.stop()
    assert read_all(wire) == b""
    wait_until(lambda: flying(secure) == 0, "nothing is in flight")


def test_what_follows_an_offer_over_tls_that_is_not_taken_is_read_as_http(secure):
    secure.wire.sendall(ask("/") + ask("/status?code=404") + b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    answers = read_until(secure.wire, b"told so")
    answers += read_until(secure.wire, b"stable-1")
    assert answers.count(b"HTTP/1.1 200 ") == 2


def test_the_end_of_a_client_over_tls_is_the_end_at_the_backend(one, secure):
    secure.wire.sendall(ask("/speak-first") + b"last words")
    read_until(secure.wire, b"hello")
    secure.wire.unwrap().close()
    wait_until(lambda: getattr(one, "heard", None) == b"last words", "the backend saw the end")
    wait_until(lambda: flying(secure) == 0, "nothing is in flight")


# The handshake.


def test_an_offer_reaches_the_backend_with_its_headers_and_the_answer_the_client(one, shop):
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    with shop.connect() as line:
        line.sendall(ask("/echo", key, offer=b"Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"))
        head = read_until(line, b"\r\n\r\n")
    assert set(head.split(b"\r\n")) == {
        b"HTTP/1.1 101 Switching Protocols",
        b"Sec-WebSocket-Accept: x",
        b"X-Backend: stable-1",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"",
    }
    (seen,) = one.requests("/echo")
    assert (seen.one("connection"), seen.one("upgrade")) == ("Upgrade", "websocket")
    assert seen.one("sec-websocket-key") == "dGhlIHNhbXBsZSBub25jZQ=="
    assert seen.one("x-forwarded-for") == "127.0.0.1"


PLAIN = {
    "h2c": ask(
        "/plain", offer=b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
    ),
    "h2c in capitals": ask("/plain", offer=b"Connection: upgrade\r\nUpgrade: H2C\r\n"),
    "h2c behind a comma": ask("/plain", offer=b"Connection: upgrade\r\nUpgrade: , h2c\r\n"),
    "TLS": ask("/plain", offer=b"Connection: Upgrade\r\nUpgrade: TLS/1.0, HTTP/1.1\r\n"),
    "another protocol": ask("/plain", offer=b"Connection: Upgrade\r\nUpgrade: irc\r\n"),
    "a longer name": ask("/plain", offer=b"Connection: Upgrade\r\nUpgrade: websockets\r\n"),
    "a version": ask("/plain", offer=b"Connection: Upgrade\r\nUpgrade: websocket/13\r\n"),
    "nothing": ask("/plain", offer=b"Connection: Upgrade\r\nUpgrade:\r\n"),
    "not named by Connection": ask("/plain", offer=b"Upgrade: websocket\r\n"),
    "named by Connection only": ask("/plain", offer=b"Connection: Upgrade\r\n"),
    "POST": ask("/plain", method=b"POST"),
    "POST with a length of nothing": ask("/plain", b"Content-Length: 0\r\n", method=b"POST"),
    "a body": ask("/plain", b"Content-Length: 3\r\n", body=b"abc"),
    "chunks": ask("/plain", b"Transfer-Encoding: chunked\r\n", body=b"0\r\n\r\n"),
    "HTTP/1.0": ask("/plain", version=b"1.0"),
}


@pytest.fixture(scope="module")
def plain(loop, tmp_path_factory):
    backend = Switching(loop, "stable-1").start()
    made = Balancer(tmp_path_factory.mktemp("plain"), {"stable": [backend]}, workers=1)
    made.start().wait_for_backends()
    made.backend = backend
    yield made
    made.stop()
    backend.stop()


@pytest.mark.parametrize("raw", PLAIN.values(), ids=PLAIN)
def test_what_is_not_taken_up_goes_on_as_plain_http(plain, raw):
    before = len(plain.backend.requests("/plain"))
    with plain.connect() as line:
        line.sendall(raw)
        assert read_until(line, b"stable-1").startswith(b"HTTP/1.1 200 ")
    (seen,) = plain.backend.requests("/plain")[before:]
    names = {name.lower() for name, _ in seen.headers}
    assert not names & {"upgrade", "http2-settings", "connection"}


def test_of_several_protocols_only_the_one_that_may_be_is_offered(plain):
    with plain.connect() as line:
        offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c, websocket\r\nHTTP2-Settings: AA\r\n"
        line.sendall(ask("/echo", offer=offer))
        assert b"\r\nUpgrade: websocket\r\n" in read_until(line, b"\r\n\r\n")
    seen = plain.backend.requests("/echo")[-1]
    assert seen.all("upgrade") == ["websocket"]
    assert not seen.all("http2-settings")


@pytest.mark.parametrize("path", ["/other", "/no-upgrade", "/no-connection", "/half-a-head"])
def test_an_answer_that_does_not_take_up_what_was_offered_is_502_and_asked_once(plain, path):
    with plain.connect() as line:
        line.sendall(ask(path))
        assert read_until(line, b"\n\r\n").startswith(b"HTTP/1.1 502 ")
    assert len(plain.backend.requests(path)) == 1
    assert plain.get("/").status == 200


@pytest.mark.parametrize("path", ["/echo", "/no-upgrade", "/no-connection"])
def test_a_switch_that_nobody_offered_is_502(plain, path):
    assert plain.get(path).status == 502


def test_what_follows_an_offer_that_is_not_taken_is_read_as_http(plain):
    after = b"POST /upload HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc"
    with plain.connect() as line:
        line.sendall(ask("/plain") + after + ask("/status?code=404") + after)
        answers = read_until(line, b"told so")
        # The last one may have come with it.
        while not answers.endswith(b"\r\n\r\n3"):
            answers += line.recv(65536)
    assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"404", b"200"]


def test_rubbish_after_an_offer_that_is_not_taken_is_refused_in_its_turn(plain):
    answer = plain.send(ask("/plain") + b"\x81\x05hello")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 400 " in answer


def test_a_thousand_pipelined_offers_are_all_answered(plain):
    with plain.connect() as line:
        line.sendall(ask("/") * 1000 + ask("/status?code=404"))
        answers = read_until(line, b"told so")
    assert answers.count(b"\r\n\r\nstable-1") == 1000


def test_a_client_that_half_closes_after_an_offer_that_is_not_taken_gets_its_answer(plain):
    assert plain.send(ask("/plain"), half_close=True).endswith(b"stable-1")


def test_other_protocols_can_be_allowed_and_none(one, shop):
    shop.shop["upgrade"] = {"protocols": ["other"]}
    shop.write()

    def taken():
        with shop.connect() as line:
            line.sendall(ask("/other", offer=b"Connection: Upgrade\r\nUpgrade: other\r\n"))
            return b"Upgrade: other\r\n" in read_until(line, b"\n\r\n")

    wait_until(taken, "the other protocol is allowed")
    with shop.connect() as line:
        line.sendall(ask("/"))
        assert read_until(line, b"stable-1").startswith(b"HTTP/1.1 200 ")
    assert not one.requests("/")[-1].all("upgrade")


def test_a_rule_denies_an_offer_too(one, shop):
    shop.shop["rules"] = [{"path": "/echo", "deny": 403}]
    shop.write()
    wait_until(lambda: shop.get("/echo").status == 403, "the rule is in force")
    with shop.connect() as line:
        line.sendall(ask("/echo") + ask("/"))
        assert read_until(line, b"stable-1").count(b"HTTP/1.1 403 ") == 1


# The tunnel.


def test_bytes_sent_with_the_offer_and_with_the_answer_are_the_first_in_the_tunnel(one, shop):
    with shop.connect() as line:
        line.sendall(ask("/speak-first") + b"eager, ")
        assert read_until(line, b"hello").endswith(b"\r\n\r\nhello")
        line.sendall(b"then more")
        line.shutdown(socket.SHUT_WR)
        assert read_all(line) == b""
    assert one.heard == b"eager, then more"


def test_http_in_a_tunnel_is_only_bytes(shop):
    request = b"GET /secret HTTP/1.1\r\n" + HOST + b"\r\n"
    with tunnel(shop) as line:
        line.sendall(request)
        assert read_until(line, b"\r\n\r\n") == request


def test_either_side_may_close_its_half(one, shop):
    with tunnel(shop) as line:
        line.sendall(b"last words")
        line.shutdown(socket.SHUT_WR)
        assert read_all(line) == b"last wordsthe end"
    with shop.connect() as line:
        line.sendall(ask("/speak-and-end"))
        assert read_all(line).endswith(b"bye")
        line.sendall(b"heard you")
        line.shutdown(socket.SHUT_WR)
        wait_until(lambda: getattr(one, "heard", None), "the backend has it")
    assert one.heard == b"heard you"
    wait_until(lambda: flying(shop) == 0, "nothing is in flight")


def test_a_client_that_is_gone_ends_the_backends_connection_and_the_other_way_round(one, shop):
    with tunnel(shop, "/speak-first"):
        pass
    wait_until(lambda: hasattr(one, "heard"), "the backend saw the end")
    with tunnel(shop) as line:
        one.stop()
        assert read_all(line) == b""
    wait_until(lambda: flying(shop) == 0, "nothing is in flight")


def test_a_client_that_resets_before_the_answer_ends_the_backends_connection(one, shop):
    with shop.connect() as line:
        line.sendall(ask("/hold-then-switch"))
        wait_until(lambda: flying(shop) == 1, "it is under way")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: flying(shop) == 0, "it was given up")


def test_a_client_that_does_not_read_holds_the_backend_back(one, shop):
    with shop.connect() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        line.sendall(ask("/pour"))
        settled = steady(lambda: getattr(one, "poured", 0))
        assert 0 < settled < 100 * 2**20
        assert shop.worker_memory()[0] < 110
        # And it goes on where it stopped.
        got = 0
        while got < 300 * 2**20:
            got += len(line.recv(2**20))


def test_a_backend_that_does_not_read_holds_the_client_back(one, shop):
    with tunnel(shop, "/never-read") as line:
        line.settimeout(1)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 300 * 2**20:
                sent += line.send(b"c" * 65536)
        assert sent < 100 * 2**20
        assert shop.worker_memory()[0] < 110
        one.open_gate()


def steady(measure, seconds=0.5):
    """A measure once it has not changed for a while."""
    deadline, last, since = time.monotonic() + PATIENCE, None, 0.0
    while time.monotonic() < deadline:
        now = measure()
        if now != last or not now:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > seconds:
            return now
        time.sleep(0.02)
    raise AssertionError(f"still changing: {last}")


def test_a_tunnel_in_which_nothing_moves_ends_after_its_time(one, balancer):
    shop = balancer(tracks={"stable": [one]}, start=False, workers=1)
    shop.shop["upgrade"] = {"idle_seconds": 1}
    shop.write()
    shop.start().wait_for_backends()
    with tunnel(shop) as line:
        begun = time.monotonic()
        for _ in range(8):
            time.sleep(0.2)
            line.sendall(b"x")
            assert line.recv(1) == b"x"
        read_all(line)
        assert time.monotonic() - begun > 2.4


# What operators do meanwhile.


def test_a_tunnel_is_counted_at_once_and_logged_at_its_end(shop):
    counted = 'sluice_requests_total{backend="stable-1",code="1xx",service="shop",track="stable"}'
    seconds = 'sluice_request_seconds_sum{backend="stable-1",service="shop",track="stable"}'
    with shop.connect() as line:
        line.sendall(ask("/echo", b"X-Request-Id: tunnel-1\r\n"))
        read_until(line, b"\r\n\r\n")
        wait_until(lambda: shop.metrics()[counted] == 1, "it is counted")
        assert flying(shop) == 1
        line.sendall(b"x" * 1000)
        time.sleep(0.5)
        assert "tunnel-1" not in shop.access_log.read_text()
        line.shutdown(socket.SHUT_WR)
        assert len(read_all(line)) == 1007
    told = shop.log_line("tunnel-1")
    assert (told["status"], told["bytes"], told["path"]) == (101, 1007, "/echo")
    assert told["ms"] > 500
    assert shop.metrics()[seconds] < 0.4
    assert shop.metrics()[counted] == 1


def test_a_drain_waits_for_a_tunnel_and_cuts_it_at_the_deadline(switching, balancer):
    shop = balancer(tracks={"stable": [switching("stable-1"), switching("stable-2")]}, workers=1)
    drained = {}

    def drain(seconds):
        body = {"service": "shop", "backend": drained["name"], "deadline_seconds": seconds}
        drained["told"] = shop.admin("POST", "/drain", body).json

    for seconds, told in ((30, {"in_flight": 0, "cut": 0}), (0.5, {"in_flight": 0, "cut": 1})):
        with shop.connect() as line:
            line.sendall(ask("/echo"))
            head = read_until(line, b"\r\n\r\n")
            drained["name"] = "stable-1" if b"stable-1" in head else "stable-2"
            draining = threading.Thread(target=drain, args=(seconds,))
            draining.start()
            wait_until(lambda: shop.backends()[drained["name"]] == "drained", "it is drained")
            line.sendall(b"still here")
            assert read_until(line, b"still here")
            if seconds == 30:
                line.close()
            else:
                assert read_all(line) == b""
            draining.join(PATIENCE)
        assert drained["told"] == told
        shop.admin("POST", "/restore", {"service": "shop", "backend": drained["name"]})


def test_an_alert_cuts_the_tunnels_to_the_canary_and_no_others(switching, balancer):
    tracks = {"stable": [switching("stable-1")], "canary": [switching("canary-1")]}
    shop = balancer(tracks=tracks, weights={"stable": 50, "canary": 50})
    with contextlib.ExitStack() as stack:
        lines = {"stable": [], "canary": []}
        for _ in range(12):
            line = stack.enter_context(shop.connect())
            line.sendall(ask("/echo"))
            track = "stable" if b"stable-1" in read_until(line, b"\r\n\r\n") else "canary"
            lines[track].append(line)
        assert len(lines["canary"]) >= 4
        assert shop.admin("POST", "/alert", {"service": "shop", "reason": "bad"}).status == 200
        # The call returned: they are cut by now.
        assert flying(shop, "canary") == 0
        for line in lines["canary"]:
            assert read_all(line) == b""
        for line in lines["stable"]:
            line.sendall(b"alive")
            assert read_until(line, b"alive")
        assert flying(shop) == len(lines["stable"])


def test_a_switch_that_comes_after_the_alert_is_no_longer_taken(switching, balancer):
    canary = switching("canary-1")
    shop = balancer(
        tracks={"stable": [switching("stable-1")], "canary": [canary]}, weights={"stable": 0, "canary": 100}
    )
    with shop.connect() as line:
        line.sendall(ask("/hold-then-switch"))
        wait_until(lambda: flying(shop, "canary") == 1, "it is under way")
        shop.admin("POST", "/alert", {"service": "shop"})
        canary.open_gate()
        assert read_until(line, b"\n\r\n").startswith(b"HTTP/1.1 503 ")
        line.sendall(ask("/echo"))
        assert b"X-Backend: stable-1" in read_until(line, b"\r\n\r\n")


def test_a_reload_leaves_tunnels_alone(shop):
    with tunnel(shop) as line:
        shop.shop["health"]["fall"] = 3
        shop.shop["rules"] = [{"path": "/echo", "deny": 403}]
        shop.write()
        wait_until(lambda: shop.get("/echo").status == 403, "the new file is in force")
        line.sendall(b"still here")
        assert read_until(line, b"still here")


def test_a_stop_waits_for_tunnels(shop):
    with tunnel(shop) as line:
        shop.stop(wait=False)

        def is_closed():
            try:
                shop.connect().__enter__().close()
            except ConnectionRefusedError:
                return True
            return False

        wait_until(is_closed, "nobody is accepted any more")
        line.sendall(b"still here")
        assert read_until(line, b"still here")
    begun = time.monotonic()
    assert shop.stop() == 0
    assert time.monotonic() - begun < 10


def test_a_tunnel_to_a_canary_of_which_nobody_could_tell_an_alert_is_cut_and_logged(switching, balancer):
    """Without a supervisor no alert would reach the worker that finishes what is under way."""
    tracks = {"stable": [switching("stable-1")], "canary": [switching("canary-1")]}
    shop = balancer(tracks=tracks, weights={"stable": 50, "canary": 50}, workers=1)
    with shop.connect() as one, shop.connect() as other:
        heads = {}
        for line in (one, other):
            line.sendall(ask("/echo", b"X-Request-Id: tunnel-%d\r\n" % line.fileno()))
            head = read_until(line, b"\r\n\r\n")
            heads["canary" if b"canary-1" in head else "stable"] = line
        canary = f"tunnel-{heads['canary'].fileno()}"
        shop.kill()
        assert read_all(heads["canary"]) == b""
        assert shop.log_line(canary)["status"] == 101
        heads["stable"].sendall(b"alive")
        assert read_until(heads["stable"], b"alive")
