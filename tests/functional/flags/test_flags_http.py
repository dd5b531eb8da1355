"""HTTP/1.1 as programs speak it, and what is answered to what is none."""

import http.client
import json
import socket

import pytest

from tests.support.flag_service import PATIENCE, PREFIX, TOKEN, FlagService, read_all
from tests.support.redis_fleet import wait_for

BODY = b'{"context": {"targetingKey": "me"}}'
AUTH = f"Authorization: Bearer {TOKEN}\r\n".encode()
HOST = b"Host: localhost\r\n"
ONE = f"{PREFIX}/key1".encode()


@pytest.fixture(scope="module", autouse=True)
def known(shared):
    shared.fleet.call("redis-1", "SET", "key1", "1")
    shared.wait_for_value("key1", True)


def request(path=ONE, body=BODY, more=b"", version=b"1.1", auth=AUTH, method=b"POST"):
    length = b"Content-Length: %d\r\n" % len(body)
    return b"%b %b HTTP/%b\r\n%b%b%b%b\r\n%b" % (method, path, version, HOST, auth, length, more, body)


CLOSE = b"Connection: close\r\n"


def answers(raw):
    """(status, headers, body) of every answer in what came."""
    found = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        first, *rows = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (row.partition(": ") for row in rows)}
        size = int(headers.get("content-length", 0))
        found.append((int(first.split()[1]), headers, raw[:size]))
        raw = raw[size:]
    return found


def statuses(raw):
    return [status for status, _, _ in answers(raw)]


def test_requests_that_come_at_once_are_answered_in_order(shared):
    bulk = request(PREFIX.encode())
    raw = shared.send(request() + request(b"/health", b"", method=b"GET") + bulk + request(more=CLOSE))
    found = answers(raw)
    assert [status for status, _, _ in found] == [200] * 4
    assert ["key" in json.loads(body) for _, _, body in found] == [True, False, False, True]
    assert b"flags" in found[2][2]
    assert found[3][1]["connection"] == "close"


def test_hundreds_of_requests_in_one_piece_are_all_answered(shared):
    assert statuses(shared.send(request() * 500 + request(more=CLOSE))) == [200] * 501


def test_a_request_that_comes_byte_by_byte_is_answered(shared):
    with shared.connect() as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(raw := request(more=CLOSE))):
            line.sendall(raw[at : at + 1])
        assert statuses(read_all(line)) == [200]


def chunked(*parts, trailers=b""):
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n" + trailers + b"\r\n"


def test_a_body_in_chunks_is_read(shared):
    head = b"POST %b HTTP/1.1\r\n%b%bTransfer-Encoding: chunked\r\n%b\r\n" % (ONE, HOST, AUTH, CLOSE)
    whole = chunked(BODY[:5], BODY[5:])
    for body in (
        whole,
        chunked(BODY, trailers=b"X-After: 1\r\n"),
        whole.replace(b"5\r\n", b"5;name=x\r\n", 1),
    ):
        assert statuses(shared.send(head + body)) == [200], body
    with shared.connect() as line:
        for at in range(0, len(raw := head + whole), 3):
            line.sendall(raw[at : at + 3])
        assert statuses(read_all(line)) == [200]


def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(shared):
    with shared.connect() as line:
        raw = request(more=b"Expect: 100-continue\r\n" + CLOSE)
        line.sendall(raw[: -len(BODY)])
        assert line.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.sendall(BODY)
        assert statuses(read_all(line)) == [200]


def test_an_offer_to_upgrade_is_left_alone_and_the_body_read(shared):
    """Java's client sends this with each first request."""
    more = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
    assert statuses(shared.send(request(more=more) + request(more=CLOSE))) == [200, 200]


def test_http_1_0_is_answered_and_closed(shared):
    ((status, headers, _),) = answers(shared.send(request(version=b"1.0")))
    assert (status, headers["connection"]) == (200, "close")


def test_a_whole_url_is_a_target_too(shared):
    assert statuses(shared.send(request(b"http://localhost" + ONE, more=CLOSE))) == [200]
    assert statuses(shared.send(request(b"/" + ONE, more=CLOSE))) == [404]


def test_head_is_answered_without_a_body(shared):
    answer = shared.ask("HEAD", "/health")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) > 100


