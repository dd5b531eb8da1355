"""The choice of a track for testers and for users who stay, and what is taken out of their requests."""

import random

import pytest

from balancer.affinity import Cookies, derive
from balancer.forwarded import asked
from balancer.request import Request
from balancer.routes import Route

AFFINITY = {
    "cookie": "sluice_shop",
    "key": derive(b"s" * 32, "shop", "1").hex(),
    "max_age_seconds": 60,
}
TESTERS = {"header": "X-Track", "cookie": "track", "from": ["10.0.0.0/8"]}
BOTH = {"affinity": AFFINITY, "testers": TESTERS}
TESTER = b"10.1.2.3"
STRANGER = b"192.0.2.1"


def table(canary, alert=False, down=(), steering=BOTH, canaries=1):
    def track(name, count):
        return {
            f"{name}-{number}": {
                "address": ["127.0.0.1", number + 1],
                "state": "down" if name in down else "up",
            }
            for number in range(count)
        }

    return {
        "weights": {"stable": 100 - canary, "canary": canary},
        "alert": alert,
        "steering": steering,
        "tracks": {"stable": track("stable", 2), "canary": track("canary", canaries)},
    }


class Shop:
    """A route, and requests of it."""

    def __init__(self, *args, **settings):
        self.route = Route("shop", lambda: 0.0)
        self.apply(*args, **settings)

    def apply(self, *args, **settings):
        self.route.apply(table(*args, **settings))

    def request(self, *headers, address=STRANGER):
        made = Request(0.0)
        made.method, made.target, made.route, made.id = b"GET", b"/", self.route, b"1"
        made.headers = [(b"Host", b"shop.test"), *headers]
        made.check()
        made.make_head(asked([address], b"http"))
        return made

    def ask(self, *headers, address=STRANGER):
        """The track that a request goes to, and the cookie it gets."""
        request = self.request(*headers, address=address)
        backend = self.route.steering.choose(self.route, request, [])
        cookie = request.steered.cookie.partition(b": ")[2].partition(b";")[0]
        return backend and backend.track, cookie


def wish(track):
    return (b"X-Track", track.encode())


def jar(cookie):
    return (b"Cookie", cookie)


# Users who stay.


def test_whatever_weights_and_alerts_do_a_user_is_where_his_position_says():
    shop, chance = Shop(30), random.Random(5)
    users = [shop.ask()[1] for _ in range(300)]
    before, share = set(), 0
    for _ in range(60):
        canary, alert = chance.choice([0, 1, 10, 30, 50, 99, 100]), chance.random() < 0.3
        down = chance.choice([(), (), (), ("canary",), ("stable",)])
        shop.apply(canary, alert=alert, down=down)
        asked_for = [shop.ask(jar(user)) for user in users]
        # Nobody is given another position.
        assert {cookie for _, cookie in asked_for} == {b""}
        now = {user for user, (track, _) in zip(users, asked_for, strict=True) if track == "canary"}
        effective = shop.route.weights["canary"]
        assert abs(len(now) - 3 * effective) <= 3
        if effective >= share:
            assert before <= now
        else:
            assert now <= before
        before, share = now, effective


def test_an_alert_with_stable_down_is_no_answer():
    shop = Shop(30)
    _, user = shop.ask()
    shop.apply(30, alert=True, down=("stable",))
    assert shop.ask(jar(user)) == (None, b"")
    assert shop.ask() == (None, b"")


def test_a_second_try_keeps_the_position():
    shop = Shop(30)
    request = shop.request()
    first = shop.route.steering.choose(shop.route, request, [])
    position, cookie = request.steered.position, request.steered.cookie
    second = shop.route.steering.choose(shop.route, request, [first])
    assert second is not first
    assert (request.steered.position, request.steered.cookie) == (position, cookie)


# Testers.


@pytest.mark.parametrize("canary", [0, 30, 100])
@pytest.mark.parametrize("track", ["stable", "canary"])
def test_a_tester_goes_where_he_wants_and_gets_no_position(canary, track):
    shop = Shop(canary)
    for headers in ([wish(track)], [jar(b"a=1; track=" + track.encode())]):
        assert shop.ask(*headers, address=TESTER) == (track, b"")
        assert shop.ask(*headers, address=b"::ffff:10.1.2.3") == (track, b"")


