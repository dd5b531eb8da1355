"""Leases of weights at a running balancer: given, renewed, ended, run out, and kept over a restart."""

import copy
import json
import time

import pytest
from misbehaving import Backend
from running import MONITOR_TOKEN, Balancer, Load, wait_until

LEASED = {"stable": 50, "canary": 50}


@pytest.fixture(scope="module")
def fleet(loop, tmp_path_factory):
    backends = [Backend(loop, name).start() for name in ("stable-1", "canary-1")]
    tracks = {"stable": backends[:1], "canary": backends[1:]}
    made = Balancer(tmp_path_factory.mktemp("leases"), tracks).start().wait_for_backends()
    yield made
    made.stop()
    for one in backends:
        one.stop()


@pytest.fixture
def shop(fleet):
    """A balancer with all traffic on stable, without lease and alert, by the file it began with."""
    before = copy.deepcopy(fleet.config)
    fleet.said_before = len(fleet.said())
    yield fleet
    fleet.config = before
    fleet.write()
    assert fleet.admin("POST", "/reload").status == 200
    for order in ("/weights/shop", "/alert/shop"):
        assert fleet.admin("DELETE", order).status == 200
    fleet.wait_for_backends()


def said(shop):
    """What the balancer said since the test began."""
    return shop.said()[shop.said_before :]


def give(shop, seconds=600, weights=LEASED, service="shop"):
    return shop.admin("POST", "/weights", {"service": service, "weights": weights, "lease_seconds": seconds})


def lease(shop):
    return shop.status()["services"]["shop"]["lease"]


def test_a_lease_is_in_force_at_every_worker_when_the_call_returns(shop):
    answer = give(shop)
    assert answer.status == 200
    # Each of two workers is off by one at most.
    assert abs(shop.served_by(40)["canary-1"] - 20) <= 2
    told = answer.json
    assert told["declared"] == {"stable": 100, "canary": 0}
    assert told["effective"] == told["lease"]["weights"] == LEASED
    assert (told["lease"]["by"], told["lease"]["until"][-1]) == ("admin", "Z")
    assert 599 < told["lease"]["seconds_left"] <= 600
    canary = shop.status()["services"]["shop"]["tracks"]["canary"]
    assert [canary[f"weight_{kind}"] for kind in ("declared", "leased", "effective")] == [0, 50, 50]
    assert 590 < shop.metrics()['sluice_lease_seconds{service="shop"}'] <= 600
    assert '"what": "weights", "by": "admin"' in said(shop)
    assert '"weights": {"stable": 50, "canary": 50}, "lease_seconds": 600' in said(shop)


def test_the_declared_weights_hold_again_when_it_runs_out_and_no_request_fails(shop):
    with Load(shop.port) as load:
        began = time.monotonic()
        give(shop, seconds=1.5)
        assert shop.weights() == LEASED
        wait_until(lambda: shop.weights()["canary"] == 0, "it ran out")
        assert time.monotonic() - began > 1.4
        load.wait_for(50)
    assert load.failed == []
    assert lease(shop) is None
    assert shop.served_by(20) == {"stable-1": 20}
    assert "the lease of shop ran out: the declared weights hold" in said(shop)
    wait_until(lambda: on_disk(shop) == {}, "it is off the disk")


def on_disk(shop):
    return json.loads((shop.state_dir / "state.json").read_text())["leases"]


def test_repeating_it_renews_it(shop):
    for _ in range(4):
        give(shop, seconds=1.5)
        time.sleep(0.5)
        assert shop.weights() == LEASED
    assert said(shop).count('"what": "weights"') == 4


def test_it_is_ended_by_an_order_that_may_be_repeated(shop):
    give(shop)
    ended = shop.admin("DELETE", "/weights/shop")
    assert (ended.json["ended"], ended.json["lease"]) == (True, None)
    assert shop.served_by(20) == {"stable-1": 20}
    assert shop.admin("DELETE", "/weights/shop").json["ended"] is False
    assert on_disk(shop) == {}


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_it_outlives_a_restart_and_a_crash_with_the_time_it_has_left(shop, end):
    give(shop, seconds=600)
    getattr(shop, end)()
    shop.start().wait_for_backends()
    assert shop.weights() == LEASED
    assert lease(shop)["seconds_left"] < 600
    assert set(shop.served_by(20)) == {"stable-1", "canary-1"}


