"""Tokens are taken over live, with the file, all or nothing."""

import http.client
import json
import os
import signal

import pytest
from running import ADMIN_TOKEN, MONITOR_TOKEN, Load, wait_until

NEW = "another-admin-token"
OTHER = "token-of-another-host"


@pytest.fixture
def shop(backend, balancer):
    return balancer(tracks={"stable": [backend("stable-1")], "canary": [backend("canary-1")]})


def write(shop, name, text):
    """Replace a file of tokens, as Salt does."""
    fresh = shop.directory / f".{name}.new"
    fresh.write_text(text)
    fresh.replace(shop.directory / name)


def write_admin(shop, token=NEW):
    write(shop, "admin.token", token + "\n")


def write_alert(shop, text):
    write(shop, "alert.tokens.json", text)


def may(shop, token):
    """Whether a token is the admin's."""
    return shop.admin("GET", "/status", token=token).status == 200


def knock(shop, token):
    """The status of an alert with this token at the alert door."""
    return shop.admin("POST", "/alert", {"service": "shop"}, token=token, port=shop.alert_port).status


def error(shop, token=ADMIN_TOKEN):
    return shop.admin("GET", "/status", token=token).json["config"]["error"]


def wait_for_refusal(shop, words):
    wait_until(lambda: words in (error(shop) or ""), f"the status says {words}")


def test_a_new_admin_token_replaces_the_old_one_and_nothing_is_restarted(shop):
    workers = shop.worker_pids()
    with Load(shop.port) as load:
        load.wait_for(50)
        write_admin(shop)
        wait_until(lambda: may(shop, NEW), "the new token is good")
        load.wait_for(50)
    assert not may(shop, ADMIN_TOKEN)
    assert load.failed == []
    assert shop.worker_pids() == workers
    assert error(shop, NEW) is None
    assert '"what": "reload"' not in shop.said()