def test_a_client_that_closes_its_half_is_answered(shared):
    with shared.connect() as line:
        line.sendall(request(PREFIX.encode()))
        line.shutdown(socket.SHUT_WR)
        assert statuses(read_all(line)) == [200]


BAD = {
    "no HTTP": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another version": b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "two blanks": b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "bare line ends": b"GET / HTTP/1.1\nHost: a\n\n",
    "no Host": b"GET /health HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a Host with a path": b"GET /health HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n",
    "a blank before the colon": b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "a NUL": b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
    "a line end within": b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\n2\r\n\r\n",
    "two lengths": request(more=b"Content-Length: 3\r\n"),
    "a length with a sign": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
    "a list of lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
    "length and chunks": request(more=b"Transfer-Encoding: chunked\r\n"),
    "two tokens": request(more=AUTH),
    "a relative target": b"GET health HTTP/1.1\r\nHost: a\r\n\r\n",
    "no target": b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
}
CHUNKED = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
BAD |= {
    f"a chunk {what}": CHUNKED + body
    for what, body in {
        "without size": b"\r\nabc\r\n0\r\n\r\n",
        "of a negative size": b"-1\r\nabc\r\n",
        "with 0x": b"0x3\r\nabc\r\n0\r\n\r\n",
        "of too much": b"3\r\nabcd\r\n0\r\n\r\n",
        "with a long line": b"3;" + b"x" * 3000,
    }.items()
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_request_is_refused_and_ends_the_connection(shared, what):
    ((status, headers, body),) = answers(shared.send(BAD[what] + request()))
    assert (status, headers["connection"]) == (400, "close")
    assert json.loads(body)["errorDetails"]


LARGE = {
    "a target": (b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * 9000), 414),
    "a target without end": (b"GET /" + b"x" * 20_000, 414),
    "a head": (b"GET / HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"x" * 20_000), 431),
    "a head without end": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000, 431),
    "many headers": (b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n" % (b"X: 1\r\n" * 200), 431),
    "a body that is announced": (request()[:-1].replace(b"Length: 3", b"Length: 9999999 \r\nX: ", 1), 413),
    "a body in chunks": (CHUNKED + b"fffff\r\n" + b"x" * 100, 413),
    "another coding": (CHUNKED.replace(b"chunked", b"gzip, chunked"), 501),
}


@pytest.mark.parametrize("what", LARGE)
def test_what_is_too_large_is_refused_before_it_comes(shared, what):
    raw, wanted = LARGE[what]
    ((status, headers, _),) = answers(shared.send(raw))
    assert (status, headers["connection"]) == (wanted, "close")


def test_a_body_of_the_limit_is_taken_and_one_byte_more_is_not(shared):
    body = BODY[:-1] + b" " * (65_536 - len(BODY)) + b"}"
    assert shared.post(f"{PREFIX}/key1", body).status == 200
    assert shared.post(f"{PREFIX}/key1", body + b" ").status == 413


def test_no_answer_without_a_token(shared):
    for path in (f"{PREFIX}/key1", PREFIX):
        for token in (None, "wrong", TOKEN[:-1], f"{TOKEN}x", TOKEN.upper(), "\u00fc"):
            answer = shared.post(path, BODY, token=token and token.encode("utf-8").decode("latin-1"))
            assert answer.status == 401, token
            assert answer.headers["www-authenticate"] == "Bearer"
            assert TOKEN not in answer.body.decode()
    assert shared.ask("GET", "/events").status == 401
    assert shared.ask("GET", f"/events?ticket={'0' * 32}").status == 401


def test_a_token_may_come_as_api_key_but_not_under_another_scheme(shared):
    assert shared.post(f"{PREFIX}/key1", BODY, token=None, **{"X-API-Key": TOKEN}).status == 200
    assert shared.post(PREFIX, BODY, token=None, **{"x-api-key": TOKEN}).status == 200
    assert shared.post(f"{PREFIX}/key1", BODY, token=None, Authorization=f"Basic {TOKEN}").status == 401
    assert shared.post(f"{PREFIX}/key1", BODY, token=None, Authorization=f"bearer {TOKEN}").status == 200


def test_health_and_metrics_need_no_token_and_show_no_secret(shared):
    for path in ("/health", "/metrics"):
        answer = shared.ask("GET", path)
        assert answer.status == 200
        assert TOKEN not in answer.body.decode()
        assert "not-a-secret" not in answer.body.decode()


def test_the_access_log_has_a_line_a_request_and_no_context(shared):
    context = {"targetingKey": "secret-user", "email": "secret@example"}
    assert shared.post(f"{PREFIX}/key1?ticket=secret-query", {"context": context}).status == 200
    shared.send(request(b"/health?secret-query", more=CLOSE, method=b"GET"))

    def lines():
        rows = [json.loads(row) for row in shared.access_log.read_text().splitlines()]
        return [row for row in rows if row["path"] == "/health"] and rows

    rows = wait_for(lines, PATIENCE, "the log is written")
    line = [row for row in rows if row["path"] == f"{PREFIX}/key1"][-1]
    assert (line["reader"], line["client"], line["method"], line["status"]) == (
        "tests",
        "127.0.0.1",
        "POST",
        200,
    )
    assert line["bytes"] > 20
    assert line["ms"] >= 0
    text = shared.access_log.read_text()
    assert "secret" not in text
    assert TOKEN not in text


def test_what_is_counted_is_in_the_metrics(shared):
    before = shared.metrics()
    shared.evaluate("key1")
    shared.evaluate("nope")
    shared.bulk()
    after = shared.metrics()

    def more(name):
        return after[name] - before[name]

    assert more('sluice_flags_requests_total{code="200",route="flag"}') == 1
    assert more('sluice_flags_requests_total{code="404",route="flag"}') == 1
    assert more('sluice_flags_requests_total{code="200",route="flags"}') == 1
    assert more('sluice_flags_evaluations_total{result="STATIC"}') == 2
    assert more('sluice_flags_evaluations_total{result="FLAG_NOT_FOUND"}') == 1
    assert more('sluice_flags_request_seconds_count{route="flag"}') == 2
    assert after['sluice_flags_redis_in_use{server="redis-2"}'] == 1


@pytest.fixture(scope="module")
def small(tmp_path_factory, shared_fleet):
    """A service with few connections and small bodies."""
    limits = {"connections": 3, "body_bytes": 100, "event_readers": 1}
    service = FlagService(tmp_path_factory.mktemp("small"), shared_fleet, limits=limits).start()
    yield service
    service.stop()


def test_a_connection_too_many_is_closed_without_a_word(small):
    def is_answered(line):
        line.sendall(request())
        return line.recv(12)

    with small.connect() as one, small.connect() as two, small.connect() as three:
        assert [is_answered(line) for line in (one, two, three)] == [b"HTTP/1.1 200"] * 3
        with small.connect() as four:
            assert read_all(four) == b""
    wait_for(lambda: small.send(request(more=CLOSE)), PATIENCE, "there is room again")
    assert small.metrics()["sluice_flags_refused_connections_total"] >= 1
    assert small.post(f"{PREFIX}/key1", b" " * 101).status == 413


def test_guessing_tokens_is_answered_429_and_the_right_one_never(small):
    with small.connect() as line:
        line.sendall(request(auth=b"X-API-Key: wrong\r\n") * 60 + request(more=CLOSE))
        found = answers(read_all(line))
    assert [status for status, _, _ in found[:30]] == [401] * 30
    late = [headers for status, headers, _ in found if status == 429]
    assert len(late) > 20
    assert all(int(headers["retry-after"]) >= 1 for headers in late)
    assert found[-1][0] == 200
    assert small.metrics()["sluice_flags_auth_failures_total"] == 60


def test_a_client_that_does_not_read_its_answers_is_held_up_and_harms_nobody(shared):
    with socket.socket() as line:
        # A small window, so that the kernels hold little.
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect(("127.0.0.1", shared.port))
        line.settimeout(0.2)
        before = shared.memory_kb()
        with pytest.raises(TimeoutError):
            while True:
                line.sendall(request(b"/metrics", b"", method=b"GET") * 1000)
        assert shared.evaluate("key1").status == 200
        assert shared.memory_kb() - before < 5_000


def test_connections_are_kept_open(shared):
    connection = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=PATIENCE)
    try:
        for _ in range(3):
            connection.request("POST", f"{PREFIX}/key1", BODY, {"X-API-Key": TOKEN})
            assert connection.getresponse().read()
            kept = connection.sock
            connection.request("GET", "/health")
            assert connection.getresponse().read()
            assert connection.sock is kept
    finally:
        connection.close()
