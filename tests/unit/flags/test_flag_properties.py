"""What holds for every flag, everybody and any time."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from zlib import crc32

import pytest
from flag_documents import KEYS, contexts, documents, entries, json_values, junk, nows, steps
from hypothesis import given, settings
from hypothesis import strategies as st
from sluice_flag_answers import REASONS
from sluice_flag_buckets import BUCKETS, bucket, bucket_of
from sluice_flag_evaluate import evaluate
from sluice_flag_rules import FlagError, load, parse

UTILS = Path(__file__).resolve().parents[3] / "_utils"
SERVING = [(), ("checkbox",)]
quick = settings(max_examples=100, deadline=None, database=None, derandomize=True)


def answers(document, context, now, value="1"):
    flag = parse("cart", document)
    return [evaluate(flag, value, context, now, serving) for serving in SERVING]


def shuffled(piece, data):
    """The same document with its objects' keys in another order."""
    if isinstance(piece, dict):
        keys = data.draw(st.permutations(sorted(piece)))
        return {key: shuffled(piece[key], data) for key in keys}
    return [shuffled(item, data) for item in piece] if isinstance(piece, list) else piece


@quick
@given(documents(), contexts, nows, st.sampled_from(["0", "1", "on", "red", "off"]))
def test_an_answer_is_a_declared_variant_with_its_value(document, context, now, value):
    for answer in answers(document, context, now, value):
        assert document["variants"][answer.variant] == answer.value
        assert answer.reason in REASONS
        assert (answer.error is None) or (answer.reason, answer.variant) == ("ERROR", "off")
        if value in ("0", "off"):
            assert (answer.variant, answer.reason) == ("off", "DISABLED")
        if value == "red":
            assert answer.variant in ("red", "off")


@quick
@given(documents(), contexts, nows)
def test_a_named_variant_is_served_to_just_those_whom_the_rules_let_through(document, context, now):
    for plain, forced in zip(
        answers(document, context, now), answers(document, context, now, "blue"), strict=True
    ):
        assert (plain.variant == "off") == (forced.variant == "off")
        assert (plain.reason, plain.error) == (forced.reason, forced.error)


@quick
@given(documents(), contexts, nows)
def test_nobody_is_let_in_while_the_release_or_the_schedule_is_closed(document, context, now):
    rules = document["rules"]
    rules["release"] = "checkbox"
    assert answers(document, context, now)[0].variant == "off"


@quick
@given(entries(), st.sampled_from(KEYS), contexts, nows)
def test_a_denied_key_gets_nothing_whatever_the_rest_says(match, key, context, now):
    document = {"variants": {"off": "", "on": "1", "red": "r", "blue": "b"}}
    document["rules"] = {"deny": [key], "match": match, "default": "on"}
    for answer in answers(document, {**context, "targetingKey": key}, now):
        assert answer.variant == "off"


@quick
@given(steps, steps, st.text(min_size=1), contexts, nows)
def test_raising_a_percentage_turns_nobody_off(one, other, key, context, now):
    lower, higher = sorted([one, other])
    found = [
        answers({"rules": {"match": [{"percentage": share}]}}, {**context, "targetingKey": key}, now)[0].value
        for share in (lower, higher)
    ]
    assert found != [True, False]


@quick
@given(steps, steps, nows, nows, st.text(min_size=1))
def test_a_ramp_turns_nobody_off_as_time_goes_on(one, other, early, late, key):
    if one == other:
        return
    first, last = sorted([one, other])
    ramp = {"from": "2026-12-01T11:00Z", "until": "2026-12-01T14:00Z", "first": first, "last": last}
    document = {"rules": {"match": [{"ramp": ramp}]}}
    found = [answers(document, {"targetingKey": key}, now)[0].value for now in sorted([early, late])]
    assert found != [True, False]


@quick
@given(*[st.integers(0, 100_000)] * 4, st.text(min_size=1))
def test_portions_that_grow_from_the_left_move_nobody_who_has_one(a, b, more_a, more_b, key):
    def served(red, until):
        sizes = [("red", red), ("blue", until - red), ("off", BUCKETS - until)]
        split = [{"serve": name, "percentage": size / 1000} for name, size in sizes]
        document = {
            "variants": {"off": "", "red": "r", "blue": "b"},
            "rules": {"match": [{"split": split}]},
        }
        return answers(document, {"targetingKey": key}, 0)[0].variant

    red, until = sorted([a, b])
    grown_until = max(until, more_b)
    before, after = served(red, until), served(red, grown_until)
    assert before in (after, "off")
    grown_red = max(red, min(more_a, grown_until))
    assert (served(grown_red, grown_until) == "off") == (after == "off")
    assert before != "red" or served(grown_red, grown_until) == "red"


@quick
@given(documents(), contexts, nows, st.data())
def test_the_order_of_an_objects_keys_means_nothing(document, context, now, data):
    assert answers(shuffled(document, data), context, now) == answers(document, context, now)


@quick
@given(documents(), contexts, nows)
def test_a_document_means_the_same_after_a_way_through_redis(document, context, now):
    back = load("cart", json.dumps(document))
    assert answers(back, context, now) == answers(document, context, now)
    assert answers(load("cart", json.dumps(back, sort_keys=True).encode()), context, now) == answers(
        document, context, now
    )


@quick
@given(documents(), contexts, nows, nows)
def test_a_clock_that_is_set_back_gives_the_answers_of_then_again(document, context, now, other):
    flag = parse("cart", document)
    before = [evaluate(flag, "1", context, now, serving) for serving in SERVING]
    for serving in SERVING:
        evaluate(flag, "1", context, other, serving)
    assert [evaluate(flag, "1", context, now, serving) for serving in SERVING] == before
    assert answers(document, context, now) == before


