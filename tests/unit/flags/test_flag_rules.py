"""A flag's document: what is read, and what is refused with the place of the mistake."""

import json
import time
from datetime import datetime

import pytest
from sluice_errors import ReleaseError
from sluice_flag_rules import FlagError, check_name, check_value, load, parse

HUGE = pytest.param(10**5000, id="huge")
COLOURS = {"off": "", "red": "#f00", "blue": "#00f"}


def rules(**parts):
    return {"rules": parts}


def match(*entries, **parts):
    return rules(match=list(entries), **parts)


def condition(**parts):
    return match({"if": parts})


def refused(document, name="cart"):
    with pytest.raises(FlagError) as caught:
        parse(name, document)
    assert str(caught.value).startswith(f"flag {name}: {caught.value.path}")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    return caught.value


def test_a_flag_without_a_document_is_on_or_off():
    flag = parse("key1", {})
    assert dict(flag.variants) == {"on": True, "off": False}
    assert (flag.owner, flag.description, flag.expires) == ("", "", None)


def test_what_a_document_tells_about_a_flag_is_kept():
    flag = parse("cart", {"owner": "shop", "description": "a new cart", "expires": "2027-01-31"})
    assert (flag.owner, flag.description, flag.expires.isoformat()) == ("shop", "a new cart", "2027-01-31")


def test_errors_are_those_that_the_runners_show():
    assert isinstance(refused({"rules": 5}), ReleaseError)


@pytest.mark.parametrize("name", ["a", "key1", "Shop.new-cart_2", "k" * 64])
def test_names_of_letters_digits_and_a_few_signs_are_taken(name):
    check_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "1key", "a b", "key\n", "a\nb", "sluice:flag:a", "k" * 65, "k" * 10_000, "ключ", "a/b", "-a", ".a"]
    + ["a\x00", "a\u202eb", None, 7, HUGE, b"key1", ["a"]],
)
def test_other_names_are_refused_in_one_short_line(name):
    with pytest.raises(FlagError, match="not a flag's name; want 1 to 64 letters") as caught:
        check_name(name)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["a b", "sluice:flag:a"])
def test_a_document_of_a_flag_that_cannot_be_is_refused(name):
    with pytest.raises(FlagError, match="not a flag's name"):
        parse(name, {})


@pytest.mark.parametrize(
    ("document", "values"),
    [
        ({}, ["0", "1", "on", "off"]),
        ({"variants": COLOURS}, ["0", "off", "red", "blue"]),
        ({"variants": COLOURS, **match({"serve": "red"})}, ["0", "1", "off", "red", "blue"]),
    ],
)
def test_values_are_0_1_and_the_variants(document, values):
    flag = parse("cart", document)
    for value in values:
        check_value(flag, value)
    for value in [*({"0", "1", "on", "red"} - set(values)), "2", "", "ON", "yes", " 1", "1\n", "x" * 10_000]:
        with pytest.raises(FlagError, match=f"^flag cart: value: .*want one of {', '.join(values)}$"):
            check_value(flag, value)


@pytest.mark.parametrize("value", [None, 1, True, b"1", ["1"], {"a": 1}, HUGE])
def test_a_value_that_is_no_text_is_refused(value):
    with pytest.raises(FlagError, match="is no text; want one of 0, 1"):
        check_value(parse("cart", {}), value)


