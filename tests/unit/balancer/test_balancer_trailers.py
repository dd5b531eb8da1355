"""Which trailers go on, from a client to a backend and back, and how much they may be."""

import asyncio

import pytest
from test_balancer_exchange import CHUNKED, GET, SIZED, Pair

from balancer import limits, trailers
from balancer.request import NOT_FORWARDED

TAKES = GET[:-2] + b"TE: trailers\r\nConnection: TE\r\n\r\n"
MAY = [b"X-Checksum", b"ETag", b"Digest", b"Server-Timing", b"grpc-status", b"grpc-message", b"X-A_B", b"a"]
MAY_NOT = [
    # Framing, routing, hops.
    b"Content-Length", b"TRANSFER-ENCODING", b"Host", b"Connection", b"Trailer", b"TE", b"Upgrade",
    b"Keep-Alive",
    b"Content_Length", b"Transfer_Encoding", b"HTTP2-Settings", b"Via", b"Max-Forwards", b"Expect",
    # Who asks, and what for.
    b"X-Forwarded-For", b"X_Forwarded_For", b"X-Forwarded-Anything", b"X-Real-IP", b"Forwarded",
    b"X-Request-Id",
    b"X-HTTP-Method-Override", b"X-Original-URL", b"X-Rewrite-URL", b"traceparent",
    # Credentials and what browsers guard by.
    b"Authorization", b"Proxy-Authorization", b"WWW-Authenticate", b"Proxy-Authenticate", b"Cookie",
    b"Set-Cookie",
    b"set_cookie", b"Origin", b"Referer", b"Sec-Fetch-Site", b"Sec-WebSocket-Key",
    b"Access-Control-Allow-Origin",
    b"Strict-Transport-Security", b"Content-Security-Policy", b"Cross-Origin-Opener-Policy",
    # How to take the content, and what is done with the message.
    b"Content-Type", b"Content-Encoding", b"Content-Range", b"Range", b"If-Match", b"If-None-Match",
    b"Accept",
    b"Accept-Encoding", b"Cache-Control", b"Pragma", b"Vary", b"Age", b"Date", b"Expires", b"Location",
    b"Retry-After",
]  # fmt: skip


@pytest.mark.parametrize("name", MAY)
def test_these_go_on(name):
    assert trailers.may_pass(name)


@pytest.mark.parametrize("name", MAY_NOT)
def test_these_do_not(name):
    assert not trailers.may_pass(name)


def test_nothing_that_a_head_would_lose_comes_through_as_a_trailer():
    assert [name for name in NOT_FORWARDED if trailers.may_pass(name)] == []


@pytest.mark.parametrize(
    ("te", "wanted"),
    [
        (b"trailers", True), (b"Trailers", True), (b"gzip, trailers", True), (b"gzip;q=0.5,trailers", True),
        (b"", False), (b"gzip", False), (b"trailersx", False), (b"x-trailers", False), (b"trailers;q=0",
        False),
    ],
)  # fmt: skip
def test_who_takes_trailers_says_so(te, wanted):
    assert trailers.are_wanted(te) is wanted


def test_an_announcement_names_only_what_may_come():
    assert trailers.announcement(b"X-A, Set-Cookie,ETag ,, b c") == b"Trailer: X-A, ETag\r\n"
    assert trailers.announcement(b"Host") == b""


# Of responses.


@pytest.fixture
def pair():
    loop = asyncio.new_event_loop()
    yield Pair(loop)
    loop.close()


TRAILED = b"2\r\nhi\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a=b\r\nETag: x\r\n\r\n"


def test_a_client_that_takes_them_gets_them(pair):
    pair.ask(TAKES)
    assert pair.answered(CHUNKED + TRAILED) == [
        [CHUNKED + b"2\r\nhi\r\n", b"0\r\nX-Sum: 1\r\nETag: x\r\n\r\n"],
    ]
    pair.ask(TAKES)
    assert pair.answered(SIZED + b"again") == [[SIZED + b"again"]]


def test_a_client_that_does_not_say_so_gets_none_though_another_did(pair):
    pair.ask(TAKES)
    pair.answered(CHUNKED + TRAILED)
    pair.ask()
    assert pair.answered(CHUNKED + TRAILED) == [[CHUNKED + b"2\r\nhi\r\n", b"0\r\n\r\n"]]


def test_an_old_client_gets_none(pair):
    pair.ask(TAKES.replace(b"1.1", b"1.0"))
    (written,) = pair.answered(CHUNKED + TRAILED)
    assert b"".join(written).endswith(b"\r\n\r\nhi")


def test_an_announcement_goes_on_to_who_takes_them(pair):
    head = CHUNKED[:-2] + b"Trailer: X-Sum, Host\r\n\r\n"
    for ask, told in ((TAKES, True), (GET, False)):
        pair.ask(ask)
        (written,) = pair.answered(head + TRAILED)
        assert (b"Trailer: X-Sum\r\n" in written[0]) is told


def test_what_connection_names_ends_here(pair):
    pair.ask(TAKES)
    (written,) = pair.answered(CHUNKED[:-2] + b"Connection: x-sum\r\n\r\n" + TRAILED)
    assert written[-1] == b"0\r\nETag: x\r\n\r\n"


def test_a_backend_cannot_fill_the_memory_with_them(pair):
    pair.ask(TAKES)
    pair.answered(CHUNKED + b"2\r\nhi\r\n0\r\n")
    row = b"X-More: " + b"y" * 1000 + b"\r\n"
    for _ in range(limits.MAX_RESPONSE_HEAD_BYTES // len(row) + 2):
        if pair.client.transport.done[-1:] != ["abort"]:
            pair.upstream.data_received(row)
    assert pair.client.transport.done[-1] == "abort"
