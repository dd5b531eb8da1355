"""What a request must be to go on, and what of it goes on."""

import pytest

from balancer.forwarded import asked
from balancer.request import BadRequest, Request, connection_options
from balancer.routes import Route


def made(*headers, method=b"GET", target=b"/", version="1.1", host=b"shop.test"):
    request = Request(0.0)
    request.method, request.target, request.version = method, target, version
    request.headers = [(b"Host", host)] if host is not None else []
    request.headers += headers
    return request


def checked(*headers, **parts):
    request = made(*headers, **parts)
    request.check()
    request.id = request.id or b"id-1"
    request.route = Route("shop", lambda: 0.0)
    request.make_head(asked([b"10.0.0.9"], b"http"))
    return request


def head(*headers, **parts):
    line, *rows = checked(*headers, **parts).head.decode().split("\r\n")
    assert rows[-2:] == ["", ""]
    return line, rows[:-2]


def test_a_plain_request_goes_on_with_who_asked():
    line, rows = head((b"Accept", b"*/*"), target=b"/a?b=c")
    assert line == "GET /a?b=c HTTP/1.1"
    assert rows == [
        "Host: shop.test",
        "Accept: */*",
        "Via: 1.1 sluice",
        "X-Real-IP: 10.0.0.9",
        "X-Forwarded-For: 10.0.0.9",
        "X-Forwarded-Proto: http",
        'Forwarded: for=10.0.0.9;proto=http;host="shop.test"',
        "X-Forwarded-Host: shop.test",
        "X-Request-Id: id-1",
    ]


def test_headers_of_the_hop_stay_behind():
    names = [
        b"Connection",
        b"Keep-Alive",
        b"Proxy-Connection",
        b"TE",
        b"Trailer",
        b"Upgrade",
        b"HTTP2-Settings",
    ]
    names += [b"Proxy-Authorization", b"Proxy-Authenticate"]
    _, rows = head(*[(name, b"x") for name in names], (b"Cookie", b"kept"))
    assert [row for row in rows if not row.startswith(("X-", "Host", "Forwarded", "Via"))] == ["Cookie: kept"]


def test_what_connection_names_stays_behind_but_never_the_framing():
    named = (b"Connection", b"close, X-One ,x-two, Host, Content-Length")
    _, rows = head(named, (b"X-One", b"1"), (b"X-TWO", b"2"), (b"Content-Length", b"3"), method=b"POST")
    assert not any(row.lower().startswith(("x-one", "x-two")) for row in rows)
    assert "Host: shop.test" in rows
    assert "Content-Length: 3" in rows


def test_several_connection_headers_count_together():
    assert connection_options([(b"connection", b"a"), (b"Connection", b"B, c")]) == {b"a", b"b", b"c"}


def test_chunks_are_announced_once():
    _, rows = head((b"Transfer-Encoding", b"Chunked"), method=b"POST")
    assert [row for row in rows if "ncoding" in row] == ["Transfer-Encoding: chunked"]


def test_an_old_client_without_host_gets_an_empty_one():
    _, rows = head(host=None, version="1.0")
    assert "Host: " in rows


def test_an_empty_host_goes_on_once():
    _, rows = head(host=b"")
    assert rows.count("Host: ") == 1


def test_a_header_disguised_for_applications_stays_behind():
    _, rows = head((b"Content_Length", b"3"), (b"X_Forwarded-For", b"1.1.1.1"), (b"X_Own", b"1"))
    assert "X_Own: 1" in rows
    assert not any(row.startswith(("Content", "X_Forwarded")) for row in rows)


@pytest.mark.parametrize("value", [b"a b", b"", b"x" * 129, b"a\xff", b"a;b"])
def test_a_doubtful_request_id_is_replaced(value):
    assert checked((b"X-Request-Id", value)).id == b"id-1"