@pytest.mark.parametrize(
    ("document", "path", "wrong"),
    [
        ([], "", "want an object"),
        (None, "", "want an object"),
        ({"rule": {}}, "rule", "unknown key; did you mean rules?"),
        ({"colour": 1}, "colour", "unknown key; known here: description, expires, owner, rules, variants"),
        ({"\x1b[31m": 1}, "'\\x1b[31m'", "unknown key"),
        ({1: 1}, "", "a key that is no text but int"),
        ({"owner": 5}, "owner", "5, want text of 1 to 1024 characters"),
        ({"owner": None}, "owner", "None, want text"),
        ({"owner": "x" * 1025}, "owner", "want text of 1 to 1024 characters"),
        ({"description": "a\nb"}, "description", "want one line of printable characters"),
        ({"description": "a\u202eb"}, "description", "want one line of printable characters"),
        ({"description": "\ud800"}, "description", "want text that can be written as UTF-8"),
        ({"expires": "2027-02-30"}, "expires", "day"),
        ({"expires": "20270201"}, "expires", "want a day as YYYY-MM-DD"),
        ({"expires": "soon"}, "expires", "want a day as YYYY-MM-DD"),
        ({"expires": 20270201}, "expires", "want a day as YYYY-MM-DD"),
        ({"variants": []}, "variants", "want an object"),
        ({"variants": {}}, "variants", "no off: want its value too"),
        ({"variants": {"on": True}}, "variants", "no off: want its value too"),
        ({"variants": {"off": False, "1": True}}, "variants.'1'", "not a variant's name"),
        ({"variants": {"off": False, "a b": True}}, "variants.'a b'", "not a variant's name"),
        ({"variants": {"off": False, "on": "x"}}, "variants.on", "want the same type as off has, boolean"),
        ({"variants": {"off": 0, "on": True}}, "variants.on", "want the same type as off has, number"),
        ({"variants": {"off": None}}, "variants.off", "want true, false, text, a number or an object"),
        ({"variants": {"off": [1]}}, "variants.off", "want true, false, text, a number or an object"),
        (
            {"variants": {"off": 0, **{f"v{n}": n for n in range(32)}}},
            "variants",
            "33 variants, want at most 32",
        ),
        ({"rules": []}, "rules", "want an object"),
        ({"rules": None}, "rules", "want an object"),
        (rules(percentage=5), "rules.percentage", "unknown key; known here: allow, default"),
        (rules(relase="a"), "rules.relase", "unknown key; did you mean release?"),
        (rules(release="a b"), "rules.release", "want a service's name"),
        (rules(release=["checkbox"]), "rules.release", "want a service's name"),
        (rules(default="red"), "rules.default", "'red', want a declared variant: on, off"),
        (rules(default=["on"]), "rules.default", "want a declared variant"),
        # What YAML makes of `on`, `off` and times without quotes.
        (
            rules(default=True),
            "rules.default",
            "want a declared variant: on, off; in YAML quote 'on' and 'off'",
        ),
        (
            {"variants": {False: 1}},
            "variants",
            "a key that is no text but bool; in YAML quote 'on' and 'off'",
        ),
        (rules(**{"from": datetime(2026, 12, 1)}), "rules.from", "in YAML quote dates and times"),
        ({"variants": COLOURS, **rules(deny=["a"])}, "rules", "no variant on is declared"),
        ({"variants": COLOURS, **rules(allow=["a"])}, "rules.allow", "no variant on is declared"),
        ({"variants": COLOURS, **match({"percentage": 5})}, "rules.match[0]", "no variant on is declared"),
        (rules(deny="mallory"), "rules.deny", "want a list of targeting keys"),
        (rules(deny=[5]), "rules.deny[0]", "5, want a targeting key"),
        (rules(deny=[""]), "rules.deny[0]", "want a targeting key of 1 to 1024"),
        (rules(deny=["a", "b"], allow=["c", "b"]), "rules.allow", "'b' is in deny as well"),
    ],
)
def test_a_mistake_in_a_document_is_told_with_its_place(document, path, wrong):
    error = refused(document)
    assert error.path == path
    assert wrong in str(error)


@pytest.mark.parametrize(
    ("parts", "path", "wrong"),
    [
        ({"from": "2026-12-01"}, "rules.from", "want a time with its zone"),
        ({"from": "2026-12-01T08:00:00"}, "rules.from", "want a time with its zone"),
        ({"from": "2026-13-01T08:00:00Z"}, "rules.from", "month"),
        ({"from": 1764576000}, "rules.from", "want a time with its zone"),
        ({"from": "2026-12-01T08:00Z\n"}, "rules.from", "want a time with its zone"),
        ({"until": "2026-12-01T08:00:00+99:00"}, "rules.until", "want a time with its zone"),
        (
            {"from": "2026-12-01T08:00:00+01:00", "until": "2026-12-01T07:00:00Z"},
            "rules.until",
            "2026-12-01T07:00:00Z is not after from, 2026-12-01T08:00:00+01:00",
        ),
    ],
)
def test_a_mistake_in_a_schedule_is_told_with_its_place(parts, path, wrong):
    error = refused({"rules": parts})
    assert error.path == path
    assert wrong in str(error)


RAMP = {"from": "2026-12-01T08:00Z", "until": "2026-12-08T08:00Z"}
ONE = {"attribute": "country", "equals": "DE"}


