"""What must outlive a restart does; in doubt every service is alerted. Values of Redis keys; tokens."""

import json
import os

import pytest

from balancer import redisdoor
from balancer.alerts import ANY, Alert, State, clean, now
from balancer.tokens import TokenError, Tokens

BAD = Alert("errors", "canary-1", "2026-11-24T12:00:00Z", "http")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.json"


def test_a_state_that_was_never_saved_is_empty(path):
    state = State(path)
    state.load()
    assert (state.alerts, state.drained) == ({}, {})
    assert state.alert("shop") is None


def test_what_was_saved_is_loaded(path):
    state = State(path)
    state.alerts["shop"] = BAD
    state.drained = {"shop": {"b", "a"}, "other": set()}
    state.save()
    again = State(path)
    again.load()
    assert again.alerts == {"shop": BAD}
    assert again.drained == {"shop": {"a", "b"}}


def test_saving_leaves_no_half_file(path):
    state = State(path)
    state.alerts["shop"] = BAD
    state.save()
    before = path.read_text()
    path.with_suffix(".new").mkdir()
    state.alerts["other"] = BAD
    with pytest.raises(OSError):
        state.save()
    assert path.read_text() == before
    assert state.unsaved
    path.with_suffix(".new").rmdir()
    state.save()
    assert not state.unsaved
    assert set(json.loads(path.read_text())["alerts"]) == {"shop", "other"}


CORRUPT = {
    "nothing": b"",
    "half": b'{"alerts": {"shop"',
    "zeros": b"\x00" * 100,
    "a list": b"[]",
    "no alerts": b'{"drained": {}}',
    "no drained": b'{"alerts": {}}',
    "alerts that are a list": b'{"alerts": [], "drained": {}}',
    "an alert that is text": b'{"alerts": {"shop": "bad"}, "drained": {}}',
    "an alert of other fields": b'{"alerts": {"shop": {"why": "x"}}, "drained": {}}',
    "drained that is a number": b'{"alerts": {}, "drained": {"shop": 1}}',
    "not UTF-8": b'{"alerts": {"\xff": 1}}',
}


@pytest.mark.parametrize("raw", CORRUPT.values(), ids=CORRUPT)
def test_in_doubt_about_the_file_every_service_is_alerted(path, raw):
    path.write_bytes(raw)
    state = State(path)
    state.load()
    for service in ("shop", "any other"):
        assert state.alert(service).door == "state"
        assert state.alert(service).reason.startswith("state file unreadable")


def test_a_file_that_is_a_directory_is_in_doubt_too(path):
    path.mkdir()
    state = State(path)
    state.load()
    assert state.alert("shop") is not None


def test_the_alert_of_all_services_is_cleared_one_by_one(path):
    path.write_text("?")
    state = State(path)
    state.load()
    assert state.clear("shop", {"shop", "itrust"})
    assert state.alert("shop") is None
    assert state.alert("itrust").door == "state"
    assert ANY not in state.alerts
    assert not state.clear("shop", {"shop", "itrust"})


def test_an_alert_is_of_one_service(path):
    state = State(path)
    state.alerts["shop"] = BAD
    assert state.alert("itrust") is None
    assert not state.clear("itrust", {"shop", "itrust"})
    assert state.clear("shop", {"shop", "itrust"})
    assert state.alert("shop") is None


def test_the_file_is_whole_after_every_save(path):
    state = State(path)
    for number in range(20):
        state.alerts[f"s{number}"] = BAD
        state.save()
        assert len(json.loads(path.read_text())["alerts"]) == number + 1
    assert os.listdir(path.parent) == ["state.json"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("slow pages", "slow pages"),
        ("  slow \n pages\t", "slow   pages"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("null\x00byte", "null byte"),
        ("right\u202eleft", "right left"),
        ("{{ salt['cmd.run']('id') }}", "{{ salt['cmd.run']('id') }}"),
        ("Grüße", "Grüße"),
        ("x" * 1_000_000, "x" * 200),
        ("", "no reason given"),
        (" \n ", "no reason given"),
        (None, "no reason given"),
        (5, "no reason given"),
        (["a"], "no reason given"),
        ({"a": 1}, "no reason given"),
    ],
)
def test_a_reason_becomes_one_printable_line(text, wanted):
    assert clean(text) == wanted


def test_the_time_is_utc_with_milliseconds():
    assert len(now()) == len("2026-11-24T12:00:00.123Z")
    assert now().endswith("Z")


@pytest.mark.parametrize(
    ("value", "reason", "by"),
    [
        ('{"reason": "errors", "by": "canary-1", "at": "then"}', "errors", "canary-1"),
        ("just text", "just text", "redis"),
        ("", "raised in Redis", "redis"),
        ("1", "1", "redis"),
        ("[1, 2]", "[1, 2]", "redis"),
        ("{}", "raised in Redis", "redis"),
        ('{"reason": 5, "by": ["x"]}', "raised in Redis", "redis"),
        ('{"reason": "a\\nb", "by": "' + "y" * 500 + '"}', "a b", "y" * 64),
        ("\ufffd\ufffd", "\ufffd\ufffd", "redis"),
        ("[" * 100_000, "[" * 200, "redis"),
        ("9" * 10_000, "9" * 200, "redis"),
    ],
)
def test_any_value_of_a_key_is_an_alert(value, reason, by):
    alert = redisdoor.parse(value)
    assert (alert.reason, alert.by, alert.door) == (reason, by, "redis")


# Tokens.


def make_tokens(directory, alert='{"canary-1": "monitor", "empty": ""}', admin="secret\n"):
    (directory / "admin").write_text(admin)
    (directory / "alert").write_text(alert)
    return Tokens(directory / "admin", directory / "alert")


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("Bearer secret", "admin"),
        ("bearer secret", "admin"),
        ("Bearer monitor", "canary-1"),
        ("Bearer other", None),
        ("Bearer secret ", None),
        ("Bearer secret\n", None),
        ("Bearer ", None),
        ("Bearer", None),
        ("Basic secret", None),
        ("secret", None),
        ("", None),
        ("Bearer secrét", None),
    ],
)
def test_a_token_tells_who_asks(tmp_path, header, wanted):
    assert make_tokens(tmp_path).holder(header) == wanted


@pytest.mark.parametrize("admin", ["", "\n", "  "])
def test_nobody_runs_without_an_admin_token(tmp_path, admin):
    with pytest.raises(ValueError, match="is empty; the balancer needs an admin token"):
        make_tokens(tmp_path, admin=admin)
    with pytest.raises(ValueError, match="No such file or directory; the balancer needs an admin token"):
        Tokens(tmp_path / "none", None)


@pytest.mark.parametrize("alert", ["", "[]", '{"a": 1}', '"x"', "[" * 100_000, "\x00"])
def test_a_file_of_alert_tokens_that_is_none_is_refused(tmp_path, alert):
    tokens = make_tokens(tmp_path, alert=alert)
    assert f"{tmp_path}/alert: " in tokens.mistake
    assert tokens.holder("Bearer secret") == "admin"
    with pytest.raises(TokenError, match="alert: "):
        tokens.read()


def test_no_host_becomes_admin_by_its_name(tmp_path):
    tokens = make_tokens(tmp_path, alert='{"admin": "mine"}')
    assert "a host cannot be called 'admin'" in tokens.mistake
    assert tokens.holder("Bearer mine") is None
