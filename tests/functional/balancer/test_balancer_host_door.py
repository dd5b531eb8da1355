"""The hosts' door: a host with its own token, its own backend, and nobody else's."""

import json
import re
import threading

import pytest
from misbehaving import Backend
from running import ADMIN_TOKEN, HOST_TOKEN, MONITOR_TOKEN, Balancer, Load, wait_until

from balancer.hostdoor import MAX_WAITING

OWN = {"service": "shop", "backend": "stable-1"}
OTHER = {"service": "shop", "backend": "stable-2"}


@pytest.fixture
def shop(backend, balancer):
    made = [backend("stable-1"), backend("stable-2"), backend("stable-3")]
    shop = balancer(tracks={"stable": made, "canary": []})
    shop.stable = {one.name: one for one in made}
    return shop


@pytest.fixture(scope="module")
def calm(loop, tmp_path_factory):
    """A balancer for tests that change nothing."""
    made = [Backend(loop, name).start() for name in ("stable-1", "stable-2")]
    shop = Balancer(tmp_path_factory.mktemp("calm"), {"stable": made}).start().wait_for_backends()
    yield shop
    shop.stop()
    for one in made:
        one.stop()


def write_hosts(shop, tokens):
    fresh = shop.directory / ".host.tokens.json.new"
    fresh.write_text(tokens if isinstance(tokens, str) else json.dumps(tokens))
    fresh.replace(shop.directory / "host.tokens.json")


def audit(shop):
    return [json.loads(line) for line in re.findall(r"^WARNING audit: (.*)$", shop.said(), flags=re.M)]


def test_a_host_is_told_of_its_own_backend_and_no_other_is_named(calm):
    answer = calm.own("stable-1", "GET", "/backend/shop")
    assert answer.status == 200
    assert answer.json == {
        "service": "shop",
        "backend": "stable-1",
        "track": "stable",
        "state": "up",
        "in_flight": 0,
        "health": "status 200 (want 200)",
        "up": 2,
        "min_available": 1,
        "weight_declared": 100,
        "weight_effective": 100,
        "alert": None,
    }


def test_a_host_is_told_why_its_track_gets_nothing(shop):
    shop.admin("POST", "/alert", {"service": "shop", "reason": "orders fail"})
    assert shop.own("stable-1", "GET", "/backend/shop").json["alert"] == "orders fail"


def test_a_host_drains_and_restores_itself_and_no_request_fails(shop):
    with Load(shop.port) as load:
        load.wait_for(20)
        drained = shop.own("stable-1", "POST", "/drain", {**OWN, "deadline_seconds": 10})
        assert (drained.status, drained.json) == (200, {"in_flight": 0, "cut": 0})
        assert shop.own("stable-1", "GET", "/backend/shop").json["state"] == "drained"
        assert "stable-1" not in shop.served_by(10)
        restored = shop.own("stable-1", "POST", "/restore", OWN)
        assert (restored.status, restored.json) == (200, {"restored": True})
        shop.wait_for_backends()
        load.wait_for(20)
    assert load.failed == []
    assert shop.own("stable-1", "POST", "/restore", OWN).json == {"restored": False}


def test_both_orders_are_in_the_audit_log_with_the_host(shop):
    shop.own("stable-1", "POST", "/drain", OWN)
    shop.own("stable-1", "POST", "/restore", OWN)
    told = [(line["what"], line["by"], line["via"], line["backend"]) for line in audit(shop)]
    assert told == [("drain", "stable-1", "host", "stable-1"), ("restore", "stable-1", "host", "stable-1")]
    assert HOST_TOKEN.format("stable-1") not in shop.said()


def test_a_host_is_not_drained_below_the_minimum_and_hears_no_names(shop):
    shop.shop["min_available"] = {"stable": 3}
    shop.write()
    assert shop.admin("POST", "/reload").status == 200
    refused = shop.own("stable-1", "POST", "/drain", OWN)
    assert refused.status == 409
    assert refused.json == {
        "error": "stable-1 is not drained: 2 of stable would be left up, min_available wants 3"
    }
    assert shop.backends()["stable-1"] == "up"
    assert "drain" not in [line["what"] for line in audit(shop)]


def test_a_host_that_is_down_is_drained_whatever_the_minimum(shop):
    shop.shop["min_available"] = {"stable": 3}
    shop.write()
    shop.admin("POST", "/reload")
    shop.stable["stable-1"].healthy = False
    shop.wait_for_backends("down", ["stable-1"])
    assert shop.own("stable-1", "POST", "/drain", OWN).status == 200


def test_nobody_else_is_drained_or_restored_by_a_host(shop):
    shop.admin("POST", "/drain", OTHER)
    for order in ("/drain", "/restore"):
        for body in (OTHER, {**OTHER, "backend": "stable-9"}, {**OTHER, "service": "shoe"}):
            answer = shop.own("stable-1", "POST", order, body)
            assert (answer.status, answer.json) == (
                403,
                {"error": "this token may only drain and restore stable-1"},
            )
    assert shop.backends() == {"stable-1": "up", "stable-2": "drained", "stable-3": "up"}


