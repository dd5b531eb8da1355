"""Who is let in: tokens, too many wrong ones, names by which the admin side is reached, the audit log."""

import json
import re

import pytest
from misbehaving import Backend
from running import ADMIN_TOKEN, MONITOR_TOKEN, Balancer, ask, wait_until

from balancer import heads
from balancer.attempts import BURST

WRONG = "wrong-token-of-the-tests"


@pytest.fixture
def shop(backend, balancer):
    return balancer(tracks={"stable": [backend("stable-1"), backend("stable-2")], "canary": []})


@pytest.fixture(scope="module")
def calm(loop, tmp_path_factory):
    """A balancer for tests that change nothing."""
    one = Backend(loop, "stable-1").start()
    made = Balancer(tmp_path_factory.mktemp("calm"), {"stable": [one]}).start().wait_for_backends()
    yield made
    made.stop()
    one.stop()


def audit(shop):
    """The lines of the audit log, parsed."""
    return [json.loads(line) for line in re.findall(r"^WARNING audit: (.*)$", shop.said(), flags=re.M)]


def failures(shop, door):
    return shop.metrics()[f'sluice_auth_failures_total{{door="{door}"}}']


# Too many wrong tokens.


def test_too_many_wrong_tokens_are_429_and_the_right_one_still_works(shop):
    said = [shop.admin("GET", "/status", token=WRONG) for _ in range(BURST + 20)]
    assert {answer.status for answer in said[:BURST]} == {401}
    assert said[0].headers["www-authenticate"] == "Bearer"
    last = said[-1]
    assert last.status == 429
    assert 1 <= int(last.headers["retry-after"]) <= 3
    assert last.headers["connection"] == "close"
    assert shop.admin("GET", "/status").status == 200
    # The alert door is behind the same count: an alert gets through whatever else comes from its address.
    told = {"service": "shop", "reason": "bad"}
    assert shop.admin("POST", "/alert", told, token=WRONG, port=shop.alert_port).status == 429
    assert shop.admin("POST", "/alert", told, token=MONITOR_TOKEN, port=shop.alert_port).status == 200
    assert failures(shop, "api") == BURST + 20
    assert failures(shop, "alert") == 1
    assert failures(shop, "page") == 0


def test_wrong_tokens_are_in_the_audit_log_but_do_not_flood_it(shop):
    for _ in range(BURST + 20):
        shop.admin("GET", "/status", token=WRONG)
    lines = [line for line in audit(shop) if line["what"] == "wrong token"]
    assert BURST <= len(lines) < BURST + 10
    assert lines[0] == {"what": "wrong token", "from": "127.0.0.1", "door": "api"}
    assert WRONG not in shop.said()


# The name by which it is reached.


def reached(shop, host, path="/status"):
    headers = {"Host": host, "Authorization": f"Bearer {ADMIN_TOKEN}"}
    return ask(shop.admin_port, "GET", path, headers=headers).status


def test_an_address_and_localhost_will_do_and_another_name_is_421(calm):
    for host in (f"127.0.0.1:{calm.admin_port}", "localhost", "localhost:9901", "10.0.0.1", "[::1]:9901"):
        assert reached(calm, host) == 200, host
    for host in (
        "evil.example",
        "evil.example:9901",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
        "[",
    ):
        assert reached(calm, host) == 421, host
        assert reached(calm, host, "/metrics") == 421, host


def test_a_name_in_the_file_will_do_from_the_next_reload_on(shop):
    assert reached(shop, "lb-1.example") == 421
    shop.config["admin"]["hosts"] = ["lb-1.example"]
    shop.write()
    wait_until(lambda: reached(shop, "lb-1.example:9901") == 200, "the name is taken over")
    assert reached(shop, "LB-1.example") == 200
    assert reached(shop, "lb-2.example") == 421


