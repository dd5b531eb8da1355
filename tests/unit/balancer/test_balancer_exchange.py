"""A response on its way back, read by a real parser, with the writes to the client taken down one by one."""

import asyncio

import pytest

from balancer.frontend import Client
from balancer.upstream import Upstream
from balancer.worker import Worker

GET = b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"
SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNFRAMED = b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n"


class Line(asyncio.Transport):
    """Takes down what is done to a connection."""

    def __init__(self):
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.written, self.done = [], []

    def write(self, data):
        self.written.append(bytes(data))

    def is_closing(self):
        return bool({"close", "abort"} & set(self.done))

    def is_reading(self):
        return True

    def close(self):
        self.done.append("close")

    def abort(self):
        self.done.append("abort")

    def pause_reading(self):
        self.done.append("pause")

    def resume_reading(self):
        self.done.append("resume")


class Pair:
    """A client's connection and the one to the only backend."""

    def __init__(self, loop):
        self.worker = Worker(loop, None)
        route = self.worker.route("shop")
        route.apply(
            {
                "weights": {"stable": 100},
                "alert": False,
                "tracks": {"stable": {"s1": {"address": ["127.0.0.1", 2], "state": "up"}}},
            }
        )
        (self.backend,) = route.tracks["stable"]
        self.upstream = Upstream(loop, self.backend)
        self.upstream._pool = self.worker.pool
        self.upstream.connection_made(Line())
        self.worker.pool.put(self.upstream)
        self.client = Client(self.worker, route)
        self.client.connection_made(Line())

    def ask(self, request=GET):
        self.client.data_received(request)
        assert self.upstream.exchange is not None
        self.upstream.transport.done.clear()

    def answered(self, *reads):
        """What was written to the client after each of these reads from the backend."""
        written = []
        for read in reads:
            self.client.transport.written.clear()
            self.upstream.data_received(read)
            written.append(list(self.client.transport.written))
        return written


@pytest.fixture
def pair():
    loop = asyncio.new_event_loop()
    yield Pair(loop)
    loop.close()


@pytest.mark.parametrize(
    ("head", "body", "sent"),
    [
        (SIZED, b"hello", [SIZED + b"hello"]),
        (CHUNKED, b"5\r\nhello\r\n", [CHUNKED + b"5\r\nhello\r\n"]),
        (CHUNKED, b"5\r\nhello\r\n0\r\n\r\n", [CHUNKED + b"5\r\nhello\r\n", b"0\r\n\r\n"]),
        (UNFRAMED, b"hello", [UNFRAMED[:-2] + CHUNKED[17:] + b"5\r\nhello\r\n"]),
    ],
)
def test_a_head_and_the_first_part_of_its_body_are_one_write(pair, head, body, sent):
    pair.ask()
    assert pair.answered(head + body) == [sent]


@pytest.mark.parametrize("head", [SIZED, CHUNKED])
def test_a_head_without_a_body_yet_goes_out_at_the_end_of_the_read(pair, head):
    pair.ask()
    framed = {SIZED: (b"he", b"he"), CHUNKED: (b"2\r\nhe\r\n", b"2\r\nhe\r\n")}[head]
    assert pair.answered(head, framed[0]) == [[head], [framed[1]]]


def test_a_head_in_pieces_goes_out_once_it_is_whole(pair):
    pair.ask()
    assert pair.answered(SIZED[:20], SIZED[20:-1], SIZED[-1:]) == [[], [], [SIZED]]


@pytest.mark.parametrize(
    ("request_", "head"),
    [
        (GET.replace(b"GET", b"HEAD"), SIZED),
        (GET, b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"),
        (GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"),
        (GET, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ],
)
def test_a_head_that_is_all_there_is_goes_out_and_ends_the_exchange(pair, request_, head):
    pair.ask(request_)
    assert pair.answered(head) == [[head]]
    assert pair.upstream.exchange is None
    pair.ask()
    assert pair.answered(SIZED + b"again") == [[SIZED + b"again"]]


def test_interim_answers_go_out_at_once_and_before_the_final_head(pair):
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    pair.ask()
    assert pair.answered(hints, hints + SIZED) == [[hints], [hints, SIZED]]


def test_events_are_passed_on_as_they_come(pair):
    pair.ask()
    events = [b"6\r\n: %d\n\n\n\r\n" % n for n in range(3)]
    assert pair.answered(CHUNKED, *events) == [[CHUNKED], *([event] for event in events)]


def test_the_end_of_a_body_without_a_length_is_told_when_the_backend_closes(pair):
    pair.ask()
    pair.answered(UNFRAMED)
    pair.client.transport.written.clear()
    pair.upstream.connection_lost(None)
    assert pair.client.transport.written == [b"0\r\n\r\n"]


def test_a_head_before_rubbish_is_never_passed_off_as_an_answer(pair):
    pair.ask()
    pair.answered(CHUNKED + b"zz\r\n")
    assert pair.client.transport.done[-1] == "abort"