@pytest.mark.parametrize(
    ("entry", "path", "wrong"),
    [
        ([], "", "want an object"),
        ({}, "", "empty, want some of: if, serve, percentage, ramp, split"),
        ({"percent": 5}, ".percent", "did you mean percentage?"),
        *[
            (
                {"percentage": wrong},
                ".percentage",
                "want a percentage: a number from 0 to 100, in steps of 0.001",
            )
            for wrong in [101, 100.001, -1, -0.001, True, "25", None, [5], 0.0001, 33.3333, 1e300]
        ],
        ({"percentage": float("nan")}, ".percentage", "nan, want a number"),
        ({"percentage": float("inf")}, ".percentage", "inf, want a number"),
        ({"percentage": 10**400}, ".percentage", "a number beyond 9007199254740991"),
        ({"percentage": 5, "serve": "rde"}, ".serve", "'rde', want a declared variant: on, off"),
        ({"percentage": 5, "split": []}, "", "percentage and split, want one of them"),
        ({"ramp": 5}, ".ramp", "want an object"),
        ({"ramp": {}}, ".ramp", "want from and until"),
        ({"ramp": {**RAMP, "last": 101}}, ".ramp.last", "want a percentage"),
        ({"ramp": {**RAMP, "first": 50, "last": 10}}, ".ramp", "from 50 to 10 percent, want it to rise"),
        ({"ramp": {**RAMP, "until": RAMP["from"]}}, ".ramp.until", "is not after from"),
        ({"split": {"on": 100}}, ".split", "want a list of portions"),
        ({"split": []}, ".split", "the percentages sum to 0, want 100"),
        ({"split": [{"serve": "on", "percentage": 99.999}]}, ".split", "sum to 99.999, want 100"),
        ({"split": [{"serve": "on", "percentage": 60}] * 2}, ".split", "sum to 120, want 100"),
        ({"split": [{"serve": "on"}]}, ".split[0]", "want serve and percentage"),
        ({"split": [{"serve": "green", "percentage": 100}]}, ".split[0].serve", "want a declared variant"),
        ({"serve": "on", "split": []}, "", "serve and split, want one of them"),
        ({"if": {}}, ".if", "want an attribute with exactly one of equals, in,"),
        ({"if": []}, ".if", "want an object"),
        ({"if": {"attribute": "a"}}, ".if", "want an attribute with exactly one of"),
        ({"if": {"equals": "a"}}, ".if", "want an attribute with exactly one of"),
        ({"if": {**ONE, "in": ["a"]}}, ".if", "want an attribute with exactly one of"),
        ({"if": {**ONE, "all": [ONE]}}, ".if", "want an attribute with exactly one of"),
        ({"if": {"all": [ONE], "any": [ONE]}}, ".if", "want an attribute with exactly one of"),
        ({"if": {"attribute": "a", "matches": "a+"}}, ".if.matches", "unknown key"),
        ({"if": {"attribute": 5, "equals": 1}}, ".if.attribute", "want an attribute's name"),
        ({"if": {"attribute": "", "equals": 1}}, ".if.attribute", "want an attribute's name"),
        ({"if": {"attribute": "a", "equals": None}}, ".if.equals", "want text, a number, true or false"),
        ({"if": {"attribute": "a", "equals": [1]}}, ".if.equals", "want text, a number, true or false"),
        ({"if": {"attribute": "a", "in": "abc"}}, ".if.in", "want a list of texts"),
        ({"if": {"attribute": "a", "in": []}}, ".if.in", "want at least one item"),
        ({"if": {"attribute": "a", "in": ["a", {}]}}, ".if.in[1]", "want text, a number, true or false"),
        ({"if": {"attribute": "a", "starts_with": ""}}, ".if.starts_with", "want text of 1 to 1024"),
        ({"if": {"attribute": "a", "contains": 5}}, ".if.contains", "want text of 1 to 1024"),
        ({"if": {"attribute": "a", "exists": 1}}, ".if.exists", "1, want true or false"),
        *[
            ({"if": {"attribute": "a", "below": wrong}}, ".if.below", "want a number, or a semantic version")
            for wrong in [
                True,
                None,
                "5",
                "2.1",
                "v2.1.0",
                "01.0.0",
                "1.0.0-",
                "1.0.0\n",
                [1],
                "9" * 200 + ".0.0",
            ]
        ],
        ({"if": {"all": []}}, ".if.all", "want at least one condition"),
        ({"if": {"any": ONE}}, ".if.any", "want a list of conditions"),
        ({"if": {"not": [ONE]}}, ".if.not", "want an object"),
        ({"if": {"all": [ONE, {"not": {"any": [5]}}]}}, ".if.all[1].not.any[0]", "5, want an object"),
    ],
)
def test_a_mistake_in_an_entry_of_match_is_told_with_its_place(entry, path, wrong):
    error = refused(match(entry))
    assert error.path == f"rules.match[0]{path}"
    assert wrong in str(error)