def test_the_alert_door_may_be_reached_by_any_name(calm):
    headers = {"Host": "lb-1.example", "Authorization": f"Bearer {MONITOR_TOKEN}"}
    assert ask(calm.alert_port, "POST", "/alert", "{}", headers).status == 400


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "[::]"])
def test_it_does_not_start_with_the_admin_api_on_all_interfaces(backend, balancer, everywhere):
    shop = balancer(start=False, tracks={"stable": [backend("stable-1")]})
    shop.config["admin"]["listen"] = f"{everywhere}:{shop.admin_port}"
    shop.write()
    shop.start(wait=False)
    assert shop._process.wait(20) == 2
    shop.output.close()
    assert "$.admin.listen" in shop.said()
    assert "want loopback or the address of one interface" in shop.said()


# The audit log.


def test_every_change_is_one_line_of_the_audit_log(shop):
    where = {"service": "shop", "backend": "stable-2"}
    shop.admin("POST", "/alert", {"service": "shop", "reason": 'a "bad"\none'})
    shop.admin("POST", "/alert", {"service": "shop", "reason": "again"})
    shop.admin("DELETE", "/alert/shop")
    shop.admin("DELETE", "/alert/shop")
    shop.admin("POST", "/restore", where)
    shop.admin("POST", "/drain", where)
    shop.admin("POST", "/restore", where)
    shop.admin("POST", "/alert", {"service": "shop"}, token=MONITOR_TOKEN, port=shop.alert_port)
    shop.shop["min_available"] = {"stable": 2}
    shop.write()
    shop.admin("POST", "/reload")
    shop.admin("POST", "/drain", where)
    shop.admin("POST", "/drain", {**where, "force": True})
    found = audit(shop)
    assert all(line["from"] == "127.0.0.1" and line["via"] == "token" for line in found)
    told = [(line["what"], line["by"], line.get("backend")) for line in found if line["what"] != "reload"]
    assert told == [
        ("alert", "admin", None),
        ("clear", "admin", None),
        ("drain", "admin", "stable-2"),
        ("restore", "admin", "stable-2"),
        ("alert", "canary-1", None),
        ("drain", "admin", "stable-2"),
    ]
    assert found[0]["reason"] == 'a "bad" one'
    assert [line["force"] for line in found if line["what"] == "drain"] == [False, True]
    for secret in (ADMIN_TOKEN, MONITOR_TOKEN):
        assert secret not in shop.said()


def test_a_method_that_is_not_there_says_which_are(calm):
    answer = calm.admin("PUT", "/drain")
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"


def test_an_error_is_in_the_body_whatever_is_in_it_and_the_status_line_is_plain(calm):
    for field in ("<b>", "ü\r\nSet-Cookie: x", "x" * 50_000, ""):
        told = {"service": "shop", "backend": "stable-1", field: 1}
        answer = calm.admin("POST", "/drain", told)
        assert (answer.status, answer.reason) == (400, "Bad Request")
        assert "is not known, want service, backend" in answer.json["error"]
        assert "set-cookie" not in answer.headers
        assert field != "<b>" or "'<b>' is not known" in answer.json["error"]


def test_answers_are_not_to_be_kept_or_guessed_at(calm):
    for answer in (calm.admin("GET", "/status"), calm.admin("GET", "/status", token=None)):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_status_says_which_balancer_it_is(calm):
    told = calm.status()["balancer"]
    assert told["host"]
    assert told["compiled"] is heads.COMPILED
    assert told["started_at"] <= told["at"]


def test_the_history_grows_and_tells_what_is_new(shop):
    for _ in range(20):
        shop.get()

    def seen():
        return shop.admin("GET", "/history").json

    told = wait_until(lambda: (found := seen())["next"] >= 2 and found, "two samples")
    stable = told["services"]["shop"]["stable"]
    assert set(stable) == {"rate", "errors", "p50", "p99"}
    assert len(stable["rate"]) == told["next"]
    later = shop.admin("GET", f"/history?since={told['next'] - 1}").json
    assert len(later["services"]["shop"]["stable"]["rate"]) == later["next"] - told["next"]
    for since in ("x", "-2", "1.5", "9" * 16, ""):
        assert shop.admin("GET", f"/history?since={since}").status == 400, since