def test_a_service_of_others_is_answered_as_one_that_is_not_there(shop):
    shop.config["services"]["shoe"] = {
        **shop.shop,
        "hosts": ["shoe.example.org"],
        "tracks": {"stable": {"shoe-1": "127.0.0.1:9"}},
        "weights": {"stable": 100},
    }
    shop.write()
    assert shop.admin("POST", "/reload").status == 200
    said = set()
    for service in ("shoe", "nothing"):
        body = {"service": service, "backend": "stable-1"}
        answers = [
            shop.own("stable-1", "GET", f"/backend/{service}"),
            shop.own("stable-1", "POST", "/drain", body),
            shop.own("stable-1", "POST", "/restore", body),
        ]
        assert [answer.status for answer in answers] == [404] * 3
        said |= {answer.json["error"] for answer in answers}
    assert said == {"there is no such service with a backend stable-1; is its address mined?"}


def test_a_host_cannot_force(calm):
    for force in (True, False):
        answer = calm.own("stable-1", "POST", "/drain", {**OWN, "force": force})
        assert answer.status == 400
        assert "'force' is not known, want service, backend, deadline_seconds" in answer.json["error"]
    assert calm.backends()["stable-1"] == "up"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/status"),
        ("GET", "/history"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("POST", "/weights"),
        ("POST", "/reload"),
        ("DELETE", "/alert/shop"),
        ("GET", "/"),
        ("GET", "/backend/"),
        ("GET", "/backend/../status"),
        ("GET", "/backend/SHOP"),
        ("GET", "/backend/shop/stable-2"),
    ],
)
def test_nothing_else_is_there(calm, method, path):
    answer = calm.own("stable-1", method, path, {} if method == "POST" else None)
    assert (answer.status, answer.json) == (404, {"error": "no such path"})


def test_a_hosts_token_raises_no_alert_and_opens_nothing_at_the_admin_api(calm):
    alert = calm.own("stable-1", "POST", "/alert", {"service": "shop"})
    assert alert.status == 403
    assert calm.alert() is None
    for method, path, body in (
        ("GET", "/status", None),
        ("POST", "/drain", OWN),
        ("POST", "/restore", OWN),
        ("POST", "/reload", None),
        ("DELETE", "/alert/shop", None),
    ):
        answer = calm.own("stable-1", method, path, body, port=calm.admin_port)
        assert answer.status == 403, path
        assert answer.json["error"] == "this token may only drain and restore stable-1"
    assert calm.own("stable-1", "GET", "/backend/shop", port=calm.admin_port).status == 404
    assert calm.backends()["stable-1"] == "up"


@pytest.mark.parametrize("token", [ADMIN_TOKEN, MONITOR_TOKEN])
def test_a_token_that_is_no_hosts_opens_nothing_there(calm, token):
    for method, path, body in (
        ("GET", "/backend/shop", None),
        ("POST", "/drain", OWN),
        ("POST", "/restore", OWN),
    ):
        answer = calm.own("stable-1", method, path, body, token=token)
        assert answer.status == 403
        assert answer.json["error"] == "this is for the hosts' own tokens, host_tokens in pillar"
    assert calm.backends()["stable-1"] == "up"


def test_wrong_tokens_are_counted_at_the_hosts_door_and_too_many_are_429(shop):
    name = 'sluice_auth_failures_total{door="host"}'
    assert shop.metrics()[name] == 0
    said = [shop.own("stable-1", "POST", "/drain", OWN, token="wrong") for _ in range(40)]
    assert {answer.status for answer in said[:30]} == {401}
    assert said[-1].status == 429
    assert "stable" not in said[0].body.decode()
    assert shop.metrics()[name] == 40
    # A right token is never refused because of wrong ones.
    assert shop.own("stable-1", "GET", "/backend/shop").status == 200
    assert shop.own("stable-1", "GET", "/backend/shop", token=None).status == 429


HOSTILE = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b"[" * 50_000,
    b'{"service": "shop"}',
    b'{"backend": "stable-1"}',
    b'{"service": ["shop"], "backend": "stable-1"}',
    b'{"service": {"a": 1}, "backend": "stable-1"}',
    b'{"service": "shop", "backend": "stable-1", "who": "stable-2"}',
]


@pytest.mark.parametrize("raw", HOSTILE, ids=lambda raw: raw[:20].decode("latin-1"))
def test_a_body_that_is_none_is_refused(calm, raw):
    for order in ("/drain", "/restore"):
        answer = calm.own("stable-1", "POST", order, raw=raw)
        assert answer.status == 400
        assert set(answer.json) == {"error"}
    assert calm.backends()["stable-1"] == "up"
    assert "Traceback" not in calm.said()


@pytest.mark.parametrize("seconds", ["-1", "3601", "NaN", "Infinity", "1e400", "true", '"5"', "null"])
def test_a_deadline_that_is_none_is_refused(calm, seconds):
    raw = b'{"service": "shop", "backend": "stable-1", "deadline_seconds": %b}' % seconds.encode()
    assert calm.own("stable-1", "POST", "/drain", raw=raw).status == 400
    assert calm.backends()["stable-1"] == "up"


