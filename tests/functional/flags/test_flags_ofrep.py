"""OFREP 0.3, as its OpenAPI file has it."""

import json

import pytest

from tests.support.flag_service import PREFIX
from tests.support.redis_fleet import wait_for

IN_CANADA = {"attribute": "country", "in": ["CA"]}
RULES = {"rules": {"match": [{"if": IN_CANADA, "percentage": 50}]}}
COLOURS = {
    "variants": {"off": "grey", "red": "#f00", "blue": "#00f"},
    "rules": {"match": [{"if": IN_CANADA, "serve": "blue"}], "default": "red"},
}
NUMBERS = {"variants": {"off": 0, "few": 3, "half": 0.5}}
OBJECTS = {"variants": {"off": {}, "on": {"size": 3}}}


@pytest.fixture(scope="module", autouse=True)
def known(shared):
    """The flags of these tests."""
    values = {
        "key1": "1",
        "dark": "0",
        "ramp": "1",
        "colour": "1",
        "few": "few",
        "half": "half",
        "big": "1",
    }
    for name, value in values.items():
        shared.fleet.call("redis-1", "SET", name, value)
    documents = {"ramp": RULES, "colour": COLOURS, "few": NUMBERS, "half": NUMBERS, "big": OBJECTS}
    for name, document in documents.items():
        shared.fleet.call("redis-1", "SET", f"sluice:flag:{name}", json.dumps(document))
    shared.fleet.call("redis-1", "SET", "sluice:flag:described", json.dumps({"owner": "me"}))
    shared.wait_for_value("described", False)


def test_a_plain_flag_is_answered_with_value_variant_and_reason(shared):
    answer = shared.evaluate("key1")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == {"key": "key1", "value": True, "variant": "on", "reason": "STATIC"}
    assert shared.evaluate("dark").json == {
        "key": "dark",
        "value": False,
        "variant": "off",
        "reason": "DISABLED",
    }


def test_a_flag_that_is_only_described_is_off(shared):
    told = shared.evaluate("described").json
    assert (told["value"], told["variant"]) == (False, "off")


def test_every_type_of_value_is_answered_as_that_type(shared):
    assert (shared.value("colour"), shared.value("colour", country="CA")) == ("#f00", "#00f")
    assert shared.value("few") == 3
    assert shared.value("half") == 0.5
    assert shared.value("big") == {"size": 3}


def test_rules_are_asked_for_the_context(shared):
    inside = [shared.value("ramp", targetingKey=f"user-{n}", country="CA") for n in range(60)]
    assert {True, False} == set(inside)
    assert not shared.value("ramp", country="FR")
    told = shared.evaluate("ramp", targetingKey="user-1", country="FR").json
    # OFREP knows no DEFAULT.
    assert (told["reason"], told["metadata"]) == ("UNKNOWN", {"reason": "DEFAULT"})


def test_a_percentage_without_targeting_key_is_said_to_want_one(shared):
    answer = shared.evaluate("ramp", {"country": "CA"})
    assert answer.status == 400
    assert answer.json["errorCode"] == "TARGETING_KEY_MISSING"
    assert answer.json["key"] == "ramp"


def test_a_plain_flag_needs_no_targeting_key(shared):
    assert shared.evaluate("key1", {}).json["value"] is True
    assert shared.evaluate("key1", {"targetingKey": None}).json["value"] is True


BODIES = {
    "nothing": (b"", "PARSE_ERROR"),
    "no JSON": (b"{context", "PARSE_ERROR"),
    "a list": (b"[]", "PARSE_ERROR"),
    "not a number": (b'{"context": {"a": NaN}}', "PARSE_ERROR"),
    "no UTF-8": b'{"context": {"a": "\xff"}}',
    "UTF-16": '{"context": {}}'.encode("utf-16"),
    "endless nesting": b"[" * 60_000,
    "a number of 10,000 digits": b'{"context": {"a": ' + b"9" * 10_000 + b"}}",
    "no context": (b"{}", "INVALID_CONTEXT"),
    "a context of text": (b'{"context": "me"}', "INVALID_CONTEXT"),
    "a context that is null": (b'{"context": null}', "INVALID_CONTEXT"),
    "a key that is a number": (b'{"context": {"targetingKey": 7}}', "INVALID_CONTEXT"),
    "a deep context": (b'{"context": ' + b'{"a":' * 40 + b"1" + b"}" * 41, "INVALID_CONTEXT"),
}


@pytest.mark.parametrize("what", BODIES)
@pytest.mark.parametrize("path", [f"{PREFIX}/ramp", PREFIX])
def test_a_body_that_is_no_good_is_answered_400_with_a_code(shared, what, path):
    told = BODIES[what]
    body, code = told if isinstance(told, tuple) else (told, "PARSE_ERROR")
    answer = shared.post(path, body)
    assert answer.status == 400, answer.body
    assert answer.json["errorCode"] == code
    assert answer.json["errorDetails"]
    assert "Traceback" not in answer.body.decode()
    # OFREP wants the key where one was asked for.
    assert answer.json.get("key") == (None if path == PREFIX else "ramp")


def test_half_a_surrogate_pair_is_an_answer_and_no_failure(shared):
    answer = shared.post(f"{PREFIX}/ramp", b'{"context": {"targetingKey": "\\ud800", "country": "CA"}}')
    assert answer.status in (200, 400), answer.body


NAMES = {
    "unknown": "nope",
    "spaces": "a%20b",
    "a newline": "a%0Ab",
    "10 kB": "x" * 7_000,
    "an internal key": "sluice:flag:key1",
    "a path": "../key1",
    "bytes": "%ff%fe",
    "a NUL": "key1%00",
    "markup": "%3Cscript%3E",
}