@pytest.mark.parametrize("value", [b"-1", b"+1", b"0x1", b"", b"1 ", b"1,1", b"1" * 19, b"\xb2"])
def test_a_bad_length_is_refused(value):
    with pytest.raises(BadRequest, match="bad Content-Length") as refused:
        checked((b"Content-Length", value))
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "value", [b"gzip", b"chunked, chunked", b"gzip, chunked", b"identity", b"", b"chunked "]
)
def test_another_coding_than_chunked_is_refused(value):
    with pytest.raises(BadRequest, match="bad Transfer-Encoding"):
        checked((b"Transfer-Encoding", value))


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ([(b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked")], "1.1"),
        ([(b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"1")], "1.1"),
        ([(b"Content-Length", b"1"), (b"Content-Length", b"1")], "1.1"),
        ([(b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")], "1.1"),
        ([(b"Transfer-Encoding", b"chunked")], "1.0"),
    ],
)
def test_a_framing_that_can_be_read_in_two_ways_is_refused(headers, version):
    with pytest.raises(BadRequest) as refused:
        checked(*headers, version=version, method=b"POST")
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "host",
    [
        b"shop",
        b"shop.test",
        b"shop.test:80",
        b"10.0.0.1",
        b"[::1]",
        b"[::1]:8080",
        b"",
        b"xn--bcher-kva.test",
        b"a_b",
    ],
)
def test_a_host_is_good(host):
    assert checked(host=host).host == host


@pytest.mark.parametrize(
    "host",
    [b"a b", b"a/b", b"user@a", b"a:b", b"a:123456", b"a?b", b"a#b", b"a:", b"a\xff", b"[::1", b"a\\b"]
    + [b"a:65536", b"a%zz"],
)
def test_a_host_is_bad(host):
    with pytest.raises(BadRequest, match="bad Host"):
        checked(host=host)


@pytest.mark.parametrize(("hosts", "version"), [([], "1.1"), ([b"a", b"a"], "1.1"), ([b"a", b"b"], "1.0")])
def test_there_is_exactly_one_host(hosts, version):
    with pytest.raises(BadRequest, match="exactly one Host"):
        checked(*[(b"Host", host) for host in hosts], host=None, version=version)


@pytest.mark.parametrize(
    ("target", "method", "sent"),
    [
        (b"/", b"GET", b"/"),
        (b"//a/../b?c|d", b"GET", b"//a/../b?c|d"),
        (b"*", b"OPTIONS", b"*"),
        (b"http://shop.test/a?b", b"GET", b"/a?b"),
        (b"HTTP://SHOP.test", b"GET", b"/"),
    ],
)
def test_a_target_is_good(target, method, sent):
    assert checked(target=target, method=method).target == sent


@pytest.mark.parametrize(
    ("target", "method", "status"),
    [
        (b"*", b"GET", 400),
        (b"shop.test:80", b"CONNECT", 405),
        (b"shop", b"GET", 400),
        (b"", b"GET", 400),
        (b"/a b", b"GET", 400),
        (b"/a#b", b"GET", 400),
        (b"/\x00", b"GET", 400),
        (b"/\xc3\xa4", b"GET", 400),
        (b"http://other/", b"GET", 400),
        (b"http://user@shop.test/", b"GET", 400),
        (b"http://shop.test?a", b"GET", 400),
        (b"https://shop.test/", b"GET", 400),
        (b"/" + b"a" * 8192, b"GET", 414),
    ],
)
def test_a_target_is_bad(target, method, status):
    with pytest.raises(BadRequest) as refused:
        checked(target=target, method=method)
    assert refused.value.status == status


def test_a_head_that_is_huge_is_431():
    with pytest.raises(BadRequest) as refused:
        checked(*[(b"X", b"y" * 1000)] * 40)
    assert refused.value.status == 431


@pytest.mark.parametrize(
    ("method", "sent", "wanted"),
    [
        (b"GET", False, True),
        (b"PUT", False, True),
        (b"PUT", True, False),
        (b"POST", False, False),
        (b"PATCH", False, False),
    ],
)
def test_only_what_does_no_harm_may_be_repeated(method, sent, wanted):
    request = made(method=method)
    request.body_sent = sent
    assert request.may_repeat() is wanted


@pytest.mark.parametrize(
    ("length", "wanted"), [(None, False), (b"0", False), (b"000", False), (b"1", True), (b"010", True)]
)
def test_a_body_is_what_its_length_says(length, wanted):
    request = made()
    request.length = length
    assert request.has_body is wanted


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        (b"/a?password=x", "/a"),
        (b"/a;jsessionid=x?b", "/a"),
        (b"/a;jsessionid=x/b;y=z/c", "/a/b/c"),
        (b"/a%20b", "/a%20b"),
        (b"/?", "/"),
    ],
)
def test_the_logged_path_has_no_query_and_no_session(target, wanted):
    assert made(target=target).path == wanted
