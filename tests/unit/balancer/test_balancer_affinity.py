"""Shares of new users are exact, a larger share only takes in, a cookie cannot be made or altered."""

import base64
import random
import struct

import pytest

from balancer import affinity
from balancer.affinity import (
    POSITIONS,
    Cookies,
    NewUsers,
    Places,
    add_cookie,
    derive,
    values_of,
    without_cookie,
)
from balancer.policy import Shares

SECRET = b"a secret of the tests, 32 bytes and more"
SHARES = [0, 0.001, 0.1, 1, 3, 10, 30, 33.3, 50, 66.7, 90, 99.9, 100]


def weights(canary):
    return {"stable": 100 - canary, "canary": canary}


def cookie_of(service="shop", release="1", secret=SECRET):
    key = derive(secret, service, release).hex()
    return Cookies({"cookie": "sluice_shop", "key": key, "max_age_seconds": 3600})


def sent(line):
    """The Cookie header of a browser that got this Set-Cookie line."""
    return [line.partition(b": ")[2].partition(b";")[0]]


class Balancer:
    """Workers that take new users in turn, as far as positions are concerned."""

    def __init__(self, workers, seed=1):
        chance = random.Random(seed)
        self._chance = chance
        self._workers = [(Shares(), NewUsers(chance.randrange(POSITIONS))) for _ in range(workers)]

    def new_user(self, canary):
        shares, new = self._chance.choice(self._workers)
        track = shares.choose(weights(canary))
        place = new.place(track, Places(weights(canary)).span(track))
        assert Places(weights(canary)).track(place) == track
        return place


# Where a position is.


@pytest.mark.parametrize("canary", SHARES)
def test_the_canary_has_as_many_positions_as_its_share_says(canary):
    places = Places(weights(canary))
    border = POSITIONS * canary / 100
    for position in (0, 1, int(border) - 2, int(border) + 2, POSITIONS - 1):
        if 0 <= position < POSITIONS:
            assert places.track(position) == ("canary" if position < int(border) else "stable")


def test_a_larger_share_takes_users_from_stable_and_never_the_other_way():
    chance = random.Random(3)
    positions = [chance.randrange(POSITIONS) for _ in range(500)]
    steps = sorted(chance.uniform(0, 100) for _ in range(200))
    before = set()
    for canary in steps:
        places = Places(weights(canary))
        now = {position for position in positions if places.track(position) == "canary"}
        assert before <= now
        before = now
    assert len(before) > 400


