"""What two parsers could read differently reaches no backend; what is only odd does, and means the same."""

import contextlib
import random
import re
import socket

import pytest
from inprocess import differs
from parsing_cases import GET, PASSED, REFUSED, REFUSED_AFTER_A_GOOD_ONE
from reading import read
from recording import Recorder
from running import PATIENCE, Balancer, read_all
from variants import variants

REFUSAL = re.compile(
    rb"HTTP/1\.1 (4\d\d|5\d\d) [A-Za-z ]+\r\n(?:[A-Za-z-]+: [^\r\n]*\r\n)*?Content-Length: (\d+)\r\n"
    rb"Connection: close\r\n\r\n"
)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def front(loop, tmp_path_factory):
    """A balancer of one worker before one backend that keeps every byte: `front.recorder`."""
    recorder = Recorder(loop)
    made = Balancer(tmp_path_factory.mktemp("parsing"), {"stable": [recorder]}, workers=1)
    made.start().wait_for_backends()
    made.recorder = recorder
    yield made
    assert made.stop() == 0
    recorder.stop()


@pytest.fixture
def warm(front):
    """The same, with an idle connection to the backend on which a byte could escape at once."""
    assert front.get("/warm").status == 200
    front.recorder.take()
    return front


def exchange(front, raw, half_close=False):
    """Send bytes; all that is answered until the end."""
    with socket.create_connection(("127.0.0.1", front.port), timeout=PATIENCE) as line:
        with contextlib.suppress(ConnectionError):
            line.sendall(raw)
            if half_close:
                line.shutdown(socket.SHUT_WR)
        return read_all(line)


def assert_one_refusal(answer):
    """One whole error answer that ends the connection, and nothing after it."""
    found = REFUSAL.match(answer)
    assert found, answer
    assert len(answer) == found.end() + int(found.group(2)), answer


def test_the_tables_are_as_large_as_they_should_be():
    assert len(set(REFUSED.values())) >= 150
    assert len({raw for raw, _ in PASSED.values()}) >= 40


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
def test_a_doubtful_request_is_refused_and_not_one_byte_of_it_reaches_a_backend(warm, raw):
    before = warm.recorder.seen()
    assert_one_refusal(exchange(warm, raw + GET))
    assert warm.recorder.seen() == before


@pytest.mark.parametrize(("good", "after"), REFUSED_AFTER_A_GOOD_ONE.values(), ids=REFUSED_AFTER_A_GOOD_ONE)
def test_what_follows_a_good_request_is_no_part_of_it(warm, good, after):
    answer = exchange(warm, good + after + GET)
    assert answer.startswith(OK), answer
    assert_one_refusal(answer[len(OK) :])
    (seen,) = warm.recorder.take()
    assert seen.target == b"/first"
    assert seen.body in good


@pytest.mark.parametrize(("raw", "meaning"), PASSED.values(), ids=PASSED)
def test_an_odd_request_means_the_same_at_the_backend(warm, raw, meaning):
    answer = exchange(warm, raw, half_close=True)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer
    (seen,) = warm.recorder.take()
    assert (seen.method, seen.target, seen.body) == (meaning.method, meaning.target, meaning.body)
    assert tuple(seen.trailers) == meaning.trailers
    assert seen.all(b"host") == [meaning.host]
    for header in meaning.has:
        assert header in seen.headers
    for name in meaning.lacks:
        assert seen.all(name) == []


@pytest.mark.parametrize(("raw", "meaning"), PASSED.values(), ids=PASSED)
def test_an_odd_request_may_be_followed_by_another(warm, raw, meaning):
    """Where one request ends is where the balancer says it ends, or the next would not be understood."""
    if b"HTTP/1.0" in raw or b"close" in raw:
        raw = raw.replace(b"HTTP/1.0", b"HTTP/1.1", 1).replace(b", close", b"")
        raw = raw if b"ost:" in raw else raw[:-2] + b"Host: shop.test\r\n\r\n"
    exchange(warm, raw + b"GET /next HTTP/1.1\r\nHost: shop.test\r\n\r\n", half_close=True)
    first, second = warm.recorder.take()
    assert first.body == meaning.body
    assert second.target == b"/next"


def test_variants_of_good_requests_mean_the_same_at_the_backend(front):
    """A few of those of test_balancer_differential, over real sockets."""
    passed = 0
    for raw in variants(random.Random(20261124), 200):
        # What was cut short ends with the client.
        exchange(front, raw, half_close=True)
        seen = front.recorder.take(and_cut=True)
        meant = read(raw)
        assert len(seen) <= len(meant), raw
        for got, wanted in zip(seen, meant, strict=False):
            assert differs(got, wanted, b"127.0.0.1") is None, raw
        passed += len(seen)
    assert passed > 50
