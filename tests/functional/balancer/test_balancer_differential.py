"""What reaches a backend, read again by h11, is what h11 reads in the bytes that the client sent."""

import random

import pytest
from inprocess import Front, check
from parsing_cases import GET, PASSED, REFUSED, REFUSED_AFTER_A_GOOD_ONE
from variants import pieces, variants

SEED = 20261124


@pytest.fixture(scope="module")
def front():
    made = Front()
    yield made
    made.close()


def cut(raw, size):
    return [raw[at : at + size] for at in range(0, len(raw), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 2**20])
def test_good_requests_are_read_alike_however_they_come(front, size):
    for name, (raw, meaning) in PASSED.items():
        assert check(front, cut(raw, size)) is None, name
        (seen,) = front.send(cut(raw, size)).whole
        assert (seen.method, seen.target, seen.body) == (meaning.method, meaning.target, meaning.body), name


@pytest.mark.parametrize("size", [1, 2, 3, 7, 2**20])
def test_bad_requests_are_refused_however_they_come(front, size):
    for name, raw in REFUSED.items():
        if len(raw) // size > 10_000:
            continue
        outcome = front.send(cut(raw + b"GET / HTTP/1.1\r\n\r\n\r\n", size))
        assert outcome.refused, name
        assert outcome.whole == [], name
        assert not outcome.errors, name
        if size == 2**20:
            assert outcome.raw == [], name


@pytest.mark.parametrize("size", [1, 3, 2**20])
def test_what_follows_a_good_request_is_refused_however_it_comes(front, size):
    for name, (good, after) in REFUSED_AFTER_A_GOOD_ONE.items():
        outcome = front.send(cut(good + after + b"GET / HTTP/1.1\r\n\r\n\r\n", size))
        assert outcome.refused, name
        assert [seen.target for seen in outcome.whole] == [b"/first"], name
        assert not outcome.errors, name


@pytest.mark.parametrize("part", range(8))
def test_variants_mean_the_same_to_the_backend(front, part):
    dice = random.Random(SEED + part)
    passed = refused = 0
    for raw in variants(dice, 500):
        parts = pieces(dice, raw)
        assert check(front, parts) is None, parts
        outcome = front.send(parts)
        passed += len(outcome.whole)
        refused += outcome.refused
    # Neither of the two may be all there is.
    assert passed > 100
    assert refused > 100


# A request that comes too slowly.


@pytest.mark.parametrize("head", [b"GET /" + b"a" * 100, GET[:-2] + b"X: a\r\n" * 30, b"\r\n" + GET[:20]])
def test_a_head_that_comes_byte_by_byte_is_answered_408_after_ten_seconds(front, head):
    answer, ended = front.drip(cut(head, 1), seconds=1)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert 9 <= ended <= 12


def test_an_empty_line_alone_is_no_request_that_could_be_late(front):
    assert front.drip([b"\r\n"], seconds=11) == (b"", None)


def test_requests_that_come_whole_are_never_late(front):
    answer, ended = front.drip([GET] * 5, seconds=9)
    assert ended is None
    assert b"408" not in answer
