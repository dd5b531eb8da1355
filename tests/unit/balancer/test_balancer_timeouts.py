"""Time limits of a request: which one is broken, whose fault it is, and what the file may say."""

import json

import pytest

from balancer import config
from balancer.reader import ConfigError
from balancer.timeouts import Timeouts, late

LIMITS = Timeouts(connect_seconds=2, response_seconds=30, idle_seconds=10, total_seconds=100)


def found(seconds=50.0, idle=0.0, limits=LIMITS, **state):
    usual = {"sent": True, "body_due": False, "answered": False, "client_slow": False}
    late_by = late(limits, seconds, idle, **{**usual, **state})
    return late_by and (late_by.status, late_by.backend_failed)


@pytest.mark.parametrize(
    ("state", "least", "status", "backend_failed"),
    [
        pytest.param({}, 30, 504, True, id="no head yet"),
        pytest.param({"client_slow": True}, 30, 504, True, id="no head yet, whatever the client takes"),
        pytest.param({"body_due": True}, 10, 408, False, id="the client sends no more of its body"),
        pytest.param({"answered": True}, 10, 504, True, id="the answer stopped"),
        pytest.param({"answered": True, "body_due": True}, 10, 504, True, id="an early answer stopped"),
        pytest.param({"answered": True, "client_slow": True}, 10, 504, False, id="the client takes no more"),
    ],
)
def test_a_limit_is_broken_at_its_second_and_not_before(state, least, status, backend_failed):
    assert found(idle=least - 0.01, **state) is None
    assert found(idle=least, **state) == (status, backend_failed)


@pytest.mark.parametrize(
    ("state", "backend_failed"),
    [
        ({}, True),
        ({"answered": True}, True),
        ({"body_due": True}, False),
        ({"answered": True, "client_slow": True}, False),
        ({"sent": False}, False),
    ],
)
def test_the_total_ends_what_moves_all_the_while(state, backend_failed):
    assert found(seconds=99.9, **state) is None
    assert found(seconds=100, **state) == (504, backend_failed)


def test_without_a_total_a_request_may_take_as_long_as_something_moves():
    assert found(seconds=1e6, limits=Timeouts()) is None


def test_while_a_connection_is_made_only_the_total_counts():
    assert found(idle=99, sent=False) is None


# The file.


def parsed(timeouts=None):
    shop = {"listen": "0.0.0.0:80", "weights": {"stable": 100}, "tracks": {"stable": {"s1": "10.0.0.1:80"}}}
    if timeouts is not None:
        shop["timeouts"] = timeouts
    told = {
        "admin": {"listen": "127.0.0.1:9901", "token_file": "/etc/sluice/admin.token"},
        "state_dir": "/var/lib/sluice",
        "services": {"shop": shop},
    }
    return config.parse(json.dumps(told).encode()).services["shop"].timeouts


def test_every_limit_has_its_default():
    assert parsed() == parsed({}) == Timeouts(2, 60, 60, None)
    assert parsed({"total_seconds": None, "idle_seconds": 5}) == Timeouts(2, 60, 5, None)
    assert parsed({"total_seconds": 5}).total_seconds == 5


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"connect_seconds": 0}, ".connect_seconds: is 0, want a number, 0.2 to 60"),
        ({"response_seconds": "1"}, '.response_seconds: is "1", want a number, 0.2 to 3600'),
        ({"idle_seconds": None}, ".idle_seconds: is null, want a number, 0.2 to 3600"),
        ({"total_seconds": 0.1}, ".total_seconds: is 0.1, want a number, 0.2 to 86400"),
        (5, ": is 5, want an object"),
    ],
)
def test_a_slip_is_told_with_its_path(told, said):
    with pytest.raises(ConfigError) as refused:
        parsed(told)
    assert refused.value.mistakes == [f"$.services.shop.timeouts{said}"]
