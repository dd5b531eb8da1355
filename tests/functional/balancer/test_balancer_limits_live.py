"""The machine's limits over real sockets, made small: slow and idle clients, sizes, too many connections."""

import contextlib
import os
import signal
import socket
import time

import pytest
from misbehaving import Backend
from running import Balancer, read_all, read_until, wait_until

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def two_workers(loop, tmp_path_factory):
    """A balancer of two workers before a backend, `one`."""
    one = Backend(loop, "stable-1").start()
    made = Balancer(tmp_path_factory.mktemp("limits"), {"stable": [one]}).start().wait_for_backends()
    made.one = one
    yield made
    made.stop()
    one.stop()


@pytest.fixture
def limited(two_workers):
    """Gives that balancer other limits."""

    def limit(**limits):
        relimit(two_workers, **limits)
        two_workers.one.seen.clear()
        two_workers.before = two_workers.metrics()
        return two_workers

    return limit


def relimit(shop, **limits):
    shop.config["limits"] = limits
    shop.write()
    assert shop.admin("POST", "/reload").status == 200


def drip(line, data, pause=0.05):
    """Send byte by byte until all is sent or the other side has ended it; for how many seconds."""
    began = time.monotonic()
    line.settimeout(pause)
    for byte in data:
        try:
            line.sendall(bytes([byte]))
            found = line.recv(65536, socket.MSG_PEEK)
        except TimeoutError:
            continue
        except OSError:
            break
        if found or found == b"":
            break
    line.settimeout(20)
    return time.monotonic() - began


# Slow clients.


def test_a_head_that_drips_is_408_after_its_time_however_it_moves(limited):
    shop = limited(head_seconds=0.6)
    with shop.connect() as line:
        took = drip(line, b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"y" * 1000)
        answer = read_all(line)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert 0.5 <= took < 5
    assert shop.one.requests() == []


def test_many_clients_that_drip_their_heads_keep_nobody_from_being_served(limited):
    shop = limited(head_seconds=0.6)
    with contextlib.ExitStack() as lines:
        slow = [lines.enter_context(shop.connect()) for _ in range(200)]
        for line in slow:
            line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        assert shop.get().status == 200
        for line in slow:
            assert read_all(line).startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_closed_after_its_time(limited):
    shop = limited(idle_seconds=0.6)
    with shop.connect() as line:
        line.sendall(GET)
        read_until(line, b"stable-1")
        began = time.monotonic()
        assert read_all(line) == b""
    assert 0.4 <= time.monotonic() - began < 5


def test_a_body_that_drips_is_408(limited):
    shop = limited(body_seconds=1, body_bytes=200)
    with shop.connect() as line:
        line.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        took = drip(line, b"y" * 400)
        answer = read_all(line)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b"the request's body came too slowly\n")
    assert 0.8 <= took < 6


def test_a_body_at_its_pace_is_taken_however_long_it_lasts(limited):
    shop = limited(body_seconds=1, body_bytes=20)
    with shop.connect() as line:
        line.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 150\r\n\r\n")
        for _ in range(15):
            line.sendall(b"y" * 10)
            time.sleep(0.15)
        assert read_until(line, b"\r\n\r\n150").startswith(b"HTTP/1.1 200 ")


def test_a_client_that_waits_before_its_body_is_not_too_slow(limited):
    shop = limited(body_seconds=0.4, body_bytes=1000)
    with shop.connect() as line:
        head = b"POST /continue HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        line.sendall(head)
        read_until(line, b"100 Continue\r\n\r\n")
        time.sleep(1)
        line.sendall(b"body")
        assert read_until(line, b"body").startswith(b"HTTP/1.1 200 ")


def test_a_client_that_is_held_up_by_the_backend_is_not_too_slow(limited):
    shop = limited(body_seconds=0.4, body_bytes=1_000_000)
    size = 30 * 2**20
    with shop.connect() as line:
        head = b"POST /pause?seconds=1.5 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
        line.sendall(head)
        line.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while line.send(b"y" * 65536):
                pass
        line.settimeout(20)
        assert read_until(line, b"stable-1").startswith(b"HTTP/1.1 200 ")


def test_without_a_pace_a_body_may_drip(limited):
    shop = limited(body_seconds=0.4, body_bytes=0)
    with shop.connect() as line:
        line.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n")
        drip(line, b"y" * 20)
        assert read_until(line, b"\r\n\r\n20").startswith(b"HTTP/1.1 200 ")


# Sizes.


def test_sizes_are_changed_live_also_for_connections_that_are_open(limited):
    shop = limited()
    big = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: %b\r\n" % (n, b"y" * 250) for n in range(150))
    with shop.connect() as line:
        line.sendall(GET)
        read_until(line, b"stable-1")
        assert shop.send(big + b"\r\n").startswith(b"HTTP/1.1 431 ")
        relimit(shop, header_bytes=65_536, headers=200)
        line.sendall(big + b"\r\n")
        assert read_until(line, b"stable-1").startswith(b"HTTP/1.1 200 ")
    relimit(shop)
    assert shop.send(big + b"\r\n").startswith(b"HTTP/1.1 431 ")


def test_the_length_of_a_target_and_the_size_of_an_answers_head_are_settable(limited):
    shop = limited(target_bytes=16_384, response_header_bytes=8192)
    assert shop.get("/" + "a" * 12_000).status == 200
    assert shop.get("/huge-head").status == 502


# Numbers of connections.


def served(line):
    """True if a connection is served, False if it was closed without a word."""
    with contextlib.suppress(OSError):
        line.sendall(GET)
        return line.recv(65536).startswith(b"HTTP/1.1 200 ")
    return False


def refused(shop, reason):
    """Connections that were refused since the limits were set."""
    name = f'sluice_refused_connections_total{{reason="{reason}"}}'
    return shop.metrics()[name] - shop.before[name]


def test_connections_beyond_the_limit_of_the_machine_are_closed_whichever_worker_they_meet(limited):
    shop = limited(max_connections=6)
    with contextlib.ExitStack() as lines:
        open_ones = [lines.enter_context(shop.connect()) for _ in range(6)]
        assert all(map(served, open_ones))
        with shop.connect() as line:
            assert not served(line)
        assert refused(shop, "total") == 1
        open_ones.pop().close()
        wait_until(lambda: once_served(shop), "another is served in its place")
        relimit(shop, max_connections=0)
        more = [lines.enter_context(shop.connect()) for _ in range(10)]
        assert all(map(served, more))
    assert refused(shop, "client") == refused(shop, "files") == 0


def once_served(shop):
    with shop.connect() as line:
        return served(line)


def test_a_client_with_too_many_connections_keeps_no_other_out(limited):
    shop = limited(max_connections_per_client=4)
    with contextlib.ExitStack() as lines:
        assert all(served(lines.enter_context(shop.connect())) for _ in range(4))
        assert not once_served(shop)
        assert refused(shop, "client") == 1
        other = socket.create_connection(("127.0.0.1", shop.port), 20, source_address=("127.0.0.2", 0))
        assert served(lines.enter_context(other))


def test_connections_of_a_worker_that_died_count_no_more(limited):
    shop = limited(max_connections=4)
    with contextlib.ExitStack() as lines:
        assert all(served(lines.enter_context(shop.connect())) for _ in range(4))
        for pid in shop.worker_pids():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: shop.metrics()["sluice_workers"] == 2, "new ones serve")
        wait_until(lambda: once_served(shop), "it is served")
