"""Request rules over real sockets: what reaches the backend, what the client gets, and live changes."""

import sys

import pytest
from inprocess import Front
from misbehaving import Backend
from running import Balancer, read_until, wait_until

from balancer.rules import Rule

HOST = b"Host: shop.test\r\n"
RULES = [
    {"path_prefix": "/util/", "except": ["/util/reset"], "deny": 403},
    {"path": "/j_security_check", "methods": ["GET"], "set_method": "POST"},
    {"path": "/", "redirect": {"status": 302, "to": "/home/?a=b"}},
    {"path_prefix": "/realm", "set_header": {"X-Realm": "ward 7"}, "remove_header": ["X-Debug"]},
    {"path": "/nothing", "set_method": "POST"},
]


@pytest.fixture(scope="module")
def ruled(loop, tmp_path_factory):
    """A balancer with rules before one backend; `ruled.backend` saw the requests."""
    backend = Backend(loop, "stable-1").start()
    made = Balancer(tmp_path_factory.mktemp("ruled"), {"stable": [backend]}, workers=1)
    made.shop["rules"] = RULES
    made.write()
    made.start().wait_for_backends()
    made.backend = backend
    yield made
    made.stop()
    backend.stop()


def raw(method, path, *headers, body=b""):
    return b"%b %b HTTP/1.1\r\n" % (method, path) + HOST + b"".join(headers) + b"\r\n" + body


@pytest.mark.parametrize("path", ["/util/dump", "/a/..;/%75til/dump", "//util", "/util/reset;x"])
def test_a_denied_request_is_answered_here_and_reaches_no_backend(ruled, path):
    before = len(ruled.backend.requests())
    answer = ruled.get(path, **{"X-Request-Id": "denied-1"})
    assert answer.status == 403
    assert answer.body == b"403 Forbidden: a rule of the balancer says so\n"
    assert len(ruled.backend.requests()) == before
    told = ruled.log_line("denied-1")
    assert (told["status"], told["track"], told["backend"]) == (403, "none", "none")


def test_denied_requests_are_counted_under_none(ruled):
    name = 'sluice_requests_total{backend="none",code="4xx",service="shop",track="none"}'
    before = ruled.metrics()[name]
    ruled.get("/util/")
    assert ruled.metrics()[name] == before + 1


def test_what_is_not_denied_goes_on(ruled):
    assert ruled.get("/util/reset").body == b"stable-1"
    assert ruled.get("/utility").body == b"stable-1"


def test_a_denied_request_keeps_the_connection_and_the_order(ruled):
    with ruled.connect() as line:
        line.sendall(
            raw(b"GET", b"/pause?seconds=0.1")
            + raw(b"GET", b"/util/a") * 500
            + raw(b"GET", b"/status?code=404")
        )
        answers = read_until(line, b"told so")
    assert answers.startswith(b"HTTP/1.1 200 ")
    assert answers.count(b"HTTP/1.1 403 ") == 500
    assert answers.rindex(b"HTTP/1.1 403 ") < answers.index(b"HTTP/1.1 404 ")


def test_a_denied_upload_is_answered_before_its_body_comes_and_closes(ruled):
    answer = ruled.send(raw(b"POST", b"/util/a", b"Content-Length: 1000\r\n"), half_close=True)
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"Connection: close\r\n" in answer


def test_a_denied_head_has_no_body(ruled):
    with ruled.connect() as line:
        line.sendall(raw(b"HEAD", b"/util/a") + raw(b"GET", b"/util/reset"))
        answers = read_until(line, b"stable-1")
    assert b"Forbidden: a rule" not in answers


def test_a_redirect_says_where_to(ruled):
    answer = ruled.get("/?ignored=1")
    assert (answer.status, answer.headers["location"]) == (302, "/home/?a=b")


