"""Sessions of the page without a browser: what somebody who is none could try."""

import http.client
import json
import re

import pytest
from misbehaving import Backend
from running import ADMIN_TOKEN, MONITOR_TOKEN, PATIENCE, Answer, Balancer

from balancer.attempts import BURST


@pytest.fixture(scope="module")
def shop(loop, tmp_path_factory):
    one = Backend(loop, "stable-1").start()
    made = Balancer(tmp_path_factory.mktemp("sessions"), {"stable": [one]}).start().wait_for_backends()
    yield made
    made.stop()
    one.stop()


def ask(shop, method, path, body=None, **headers):
    """One request with these headers, `_` for `-`; as the page's own unless they say otherwise."""
    told = {"Origin": f"http://127.0.0.1:{shop.admin_port}", **headers}
    told = {name.replace("_", "-"): value for name, value in told.items() if value is not None}
    connection = http.client.HTTPConnection("127.0.0.1", shop.admin_port, timeout=PATIENCE)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), told)
        response = connection.getresponse()
        return Answer(response, response.read())
    finally:
        connection.close()


def log_in(shop, token=ADMIN_TOKEN, **headers):
    return ask(shop, "POST", "/page/login", {"token": token}, **headers)


@pytest.fixture
def session(shop):
    """The headers of a session."""
    answer = log_in(shop)
    assert answer.status == 200, answer.body
    cookie = re.match(r"[^;]+", answer.headers["set-cookie"]).group()
    return {"Cookie": cookie, "X_Sluice_Key": answer.json["key"]}


def test_a_session_may_what_the_token_may(shop, session):
    assert ask(shop, "GET", "/status", **session).json["services"]["shop"]
    assert ask(shop, "POST", "/alert", {"service": "shop"}, **session).status == 200
    assert ask(shop, "DELETE", "/alert/shop", **session).json == {"cleared": True}
    assert '"what": "login", "by": "admin", "from": "127.0.0.1", "via": "page"' in shop.said()
    assert '"what": "clear", "by": "admin", "from": "127.0.0.1", "via": "page"' in shop.said()


def test_the_cookie_is_for_this_host_and_no_script_and_ends(shop):
    said = log_in(shop).headers["set-cookie"]
    assert said.startswith(f"sluice_session_{shop.admin_port}=")
    parts = {part.strip().lower() for part in said.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/", "max-age=43200"} <= parts
    assert not any(part.startswith("domain") for part in parts)


def test_neither_cookie_nor_key_is_enough(shop, session):
    for name in session:
        half = {**session, name: None}
        assert ask(shop, "GET", "/status", **half).status == 401
        assert ask(shop, "POST", "/alert", {"service": "shop"}, **half).status == 401
    assert ask(shop, "GET", "/status", **{**session, "X_Sluice_Key": "x" * 43}).status == 401


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1", "http://[", "", None])
def test_an_order_from_another_page_is_403(shop, session, origin):
    headers = {**session, "Origin": origin}
    assert ask(shop, "POST", "/alert", {"service": "shop"}, **headers).status == 403
    assert ask(shop, "POST", "/page/logout", **headers).status == 403
    assert shop.alert() is None
    assert ask(shop, "GET", "/status", **session).status == 200


def test_a_login_from_another_page_or_name_is_refused(shop):
    assert log_in(shop, Origin="http://evil.example").status == 403
    assert log_in(shop, Origin=None).status == 403
    assert log_in(shop, Host="evil.example", Origin="http://evil.example").status == 421
    assert log_in(shop, Host="localhost:9901", Origin="http://localhost:9901").status == 200


def test_an_alert_token_does_not_log_in(shop):
    answer = log_in(shop, MONITOR_TOKEN)
    assert answer.status == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("body", [{}, {"token": 1}, {"token": ""}, [], {"token": "ü"}])
def test_what_is_no_token_does_not_log_in(shop, body):
    answer = ask(shop, "POST", "/page/login", body)
    assert answer.status in (400, 401)
    assert "set-cookie" not in answer.headers


def test_after_logging_out_the_session_is_over(shop, session):
    answer = ask(shop, "POST", "/page/logout", **session)
    assert answer.status == 200
    assert "sluice_session" in answer.headers["set-cookie"]
    assert ask(shop, "GET", "/status", **session).status == 401
    assert '"what": "logout"' in shop.said()


def test_the_sessions_of_two_balancers_do_not_end_each_other(shop):
    """Browsers keep cookies by host, and both may be tunnelled to localhost."""
    answers = [
        log_in(shop, Host=f"localhost:{port}", Origin=f"http://localhost:{port}") for port in (9901, 9902)
    ]
    names = {answer.headers["set-cookie"].partition("=")[0] for answer in answers}
    assert names == {"sluice_session_9901", "sluice_session_9902"}


def test_too_many_wrong_logins_are_429_and_the_right_token_logs_in(shop):
    answers = [log_in(shop, "wrong") for _ in range(BURST + 5)]
    assert answers[-1].status == 429
    assert int(answers[-1].headers["retry-after"]) > 0
    assert log_in(shop).status == 200
    assert "wrong" not in re.findall(r"audit: (.*)", shop.said())[-1].replace("wrong token", "")


def test_no_secret_is_in_the_log(shop, session):
    said = shop.said()
    for secret in (ADMIN_TOKEN, session["X_Sluice_Key"], session["Cookie"].partition("=")[2]):
        assert secret not in said


def test_the_pages_files_are_for_everybody_and_nothing_else_is(shop):
    for path in ("/", "/page/page.js", "/page/page.css", "/page/icon.svg"):
        answer = ask(shop, "GET", path)
        assert answer.status == 200, path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert ask(shop, "GET", path, If_None_Match=answer.headers["etag"]).status == 304
        assert ask(shop, "GET", path, Host="evil.example").status == 421
    for path in ("/page/", "/page/../admin.py", "/page/%2e%2e/admin.py", "/page/nothing.js", "/page/page.py"):
        assert ask(shop, "GET", path).status == 404, path
