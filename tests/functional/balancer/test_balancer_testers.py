"""Testers who choose their track, and those who may not."""

import pytest
from misbehaving import Backend
from running import Balancer

TESTERS = {"header": "X-Track", "cookie": "track", "from": ["127.0.0.0/8"]}
CANARY = [{"X-Track": "canary"}, {"Cookie": "a=1; track=canary"}]
STABLE = [{"X-Track": "stable"}, {"Cookie": "track=stable"}]


@pytest.fixture(scope="module")
def running(loop, tmp_path_factory):
    """A stable and a canary backend behind a balancer."""
    stable, canary = Backend(loop, "stable-1").start(), Backend(loop, "canary-1").start()
    made = Balancer(tmp_path_factory.mktemp("testers"), {"stable": [stable], "canary": [canary]})
    made.stable, made.canary = stable, canary
    made.plain = dict(made.shop)
    yield made.start().wait_for_backends()
    made.stop()
    stable.stop()
    canary.stop()


@pytest.fixture
def fleet(running):
    """The balancer with testers, and what else a test wants."""

    def make(canary, testers=TESTERS, **settings):
        weights = {"stable": 100 - canary, "canary": canary}
        told = {**running.plain, "weights": weights, **({"testers": testers} if testers else {}), **settings}
        running.config["services"]["shop"] = told
        running.write()
        assert running.admin("POST", "/reload").status == 200
        return running

    yield make
    running.canary.__dict__.pop("say_", None)
    running.admin("DELETE", "/alert/shop")
    running.stable.seen.clear()
    running.canary.seen.clear()


def served(shop, headers, times=10):
    return {shop.get("/", **headers).body.decode() for _ in range(times)}


def raise_alert(shop):
    assert shop.admin("POST", "/alert", {"service": "shop", "reason": "bad"}).status == 200


def test_a_tester_gets_the_track_he_asks_for_also_a_canary_without_a_share(fleet):
    shop = fleet(canary=0)
    for headers in CANARY:
        assert served(shop, headers) == {"canary-1"}
    for headers in [{}, *STABLE]:
        assert served(shop, headers) == {"stable-1"}
    shop.shop["weights"] = {"stable": 0, "canary": 100}
    shop.write()
    assert shop.admin("POST", "/reload").status == 200
    assert served(shop, {}) == {"canary-1"}
    for headers in STABLE:
        assert served(shop, headers) == {"stable-1"}


def test_under_an_alert_no_tester_reaches_the_canary(fleet):
    shop = fleet(canary=50)
    raise_alert(shop)
    for headers in CANARY:
        assert served(shop, headers) == {"stable-1"}
    shop.stable.healthy = False
    shop.wait_for_backends("down", ["stable-1"])
    assert shop.get("/", **CANARY[0]).status == 503
    shop.stable.healthy = True
    shop.wait_for_backends()


def test_a_tester_of_a_canary_that_is_drained_or_down_is_served_by_stable(fleet):
    shop = fleet(canary=0)
    assert shop.admin("POST", "/drain", {"service": "shop", "backend": "canary-1"}).status == 200
    assert served(shop, CANARY[0]) == {"stable-1"}
    shop.admin("POST", "/restore", {"service": "shop", "backend": "canary-1"})
    assert served(shop, CANARY[0]) == {"canary-1"}


def test_a_tester_whose_canary_breaks_the_connection_is_served_by_stable(fleet):
    shop = fleet(canary=0)
    shop.canary.say_ = shop.canary.say_nothing
    assert shop.get("/", **CANARY[0]).body == b"stable-1"


def test_testers_do_not_count_for_the_shares_of_others(fleet):
    shop = fleet(canary=30)
    tally = {"stable-1": 0, "canary-1": 0}
    for turn in range(300):
        shop.get("/", **(CANARY[0] if turn % 3 else STABLE[0]))
        tally[shop.get("/").body.decode()] += 1
    assert abs(tally["canary-1"] - 90) <= 3, tally


def test_who_asks_from_elsewhere_gets_no_say(fleet):
    shop = fleet(canary=0, testers={**TESTERS, "from": ["10.0.0.0/8", "::1/128"]})
    for headers in CANARY:
        assert served(shop, headers) == {"stable-1"}


def test_behind_a_trusted_proxy_it_is_the_clients_address_that_counts(fleet):
    office = {"X-Forwarded-For": "10.1.2.3", **CANARY[0]}
    shop = fleet(0, {**TESTERS, "from": ["10.0.0.0/8"]}, trust_forwarded_from=["127.0.0.1"])
    assert served(shop, office) == {"canary-1"}
    assert served(shop, {**office, "X-Forwarded-For": "192.0.2.1"}) == {"stable-1"}
    assert served(shop, CANARY[0]) == {"stable-1"}


def test_without_testers_in_the_file_nobody_has_a_say(fleet):
    shop = fleet(canary=0, testers=None)
    for headers in CANARY:
        assert served(shop, headers) == {"stable-1"}


def test_what_is_no_clear_wish_is_none(fleet):
    shop = fleet(canary=0)
    for headers in (
        {"X-Track": "Canary"},
        {"X-Track": "canary, canary"},
        {"X-Track": ""},
        {"X-Track": "none"},
        {"Cookie": "track=canary; track=stable"},
        {"Cookie": "track"},
        # The header goes before the cookie, also a wrong one.
        {"X-Track": "x", "Cookie": "track=canary"},
    ):
        assert served(shop, headers, times=3) == {"stable-1"}, headers


def test_the_header_is_for_the_balancer_and_the_cookie_for_the_application_too(fleet):
    shop = fleet(canary=0)
    shop.get("/", **{"X-Track": "canary", "x_track": "canary", "Cookie": "track=stable", "X-Other": "1"})
    (seen,) = shop.canary.requests()
    assert seen.all("x-track") + seen.all("x_track") == []
    assert seen.one("cookie") == "track=stable"
    assert seen.one("x-other") == "1"


def test_a_tester_is_given_no_position_and_a_user_may_test(fleet, tmp_path):
    secret = tmp_path / "affinity.secret"
    secret.write_text("an affinity secret that only the tests know")
    shop = fleet(canary=0, affinity={"secret_file": str(secret), "release": "1"})
    assert "set-cookie" not in shop.get("/", **CANARY[0]).headers
    cookie = shop.get("/").headers["set-cookie"].partition(";")[0]
    assert shop.get("/", Cookie=cookie).body == b"stable-1"
    assert shop.get("/", Cookie=cookie + "; track=canary").body == b"canary-1"