@pytest.mark.parametrize("address", [STRANGER, b"unknown", b"", b"::1", b"11.0.0.0"])
def test_a_strangers_wish_is_not_heard(address):
    shop = Shop(0)
    assert {shop.ask(wish("canary"), address=address)[0] for _ in range(5)} == {"stable"}


@pytest.mark.parametrize(
    ("how", "goes_to"),
    [
        ({"alert": True}, "stable"),
        ({"down": ("canary",)}, "stable"),
        ({"alert": True, "down": ("stable",)}, None),
        ({"down": ("stable", "canary")}, None),
        ({"canaries": 0}, "stable"),
    ],
    ids=str,
)
def test_an_alert_and_health_bind_testers_too(how, goes_to):
    assert Shop(50, **how).ask(wish("canary"), address=TESTER)[0] == goes_to


def test_who_opted_out_is_served_by_the_canary_only_if_nothing_else_is_left():
    assert Shop(50, down=("stable",)).ask(wish("stable"), address=TESTER)[0] == "canary"


@pytest.mark.parametrize("steering", [{"testers": TESTERS}, BOTH], ids=["without affinity", "with affinity"])
def test_testers_take_no_turn_of_the_others(steering):
    shop, alone = Shop(30, steering=steering), Shop(30, steering=steering)
    chance, got = random.Random(9), []
    for _ in range(500):
        for _ in range(chance.randrange(3)):
            shop.ask(wish(chance.choice(["stable", "canary"])), address=TESTER)
        got.append(shop.ask()[0])
    assert got == [alone.ask()[0] for _ in range(500)]


def test_while_a_connection_is_made_only_an_alert_or_health_stands_in_a_testers_way():
    shop = Shop(0)
    request = shop.request(wish("canary"), address=TESTER)
    backend = shop.route.steering.choose(shop.route, request, [])
    assert shop.route.steering.may_have(shop.route, request, backend)
    other = shop.request()
    shop.route.steering.choose(shop.route, other, [])
    assert not shop.route.steering.may_have(shop.route, other, backend)
    for how in ({"alert": True}, {"down": ("canary",)}):
        shop.apply(0, **how)
        assert not shop.route.steering.may_have(shop.route, request, backend)
        shop.apply(0)


# What the backend sees.


def lines(head):
    return [line for line in head.split(b"\r\n") if line]


def expected(head, name):
    """The lines of a head without the testers' header and the cookie, found out the long way."""
    kept = []
    for line in lines(head):
        key, colon, value = line.partition(b": ")
        if colon and key.lower() in (b"x-track", b"x_track"):
            continue
        if colon and key.lower() == b"cookie" and name in value:
            parts = [p for p in value.split(b";") if p.partition(b"=")[0].strip() != name]
            value = b";".join(parts).lstrip()
            if not value:
                continue
            line = key + b": " + value
        kept.append(line)
    return kept


def test_of_any_head_the_cookie_and_the_testers_header_are_taken_out_and_nothing_else():
    shop, chance = Shop(30), random.Random(11)
    good = Cookies(AFFINITY).line(5, False).partition(b": ")[2].partition(b";")[0]
    parts = [
        good,
        b"sluice_shop=x",
        b"sluice_shop",
        b"a=1",
        b" b=sluice_shop=2",
        b"",
        b" ",
        b"xsluice_shop=1",
        b'"',
    ]
    names = [b"Cookie", b"cookie", b"COOKIE", b"X-Track", b"x-track", b"X_Track", b"X-Other", b"X-Cookie"]
    for _ in range(3000):
        headers = []
        for _ in range(chance.randrange(6)):
            name = chance.choice(names)
            value = b";".join(chance.choices(parts, k=chance.randrange(5)))
            headers.append((name, value if b"ookie" in name.lower() else chance.choice([b"canary", value])))
        request = shop.request(*headers)
        wanted = expected(request.head, b"sluice_shop")
        shop.route.steering.choose(shop.route, request, [])
        assert lines(request.head) == wanted, headers
        assert request.head.endswith(b"\r\n\r\n")
