"""A response on its way back, read by a real parser, with the writes to the client taken down one by one."""

import asyncio
import random

import pytest

from balancer.frontend import Client
from balancer.request import HOP_BY_HOP
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
        names = self.worker.names("127.0.0.1:80")
        names.take_over([(route, (), 0)])
        self.client = Client(self.worker, names)
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


# Headers of responses.


def passed_on(pair, *lines):
    """The lines of a response's head that reach the client, without the length that is its last."""
    length = b"Content-Length: 0"
    pair.ask()
    ((sent,),) = pair.answered(b"\r\n".join((b"HTTP/1.1 200 OK", *lines, length, b"\r\n")))
    first, *told, last, empty, rest = sent.split(b"\r\n")
    assert (first, last, empty, rest) == (b"HTTP/1.1 200 OK", length, b"", b"")
    return told


def test_headers_go_on_as_they_came_and_in_their_order(pair):
    lines = [
        b"Server: a",
        b"Set-Cookie: a=b",
        b"x-ODD-case: 1",
        b"Set-Cookie: a=c",
        b"X-Empty: ",
        b"X-8: \xff%s",
    ]
    assert passed_on(pair, *lines) == lines


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ([b"Connection: keep-alive", b"Keep-Alive: 5", b"A: 1"], [b"A: 1"]),
        ([b"CONNECTION: x-hop", b"X-Hop: 1", b"A: 1"], [b"A: 1"]),
        # Also after what it names, in another case, among others, with odd spaces, and more than once.
        ([b"X-HOP: 1", b"A: 1", b"Connection: close,  x-Hop ,"], [b"A: 1"]),
        ([b"Connection: a", b"A: 1", b"B: 1", b"C: 1", b"Connection: b"], [b"C: 1"]),
        ([b"Connection: keep-alive, a", b"A: 1", b"Aa: 1"], [b"Aa: 1"]),
        ([b"Connection: Keep-Alive", b"A: 1"], [b"A: 1"]),
        # It cannot take away what frames the message.
        ([b"Connection: content-length, host", b"Host: x"], [b"Host: x"]),
        ([b"Upgrade: h2c", b"TE: trailers", b"Trailer: x", b"Proxy-Connection: close"], []),
    ],
)
def test_headers_of_the_hop_end_here(pair, lines, kept):
    assert passed_on(pair, *lines) == kept


def expected(headers):
    """The same by the letter of RFC 9110, 7.6.1, in as many passes as it takes."""
    named = {
        option.strip().lower()
        for name, value in headers
        if name.lower() == b"connection"
        for option in value.split(b",")
    }
    dropped = HOP_BY_HOP | (named - {b"host", b"content-length"})
    return [b"%b: %b" % header for header in headers if header[0].lower() not in dropped]


def test_any_headers_in_any_order_go_on_as_the_letter_says(pair):
    dice = random.Random(91107)
    # Without what changes the framing or ends the connection, which is needed again.
    hop = sorted(HOP_BY_HOP - {b"connection", b"transfer-encoding", b"upgrade", b"proxy-connection"})
    names = [*hop, b"a", b"b", b"host", b"set-cookie"]
    for _ in range(500):
        headers = []
        for name in dice.choices([*names, b"connection", b"connection"], k=dice.randrange(8)):
            odd = dice.choice([bytes.lower, bytes.upper, bytes.title])
            value = b", ".join(dice.choices([*names, b"content-length"], k=dice.randrange(1, 4)))
            headers.append((odd(name), odd(value)))
        assert passed_on(pair, *(b"%b: %b" % header for header in headers)) == expected(headers)


def test_an_interim_answer_has_its_end_to_end_headers(pair):
    pair.ask()
    hints = b"HTTP/1.1 103 Early Hints\r\nConnection: x\r\nLink: </a.css>\r\nX: 1\r\nKeep-Alive: 5\r\n\r\n"
    assert pair.answered(hints, SIZED) == [
        [b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"],
        [SIZED],
    ]


def test_a_response_knows_nothing_of_the_one_before_it(pair):
    pair.ask()
    pair.answered(b"HTTP/1.1 200 OK\r\nConnection: x\r\nA: 1\r\nContent-Length: 0\r\n\r\n")
    pair.ask()
    assert pair.answered(b"HTTP/1.1 200 OK\r\nX: 1\r\n\r\nhi") == [
        [b"HTTP/1.1 200 OK\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"]
    ]


LAST_ONES = {
    "a length": (GET, SIZED + b"hello"),
    "no body": (GET, b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"),
    "a length of nothing": (GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"),
    "HEAD": (GET.replace(b"GET", b"HEAD"), SIZED),
    "HEAD with chunks": (GET.replace(b"GET", b"HEAD"), CHUNKED),
    "chunks": (GET, CHUNKED + b"2\r\nhi\r\n0\r\n\r\n"),
    "trailers": (GET, CHUNKED + b"2\r\nhi\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a=b\r\n\r\n"),
    "hints": (GET, b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" + SIZED + b"hello"),
    "an old server": (GET, SIZED.replace(b"/1.1", b"/1.0")[:-2] + b"Connection: keep-alive\r\n\r\nhello"),
}


@pytest.mark.parametrize("last", LAST_ONES.values(), ids=LAST_ONES)
@pytest.mark.parametrize("cut", [False, True], ids=["at once", "byte by byte"])
def test_a_response_is_read_right_whatever_came_before_it(pair, last, cut):
    for request_, raw in (last, *LAST_ONES.values(), last):
        pair.ask(request_)
        pair.answered(*([raw[n : n + 1] for n in range(len(raw))] if cut else [raw]))
        assert pair.upstream.exchange is None
        assert pair.upstream.transport.done == []
        pair.ask()
        assert pair.answered(SIZED + b"again") == [[SIZED + b"again"]]


def test_trailers_end_here_and_are_not_kept(pair):
    pair.ask()
    trailers = b"".join(b"X-%d: y\r\nTransfer-Encoding: x\r\n" % n for n in range(50))
    assert pair.answered(CHUNKED + b"2\r\nhi\r\n", b"0\r\n" + trailers + b"\r\n") == [
        [CHUNKED + b"2\r\nhi\r\n"],
        [b"0\r\n\r\n"],
    ]
    assert len(pair.upstream._lines) == 1
    pair.ask()
    assert pair.answered(SIZED + b"again") == [[SIZED + b"again"]]


# Back-pressure.


def test_a_connection_is_kept_without_being_told_to_read_on(pair):
    pair.ask()
    pair.answered(SIZED + b"hello")
    assert pair.upstream.transport.done == []
    assert pair.worker.pool.take(pair.backend, 60) is pair.upstream


def test_a_connection_that_was_held_reads_on_once_it_is_kept(pair):
    pair.ask()
    pair.answered(SIZED + b"he")
    pair.client.pause_writing()
    assert pair.upstream.transport.done == ["pause"]
    pair.answered(b"llo")
    assert pair.upstream.transport.done == ["pause", "resume"]
    pair.client.resume_writing()
    pair.ask()
    pair.answered(SIZED + b"again")
    assert pair.upstream.transport.done == []


def test_a_connection_that_was_let_go_on_may_be_held_again(pair):
    pair.ask()
    pair.answered(SIZED + b"he")
    for _ in range(2):
        pair.client.pause_writing()
        pair.client.resume_writing()
    assert pair.upstream.transport.done == ["pause", "resume"] * 2
