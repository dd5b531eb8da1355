"""balancer: the admin API, of a real balancer and of whatever may answer in its place."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from modules_support import (
    PATIENCE,
    answering,
    dead_port,
    request,
    response,
    serving,
    wait_until,
)
from salt.exceptions import CommandExecutionError, SaltInvocationError

from tests.support.ports import free_port

REPO = Path(__file__).resolve().parents[3]
TOKEN = "swordfish-of-the-tests"


@pytest.fixture
def settings(modules, tmp_path, monkeypatch):
    """settings(port): /etc/sluice/balancer.json and its token, for an admin API on this port; the path."""

    def write(port, token=TOKEN):
        path = tmp_path / "balancer.json"
        (tmp_path / "admin.token").write_text(token)
        admin = {"listen": f"127.0.0.1:{port}", "token_file": str(tmp_path / "admin.token")}
        config = {
            "workers": 1,
            "admin": admin,
            "state_dir": str(tmp_path / "state"),
            "services": {
                "checkbox": {
                    "listen": f"127.0.0.1:{free_port()}",
                    "weights": {"stable": 70, "canary": 30},
                    "tracks": {
                        "stable": {"checkbox-1": f"127.0.0.1:{free_port()}"},
                        "canary": {"canary-1": f"127.0.0.1:{free_port()}"},
                    },
                }
            },
        }
        path.write_text(json.dumps(config))
        return path

    names = modules["balancer.status"].func.__globals__
    monkeypatch.setitem(names, "CONFIG", str(tmp_path / "balancer.json"))
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    return write


@pytest.fixture
def balancer(modules, settings, tmp_path):
    """A running balancer; the path of its file."""
    path = settings(free_port())
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "balancer", "--config", str(path)], cwd=REPO, stderr=log, stdout=log
        )
    try:
        wait_until(lambda: process.poll() is not None or answers(modules), "the balancer answers")
        assert process.poll() is None, (tmp_path / "log").read_text()
        yield path
    finally:
        process.terminate()
        process.wait(PATIENCE)


def answers(modules):
    try:
        return modules["balancer.status"]()
    except CommandExecutionError:
        return None


def reweigh(path, **weights):
    config = json.loads(path.read_text())
    config["services"]["checkbox"]["weights"] = weights
    path.write_text(json.dumps(config))


def declared(status):
    return {
        name: track["weight_declared"] for name, track in status["services"]["checkbox"]["tracks"].items()
    }


def test_every_order_reaches_a_real_balancer(modules, balancer):
    status = modules["balancer.status"]()
    assert declared(status) == {"stable": 70, "canary": 30}
    assert status["services"]["checkbox"]["alert"] is None

    raised = modules["balancer.alert"]("checkbox", "too many errors")
    assert raised["alert"]["reason"] == "too many errors"
    assert modules["balancer.alert"]("checkbox", 5)["alert"]["reason"] == "too many errors"
    assert modules["balancer.status"]()["services"]["checkbox"]["alert"]["by"] == "admin"
    assert modules["balancer.clear"]("checkbox") == {"cleared": True}
    assert modules["balancer.clear"]("checkbox") == {"cleared": False}

    assert modules["balancer.drain"]("checkbox", "canary-1", "5") == {"in_flight": 0, "cut": 0}
    tracks = modules["balancer.status"]()["services"]["checkbox"]["tracks"]
    assert tracks["canary"]["backends"]["canary-1"]["state"] == "drained"
    assert modules["balancer.restore"]("checkbox", "canary-1") == {"restored": True}
    assert modules["balancer.restore"]("checkbox", "canary-1") == {"restored": False}


def test_show_tells_a_person_what_the_balancer_does(modules, balancer):
    modules["balancer.alert"]("checkbox", "too many errors")
    modules["balancer.drain"]("checkbox", "canary-1")
    said = modules["balancer.show"]()
    assert "1 worker, Redis off" in said
    assert re.search(r"^  ALERT since \S+ by admin \(http\): too many errors$", said, flags=re.M)
    assert "  stable 0% (declared 70%)\n    checkbox-1" in said
    assert re.search(r"canary-1 +127\.0\.0\.1:\d+ +drained +0 in flight", said)
    assert modules["balancer.show"]("checkbox") == said
    with pytest.raises(CommandExecutionError, match="unknown service nope; known: checkbox"):
        modules["balancer.show"]("nope")


def test_weights_are_leased_read_back_and_given_up(modules, balancer):
    told = modules["balancer.set_weights"]("checkbox", '{"stable": 50, "canary": 50}', lease_seconds="600")
    assert told["declared"] == {"stable": 70, "canary": 30}
    assert told["lease"]["weights"] == {"stable": 50, "canary": 50}
    # No backend of this fleet is up, so nothing is in force.
    assert told["effective"] == {"stable": 0, "canary": 0}
    again = modules["balancer.set_weights"]("checkbox", {"stable": 50, "canary": 50}, 300, timeout=5)
    assert 290 < again["lease"]["seconds_left"] <= 300
    ended = modules["balancer.end_lease"]("checkbox")
    assert (ended["ended"], ended["lease"], ended["declared"]) == (True, None, told["declared"])
    assert modules["balancer.end_lease"]("checkbox")["ended"] is False


def test_weights_that_cannot_be_are_refused_in_the_balancers_words(modules, balancer):
    with pytest.raises(CommandExecutionError, match="'weights' sum to 110: want 100"):
        modules["balancer.set_weights"]("checkbox", {"stable": 60, "canary": 50})
    with pytest.raises(CommandExecutionError, match="want steps of 0.1 percent"):
        modules["balancer.set_weights"]("checkbox", {"stable": 99.99, "canary": 0.01})
    with pytest.raises(CommandExecutionError, match="unknown service; known: checkbox"):
        modules["balancer.set_weights"]("nope", {"stable": 100, "canary": 0})
    assert modules["balancer.status"]()["services"]["checkbox"]["lease"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("checkbox", "half"), "weights is 'half': want a percentage for each track"),
        (("checkbox", [50, 50]), "weights is .*: want a percentage"),
        (("checkbox", {1: 100}), "weights is .*: want a percentage"),
        (("checkbox", {"stable": 100}, 0), "lease_seconds is 0: want 1 to 86400 seconds"),
        (("checkbox", {"stable": 100}, "soon"), "lease_seconds is 'soon': want"),
        (("checkbox", {"stable": 100}, 60, True), "timeout is True: want 0.1 to 600 seconds"),
    ],
)
def test_a_lease_that_is_none_is_told_before_anything_is_asked(modules, settings, arguments, said):
    with dead_port() as port:
        settings(port)
        with pytest.raises(SaltInvocationError, match=said):
            modules["balancer.set_weights"](*arguments)
        with pytest.raises(SaltInvocationError, match="is not the name of a service"):
            modules["balancer.end_lease"]("a/b")


def test_weights_that_somebody_else_set_meanwhile_are_no_success(modules, settings):
    """What is read back counts."""
    lease = {"weights": {"stable": 90, "canary": 10}}
    body = json.dumps({"services": {"checkbox": {"lease": lease, "tracks": {}}}}).encode()
    with serving(answering(200, body)) as port:
        settings(port)
        with pytest.raises(CommandExecutionError, match="has {'stable': 90, 'canary': 10} when asked"):
            modules["balancer.set_weights"]("checkbox", {"stable": 50, "canary": 50})
    with serving(answering(200, b"{}")) as port:
        settings(port)
        with pytest.raises(CommandExecutionError, match="tells no weights of checkbox"):
            modules["balancer.set_weights"]("checkbox", {"stable": 50, "canary": 50})


def test_reload_takes_over_a_good_file_and_tells_all_mistakes_of_a_bad_one(modules, balancer):
    reweigh(balancer, stable=95, canary=5)
    assert declared(modules["balancer.reload"]()) == {"stable": 95, "canary": 5}
    reweigh(balancer, stable=-1, canary="x")
    with pytest.raises(CommandExecutionError) as refused:
        modules["balancer.reload"]()
    for words in ("refused", "weights.stable: is -1", 'weights.canary: is "x"'):
        assert words in str(refused.value)
    assert declared(modules["balancer.status"]()) == {"stable": 95, "canary": 5}


def test_unknown_names_are_told_in_the_words_of_the_balancer(modules, balancer):
    orders = (
        ("balancer.alert", ("shop",), "unknown service; known: checkbox"),
        ("balancer.clear", ("shop",), "unknown service; known: checkbox"),
        ("balancer.drain", ("shop", "canary-1"), "unknown service; known: checkbox"),
        ("balancer.drain", ("checkbox", "canary-9"), "unknown backend of checkbox; known: canary-1"),
        ("balancer.restore", ("checkbox", "canary-9"), "unknown backend of checkbox; known: canary-1"),
    )
    for function, arguments, said in orders:
        with pytest.raises(CommandExecutionError, match=said):
            modules[function](*arguments)


def test_wrong_token_is_told_without_the_token(modules, balancer):
    (balancer.parent / "admin.token").write_text("another-token")
    with pytest.raises(CommandExecutionError) as refused:
        modules["balancer.status"]()
    assert "want a valid token" in str(refused.value)
    assert "another-token" not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, b'{"error": "want a valid token"}', "want a valid token"),
        (403, b'{"error": "this token may only raise alerts"}', "may only raise alerts"),
        (404, b'{"error": "no service shop"}', "no service shop"),
        (
            400,
            b'{"error": "refused", "mistakes": ["$.a: bad", "$.b: worse"]}',
            r"refused: \$.a: bad; \$.b: worse",
        ),
        (200, b"<html>", "no balancer .status 200"),
        (200, b"[1]", "no balancer .status 200"),
        (200, b"\xff\xfe", "no balancer .status 200"),
        (502, b"<html>bad gateway", "no balancer .status 502"),
        (500, b'["x"]', "no balancer .status 500"),
        (500, b"null", "no balancer .status 500"),
        (404, b'{"message": "x"}', "no balancer .status 404"),
        (302, b"", "no balancer .status 302"),
    ],
)
def test_an_answer_that_is_no_success_is_told(modules, settings, status, body, said):
    with serving(answering(status, body)) as port:
        settings(port)
        with pytest.raises(CommandExecutionError, match=said):
            modules["balancer.status"]()


def test_no_answer_says_where_and_what_next(modules, settings):
    with dead_port() as port:
        settings(port)
        with pytest.raises(CommandExecutionError) as failed:
            modules["balancer.status"]()
    for words in (f"127.0.0.1:{port}", "refused", "journalctl -u sluice-balancer"):
        assert words in str(failed.value)


def hangs(connection):
    request(connection)
    connection.recv(1)


def hangs_up(connection):
    request(connection)


def says_nonsense(connection):
    request(connection)
    connection.sendall(b"220 mail.example.com\r\n\r\n")


@pytest.mark.parametrize("server", [hangs, hangs_up, says_nonsense])
def test_a_server_that_is_no_http_server_does_not_answer(modules, settings, monkeypatch, server):
    call = modules["balancer.status"].func.__globals__["_call"]
    monkeypatch.setattr(call, "__defaults__", (None, 0.2))
    with serving(server) as port:
        settings(port)
        with pytest.raises(CommandExecutionError, match="does not answer"):
            modules["balancer.status"]()


def test_the_token_goes_into_the_header_and_nowhere_else(modules, settings):
    heads = []

    def note(connection):
        heads.append(request(connection))
        connection.sendall(response(body=b"{}"))

    with serving(note) as port:
        settings(port, token=f"{TOKEN}\n")
        modules["balancer.status"]()
        modules["balancer.clear"]("checkbox")
    assert heads[0].startswith(b"GET /status HTTP/1.1\r\n")
    assert heads[1].startswith(b"DELETE /alert/checkbox HTTP/1.1\r\n")
    assert all(head.count(TOKEN.encode()) == 1 for head in heads)
    assert all(f"Authorization: Bearer {TOKEN}\r\n".encode() in head for head in heads)


@pytest.mark.parametrize("token", ["", " ", "sword\nfish", "sword fish", "swordfïsh"])
def test_a_token_that_is_none_is_refused_and_not_quoted(modules, settings, token):
    settings(1, token=token)
    with pytest.raises(CommandExecutionError) as refused:
        modules["balancer.status"]()
    assert "admin.token: want one line of printable ASCII" in str(refused.value)
    assert "sword" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[]",
        "{}",
        '{"admin": []}',
        '{"admin": {"listen": 1, "token_file": "/x"}}',
        '{"admin": {"listen": "127.0.0.1:x", "token_file": "/x"}}',
        '{"admin": {"listen": "127.0.0.1:1", "token_file": "/nowhere/token"}}',
    ],
)
def test_a_file_that_cannot_be_used_is_told(modules, settings, tmp_path, text):
    path = settings(1)
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(CommandExecutionError, match="cannot be used.*apply the balancer state"):
        modules["balancer.status"]()


@pytest.mark.parametrize("name", ["", "../status", "a/b", "a?b", "Ä", "x" * 40, 7, None, "a\r\nb"])
def test_clear_refuses_what_is_no_name(modules, settings, name):
    settings(1)
    with pytest.raises(SaltInvocationError, match="not the name of a service"):
        modules["balancer.clear"](name)


@pytest.mark.parametrize("seconds", [-1, 3601, "soon", None, float("nan"), float("inf")])
def test_drain_refuses_a_deadline_that_is_none(modules, settings, seconds):
    settings(1)
    with pytest.raises(SaltInvocationError, match="want 0 to 3600"):
        modules["balancer.drain"]("checkbox", "canary-1", seconds)


@pytest.mark.parametrize("force", ["True", "yes", 1, None])
def test_drain_refuses_a_force_that_is_none(modules, settings, force):
    settings(1)
    with pytest.raises(SaltInvocationError, match="want True or False"):
        modules["balancer.drain"]("checkbox", "canary-1", force=force)


def test_check_accepts_a_good_file_and_tells_all_mistakes_of_a_bad_one(modules, settings):
    path = settings(1)
    assert modules["balancer.check"](str(path), sys.executable) is True
    reweigh(path, stable=50, canary=60)
    with pytest.raises(CommandExecutionError, match="sum to 110, want 100"):
        modules["balancer.check"](str(path), sys.executable)
    with pytest.raises(CommandExecutionError, match="cannot be read"):
        modules["balancer.check"](str(path.with_name("nowhere.json")), sys.executable)


def test_check_without_a_balancer_says_what_to_do(modules, settings, tmp_path):
    path = settings(1)
    with pytest.raises(CommandExecutionError, match="is not there; apply the balancer state"):
        modules["balancer.check"](str(path), str(tmp_path / "venv/bin/python"))
    mute = tmp_path / "python"
    mute.write_text("#!/bin/sh\nexit 3\n")
    os.chmod(mute, 0o755)
    with pytest.raises(CommandExecutionError, match="ended with code 3"):
        modules["balancer.check"](str(path), str(mute))
