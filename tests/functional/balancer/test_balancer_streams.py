"""Large bodies and slow clients: everything streams, nothing piles up in memory."""

import contextlib
import http.client
import socket
import threading

import pytest
from running import PATIENCE, read_until, wait_until

MEGABYTES = 200
# A worker at rest has 30 to 40 MB; a buffered body would come on top.
MAX_WORKER_MB = 110
CHUNK = b"u" * 65536


@pytest.fixture
def shop(backend, balancer):
    return balancer(tracks={"stable": [backend("stable-1")]})


def assert_memory_is_bounded(shop):
    assert shop.worker_memory()[0] < MAX_WORKER_MB


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_large_upload_streams(shop, framing):
    connection = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=PATIENCE)
    count = MEGABYTES * 2**20 // len(CHUNK)
    seen = []

    def body():
        for number in range(count):
            if number % 200 == 0:
                seen.append(shop.worker_memory()[0])
            yield CHUNK

    length = {"Content-Length": str(count * len(CHUNK))} if framing == "length" else {}
    connection.request("POST", "/upload", body(), length, encode_chunked=framing == "chunks")
    response = connection.getresponse()
    assert response.status == 200
    assert int(response.read()) == count * len(CHUNK)
    connection.close()
    assert max(seen) < MAX_WORKER_MB


def test_a_large_download_streams(shop):
    connection = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=PATIENCE)
    connection.request("GET", f"/download?megabytes={MEGABYTES}")
    response = connection.getresponse()
    got, seen = 0, []
    while part := response.read(2**20):
        got += len(part)
        if got % (20 * 2**20) < 2**20:
            seen.append(shop.worker_memory()[0])
    connection.close()
    assert got == MEGABYTES * 2**20
    assert max(seen) < MAX_WORKER_MB


@pytest.mark.parametrize("framing", ["length", "chunks", "none"])
def test_a_head_and_each_event_reach_the_client_before_what_follows_them(backend, balancer, framing):
    one = backend("stable-1")
    shop = balancer(tracks={"stable": [one]})
    with shop.connect() as line:
        line.sendall(b"GET /stream?framing=" + framing.encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        head = read_until(line, b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert head.endswith(b"\r\n\r\n")
        one.open_gate()
        assert read_until(line, b"data: 1\n\n")
        one.stop()


def test_an_upload_to_a_backend_that_does_not_read_is_held_back(backend, balancer):
    one = backend("stable-1")
    shop = balancer(tracks={"stable": [one]})
    with shop.connect() as line:
        line.sendall(b"POST /pause?seconds=60 HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n\r\n")
        wait_until(lambda: one.requests("/pause"), "the request arrived")
        sent = push_until_stuck(line)
        assert sent < 100 * 2**20
        assert_memory_is_bounded(shop)
        one.stop()


def push_until_stuck(line, what=CHUNK):
    """Send until the other side takes no more for a second; how many bytes that were."""
    line.settimeout(1)
    sent = 0
    try:
        while sent < 300 * 2**20:
            sent += line.send(what)
    except (TimeoutError, ConnectionError):
        pass
    return sent


SMALL = b"GET /download?megabytes=0.05 HTTP/1.1\r\nHost: x\r\n\r\n"
SMALL_BYTES = 52_428
FLYING = 'sluice_in_flight_requests{backend="stable-1",service="shop",track="stable"}'


def test_pipelined_answers_wait_for_a_client_that_does_not_read(shop):
    """The next answer is begun only when the one before was taken."""
    count = 3000
    with shop.connect() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        line.sendall(SMALL * count)
        assert settled(lambda: round(shop.worker_memory()[0])) < MAX_WORKER_MB
        taken = 0
        while taken < count * SMALL_BYTES:
            taken += len(line.recv(2**20))


def test_a_request_waits_for_a_client_that_does_not_read(backend, balancer):
    one = backend("stable-1")
    shop = balancer(tracks={"stable": [one]})
    with shop.connect() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sent = 0

        def answered():
            return len(one.requests()) == sent and shop.metrics()[FLYING] == 0

        with contextlib.suppress(AssertionError):
            while sent < 1000:
                line.sendall(SMALL)
                sent += 1
                wait_until(answered, "it was begun and answered", seconds=1)
        assert sent < 1000
        taken = 0
        while taken < sent * SMALL_BYTES:
            taken += len(line.recv(2**20))
        assert len(one.requests()) == sent


def settled(measure):
    """A measure once it has been the same for a while."""
    last = [measure()]

    def same():
        last.append(measure())
        return len(last) > 100 and len(set(last[-100:])) == 1

    wait_until(same, "it settles")
    return last[-1]


def test_pipelined_requests_with_bodies_do_not_pile_up(backend, balancer):
    """An answer lets the next request begin, not another bufferful of requests in."""
    one = backend("stable-1")
    shop = balancer(tracks={"stable": [one]})
    request = b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
    with shop.connect() as line:
        pushing = threading.Thread(target=push_until_stuck, args=(line, request * 2000))
        pushing.start()
        wait_until(lambda: len(one.requests()) > 300, "300 requests were answered")
        assert_memory_is_bounded(shop)
        one.stop()
        pushing.join(PATIENCE)