def test_a_host_may_not_have_the_balancer_wait_for_it_without_end(shop):
    for one in shop.stable.values():
        one.close_gate()
    clients = []
    while not shop.stable["stable-1"].requests("/wait"):
        before = sum(len(one.requests("/wait")) for one in shop.stable.values())
        clients.append(threading.Thread(target=lambda: shop.get("/wait")))
        clients[-1].start()
        wait_until(
            lambda before=before: sum(len(one.requests("/wait")) for one in shop.stable.values()) > before,
            "the request is under way",
        )
    order = {**OWN, "deadline_seconds": 30}
    answers = []
    drains = [
        threading.Thread(target=lambda: answers.append(shop.own("stable-1", "POST", "/drain", order)))
        for _ in range(MAX_WAITING)
    ]
    for one in drains:
        one.start()
    wait_until(
        lambda: len([line for line in audit(shop) if line["what"] == "drain"]) == MAX_WAITING, "all wait"
    )
    refused = shop.own("stable-1", "POST", "/drain", order)
    assert refused.status == 429
    assert refused.headers["retry-after"] == "1"
    for one in shop.stable.values():
        one.open_gate()
    for one in (*drains, *clients):
        one.join(30)
    assert [answer.status for answer in answers] == [200] * MAX_WAITING
    assert shop.own("stable-1", "POST", "/drain", order).status == 200


def test_a_service_with_stable_alone_whose_hosts_are_all_down_makes_no_noise_and_they_may_drain(
    backend, balancer
):
    hosts = [backend("stable-1"), backend("stable-2")]
    for one in hosts:
        one.healthy = False
    shop = balancer(start=False, tracks={"stable": hosts}, weights={"stable": 100})
    del shop.shop["tracks"]["canary"]
    shop.shop["min_available"] = {"stable": "60%"}
    shop.write()
    shop.start().wait_for_backends("down")
    for one in hosts:
        asked = len(one.seen)
        wait_until(lambda one=one, asked=asked: len(one.seen) > asked + 10, "more checks")
    assert shop.said().count("is down") <= len(hosts)
    assert shop.get().status == 503
    for one in hosts:
        own = {"service": "shop", "backend": one.name}
        assert shop.own(one.name, "GET", "/backend/shop").json["min_available"] == 2
        assert shop.own(one.name, "POST", "/drain", own).status == 200
        assert shop.own(one.name, "POST", "/restore", own).status == 200


# Its file.


def test_a_host_gets_a_token_and_loses_it_while_all_goes_on(shop):
    write_hosts(shop, {"stable-2": "another-token-of-stable-2"})

    def status(token):
        return shop.own("stable-2", "GET", "/backend/shop", token=token).status

    wait_until(lambda: status("another-token-of-stable-2") == 200, "the new token is good")
    assert status(HOST_TOKEN.format("stable-2")) == 401
    assert status(HOST_TOKEN.format("stable-1")) == 401
    assert "admin and 1 that may raise alerts, 1 of hosts" in shop.said()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{half", "not JSON, want a JSON object of host id to token"),
        ('["x"]', "want a JSON object of host id to token"),
        ('{"admin": "token-of-another-host"}', "a host cannot be called 'admin'"),
        (
            '{"stable-1": "twice-the-same-token", "stable-2": "twice-the-same-token"}',
            "stable-2 has the token that stable-1 has elsewhere",
        ),
        (json.dumps({"stable-1": ADMIN_TOKEN}), "stable-1 has the token that admin has elsewhere"),
        (json.dumps({"canary-1": MONITOR_TOKEN}), "canary-1 has the token that canary-1 has elsewhere"),
    ],
)
def test_a_bad_file_is_refused_and_the_last_good_tokens_stay(shop, text, said):
    write_hosts(shop, text)
    wait_until(lambda: said in (shop.status()["config"]["error"] or ""), "the status says why")
    assert shop.own("stable-1", "GET", "/backend/shop").status == 200
    told = shop.said() + json.dumps(shop.status())
    assert not [token for token in ("twice-the-same-token", ADMIN_TOKEN, MONITOR_TOKEN) if token in told]


def test_without_a_file_of_hosts_tokens_no_host_gets_in(balancer, backend):
    shop = balancer(start=False, tracks={"stable": [backend("stable-1")]})
    del shop.config["alert"]["host_tokens_file"]
    shop.write()
    shop.start().wait_for_backends()
    assert shop.own("stable-1", "GET", "/backend/shop").status == 401
    assert shop.admin("GET", "/status").status == 200


def test_an_empty_token_is_nobodys(shop):
    write_hosts(shop, {"stable-1": "", "stable-2": ""})
    wait_until(lambda: shop.own("stable-1", "GET", "/backend/shop").status == 401, "it is taken over")
    assert shop.own("stable-1", "GET", "/backend/shop", token="").status in (401, 429)
    assert shop.status()["config"]["error"] is None