def test_what_ran_out_while_the_balancer_was_stopped_is_over(shop):
    give(shop, seconds=2)
    shop.stop()
    state = json.loads((shop.state_dir / "state.json").read_text())
    state["leases"]["shop"]["given"] -= 60
    state["leases"]["shop"]["until"] -= 60
    (shop.state_dir / "state.json").write_text(json.dumps(state))
    shop.start().wait_for_backends()
    assert shop.weights() == {"stable": 100, "canary": 0}
    assert shop.alert() is None


def test_an_alert_beats_a_lease_and_a_clear_leaves_what_is_left_of_it(shop):
    give(shop)
    shop.admin("POST", "/alert", {"service": "shop"})
    assert shop.served_by(20) == {"stable-1": 20}
    told = give(shop).json
    assert (told["lease"]["weights"], told["effective"]) == (LEASED, {"stable": 100, "canary": 0})
    shop.admin("DELETE", "/alert/shop")
    assert shop.weights() == LEASED


def test_a_change_of_the_declared_weights_waits_for_the_leases_end(shop):
    give(shop)
    shop.shop["weights"] = {"stable": 90, "canary": 10}
    shop.write()
    assert shop.admin("POST", "/reload").status == 200
    assert shop.weights() == LEASED
    assert shop.admin("DELETE", "/weights/shop").json["effective"] == {"stable": 90, "canary": 10}


def test_a_file_with_other_tracks_ends_it(shop):
    give(shop)
    del shop.shop["tracks"]["canary"]
    shop.shop["weights"] = {"stable": 100}
    shop.write()
    assert shop.admin("POST", "/reload").status == 200
    assert lease(shop) is None
    assert shop.weights() == {"stable": 100}
    assert "the lease of shop ends: the file has other tracks" in said(shop)


def test_a_full_disk_leaves_what_was(shop):
    fresh = shop.state_dir / "state.new"
    fresh.mkdir()
    assert give(shop).status == 500
    assert lease(shop) is None
    fresh.rmdir()
    give(shop)
    fresh.mkdir()
    assert shop.admin("DELETE", "/weights/shop").status == 500
    assert shop.weights() == LEASED
    fresh.rmdir()


# Bad orders.


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"weights": LEASED, "lease_seconds": 60}, "'service' is missing"),
        ({"service": "shop", "lease_seconds": 60}, "'weights' is missing"),
        ({"service": "shop", "weights": LEASED}, "'lease_seconds' is missing"),
        ({"service": "shop", "weights": [50, 50], "lease_seconds": 60}, "'weights' has the wrong type"),
        ({"service": "shop", "weights": LEASED, "lease_seconds": "60"}, "'lease_seconds' has the wrong type"),
        ({"service": "shop", "weights": LEASED, "lease_seconds": 0}, "'lease_seconds' is not 1 to 86400"),
        ({"service": "shop", "weights": LEASED, "lease_seconds": 1e9}, "'lease_seconds' is not 1 to 86400"),
        (
            {"service": "shop", "weights": {"stable": 60, "canary": 50}, "lease_seconds": 60},
            "'weights' sum to 110: want 100",
        ),
        (
            {"service": "shop", "weights": {"stable": 99.99, "canary": 0.01}, "lease_seconds": 60},
            "'weights' has 99.99 for stable: want steps of 0.1 percent",
        ),
        (
            {"service": "shop", "weights": {"stable\r\nX: y": 100}, "lease_seconds": 60},
            "'weights' has \"stable\\r\\nX: y\": want a percentage for each of canary, stable",
        ),
    ],
)
def test_a_bad_order_is_400_with_words_for_it_and_changes_nothing(shop, order, words):
    answer = shop.admin("POST", "/weights", order)
    assert (answer.status, answer.json["error"]) == (400, words)
    assert lease(shop) is None


def test_an_unknown_service_is_404_and_a_token_for_alerts_gives_no_lease(shop):
    assert give(shop, service="nope").status == 404
    assert shop.admin("DELETE", "/weights/nope").status == 404
    order = {"service": "shop", "weights": LEASED, "lease_seconds": 60}
    assert shop.admin("POST", "/weights", order, token=MONITOR_TOKEN).status == 403
    assert shop.admin("DELETE", "/weights/shop", token=MONITOR_TOKEN).status == 403
    assert shop.admin("POST", "/weights", order, token=MONITOR_TOKEN, port=shop.alert_port).status == 404
    assert lease(shop) is None
