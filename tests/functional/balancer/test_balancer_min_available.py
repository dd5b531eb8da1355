"""A service is not drained below what it needs."""

import threading

import pytest
from running import wait_until


@pytest.fixture
def shop(backend, balancer):
    """shop(3, stable="50%"): so many stable backends and a canary, and what a drain must leave."""

    def make(stables, **min_available):
        stable = [backend(f"stable-{number}") for number in range(1, stables + 1)]
        made = balancer(start=False, tracks={"stable": stable, "canary": [backend("canary-1")]})
        if min_available:
            made.shop["min_available"] = min_available
            made.write()
        made.stable = stable
        return made.start().wait_for_backends()

    return make


def drain(shop, backend, **more):
    return shop.admin("POST", "/drain", {"service": "shop", "backend": backend, **more})


def test_the_last_stable_backend_is_not_drained(shop):
    shop = shop(2)
    assert drain(shop, "stable-1").status == 200
    refused = drain(shop, "stable-2")
    assert refused.status == 409
    assert refused.json["error"] == (
        "stable-2 is not drained: 0 of stable would be left up, min_available wants 1 "
        "(up: stable-2; drained: stable-1; down: none); restore or heal one first, or use force"
    )
    assert shop.backends() == {"stable-1": "drained", "stable-2": "up", "canary-1": "up"}
    assert shop.served_by(10) == {"stable-2": 10}
    assert '"backend": "stable-2"' not in shop.said()


def test_the_only_canary_is_drained(shop):
    shop = shop(1)
    assert drain(shop, "canary-1").json == {"in_flight": 0, "cut": 0}


def test_a_backend_that_is_down_does_not_count_as_available(shop):
    shop = shop(3, stable=2)
    shop.stable[2].stop()
    shop.wait_for_backends("down", ["stable-3"])
    refused = drain(shop, "stable-1")
    assert refused.status == 409
    assert "1 of stable would be left up, min_available wants 2 " in refused.json["error"]
    assert "(up: stable-1, stable-2; drained: none; down: stable-3)" in refused.json["error"]
    assert drain(shop, "stable-3").status == 200


def test_to_drain_again_is_fine_although_nothing_can_be_spared(shop):
    shop = shop(2)
    assert drain(shop, "stable-1").status == 200
    assert drain(shop, "stable-1").json == {"in_flight": 0, "cut": 0}
    assert drain(shop, "stable-2").status == 409


@pytest.mark.parametrize(("wanted", "spared"), [("50%", 1), ("33%", 2), ("0%", 3), (9, 0)])
def test_as_many_are_spared_as_the_file_says(shop, wanted, spared):
    shop = shop(3, stable=wanted)
    statuses = [drain(shop, f"stable-{number}").status for number in (1, 2, 3)]
    assert statuses == [200] * spared + [409] * (3 - spared)


def test_a_canary_can_have_a_minimum_too(shop):
    shop = shop(1, canary=1)
    assert drain(shop, "canary-1").status == 409


def test_a_restored_backend_can_stand_in_for_another(shop):
    shop = shop(2)
    drain(shop, "stable-1")
    assert drain(shop, "stable-2").status == 409
    assert shop.admin("POST", "/restore", {"service": "shop", "backend": "stable-1"}).status == 200
    assert drain(shop, "stable-2").status == 200


def test_two_drains_at_once_do_not_take_both(shop):
    shop = shop(2)
    statuses = []
    both = [
        threading.Thread(target=lambda name=name: statuses.append(drain(shop, name).status))
        for name in ("stable-1", "stable-2")
    ]
    for one in both:
        one.start()
    for one in both:
        one.join(20)
    assert sorted(statuses) == [200, 409]


def test_force_overrides_and_is_audited(shop):
    shop = shop(1)
    assert drain(shop, "stable-1", force=False).status == 409
    assert "audit" not in shop.said()
    assert drain(shop, "stable-1", force=True).json == {"in_flight": 0, "cut": 0}
    assert shop.backends()["stable-1"] == "drained"
    assert '"what": "drain", "by": "admin"' in shop.said()
    assert '"backend": "stable-1", "force": true' in shop.said()


def test_force_is_true_or_false(shop):
    shop = shop(2)
    for force in (1, 0, "true", None, []):
        answer = drain(shop, "stable-1", force=force)
        assert (answer.status, answer.json) == (400, {"error": "'force' has the wrong type"})
    assert shop.backends()["stable-1"] == "up"


def test_the_status_tells_what_is_needed_and_a_reload_changes_it(shop):
    shop = shop(3, stable="50%")

    def needed():
        return {
            name: track["min_available"]
            for name, track in shop.status()["services"]["shop"]["tracks"].items()
        }

    assert needed() == {"stable": 2, "canary": 0}
    shop.shop["min_available"] = {"stable": 3, "canary": 1}
    shop.write()
    wait_until(lambda: needed() == {"stable": 3, "canary": 1}, "the new minimum is in force")
    assert drain(shop, "stable-1").status == 409
