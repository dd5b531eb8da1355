"""HTTP/1.1 as it passes through: framing, hop-by-hop headers, what is refused, what is kept in order."""

import http.client
import json
import select
import socket

import pytest
from running import ADMIN_TOKEN, PATIENCE, ask, read_until, wait_until

HOST = b"Host: shop.test\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
CLOSE = b"Connection: close\r\n"


def get(path, *headers):
    return b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"".join(headers) + CLOSE + b"\r\n"


def body_of(answer):
    return answer.partition(b"\r\n\r\n")[2]


# Requests that two parsers could read differently, or that no server should read at all.
REFUSED = {
    "two lengths": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "the same length twice": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "a list of lengths": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3, 3\r\n\r\nabc",
    "a negative length": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
    "a signed length": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +3\r\n\r\nabc",
    "a hexadecimal length": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0x3\r\n\r\nabc",
    "an endless length": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n",
    "an empty length": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length:\r\n\r\n",
    "length, then chunks": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks, then length": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "chunked twice": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two codings": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "an unknown coding": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two coding headers": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length : 3\r\n\r\nabc",
    "a folded header": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n",
    "a folded coding": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "NUL in a header": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n",
    "a bare CR in a header": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rY: b\r\n\r\n",
    "a bare LF after a header": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\nY: b\r\n\r\n",
    "a bare LF after the request line": b"GET / HTTP/1.1\n" + HOST + b"\r\n",
    "a bare LF at the end of the head": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n\n",
    "no Host": b"GET / HTTP/1.1\r\nX: a\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\n" + HOST + b"Host: other\r\n\r\n",
    "a Host with a path": b"GET / HTTP/1.1\r\nHost: shop/../x\r\n\r\n",
    "a Host with a user": b"GET / HTTP/1.1\r\nHost: user@shop\r\n\r\n",
    "a Host with a space": b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "an absolute target of another Host": b"GET http://other/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "an absolute target of another scheme": b"GET ftp://shop.test/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target without a slash": b"GET shop HTTP/1.1\r\n" + HOST + b"\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "a byte above 127 in the target": b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT shop.test:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "an unknown method": b"FETCH / HTTP/1.1\r\n" + HOST + b"\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/3.7": b"GET / HTTP/3.7\r\n" + HOST + b"\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "too many headers": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 200 + b"\r\n",
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
def test_a_doubtful_request_is_refused_and_reaches_no_backend(proxy, raw):
    before = len(proxy.backend.requests())
    answer = proxy.send(raw + GET)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 405 ", b"HTTP/1.1 431 ")), answer
    assert (
        answer.count(b"HTTP/1.1") - answer.count(b"not valid HTTP/1.1") - answer.count(b"want HTTP/1.1") == 1
    )
    assert b"Connection: close\r\n" in answer
    assert len(proxy.backend.requests()) == before


BAD_CHUNKS = {
    "no number": b"x\r\n",
    "a sign": b"-1\r\nabc\r\n0\r\n\r\n",
    "0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "a space after it": b"3 \r\nabc\r\n0\r\n\r\n",
    "a bare LF": b"3\nabc\r\n0\r\n\r\n",
    "a bare LF in an extension": b"3;a=b\nabc\r\n0\r\n\r\n",
    "more than it says": b"3\r\nabcde\r\n0\r\n\r\n",
    "an overflow": b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "NUL in a trailer": b"0\r\nX: a\x00\r\n\r\n",
}


@pytest.mark.parametrize("chunks", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
def test_a_bad_chunk_ends_the_connection(proxy, chunks):
    head = b"POST /bad-chunk HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    answer = proxy.send(head + chunks + GET)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Connection: close\r\n" in answer
    assert answer.count(b"HTTP/1.1 ") <= 2


def test_a_bad_chunk_in_a_pipelined_request_keeps_it_from_the_backend(proxy):
    second = b"POST /never HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nx\r\n"
    answer = proxy.send(GET + second)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 400 " in answer
    assert proxy.backend.requests("/never") == []


@pytest.mark.parametrize("pieces", [1, 50])
def test_a_head_that_is_too_large_is_431(proxy, pieces):
    before = len(proxy.backend.requests())
    raw = (
        b"GET / HTTP/1.1\r\n"
        + HOST
        + b"".join(b"X-%d: %b\r\n" % (n, b"y" * 700) for n in range(60))
        + b"\r\n"
    )
    with proxy.connect() as line:
        size = len(raw) // pieces + 1
        for start in range(0, len(raw), size):
            try:
                line.sendall(raw[start : start + size])
            except (BrokenPipeError, ConnectionResetError):
                break
        assert read_until(line, b"\r\n\r\n").startswith(b"HTTP/1.1 431 ")
    assert len(proxy.backend.requests()) == before


def test_a_target_that_is_too_long_is_414(proxy):
    assert proxy.send(get(b"/" + b"a" * 9000)).startswith(b"HTTP/1.1 414 ")
    assert proxy.send(get(b"/" + b"a" * 100_000)).startswith(b"HTTP/1.1 414 ")
    assert proxy.get("/" + "a" * 8000).status == 200


def test_endless_trailers_are_refused(proxy):
    head = b"POST /wait HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: "
    assert proxy.send(head + b"y" * 400_000).startswith(b"HTTP/1.1 431 ")


def test_a_trailer_of_a_request_never_becomes_a_header(proxy):
    raw = (
        b"POST /trailed HTTP/1.1\r\n"
        + HOST
        + CLOSE
        + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nHost: x\r\nX-Sum: 3\r\n\r\n"
    )
    assert proxy.send(raw).startswith(b"HTTP/1.1 200 ")
    (seen,) = proxy.backend.requests("/trailed")
    assert seen.body == b"abc"
    assert seen.all("host") == ["shop.test"]
    assert seen.trailers == ["X-Sum: 3\r\n"]


def test_the_backend_sees_end_to_end_headers_and_who_asked(proxy):
    headers = [
        b"Connection: X-Hop, close\r\n",
        b"X-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Authorization: Basic eA==\r\nTE: gzip\r\n",
        b"X-Forwarded-For: 10.1.1.1\r\nX-Forwarded-For: 10.2.2.2\r\nX-Forwarded-Proto: https\r\n",
        b"X-Request-Id: abc-1\r\nCookie: a=b\r\nAccept: */*\r\n",
    ]
    proxy.send(b"GET /headers?q=1 HTTP/1.1\r\n" + HOST + b"".join(headers) + b"\r\n")
    (seen,) = proxy.backend.requests("/headers")
    assert seen.target == "/headers?q=1"
    assert {name.lower() for name, _ in seen.headers} == {
        "host",
        "cookie",
        "accept",
        "via",
        "forwarded",
        "x-real-ip",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-request-id",
    }
    assert seen.one("via") == "1.1 sluice"
    assert seen.one("x-real-ip") == seen.one("x-forwarded-for") == "127.0.0.1"
    assert seen.one("forwarded") == 'for=127.0.0.1;proto=http;host="shop.test"'
    assert seen.one("x-forwarded-proto") == "http"
    assert seen.one("x-forwarded-host") == "shop.test"
    assert seen.one("x-request-id") == "abc-1"


def test_a_request_id_is_made_where_none_or_a_doubtful_one_came(proxy):
    proxy.get("/ids")
    proxy.get("/ids", **{"X-Request-Id": "a b"})
    first, second = (seen.one("x-request-id") for seen in proxy.backend.requests("/ids"))
    assert first != second
    assert " " not in second


def test_an_absolute_target_reaches_the_backend_as_a_path(proxy):
    proxy.send(b"GET http://SHOP.test/absolute?a=1 HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n")
    (seen,) = proxy.backend.requests("/absolute")
    assert seen.target == "/absolute?a=1"


def test_headers_of_the_hop_do_not_reach_the_client(proxy):
    answer = proxy.get("/hop-headers")
    assert answer.headers["x-public"] == "1"
    assert not {"x-private", "keep-alive", "connection"} & set(answer.headers)


# The ways a response may be framed.


def test_chunks_go_on_as_chunks_with_trailers_for_those_who_take_them(proxy):
    answer = proxy.send(get(b"/chunked"))
    assert b"Transfer-Encoding: chunked\r\n" in answer
    assert b"X-Sum" not in answer
    taken = proxy.send(get(b"/chunked", b"TE: trailers\r\n"))
    assert b"\r\nTrailer: X-Sum\r\n" in taken
    assert taken.endswith(b"\r\n0\r\nX-Sum: 11\r\n\r\n")
    assert proxy.backend.requests("/chunked")[-1].one("connection") == "TE"
    assert proxy.get("/chunked").body == b"hello world"


def test_a_body_until_the_end_becomes_chunks_and_the_connection_stays(proxy):
    with proxy.connect() as line:
        line.sendall(b"GET /close-delimited HTTP/1.1\r\n" + HOST + b"\r\n")
        answer = read_until(line, b"0\r\n\r\n")
        assert b"Connection: close" not in answer
        assert body_of(answer) == b"d\r\nuntil the end\r\n0\r\n\r\n"
        line.sendall(GET)
        assert read_until(line, b"\r\n\r\nstable-1").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", ["/short", "/short-chunked"])
def test_a_body_cut_short_is_never_passed_off_as_whole(proxy, path):
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        ask(proxy.port, "GET", path)


def test_a_body_cut_short_resets_an_old_client_that_could_not_tell(proxy):
    with proxy.connect() as line:
        line.sendall(b"GET /short-chunked HTTP/1.0\r\n" + HOST + b"\r\n")
        with pytest.raises(ConnectionResetError):
            while line.recv(65536):
                pass


@pytest.mark.parametrize("path", ["/", "/chunked-or-not"])
def test_head_has_headers_and_no_body_and_the_connection_stays(proxy, path):
    with proxy.connect() as line:
        for _ in range(2):
            line.sendall(b"HEAD " + path.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n")
            answer = read_until(line, b"\r\n\r\n")
            assert b"Content-Length: 8\r\n" in answer
            assert body_of(answer) == b""


@pytest.mark.parametrize(("path", "status"), [("/no-content", 204), ("/not-modified", 304)])
def test_an_answer_without_a_body_keeps_the_connection(proxy, path, status):
    with proxy.connect() as line:
        for _ in range(2):
            line.sendall(b"GET " + path.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n")
            answer = read_until(line, b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 %d " % status)
            assert b"Transfer-Encoding" not in answer
            assert body_of(answer) == b""


@pytest.mark.parametrize(
    "path", ["/garbage", "/two-lengths", "/gzip-coded", "/switch", "/huge-head", "/nothing"]
)
def test_an_answer_that_is_no_answer_is_502(proxy, path):
    answer = proxy.get(path)
    assert answer.status == 502
    assert proxy.get().status == 200


def test_a_stray_second_answer_reaches_nobody(proxy):
    post = b"POST /upload HTTP/1.1\r\n" + HOST + CLOSE + b"Content-Length: 3\r\n\r\nabc"
    answer = proxy.send(get(b"/two-answers").replace(CLOSE, b"") + post)
    assert b"stray" not in answer
    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert answer.endswith(b"\r\n\r\n3")


# 1xx, Expect, old and half-closed clients.


def test_early_hints_go_on_to_clients_that_know_them(proxy):
    answer = proxy.send(get(b"/hints"))
    assert answer.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 ")
    old = proxy.send(b"GET /hints HTTP/1.0\r\n" + HOST + b"\r\n")
    assert old.startswith(b"HTTP/1.1 200 ")


def test_expect_100_continue_is_asked_of_the_backend(proxy):
    with proxy.connect() as line:
        line.sendall(
            b"POST /continue HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        )
        assert read_until(line, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.sendall(b"body")
        assert read_until(line, b"body").startswith(b"HTTP/1.1 200 ")
        line.sendall(GET)
        assert read_until(line, b"\r\n\r\nstable-1").startswith(b"HTTP/1.1 200 ")


def test_a_refused_expectation_closes_the_connection_and_says_so(proxy):
    answer = proxy.send(
        b"POST /refuse-body HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close\r\n" in answer


def test_an_answer_before_the_end_of_an_upload_reaches_the_client(proxy):
    with proxy.connect() as line:
        line.sendall(b"POST /refuse-body HTTP/1.1\r\n" + HOST + b"Content-Length: 20000000\r\n\r\n")
        select.select([line], [], [], PATIENCE)
        # A browser reads when it has sent everything.
        for _ in range(50):
            line.sendall(b"x" * 100_000)
        assert read_until(line, b"too much for me").startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("keep", [b"", b"Connection: keep-alive\r\n"])
def test_an_http_1_0_client_gets_no_chunks_and_a_closed_connection(proxy, keep):
    """RFC 9112, 9.3: a proxy must not keep a connection with an HTTP/1.0 client."""
    answer = proxy.send(b"GET /chunked HTTP/1.0\r\n" + HOST + keep + b"\r\n")
    assert b"Transfer-Encoding" not in answer
    assert b"Connection: close\r\n" in answer
    assert body_of(answer) == b"hello world"


def test_an_http_1_0_client_needs_no_host(proxy):
    assert proxy.send(b"GET /no-host HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    (seen,) = proxy.backend.requests("/no-host")
    assert seen.one("host") == ""


def test_a_client_that_half_closes_gets_its_answer_and_then_the_end(proxy):
    answer = proxy.send(GET, half_close=True)
    assert answer.endswith(b"stable-1")


def test_a_client_that_half_closes_gets_all_its_pipelined_answers(proxy):
    answer = proxy.send(GET * 5, half_close=True)
    assert answer.count(b"\r\n\r\nstable-1") == 5


# Pipelining.


def test_pipelined_requests_are_answered_in_order(proxy):
    paths = [b"/pause?seconds=0.2", b"/", b"/chunked", b"/status?code=404", b"/no-content", b"/"]
    raw = b"".join(b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n" for path in paths)
    answer = proxy.send(raw + get(b"/status?code=418"))
    found = [int(word[9:12]) for word in split_answers(answer)]
    assert found == [200, 200, 200, 404, 204, 200, 418]


def split_answers(raw):
    return [b"HTTP/1.1 " + part for part in raw.split(b"HTTP/1.1 ")[1:]]


def test_a_pipelined_request_whose_body_comes_later_is_answered(proxy):
    with proxy.connect() as line:
        line.sendall(
            b"GET /pause?seconds=0.1 HTTP/1.1\r\n"
            + HOST
            + b"\r\nPOST /upload HTTP/1.1\r\n"
            + HOST
            + b"Content-Length: 5\r\n\r\n"
        )
        read_until(line, b"\r\n\r\nstable-1")
        line.sendall(b"hello")
        assert read_until(line, b"\r\n\r\n5").startswith(b"HTTP/1.1 200 ")


def test_many_pipelined_requests_are_all_answered(proxy):
    answer = proxy.send(GET * 1000 + get(b"/status?code=404"))
    assert answer.count(b"\r\n\r\nstable-1") == 1000
    assert answer.endswith(b"told so")


@pytest.mark.parametrize("framing", ["length", "chunks", "none"])
def test_an_upgrade_is_answered_as_plain_http(proxy, framing):
    """As Java's HttpClient asks on its first request, with a body or without."""
    body = {
        "length": b"Content-Length: 3\r\n\r\nabc",
        "chunks": b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "none": b"\r\n",
    }[framing]
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
    path = b"/upgrade-" + framing.encode()
    answer = proxy.send((b"POST " + path + b" HTTP/1.1\r\n" + HOST + upgrade + body) * 3 + get(b"/"))
    assert answer.count(b"\r\n\r\nstable-1") == 4
    seen = proxy.backend.requests(path.decode())
    assert [one.body for one in seen] == [b"" if framing == "none" else b"abc"] * 3
    assert not seen[0].all("upgrade")


def test_many_pipelined_upgrades_do_no_harm(proxy):
    upgrade = b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: x\r\n\r\n"
    assert proxy.send(upgrade * 1500 + get(b"/")).count(b"\r\n\r\nstable-1") == 1501


# Bodies of requests.


def test_chunks_of_a_request_arrive_whole_however_they_are_cut(proxy):
    with proxy.connect() as line:
        line.sendall(b"POST /cut HTTP/1.1\r\n" + HOST + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n")
        for byte in b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n":
            line.sendall(bytes([byte]))
        assert read_until(line, b"\r\n\r\nstable-1")
    (seen,) = proxy.backend.requests("/cut")
    assert seen.body == b"hello world"


def test_a_client_that_leaves_in_the_middle_of_an_upload_leaves_no_request_behind(proxy):
    with proxy.connect() as line:
        line.sendall(b"POST /left HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\nhalf")
    flying = 'sluice_in_flight_requests{backend="stable-1",service="shop",track="stable"}'
    wait_until(lambda: proxy.metrics()[flying] == 0, "nothing is in flight")


# Connections to backends.


def test_connections_to_backends_are_used_again(proxy):
    before = proxy.backend.connections
    checks = len([one for one in proxy.backend.seen if one.path == "/health"])
    with proxy.connect() as line:
        for _ in range(50):
            line.sendall(GET)
            read_until(line, b"\r\n\r\nstable-1")
    asked_by_health_checks = len([one for one in proxy.backend.seen if one.path == "/health"]) - checks
    assert proxy.backend.connections - before - asked_by_health_checks <= 5


def test_a_connection_that_died_of_old_age_costs_no_request(proxy):
    for _ in range(20):
        assert proxy.get("/close-after").status == 200
        assert proxy.get("/die-on-second").status == 200
        assert proxy.get("/").status == 200


# The access log.


def test_the_access_log_has_a_line_of_json_per_request_and_no_secret(proxy):
    headers = {"Cookie": "session=hush", "Authorization": "Bearer hush", "X-Request-Id": "log-1"}
    proxy.get("/logged;jsessionid=hush/%22x?password=hush", **headers)
    told = proxy.log_line("log-1")
    assert "hush" not in json.dumps(told)
    assert set(told) == {
        "ts", "service", "track", "backend", "client", "method", "path", "status", "bytes", "ms", "id",
    }  # fmt: skip
    expected = {
        "service": "shop",
        "track": "stable",
        "backend": "stable-1",
        "client": "127.0.0.1",
        "method": "GET",
        "path": "/logged/%22x",
        "status": 200,
        "bytes": 8,
        "id": "log-1",
    }
    assert {key: told[key] for key in expected} == expected
    assert told["ms"] >= 0
    assert "hush" not in proxy.access_log.read_text()
    assert ADMIN_TOKEN not in proxy.said()


def test_no_data_sent_is_no_request(proxy):
    with socket.create_connection(("127.0.0.1", proxy.port)) as line:
        line.sendall(b"\r\n")
    assert proxy.get().status == 200
