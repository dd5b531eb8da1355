"""A backend as a status tells of it, and what its states make of that."""

import copy

import pytest
import sluice_backend
from sluice_errors import RefusedError

STATUS = {
    "services": {
        "shop": {
            "alert": None,
            "tracks": {
                "stable": {
                    "weight_declared": 70,
                    "weight_effective": 70,
                    "min_available": 1,
                    "backends": {
                        "shop-1": {"state": "up", "in_flight": 3, "health": "status 200 (want 200)"},
                        "shop-2": {"state": "up", "in_flight": 0, "health": "status 200 (want 200)"},
                    },
                },
                "canary": {
                    "weight_declared": 30,
                    "weight_effective": 30,
                    "min_available": 0,
                    "backends": {"canary-1": {"state": "up", "in_flight": 0, "health": "fine"}},
                },
            },
        }
    }
}


def view(backend="shop-1", alert=None, **changed):
    """A backend, with other things in its track than in STATUS, and other `states` of stable backends."""
    status = copy.deepcopy(STATUS)
    shop = status["services"]["shop"]
    shop["alert"] = alert
    tracks = shop["tracks"]
    for name, state in changed.pop("states", {}).items():
        tracks["stable"]["backends"][name]["state"] = state
    tracks["canary" if backend == "canary-1" else "stable"] |= changed
    return sluice_backend.find(status, "shop", backend)


def test_a_backend_has_its_track_and_its_service():
    found = view("canary-1", alert={"reason": "bad", "by": "x", "at": "now", "door": "http"})
    assert (found.id, found.track, found.state, found.alert) == ("canary-1", "canary", "up", "bad")
    assert (found.declared, found.effective, found.up, found.min_available) == (30, 30, 1, 0)
    assert view().up == 2


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(RefusedError, match="unknown service shoe; known: shop$"):
        sluice_backend.find(STATUS, "shoe", "shop-1")
    with pytest.raises(RefusedError, match="unknown service shop; known: none$"):
        sluice_backend.find({"services": {}}, "shop", "shop-1")
    with pytest.raises(RefusedError, match="backend shop-9 of shop; known: canary-1, shop-1, shop-2$"):
        sluice_backend.find(STATUS, "shop", "shop-9")


def test_drained_is_without_requests_in_flight():
    assert not view().is_drained
    assert not view(states={"shop-1": "drained"}).is_drained
    assert view("shop-2", states={"shop-2": "drained"}).is_drained
    assert not view("shop-2", states={"shop-2": "down"}).is_drained


@pytest.mark.parametrize(
    ("changed", "spared"),
    [
        ({}, True),
        ({"min_available": 2}, False),
        ({"min_available": 0, "states": {"shop-2": "down"}}, True),
        ({"states": {"shop-2": "down"}}, False),
        ({"states": {"shop-2": "drained"}}, False),
        ({"states": {"shop-1": "down", "shop-2": "down"}}, True),
        ({"states": {"shop-1": "drained", "shop-2": "down"}}, True),
    ],
)
def test_a_backend_is_spared_if_enough_others_are_up(changed, spared):
    assert (view(**changed).not_spared() is None) is spared


def test_what_is_not_spared_says_how_many_would_be_left():
    assert view(min_available=2).not_spared() == "1 of stable would be left up, min_available wants 2"


def test_only_what_is_up_in_a_track_with_a_share_gets_traffic():
    assert view().without_traffic() is None
    assert view("canary-1", weight_declared=0, weight_effective=0).without_traffic() is None
    told = view(states={"shop-1": "down"}).without_traffic()
    assert told == "shop-1 is down (want up): status 200 (want 200)"
    alert = {"reason": "bad", "by": "x", "at": "now", "door": "http"}
    told = view("canary-1", alert=alert, weight_effective=0).without_traffic()
    assert told == "canary-1 is up, but canary gets no traffic: an alert stands (bad)"
    told = view("canary-1", weight_effective=0).without_traffic()
    assert told == "canary-1 is up, but canary gets no traffic: see balancer.status"