@pytest.mark.parametrize("what", NAMES)
def test_a_flag_that_is_not_there_is_not_found(shared, what):
    answer = shared.evaluate(NAMES[what])
    assert answer.status == 404
    told = answer.json
    assert told["errorCode"] == "FLAG_NOT_FOUND"
    assert len(answer.body) < 500
    assert told["errorDetails"].isprintable()


def test_an_escaped_name_is_that_name(shared):
    assert shared.value("key%31") is True


def test_all_flags_come_at_once_with_a_tag_and_where_to_hear_of_changes(shared):
    answer = shared.bulk(country="CA")
    told = answer.json
    by_key = {row["key"]: row for row in told["flags"]}
    assert {"key1", "dark", "ramp", "colour", "few", "half", "big", "described"} <= set(by_key)
    assert by_key["key1"] == {"key": "key1", "value": True, "variant": "on", "reason": "STATIC"}
    assert all("variant" in row for row in told["flags"])
    assert answer.headers["etag"].startswith('"')
    (stream,) = told["eventStreams"]
    assert stream["type"] == "sse"
    assert stream["endpoint"]["requestUri"].startswith("/events?ticket=")
    assert set(told["metadata"]) == {"version"}


def test_one_flag_that_fails_does_not_fail_the_others(shared):
    rows = {row["key"]: row for row in shared.post(PREFIX, {"context": {"country": "CA"}}).json["flags"]}
    assert rows["ramp"]["errorCode"] == "TARGETING_KEY_MISSING"
    assert rows["key1"]["value"] is True


def test_a_tag_that_still_holds_is_answered_304_without_body(shared):
    first = shared.bulk()
    tag = first.headers["etag"]
    for told in (tag, tag.strip('"'), f"W/{tag}", f'"other", {tag}', "*"):
        answer = shared.bulk(told)
        assert (answer.status, answer.body) == (304, b""), told
        assert answer.headers["etag"] == tag
    assert shared.bulk('"other"').status == 200


def test_a_tag_is_of_one_context_and_of_one_state_of_the_flags(shared):
    tag = shared.bulk(country="CA", targetingKey="user-1").headers["etag"]
    others = {shared.bulk(country="CA", targetingKey=f"user-{n}").headers["etag"] for n in range(40)}
    assert len(others | {tag}) > 1
    shared.fleet.call("redis-1", "SET", "dark", "1")
    shared.wait_for_value("dark", True)
    assert shared.bulk(tag, country="CA", targetingKey="user-1").status == 200
    shared.fleet.call("redis-1", "SET", "dark", "0")
    shared.wait_for_value("dark", False)
    assert shared.bulk(tag, country="CA", targetingKey="user-1").status == 304


def test_what_the_event_stream_said_may_stand_in_the_query(shared):
    answer = shared.post(f"{PREFIX}?flagConfigEtag=x&flagConfigLastModified=7", {"context": {}})
    assert answer.status == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", f"{PREFIX}/key1", "POST"), ("DELETE", PREFIX, "POST"), ("POST", "/health", "GET, HEAD")],
)
def test_another_method_is_refused_with_those_there_are(shared, method, path, allowed):
    answer = shared.ask(method, path)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/", "/ofrep/v1/configuration", "/ofrep/v1/evaluate", "/flags"])
def test_there_is_nothing_else(shared, path):
    assert shared.ask("GET", path).status == 404


VALUES = {"no variant": "maybe", "nothing": "", "spaces": " 1", "a page": "x" * 100_000, "NUL": "1\0"}


@pytest.mark.parametrize("what", VALUES)
def test_a_value_that_is_none_is_off_and_says_so(shared, what):
    shared.fleet.call("redis-1", "SET", "odd", "1")
    shared.wait_for_value("odd", True)
    shared.fleet.call("redis-1", "SET", "odd", VALUES[what])
    shared.wait_for_value("odd", False)
    told = shared.evaluate("odd").json
    assert (told["variant"], told["reason"], told["metadata"]["reason"]) == ("off", "UNKNOWN", "ERROR")


def test_a_key_of_another_type_is_off(shared):
    shared.fleet.call("redis-1", "DEL", "odd")
    shared.fleet.call("redis-1", "RPUSH", "odd", "1")
    # Lists tell nothing of themselves here; all is read again every few seconds.
    wait_for(lambda: shared.evaluate("odd").status == 200, 10, "the list is noticed")
    assert shared.value("odd") is False
    shared.fleet.call("redis-1", "DEL", "odd")


DOCUMENTS = {
    "no JSON": "{",
    "a list": "[]",
    "an unknown key": '{"rule": {}}',
    "101 percent": '{"rules": {"match": [{"percentage": 101}]}}',
    "nested for ever": "[" * 50_000,
    "too long": json.dumps({"description": "x" * 70_000}),
    "control characters": '{"\\u001b[31m\\n": 1}',
}


@pytest.mark.parametrize("what", DOCUMENTS)
def test_a_document_that_cannot_be_read_is_off_and_says_why(shared, what):
    shared.fleet.call("redis-1", "SET", "torn", "1")
    shared.wait_for_value("torn", True)
    shared.fleet.call("redis-1", "SET", "sluice:flag:torn", DOCUMENTS[what])
    shared.wait_for_value("torn", False)
    told = shared.evaluate("torn").json["metadata"]
    assert told["reason"] == "ERROR"
    assert told["problem"].isprintable()
    assert len(told["problem"]) <= 200
    assert shared.health()["unreadable"] == 1
    shared.fleet.call("redis-1", "DEL", "sluice:flag:torn")
    shared.wait_for_value("torn", True)