OTHER = {"attribute": "country", "equals": "AT"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"serve": "on"}, {"percentage": 5}),
        ({"serve": "on"}, {"percentage": 0}),
        ({"percentage": 100}, {"if": ONE}),
        ({"split": [{"serve": "on", "percentage": 100}]}, {"if": ONE}),
        ({"if": ONE}, {"if": dict(reversed(ONE.items())), "percentage": 10}),
        ({"percentage": 20}, {"percentage": 20, "serve": "off"}),
        ({"percentage": 20}, {"if": ONE, "percentage": 10}),
        ({"ramp": {**RAMP, "first": 10}}, {"percentage": 10}),
        ({"percentage": 50}, {"ramp": {**RAMP, "last": 50}}),
    ],
)
def test_an_entry_whose_people_an_earlier_one_takes_is_refused(first, second):
    error = refused(match(first, second))
    assert error.path == "rules.match[1]"
    assert "is never reached: rules.match[0] takes everybody it is for" in str(error)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"percentage": 10, "serve": "off"}, {"percentage": 20}),
        ({"percentage": 10}, {"percentage": 0}),
        ({"if": ONE}, {"if": OTHER}),
        ({"if": ONE}, {"percentage": 5}),
        ({"if": ONE, "percentage": 5}, {"if": ONE}),
        ({"if": {"attribute": "a", "equals": 1}}, {"if": {"attribute": "a", "equals": True}}),
        ({"ramp": RAMP}, {"percentage": 10}),
    ],
)
def test_an_entry_that_may_still_find_somebody_is_taken(first, second):
    parse("cart", match(first, second))


def test_at_most_a_hundred_entries_are_taken():
    entries = [{"if": {"attribute": "a", "equals": number}} for number in range(101)]
    parse("cart", match(*entries[:100]))
    assert "101 entries, want at most 100" in str(refused(match(*entries)))


def test_at_most_two_hundred_conditions_are_taken():
    many = [{"any": [{"attribute": "a", "equals": number}] * 50} for number in range(4)]
    parse("cart", match(*({"if": one} for one in many)))
    error = refused(match(*({"if": one} for one in many), {"if": {"not": {"all": [ONE, ONE]}}}))
    assert error.path == "rules.match[4]"
    assert "there are 202 conditions, want at most 200" in str(error)


def nested(levels):
    inner = ONE
    for _ in range(levels):
        inner = {"not": inner}
    return condition(**inner)


def test_conditions_nest_as_deep_as_people_can_read():
    parse("cart", nested(10))
    assert "nested too deep, want at most 16 levels" in str(refused(nested(20)))


def test_a_document_is_as_long_as_what_redis_will_hold():
    keys = [f"user-{number:05}" for number in range(10_000)]
    fitting = rules(deny=keys[:4000])
    parse("cart", load("cart", json.dumps(fitting)))
    assert "too large, want at most 65536 bytes" in str(refused(rules(deny=keys)))
    # What takes more room as JSON than it has characters.
    assert "too large" in str(refused({"variants": {"off": {"a": [[]] * 20_000}}}))
    assert "too large" in str(refused(rules(deny=["ю" * 1000] * 20)))


def laughs():
    """Nine lines of YAML with anchors stand for a thousand million items."""
    level = ["ha"] * 10
    for _ in range(9):
        level = [level] * 10
    return level


def endless():
    level = []
    level.append(level)
    return level


@pytest.mark.parametrize(
    "document",
    [
        {"variants": {"off": {"a": laughs()}}},
        {"rules": {"match": endless()}},
        {"rules": {"match": [["a" * 1000] * 60_000] * 60_000}},
        {"owner": "x" * 10_000_000},
        {"x" * 10_000_000: 1},
        {"rules": {"deny": [10**100_000]}},
        {"rules": {"deny": [{1, 2}]}},
        {"rules": {"deny": [b"key"]}},
        {f"k{number}": number for number in range(100_000)},
    ],
)
def test_a_hostile_document_is_refused_at_once(document):
    began = time.process_time()
    refused(document)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        (b"\xff\xfe{", "not JSON"),
        ('{"owner": "a", "owner": "b"}', "key 'owner' stands twice"),
        ("[" * 60_000, "nested too deep"),
        ('{"owner": ' * 5000, "nested too deep"),
        ('{"owner": "' + "x" * 65_536 + '"}', "want at most 65536"),
        ("9" * 10_000, "not JSON"),
    ],
)
def test_text_that_is_no_document_is_refused(text, wrong):
    with pytest.raises(FlagError, match=wrong) as caught:
        load("cart", text)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["NaN", "Infinity", "null", "5", '"on"', "[]"])
def test_json_that_is_no_object_is_refused_when_it_is_read(text):
    refused(load("cart", text))