@quick
@given(
    documents(),
    st.text() | st.none() | st.sampled_from(["1", "red"]),
    json_values
    | st.dictionaries(st.sampled_from(["country", "plan", "age", "version", "targetingKey"]), junk),
    st.floats() | st.integers(),
)
def test_asking_never_raises(document, value, context, now):
    for answer in answers(document, context, now, value):
        assert answer.variant in document["variants"]


def replaced(piece, data, something):
    """A copy of a document with one piece of it, at any place, replaced."""
    made = copy.deepcopy(piece)
    at = made
    while True:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not isinstance(at[key], (dict, list)) or not at[key] or data.draw(st.booleans()):
            at[key] = something
            return made
        at = at[key]


@quick
@given(documents(), junk, contexts, nows, st.data())
def test_a_document_with_anything_in_it_is_read_or_refused(document, something, context, now, data):
    damaged = replaced(document, data, something)
    try:
        flag = parse("cart", damaged)
    except FlagError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 2000
        return
    assert json.dumps(damaged)
    for value in ("0", "1", "red"):
        assert evaluate(flag, value, context, now, ()).variant in flag.variants


@quick
@given(json_values | st.dictionaries(st.text() | st.integers(), junk))
def test_any_document_is_read_or_refused(document):
    try:
        parse("cart", document)
    except FlagError as error:
        assert str(error).isprintable()


@quick
@given(st.text() | st.binary())
def test_any_text_is_read_or_refused(text):
    try:
        parse("cart", load("cart", text))
    except FlagError as error:
        assert str(error).isprintable()


MANY = 1_000_000


@pytest.fixture(scope="module")
def counts():
    """How many of a million keys are in each bucket."""
    find = bucket_of("new-cart")
    found = [0] * BUCKETS
    for number in range(MANY):
        found[find(f"user-{number}")] += 1
    return found


@pytest.mark.parametrize("bins", [BUCKETS, 10_000, 100, 4])
def test_the_buckets_of_a_million_keys_are_uniform(counts, bins):
    size = BUCKETS // bins
    found = [sum(counts[begin : begin + size]) for begin in range(0, BUCKETS, size)]
    statistic = sum((count - MANY / bins) ** 2 for count in found) * bins / MANY
    # Chi-square with so many degrees of freedom, four standard deviations wide (one in 15,000).
    freedom = bins - 1
    assert abs(statistic - freedom) < 4 * (2 * freedom) ** 0.5


def dependence(one, other, keys, share=BUCKETS // 10):
    """Chi-square, with one degree of freedom, of being in the first tenth of two flags at once."""
    inside = [(one(key) < share, other(key) < share) for key in keys]
    total, rest = len(keys), 0.0
    for left in (True, False):
        for right in (True, False):
            expected = sum(a is left for a, _ in inside) * sum(b is right for _, b in inside) / total
            rest += (inside.count((left, right)) - expected) ** 2 / expected
    return rest


SOME = [f"user-{number:06}" for number in range(20_000)]
NAMES = [("cart-a", "cart-b"), ("key1", "key2"), ("a", "b"), ("new-cart", "new-cart2"), ("ab", "ba")]


@pytest.mark.parametrize(("one", "other"), NAMES)
def test_two_flags_let_different_users_in_first(one, other):
    # One in 30,000.
    assert dependence(bucket_of(one), bucket_of(other), SOME) < 18


def test_a_crc_would_let_the_same_users_in_first():
    def crc(name):
        return lambda key: crc32(f"{name}:{key}".encode()) * BUCKETS >> 32

    assert max(dependence(crc(one), crc(other), SOME) for one, other in NAMES) > 100


def test_a_flag_and_a_key_cannot_be_taken_for_another_pair():
    assert bucket("a", "b:c") != bucket("a-b", "c") != bucket("a", "bc")


SCRIPT = """
import json, sys
from sluice_flag_evaluate import evaluate
from sluice_flag_rules import parse
document = json.load(sys.stdin)
flag = parse("cart", document)
for number in range(2000):
    context = {"targetingKey": f"user-{number}", "country": ["DE", "AT", "US"][number % 3]}
    print(*evaluate(flag, "1", context, 1_796_126_400.0 + number, ()))
"""
EVERYTHING = {
    "variants": {"off": "", "on": "1", "red": "#f00", "blue": "#00f"},
    "rules": {
        "deny": ["user-3", "user-4"],
        "allow": ["user-5", "user-6"],
        "match": [
            {"if": {"attribute": "country", "in": ["DE", "AT"]}, "percentage": 30},
            {"ramp": {"from": "2026-12-01T12:00Z", "until": "2026-12-01T13:00Z", "last": 80}, "serve": "red"},
            {"split": [{"serve": "blue", "percentage": 95}, {"serve": "off", "percentage": 5}]},
        ],
    },
}


def test_every_process_gives_the_same_answers():
    said = set()
    for seed in ("0", "1", "4711"):
        done = subprocess.run(
            [sys.executable, "-S", "-c", SCRIPT],
            input=json.dumps(EVERYTHING, sort_keys=seed == "1"),
            env={"PYTHONPATH": str(UTILS), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        said.add(done.stdout)
    (lines,) = said
    for word in ("red", "blue", "on", "off", "SPLIT", "TARGETING_MATCH"):
        assert f" {word} " in lines