def test_a_connection_that_was_open_before_needs_the_new_token(shop):
    line = http.client.HTTPConnection("127.0.0.1", shop.admin_port, timeout=20)

    def ask():
        line.request("GET", "/status", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
        answer = line.getresponse()
        answer.read()
        return answer.status

    assert ask() == 200
    write_admin(shop)
    wait_until(lambda: may(shop, NEW), "the new token is good")
    assert ask() == 401
    line.close()


def test_a_host_gets_a_token_and_loses_it(shop):
    assert knock(shop, OTHER) == 401
    write_alert(shop, json.dumps({"canary-1": MONITOR_TOKEN, "monitor": OTHER}))
    wait_until(lambda: knock(shop, OTHER) == 200, "the new host may raise alerts")
    assert shop.alert()["by"] == "monitor"
    assert shop.admin("GET", "/status", token=OTHER).status == 403
    write_alert(shop, json.dumps({"monitor": OTHER}))
    wait_until(lambda: knock(shop, MONITOR_TOKEN) == 401, "the old host may no longer")
    assert knock(shop, OTHER) == 200


NO_TOKENS = {
    '{"monitor": "half': "not JSON, want a JSON object of host id to token",
    "\x00": "not JSON, want a JSON object of host id to token",
    '["token-of-another-host"]': "want a JSON object of host id to token",
    '{"admin": "token-of-another-host"}': "a host cannot be called 'admin'",
}


def test_a_bad_file_of_alert_tokens_is_refused_and_the_last_good_tokens_stay(shop):
    for text, said in NO_TOKENS.items():
        write_alert(shop, text)
        wait_for_refusal(shop, f"alert.tokens.json: {said}")
        assert knock(shop, MONITOR_TOKEN) == 200
        assert knock(shop, OTHER) == 401
    assert shop.metrics()["sluice_config_refused"] == 1
    assert OTHER not in shop.said() + json.dumps(shop.status())
    write_alert(shop, json.dumps({"monitor": OTHER}))
    wait_until(lambda: error(shop) is None, "the good file is taken over")
    assert knock(shop, OTHER) == 200


def test_a_bad_admin_token_is_refused_and_the_last_good_one_stays(shop):
    write_admin(shop, "")
    wait_for_refusal(shop, "admin.token: is empty; the balancer needs an admin token")
    write_admin(shop, "two lines\nof it")
    wait_for_refusal(shop, "admin.token: want one line of printable ASCII without spaces")
    assert "two lines" not in shop.said()


def test_a_file_of_tokens_that_is_gone_is_refused_until_it_is_back(shop):
    path = shop.directory / "alert.tokens.json"
    text = path.read_text()
    path.unlink()
    wait_for_refusal(shop, "alert.tokens.json: No such file or directory")
    assert knock(shop, MONITOR_TOKEN) == 200
    path.write_text(text)
    wait_until(lambda: error(shop) is None, "it is back")


def test_nothing_is_taken_over_while_one_of_the_files_is_bad(shop):
    write_alert(shop, "{half")
    wait_for_refusal(shop, "alert.tokens.json")
    write_admin(shop)
    shop.shop["weights"] = {"stable": 60, "canary": 40}
    shop.write()
    refused = shop.admin("POST", "/reload")
    assert refused.status == 400
    (told,) = refused.json["mistakes"]
    assert told.endswith("alert.tokens.json: not JSON, want a JSON object of host id to token")
    assert not may(shop, NEW)
    assert shop.weights() == {"stable": 100, "canary": 0}
    write_alert(shop, "{}")
    wait_until(lambda: may(shop, NEW), "all is taken over")
    assert not may(shop, ADMIN_TOKEN)
    status = shop.admin("GET", "/status", token=NEW).json
    assert status["services"]["shop"]["tracks"]["canary"]["weight_declared"] == 40
    assert knock(shop, MONITOR_TOKEN) == 401


def test_tokens_wait_for_a_bad_balancer_file_to_be_good(shop):
    shop.write("{half")
    wait_for_refusal(shop, "not JSON")
    write_admin(shop)
    assert shop.admin("POST", "/reload").status == 400
    assert not may(shop, NEW)
    shop.write()
    wait_until(lambda: may(shop, NEW), "file and token are taken over")


def test_a_signal_and_an_order_take_tokens_over(shop):
    write_admin(shop)
    os.kill(shop._process.pid, signal.SIGHUP)
    wait_until(lambda: may(shop, NEW), "the signal was enough")
    write_admin(shop, "third-admin-token")
    # By the watch or by this order; the answer comes when it is in force.
    shop.admin("POST", "/reload", token=NEW)
    assert not may(shop, NEW)
    assert shop.admin("POST", "/reload", token="third-admin-token").status == 200


def test_a_reload_is_audited_if_it_changed_something(shop):
    assert shop.admin("POST", "/reload").status == 200
    assert '"what": "reload"' not in shop.said()
    write_alert(shop, json.dumps({"monitor": OTHER}))
    wait_until(lambda: knock(shop, OTHER) == 200, "it is taken over")
    assert "other tokens are in force: admin and 1 that may raise alerts, 2 of hosts" in shop.said()
    assert OTHER not in shop.said()


def test_with_bad_alert_tokens_it_starts_without_them_and_says_so(shop):
    shop.stop()
    write_alert(shop, "{half")
    shop.start().wait_for_backends()
    assert "alert.tokens.json: not JSON" in error(shop)
    assert "starting without alert tokens" in shop.said()
    assert knock(shop, MONITOR_TOKEN) == 401
    assert shop.served_by(5) == {"stable-1": 5}
    write_alert(shop, json.dumps({"canary-1": MONITOR_TOKEN}))
    wait_until(lambda: knock(shop, MONITOR_TOKEN) == 200, "the good file is taken over")
    assert error(shop) is None


def test_the_balancer_does_not_start_with_a_bad_admin_token(shop):
    shop.stop()
    write_admin(shop, "two words")
    shop.start(wait=False)
    assert shop._process.wait(20) == 2
    shop.output.close()
    assert "admin.token: want one line of printable ASCII without spaces" in shop.said()
    assert "two words" not in shop.said()


def test_a_short_token_is_good_and_warned_of_without_being_told(shop):
    write_admin(shop, "kurz!")
    wait_until(lambda: may(shop, "kurz!"), "the short token is good")
    assert "the token of admin is shorter than 16 characters" in shop.said()
    assert "kurz!" not in shop.said()
