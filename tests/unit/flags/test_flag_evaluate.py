"""What a flag is for somebody."""

import math

import pytest
from sluice_flag_answers import Answer
from sluice_flag_evaluate import evaluate
from sluice_flag_rules import parse

COLOURS = {"off": "", "red": "#f00", "blue": "#00f"}
NOON = 1_796_126_400.0  # 2026-12-01T12:00:00Z
OFF = Answer(False, "off", "DISABLED")
# Of the flag `cart` they have the buckets 95774 and 1105.
LATE, EARLY = "user-10", "user-9"


def asked(document, value="1", context=None, now=NOON, serving=(), name="cart"):
    return evaluate(parse(name, document), value, context or {}, now, serving)


def rules(*match, variants=None, **parts):
    return {"rules": {**({"match": list(match)} if match else {}), **parts}} | (
        {"variants": variants} if variants else {}
    )


def holds(condition, **context):
    """True or False if a condition and its `not` disagree as they should, None if neither holds."""
    found = asked(rules({"if": condition}), context=context).value
    opposite = asked(rules({"if": {"not": condition}}), context=context).value
    assert not (found and opposite)
    return True if found else False if opposite else None


@pytest.mark.parametrize("value", ["0", None, "off"])
def test_a_flag_at_0_or_without_a_value_is_off_for_everybody(value):
    document = rules({"serve": "on"}, allow=["ann"], default="on")
    assert asked({}, value) == asked(document, value, {"targetingKey": "ann"}) == OFF


@pytest.mark.parametrize("value", ["", "2", "yes", "true", "ON", "1\n", " 1", "x" * 100_000, "\ud800"])
def test_a_value_that_cannot_be_read_is_off_for_everybody(value):
    assert asked({}, value) == Answer(False, "off", "ERROR")
    assert asked(rules(default="on"), value) == Answer(False, "off", "ERROR")


def test_a_flag_at_1_without_rules_is_on_for_everybody():
    assert asked({}, "1") == asked({"rules": {}}, "1") == Answer(True, "on", "STATIC")


def test_a_flag_without_rules_is_the_variant_that_its_value_names():
    assert asked({"variants": COLOURS}, "red") == Answer("#f00", "red", "STATIC")


def test_a_flag_at_1_with_neither_rules_nor_a_variant_on_is_off():
    assert asked({"variants": COLOURS}, "1") == Answer("", "off", "ERROR")


@pytest.mark.parametrize("values", [[1, 0], [1.5, 0.0], ["a", ""], [{"size": 3}, {}]])
def test_a_variant_is_any_value_of_json(values):
    on, off = values
    document = {"variants": {"on": on, "off": off}}
    assert (asked(document, "1").value, asked(document, "0").value) == (on, off)


def test_a_value_that_names_a_variant_changes_what_is_served_but_not_to_whom():
    document = rules(
        {"if": {"attribute": "staff", "equals": True}, "serve": "red"},
        deny=["mallory"],
        variants=COLOURS,
    )
    assert asked(document, "1", {"staff": True}).variant == "red"
    assert asked(document, "blue", {"staff": True}) == Answer("#00f", "blue", "TARGETING_MATCH")
    assert asked(document, "blue", {"staff": False}) == Answer("", "off", "DEFAULT")
    assert asked(document, "blue", {"staff": True, "targetingKey": "mallory"}).variant == "off"


def test_denied_comes_before_all_that_lets_in():
    document = rules({"serve": "on"}, deny=["mallory"])
    assert asked(document, context={"targetingKey": "mallory"}) == Answer(False, "off", "TARGETING_MATCH")
    assert asked(document, context={"targetingKey": "ann"}).value is True


def test_allowed_comes_before_match():
    document = rules({"serve": "off"}, allow=["ann"])
    assert asked(document, context={"targetingKey": "ann"}) == Answer(True, "on", "TARGETING_MATCH")
    assert asked(document, context={"targetingKey": "bob"}).value is False


def test_rules_that_only_deny_are_on_for_the_others():
    document = rules(deny=["mallory"])
    assert asked(document, context={"targetingKey": "ann"}) == Answer(True, "on", "DEFAULT")
    assert asked(document) == Answer(True, "on", "DEFAULT")


def test_a_list_of_allowed_is_off_for_the_others():
    for document in (rules(allow=["ann"]), rules(allow=[])):
        assert asked(document, context={"targetingKey": "bob"}) == Answer(False, "off", "DEFAULT")


@pytest.mark.parametrize("key", [5, None, True, ["ann"], {"a": 1}])
def test_a_targeting_key_that_is_no_text_is_in_no_list(key):
    assert asked(rules(allow=["ann"]), context={"targetingKey": key}).value is False


