"""Passive health as rules: when a backend is ejected, for how long, how many, and what the file may say."""

import json

import pytest

from balancer import config
from balancer.ejection import DEFAULTS, TOGETHER_SECONDS, EjectionLimits, Ejections
from balancer.reader import ConfigError

KEY = ("shop", "stable", "s1")
LIMITS = EjectionLimits(errors=3, base_seconds=5, max_seconds=30)


class Backend:
    """One backend's record, with a clock."""

    def __init__(self, limits=LIMITS):
        self.ejections, self.limits, self.now = Ejections(), limits, 1000.0

    def fail(self, errors, worker=0):
        """A worker says so many failures in a row; for how long it is ejected by them, or None."""
        if not self.ejections.is_due(KEY, worker, errors, self.now, self.limits):
            return None
        return self.ejections.eject(KEY, self.now, self.limits, "no connection")

    def well(self):
        self.ejections.well(KEY, self.now)

    @property
    def is_ejected(self):
        return self.ejections.is_ejected(KEY, self.now)


def test_failures_in_a_row_eject_and_fewer_do_not():
    backend = Backend()
    assert [backend.fail(n) for n in (1, 2, 3)] == [None, None, 5]
    assert backend.is_ejected


def test_a_good_answer_between_them_begins_the_count_anew():
    backend = Backend()
    backend.fail(2)
    backend.well()
    assert [backend.fail(n) for n in (1, 2)] == [None, None]


def test_failures_of_several_workers_count_together():
    backend = Backend()
    assert [backend.fail(1, worker=n) for n in range(3)] == [None, None, 5]


def test_a_good_answer_at_one_worker_ends_the_failures_of_all():
    backend = Backend()
    backend.fail(1, worker=0)
    backend.fail(1, worker=1)
    backend.well()
    assert backend.fail(1, worker=2) is None


def test_what_another_worker_saw_long_ago_does_not_count():
    backend = Backend()
    backend.fail(2, worker=0)
    backend.now += TOGETHER_SECONDS + 0.1
    assert backend.fail(1, worker=1) is None
    assert backend.fail(3, worker=1) == 5


def test_after_its_time_one_failure_ejects_again_for_twice_as_long_up_to_the_most():
    backend = Backend()
    lasted = [backend.fail(3)]
    for _ in range(4):
        backend.now += lasted[-1]
        assert not backend.is_ejected
        lasted.append(backend.fail(1))
    assert lasted == [5, 10, 20, 30, 30]


def test_a_good_answer_after_its_time_ends_the_probation():
    backend = Backend()
    backend.fail(3)
    backend.now += 5
    assert backend.ejections.is_watched(KEY)
    backend.well()
    assert not backend.ejections.is_watched(KEY)
    assert [backend.fail(n) for n in (1, 2, 3)] == [None, None, 5]


def test_what_was_asked_before_an_ejection_neither_ends_nor_prolongs_it():
    backend = Backend()
    backend.fail(3)
    backend.well()
    assert backend.fail(9) is None
    backend.now += 5
    assert backend.fail(1) == 10


def test_a_thousand_ejections_in_a_row_are_no_number_too_large():
    backend = Backend()
    backend.fail(3)
    for _ in range(1000):
        backend.now += 30
        assert backend.fail(1) <= 30
    assert backend.ejections.get(KEY).total == 1001


def test_zero_errors_switches_it_off():
    backend = Backend(EjectionLimits(errors=0))
    assert [backend.fail(n) for n in range(1, 100)] == [None] * 99


def test_a_restored_backend_begins_anew_and_its_count_stays():
    backend = Backend()
    backend.fail(3)
    backend.ejections.forget(KEY)
    assert not backend.is_ejected
    assert [backend.fail(n) for n in (1, 2, 3)] == [None, None, 5]
    assert backend.ejections.get(KEY).total == 2


@pytest.mark.parametrize(
    ("track", "backends", "percent", "spared"),
    [
        ("stable", 1, 50, 0),
        ("stable", 2, 50, 1),
        ("stable", 3, 50, 1),
        ("stable", 4, 50, 2),
        ("stable", 1, 100, 0),
        ("stable", 4, 100, 3),
        ("stable", 4, 0, 0),
        ("stable", 0, 50, -1),
        ("canary", 0, 50, 0),
        ("canary", 1, 50, 1),
        ("canary", 1, 0, 1),
        ("canary", 2, 50, 1),
        ("canary", 5, 50, 2),
        ("canary", 3, 100, 3),
    ],
)
def test_one_of_stable_always_stays_and_one_of_a_canary_may_always_go(track, backends, percent, spared):
    assert EjectionLimits(max_share_percent=percent).spared(track, backends) == spared


# The file.


def parsed(ejection=None):
    shop = {"listen": "0.0.0.0:80", "weights": {"stable": 100}, "tracks": {"stable": {"s1": "10.0.0.1:80"}}}
    if ejection is not None:
        shop["ejection"] = ejection
    told = {
        "admin": {"listen": "127.0.0.1:9901", "token_file": "/etc/sluice/admin.token"},
        "state_dir": "/var/lib/sluice",
        "services": {"shop": shop},
    }
    return config.parse(json.dumps(told).encode()).services["shop"].ejection


def test_it_is_on_unless_the_file_says_otherwise():
    assert parsed() == parsed({}) == DEFAULTS == EjectionLimits(5, 5, 300, 50, False)
    assert parsed({"errors": 0}).errors == 0
    assert parsed({"gateway_errors": True, "max_seconds": 60}) == EjectionLimits(5, 5, 60, 50, True)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"errors": -1}, ".errors: is -1, want a whole number, 0 to 1000"),
        ({"errors": 1.5}, ".errors: is 1.5, want a whole number, 0 to 1000"),
        ({"base_seconds": 0}, ".base_seconds: is 0, want a number, 0.1 to 3600"),
        ({"max_seconds": "60"}, '.max_seconds: is "60", want a number, 0.1 to 86400'),
        ({"max_share_percent": 101}, ".max_share_percent: is 101, want a number, 0 to 100"),
        ({"gateway_errors": 1}, ".gateway_errors: is 1, want true or false"),
        ({"base_seconds": 60, "max_seconds": 30}, ".max_seconds: is 30.0, want at least base_seconds, 60"),
        ([], ": is [], want an object"),
    ],
)
def test_a_slip_is_told_with_its_path(told, said):
    with pytest.raises(ConfigError) as refused:
        parsed(told)
    assert f"$.services.shop.ejection{said}" in refused.value.mistakes


def test_an_unknown_key_is_a_mistake():
    with pytest.raises(ConfigError, match=r"\$\.services\.shop\.ejection\.error: not a known key, want one"):
        parsed({"error": 5})
