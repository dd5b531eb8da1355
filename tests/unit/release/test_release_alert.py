"""Which events are alerts, and what is left of their words."""

import json

import pytest
import sluice_alert
from sluice_errors import EventRefused

NODEGROUPS = {
    "master": "master",
    "balancer": "lb-*",
    "checkbox_stable": "checkbox-*",
    "checkbox_canary": "canary-*",
}


def accept(settings, tag="release/checkbox/alert", **data):
    data.setdefault("id", "canary-1")
    return sluice_alert.accept(json.dumps({"tag": tag, "data": data}), settings, NODEGROUPS, now="noon")


def test_alert_of_a_canary_is_accepted(settings):
    assert accept(settings, data={"reason": "errors went up"}) == {
        "service": "checkbox",
        "reason": "errors went up",
        "by": "canary-1",
        "at": "noon",
    }


@pytest.mark.parametrize("id_", ["canary-1", "checkbox-2", "lb-1", "master"])
def test_hosts_of_the_service_balancers_and_the_master_may_raise_one(settings, id_):
    assert accept(settings, id=id_)["by"] == id_


@pytest.mark.parametrize(
    "id_",
    ["redis-1", "", None, 7, [], {}, "canary-1\n", "canary-1 x", "*", "canary-*", "canary-" + "x" * 300],
)
def test_nobody_else_may(settings, id_):
    with pytest.raises(EventRefused, match="may not raise"):
        accept(settings, id=id_)


@pytest.mark.parametrize(
    "tag",
    [
        "release/chessbox/alert", "release/checkbox/alert/",
        "xrelease/checkbox/alert", "RELEASE/checkbox/alert",
        "release/checkbox/x/alert", "release//alert", "release/checkbox\n/alert", "release/checkbox/alert\n",
        "release/{{ 1 }}/alert", 7, None, ["release/checkbox/alert"],
    ],
)  # fmt: skip
def test_any_other_tag_is_refused(settings, tag):
    with pytest.raises(EventRefused):
        accept(settings, tag=tag)


@pytest.mark.parametrize(
    "text", [None, 7, b"{}", "", "{", "[]", "null", "[" * 100_000, {"tag": "release/checkbox/alert"}]
)
def test_event_that_is_no_json_object_is_refused(settings, text):
    with pytest.raises(EventRefused):
        sluice_alert.accept(text, settings, NODEGROUPS)


@pytest.mark.parametrize(
    "reason",
    [None, "", "  ", 7, True, [], {}, "a\nb", "a\x00b", "\x1b[2J", "\u2028", "\u202e", "x" * 201, "\ud83d"],
)
def test_reason_that_is_not_one_printable_line_is_replaced(reason):
    assert sluice_alert.clean_reason(reason) == sluice_alert.DEFAULT_REASON


@pytest.mark.parametrize("reason", ["{{ salt['cmd.run']('id') }}", "!!python/object: x", "<b>", "é 😀"])
def test_reason_that_is_printable_stays_the_text_it_is(reason):
    assert sluice_alert.clean_reason(reason) == reason


def test_words_of_a_huge_event_are_not_read_but_it_counts(settings):
    alert = accept(settings, data={"reason": "short", "ballast": "x" * sluice_alert.MAX_EVENT_CHARS})
    assert alert["reason"] == sluice_alert.DEFAULT_REASON


@pytest.mark.parametrize("payload", [None, 7, "text", [], ["reason"], {"reason": {"reason": "x"}}])
def test_payload_of_any_shape_counts(settings, payload):
    assert accept(settings, data=payload)["reason"] == sluice_alert.DEFAULT_REASON


def test_refusal_shows_nothing_raw_from_the_event(settings):
    with pytest.raises(EventRefused) as refused:
        accept(settings, tag="release/\x1b[2J\n" + "x" * 10_000 + "/alert")
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 200