def test_get_becomes_post_with_its_query_and_a_length_of_nothing(ruled):
    assert ruled.get("/j_security_check?j_username=9&j_password=hush").status == 200
    (seen,) = ruled.backend.requests("/j_security_check")
    assert (seen.method, seen.target) == ("POST", "/j_security_check?j_username=9&j_password=hush")
    assert seen.one("content-length") == "0"
    assert ruled.get("/elsewhere").body == b"stable-1"


def test_what_became_post_is_not_sent_twice(ruled):
    before = len(ruled.backend.requests("/nothing"))
    assert ruled.get("/nothing").status == 502
    assert len(ruled.backend.requests("/nothing")) == before + 1


def test_head_does_not_become_post(ruled):
    ruled.send(raw(b"HEAD", b"/nothing", b"Connection: close\r\n"))
    assert {seen.method for seen in ruled.backend.requests("/nothing")} == {"POST", "HEAD"}


def test_headers_are_set_and_removed_whatever_the_client_sends(ruled):
    sent = (b"x_realm: a\r\n", b"X-Realm: b\r\n", b"X-Debug: 1\r\n", b"Connection: close, X-Realm\r\n")
    ruled.send(raw(b"GET", b"/realm", *sent))
    (seen,) = ruled.backend.requests("/realm")
    assert seen.all("x-realm") == ["ward 7"]
    assert not seen.all("x_realm")
    assert not seen.all("x-debug")


def test_what_rules_set_or_remove_does_not_come_as_a_trailer(ruled):
    trailers = b"X-Debug: 1\r\nX_REALM: b\r\nX-Sum: 2\r\n"
    coded = (b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n")
    ruled.send(raw(b"POST", b"/realm/trailed", *coded, body=b"1\r\na\r\n0\r\n" + trailers + b"\r\n"))
    (seen,) = ruled.backend.requests("/realm/trailed")
    assert seen.trailers == ["X-Sum: 2\r\n"]


def test_a_path_beyond_following_is_400_and_reaches_no_backend(ruled):
    before = len(ruled.backend.requests())
    answer = ruled.get("/%" + "25" * 100 + "75til/;x//.")
    assert answer.status == 400
    assert len(ruled.backend.requests()) == before


def test_rules_change_live_and_a_bad_one_changes_nothing(backend, balancer):
    shop = balancer(tracks={"stable": [backend("stable-1")]})
    assert shop.get("/a").status == 200

    shop.shop["rules"] = [{"path_prefix": "/", "deny": 503}]
    shop.write()
    wait_until(lambda: shop.get("/a").status == 503, "the rule is in force")
    assert shop.get("/a").headers["retry-after"] == "1"

    shop.shop["rules"] = [{"path": "/a", "deny": 200}, {"path": "/b"}]
    shop.write()
    refused = shop.admin("POST", "/reload")
    assert refused.status == 400
    assert refused.json["mistakes"] == [
        "$.services.shop.rules[0].deny: is 200, want one of 403, 404, 410, 503",
        "$.services.shop.rules[1]: does nothing, want one of deny, redirect, remove_header, set_header, "
        "set_method",
    ]
    assert shop.get("/a").status == 503

    del shop.shop["rules"]
    shop.write()
    wait_until(lambda: shop.get("/a").status == 200, "no rule is in force")


# What it costs.


def calls(front, count):
    """The functions of the rules that run for so many requests: file and name, one entry a call."""
    found = []

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_filename.endswith(("balancer/rules.py", "balancer/paths.py")):
            found.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        outcome = front.send([raw(b"GET", b"/a%20b/../c;x")] * count)
    finally:
        sys.setprofile(None)
    assert outcome.answer.count(b"HTTP/1.1 200 ") == count
    return found


def test_a_service_without_rules_runs_nothing_of_them():
    front = Front()
    assert calls(front, 20) == []
    front.table = {"rules": [Rule(path="/z", deny=403).told()]}
    assert calls(front, 20).count("apply") == 20
    front.close()