def test_an_alert_sends_everyone_to_stable_and_its_end_each_to_where_he_was():
    positions = range(0, POSITIONS, POSITIONS // 997)
    before = [Places(weights(30)).track(position) for position in positions]
    assert {Places(weights(0)).track(position) for position in positions} == {"stable"}
    assert [Places(weights(30)).track(position) for position in positions] == before


def test_users_of_a_track_that_cannot_serve_are_on_the_other():
    assert {Places({"stable": 0.0, "canary": 100.0}).track(p) for p in (0, POSITIONS - 1)} == {"canary"}
    assert Places({"stable": 0.0, "canary": 0.0}).track(5) is None
    assert Places({"stable": 100.0}).track(5) == "stable"


# Where new users come.


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("canary", SHARES)
def test_of_any_thousand_new_users_the_canary_gets_its_share_to_one_per_worker(canary, workers):
    balancer, border = Balancer(workers), POSITIONS * canary / 100
    on_canary = [balancer.new_user(canary) < int(border) for _ in range(3000)]
    for start in range(0, 2000, 50):
        got = sum(on_canary[start : start + 1000])
        assert abs(got - 10 * canary) <= 2 * workers, (start, got)


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("came_at", [0, 1, 10, 50, 100])
def test_a_share_that_is_raised_later_takes_in_as_many_users_as_it_says(came_at, workers):
    balancer = Balancer(workers)
    users = [balancer.new_user(came_at) for _ in range(1000)]
    for canary in SHARES:
        now = sum(Places(weights(canary)).track(position) == "canary" for position in users)
        assert abs(now - 10 * canary) <= 10, (canary, now)


def test_positions_stay_even_while_the_share_changes():
    balancer, chance = Balancer(2), random.Random(7)
    users = []
    for _ in range(20):
        canary = chance.choice([0, 1, 5, 10, 30, 50, 100])
        users += [balancer.new_user(canary) for _ in range(100)]
    for tenth in range(10):
        low = tenth * POSITIONS // 10
        found = sum(low <= position < low + POSITIONS // 10 for position in users)
        assert abs(found - 200) <= 20, (tenth, found)


# The cookie.


def test_a_cookie_brings_its_position_back():
    for position in (0, 1, 12345678, POSITIONS - 1):
        line = cookie_of().line(position, secure=False)
        assert cookie_of().position(sent(line)) == position


def test_the_set_cookie_line_says_how_it_may_be_used():
    line = cookie_of().line(5, secure=False)
    assert line.startswith(b"Set-Cookie: sluice_shop=")
    assert line.endswith(b"; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax\r\n")
    assert cookie_of().line(5, secure=True).endswith(b"; SameSite=Lax; Secure\r\n")


@pytest.mark.parametrize(
    "other",
    [
        {"release": "2"},
        {"service": "shop2"},
        {"secret": SECRET + b"."},
        # Not the same when run together.
        {"service": "sho", "release": "p1"},
    ],
    ids=str,
)
def test_a_cookie_of_another_release_service_or_secret_is_none(other):
    assert cookie_of(**other).position(sent(cookie_of().line(5, False))) is None


def test_a_cookie_with_any_bit_changed_is_none():
    (value,) = sent(cookie_of().line(5, False))
    name, _, text = value.partition(b"=")
    whole = base64.urlsafe_b64decode(text)
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        forged = name + b"=" + base64.urlsafe_b64encode(bytes(changed))
        assert cookie_of().position([forged]) is None, bit


@pytest.mark.parametrize(
    "make",
    [
        lambda good: b"",
        lambda good: b"sluice_shop=",
        lambda good: b"sluice_shop",
        lambda good: good + b"A",
        lambda good: good[:-1],
        lambda good: good + b"=",
        lambda good: b'sluice_shop="%b"' % good.partition(b"=")[2],
        lambda good: b"sluice_shop=" + b"A" * 24,
        lambda good: b"sluice_shop=" + b"A" * 20_000,
        lambda good: b"sluice_shop=" + b"\xff" * 24,
        lambda good: b"sluice_shop=" + base64.urlsafe_b64encode(struct.pack(">I", 5) + bytes(14)),
        lambda good: b"Sluice_Shop=" + good.partition(b"=")[2],
        # Two: which one?
        lambda good: good + b"; " + good,
        lambda good: b"sluice_shop=x; " + good,
    ],
)
def test_anything_but_one_good_cookie_is_none(make):
    (good,) = sent(cookie_of().line(5, False))
    assert cookie_of().position([make(good)]) is None


def test_the_cookie_is_found_among_others():
    (good,) = sent(cookie_of().line(5, False))
    assert cookie_of().position([b"a=1;" + good + b" ; b=2"]) == 5
    assert cookie_of().position([b"a=1", good]) == 5
    assert cookie_of().position([good, good]) is None


def test_a_valid_cookie_stays_valid_and_a_forged_one_forged():
    cookie = cookie_of()
    (good,) = sent(cookie.line(0, False))
    forged = good[:-1] + (b"A" if good[-1:] != b"A" else b"B")
    for _ in range(3):
        assert cookie.position([good]) == 0
        assert cookie.position([forged]) is None


def test_no_more_than_so_many_cookies_are_remembered(monkeypatch):
    monkeypatch.setattr(affinity, "MAX_REMEMBERED", 10)
    cookie = cookie_of()
    for position in range(25):
        assert cookie.position(sent(cookie.line(position, False))) == position
        assert len(cookie._known) <= 10


def test_cookies_are_read_as_they_are():
    headers = [b"a=1; b=x=y;c; ; a =2;A=3", b"d=a=1", b"a=4"]
    assert values_of(headers, b"a") == [b"1", b"2", b"4"]
    assert values_of(headers, b"b") == [b"x=y"]
    assert values_of(headers, b"c") == [b""]


@pytest.mark.parametrize(
    ("value", "rest"),
    [
        (b"s=1", b""),
        (b"s=1; a=2", b"a=2"),
        (b"a=2; s=1", b"a=2"),
        (b"a=2; s=1; b=3", b"a=2; b=3"),
        (b"a=2;s=1;b=3", b"a=2;b=3"),
        (b'a=2;  b="x; s=1; s=2', b'a=2;  b="x'),
        (b"as=1; s2=1; S=1; a=s=1", b"as=1; s2=1; S=1; a=s=1"),
        (b"s", b""),
    ],
)
def test_the_cookie_is_taken_out_and_the_rest_stays_byte_for_byte(value, rest):
    assert without_cookie(value, b"s") == rest


# Caches.


@pytest.mark.parametrize(
    ("controls", "added"),
    [
        ([], [b"C", b"Cache-Control: private\r\n"]),
        ([b"max-age=60"], [b"C", b"Cache-Control: private\r\n"]),
        ([b"no-store"], [b"C"]),
        ([b"max-age=60, Private"], [b"C"]),
        ([b"Public, max-age=60"], []),
        ([b"s-maxage=60"], []),
        ([b"max-age=60", b"public"], []),
    ],
)
def test_an_answer_with_a_cookie_is_private_and_one_that_is_for_all_gets_none(controls, added):
    lines = [b"X: y\r\n", *(b"cache-control: %b\r\n" % control for control in controls)]
    before = list(lines)
    add_cookie(lines, b"C")
    assert lines == before + added