def test_the_first_entry_that_takes_somebody_decides():
    document = rules(
        {"if": {"attribute": "plan", "equals": "gold"}, "serve": "red"},
        {"if": {"attribute": "country", "equals": "DE"}, "serve": "blue"},
        variants=COLOURS,
    )
    assert asked(document, context={"plan": "gold", "country": "DE"}).variant == "red"
    assert asked(document, context={"country": "DE"}).variant == "blue"


def test_who_is_outside_a_percentage_is_asked_by_the_next_entry():
    document = rules({"percentage": 10, "serve": "red"}, {"serve": "blue"}, variants=COLOURS)
    assert asked(document, context={"targetingKey": EARLY}) == Answer("#f00", "red", "SPLIT")
    assert asked(document, context={"targetingKey": LATE}) == Answer("#00f", "blue", "TARGETING_MATCH")


@pytest.mark.parametrize(("share", "value"), [(1.105, False), (1.106, True)])
def test_a_share_of_so_many_buckets_has_the_first_of_them(share, value):
    begun = {"from": "2026-01-01T00:00Z", "until": "2026-02-01T00:00Z", "last": share}
    split = [{"serve": "on", "percentage": share}, {"serve": "off", "percentage": 100 - share}]
    for entry in ({"percentage": share}, {"ramp": begun}, {"split": split}):
        assert asked(rules(entry), context={"targetingKey": EARLY}).value is value


def test_the_default_is_for_whom_no_entry_takes():
    document = rules({"if": {"attribute": "a", "equals": 1}, "serve": "off"}, default="on")
    assert asked(document, context={"a": 2}) == Answer(True, "on", "DEFAULT")
    assert asked(document, context={"a": 1}) == Answer(False, "off", "TARGETING_MATCH")


@pytest.mark.parametrize("key", [None, "", 5, True, ["a"], "k" * 1025])
def test_a_share_of_people_without_a_key_is_off_and_an_error(key):
    context = {"targetingKey": key}
    missing = Answer(False, "off", "ERROR", "TARGETING_KEY_MISSING")
    ramp = {"from": "2026-01-01T00:00Z", "until": "2027-01-01T00:00Z"}
    split = [{"serve": "on", "percentage": 100}]
    for entry in ({"percentage": 99.999}, {"ramp": ramp}, {"split": split}):
        assert asked(rules(entry, default="on"), context=context) == missing
        assert asked(rules(entry), "on", context=context) == asked(rules(entry)) == missing
        assert asked(rules(entry), context={"targetingKey": "k" * 1024}).error is None


def test_nobodys_key_is_needed_for_all_or_none():
    assert asked(rules({"percentage": 100})) == Answer(True, "on", "SPLIT")
    assert asked(rules({"percentage": 0})) == Answer(False, "off", "DEFAULT")


def test_a_flag_with_a_release_is_on_only_while_its_canary_serves():
    document = rules(release="checkbox")
    assert asked(document, serving={"checkbox"}) == Answer(True, "on", "DEFAULT")
    assert asked(document, serving={"itrust"}) == OFF
    document = rules(release="checkbox", allow=["ann"])
    assert asked(document, context={"targetingKey": "ann"}) == OFF


@pytest.mark.parametrize(
    ("now", "value"),
    [(NOON - 1, False), (NOON - 1e-3, False), (NOON, True), (NOON + 59, True), (NOON + 60, False)]
    + [(math.nan, False), (math.inf, False), (-math.inf, False), (0, False), (NOON * 1000, False)],
)
def test_a_schedule_holds_from_its_begin_to_before_its_end(now, value):
    document = rules(**{"from": "2026-12-01T13:00:00+01:00", "until": "2026-12-01T12:01:00Z"})
    assert asked(document, now=now).value is value
    assert asked(document, now=now).reason == ("DEFAULT" if value else "DISABLED")


def test_a_schedule_may_have_one_end_only():
    assert asked(rules(**{"from": "2026-12-01T12:00Z"}), now=NOON * 2).value is True
    assert asked(rules(until="2026-12-01T12:00Z"), now=0).value is True


@pytest.mark.parametrize(
    ("hours", "share"),
    [(-1, 0.2), (0, 0.2), (6, 0.4), (12, 0.6), (24, 1.0), (48, 1.0), (math.nan, 0.2), (-math.inf, 0.2)],
)
def test_a_ramp_rises_evenly_and_stays(hours, share):
    ramp = {"from": "2026-12-01T12:00Z", "until": "2026-12-02T12:00Z", "first": 20}
    flag = parse("cart", rules({"ramp": ramp}))
    keys = [f"user-{number}" for number in range(4000)]
    found = [evaluate(flag, "1", {"targetingKey": key}, NOON + 3600 * hours, ()).value for key in keys]
    assert abs(sum(found) / len(keys) - share) < 0.03


