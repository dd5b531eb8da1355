"""Wrong tokens are counted, and too many of them have to wait."""

import pytest

from balancer import attempts
from balancer.attempts import BURST, BURST_OVERALL, SECONDS_EACH, Failures, group


def fail(failures, times, address="10.0.0.1", now=100.0):
    """So many failures at once; how long the last one has to wait."""
    return [failures.failed("api", address, now) for _ in range(times)][-1]


def test_a_few_wrong_tokens_wait_for_nothing():
    assert fail(Failures(), BURST) == 0


def test_one_more_has_to_wait_and_is_told_how_long():
    assert fail(Failures(), BURST + 1) == pytest.approx(SECONDS_EACH)


def test_who_goes_on_does_not_wait_longer_for_it():
    assert fail(Failures(), BURST + 1000) == pytest.approx(SECONDS_EACH)


def test_who_waited_is_heard_again():
    failures = Failures()
    fail(failures, BURST + 5)
    assert fail(failures, 1, now=100 + SECONDS_EACH) == 0
    assert fail(failures, 1, now=100 + SECONDS_EACH) > 0
    assert fail(failures, BURST, now=100 + 1000) == 0


def test_one_address_does_not_make_another_wait():
    failures = Failures()
    fail(failures, BURST + 1)
    assert fail(failures, 1, "10.0.0.2") == 0


def test_many_addresses_together_have_to_wait():
    failures = Failures()
    waits = [fail(failures, 1, f"10.0.{n // 250}.{n % 250}") for n in range(BURST_OVERALL + 1)]
    assert waits[BURST_OVERALL - 1] == 0
    assert waits[BURST_OVERALL] > 0


def test_an_ipv6_network_is_one_address():
    assert group("2001:db8::1") == group("2001:db8::2") != group("2001:db8:0:1::1")
    assert group("fe80::1%eth0") == group("fe80::2")
    assert group("10.0.0.1") != group("10.0.0.2")


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(attempts, "MAX_ADDRESSES", 10)
    failures = Failures()
    for n in range(100):
        fail(failures, 1, f"10.0.0.{n}")
    assert len(failures._forgiven) == 10
    # Once the first are forgiven there is room again.
    fail(failures, 1, "10.0.1.1", now=1000.0)
    assert list(failures._forgiven) == ["10.0.1.1"]


def test_failures_are_counted_by_door():
    failures = Failures()
    failures.failed("page", "10.0.0.1", 1.0)
    assert failures.counts == {"api": 0, "alert": 0, "page": 1, "host": 0}