@pytest.mark.parametrize(
    ("condition", "value", "result"),
    [
        ({"equals": "DE"}, "DE", True),
        ({"equals": "DE"}, "de", False),
        ({"equals": "1"}, 1, None),
        ({"equals": 1}, True, None),
        ({"equals": True}, 1, None),
        ({"equals": 1}, 1.0, True),
        ({"equals": 0}, -0.0, True),
        ({"equals": False}, False, True),
        ({"equals": 1}, math.nan, None),
        ({"in": ["DE", "AT", 5]}, "AT", True),
        ({"in": ["DE", "AT", 5]}, 5, True),
        ({"in": ["DE", "AT", 5]}, 6, False),
        ({"in": ["DE", "AT", 5]}, True, None),
        ({"in": ["DE"]}, ["DE"], None),
        ({"in": ["DE"]}, {"DE": 1}, None),
        ({"starts_with": "ab"}, "abc", True),
        ({"starts_with": "ab"}, "cab", False),
        ({"ends_with": "@shop.example"}, "ann@shop.example", True),
        ({"ends_with": "@shop.example"}, "ann@shop.example.org", False),
        ({"contains": "b"}, "abc", True),
        ({"contains": "b"}, ["b"], None),
        ({"contains": "b"}, 5, None),
        ({"below": 5}, 4.999, True),
        ({"below": 5}, 5, False),
        ({"at_most": 5}, 5, True),
        ({"at_least": 5}, 5, True),
        ({"above": 5}, 5, False),
        ({"above": 5}, 10**400, True),
        ({"above": 0.5}, 10**400, True),
        ({"above": 0}, math.inf, True),
        ({"above": 0}, math.nan, None),
        ({"above": 0}, True, None),
        ({"above": 0}, "7", None),
        ({"at_least": "2.1.0"}, "2.1.0", True),
        ({"at_least": "2.1.0"}, "2.10.0", True),
        ({"at_least": "2.1.0"}, "2.1.0-rc.1", False),
        ({"at_least": "2.1.0"}, "2.1", None),
        ({"at_least": "2.1.0"}, "v2.1.0", None),
        ({"at_least": "2.1.0"}, "9" * 5000 + ".0.0", None),
        ({"at_least": "2.1.0"}, 3, None),
        ({"below": "1.0.0+b"}, "1.0.0+a", False),
        ({"exists": True}, "x", True),
        ({"exists": True}, False, True),
        ({"exists": True}, None, False),
        ({"exists": False}, None, True),
        ({"exists": False}, "", False),
    ],
)
def test_a_condition_is_true_false_or_unknown(condition, value, result):
    assert holds({"attribute": "a", **condition}, a=value) is result


@pytest.mark.parametrize("condition", [{"equals": 1}, {"in": ["a"]}, {"below": 5}, {"ends_with": "x"}])
def test_a_condition_on_an_attribute_that_is_absent_is_unknown(condition):
    assert holds({"attribute": "a", **condition}) is None


def test_semantic_versions_are_in_the_order_of_their_specification():
    order = (
        "1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0"
    )
    order = [*order.split(), "1.0.1", "1.2.0", "1.10.0", "2.0.0-0", "2.0.0"]
    for at, one in enumerate(order):
        for other_at, other in enumerate(order):
            assert holds({"attribute": "v", "below": other}, v=one) is (at < other_at)


TRUE, FALSE, UNKNOWN = ({"attribute": name, "equals": True} for name in ("yes", "no", "absent"))


@pytest.mark.parametrize(
    ("condition", "result"),
    [
        ({"all": [TRUE, TRUE]}, True),
        ({"all": [TRUE, FALSE]}, False),
        ({"all": [TRUE, UNKNOWN]}, None),
        ({"all": [UNKNOWN, FALSE]}, False),
        ({"any": [FALSE, TRUE]}, True),
        ({"any": [FALSE, FALSE]}, False),
        ({"any": [UNKNOWN, TRUE]}, True),
        ({"any": [FALSE, UNKNOWN]}, None),
        ({"not": {"all": [TRUE, {"not": FALSE}]}}, False),
    ],
)
def test_conditions_combine_with_the_unknown(condition, result):
    assert holds(condition, yes=True, no=False) is result


class Hostile:
    """Nothing that JSON knows."""

    def __eq__(self, other):
        raise RuntimeError("no")

    __hash__ = None


@pytest.mark.parametrize("context", [None, 5, "text", [], Hostile(), {"targetingKey": "half a \ud800 pair"}])
def test_a_context_that_cannot_be_read_is_off_and_an_error(context):
    flag = parse("cart", rules({"percentage": 99}, default="on"))
    assert evaluate(flag, "1", context, NOON, ()) == Answer(False, "off", "ERROR", "INVALID_CONTEXT")


def test_an_attribute_that_is_nothing_of_json_is_unknown():
    for test in ({"equals": 1}, {"in": ["a"]}, {"below": 1}, {"below": "1.0.0"}, {"contains": "a"}):
        assert holds({"attribute": "a", **test}, a=Hostile()) is None
