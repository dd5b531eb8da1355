"""The monitor: when a canary is bad by the counters, when it is well, and when nobody can say."""

import asyncio
import dataclasses
import json
import re
from pathlib import Path

import pytest
import sluice_balancer_config
import yaml

from balancer import config, reader
from balancer.alerts import MAX_REASON
from balancer.counters import BUCKETS, Counters
from balancer.monitor import ALERT, BROKEN, NO_DATA, OFF, OK, Counted, Monitor, Watch, counted, judge
from balancer.reader import Address
from balancer.services import Health, MonitorLimits, Service
from balancer.sockets import Sockets
from balancer.workers import Worker, Workers

UNSET = MonitorLimits(
    window_seconds=10,
    min_requests=50,
    looks=2,
    max_error_ratio=None,
    max_error_ratio_over_stable=None,
    max_latency_ratio=None,
    min_latency_ms=50,
)
OVER_STABLE = dataclasses.replace(UNSET, max_error_ratio_over_stable=0.02)
ABSOLUTE = dataclasses.replace(UNSET, max_error_ratio=0.05)
SLOW = dataclasses.replace(UNSET, max_latency_ratio=2)
ALL = dataclasses.replace(UNSET, max_error_ratio=0.05, max_error_ratio_over_stable=0.02, max_latency_ratio=2)


def track(requests, failed=0, ms=4.0, slow=0, slow_ms=0.0):
    """A track that answered; of its requests `failed` with 500, and `slow` in `slow_ms` instead of `ms`."""
    counters = Counters()
    for number in range(requests):
        took = slow_ms if number < slow else ms
        counters.finished("shop", "canary", "canary-1", 500 if number < failed else 200, took / 1000)
    return counted(counters.dump(), "shop")["canary"]


# Judging.


@pytest.mark.parametrize(
    ("limits", "canary", "stable", "state"),
    [
        pytest.param(OVER_STABLE, (80, 12), (190, 0), BROKEN, id="far more errors than stable"),
        pytest.param(OVER_STABLE, (80, 12), (190, 30), OK, id="no more errors than stable"),
        pytest.param(OVER_STABLE, (80, 0), (190, 100), OK, id="stable is worse"),
        pytest.param(OVER_STABLE, (100, 2), (100, 0), OK, id="right at the limit over nothing"),
        pytest.param(OVER_STABLE, (100, 13), (100, 11), OK, id="right at the limit over something"),
        pytest.param(OVER_STABLE, (1000, 21), (1000, 0), BROKEN, id="just above the limit"),
        pytest.param(OVER_STABLE, (50, 2), (50, 0), BROKEN, id="as few requests as allowed"),
        pytest.param(OVER_STABLE, (49, 49), (190, 0), NO_DATA, id="one request too few"),
        pytest.param(OVER_STABLE, (0, 0), (190, 0), NO_DATA, id="no canary"),
        pytest.param(OVER_STABLE, (0, 0), (0, 0), NO_DATA, id="nobody asks"),
        pytest.param(OVER_STABLE, (80, 80), (49, 0), NO_DATA, id="too little of stable to compare with"),
        pytest.param(ABSOLUTE, (80, 12), (0, 0), BROKEN, id="absolute, without stable"),
        pytest.param(ABSOLUTE, (80, 0), (0, 0), OK, id="absolute needs no stable to be well"),
        pytest.param(ABSOLUTE, (100, 5), (100, 0), OK, id="right at the absolute limit"),
        pytest.param(ABSOLUTE, (100, 6), (100, 100), BROKEN, id="absolute, though stable is worse"),
        pytest.param(ALL, (80, 12), (0, 0), BROKEN, id="absolute applies alone without stable"),
        pytest.param(ALL, (80, 0), (0, 0), NO_DATA, id="well by one limit, unknown by another"),
        pytest.param(ALL, (80, 1), (80, 0), OK, id="well by all limits"),
    ],
)
def test_errors_are_judged(limits, canary, stable, state):
    assert judge(limits, track(*canary), track(*stable), 10).state == state


@pytest.mark.parametrize(
    ("canary", "stable", "state"),
    [
        pytest.param({"ms": 300}, {"ms": 4}, BROKEN, id="slow"),
        pytest.param({"ms": 300}, {"ms": 300}, OK, id="as slow as stable"),
        pytest.param({"ms": 4}, {"ms": 300}, OK, id="faster than stable"),
        pytest.param({"ms": 40}, {"ms": 0.5}, OK, id="many times slower, and still fast enough"),
        pytest.param({"ms": 40}, {"ms": 0}, OK, id="stable takes no time at all"),
        pytest.param({"ms": 300}, {"ms": 0}, BROKEN, id="slow, and stable takes no time at all"),
        pytest.param({"ms": 101}, {"ms": 99}, OK, id="the next bucket is not twice as long"),
        pytest.param({"ms": 4, "slow": 1, "slow_ms": 30_000}, {"ms": 4}, OK, id="one straggler"),
        pytest.param({"ms": 4, "slow": 12, "slow_ms": 2000}, {"ms": 4}, BROKEN, id="a long tail"),
        pytest.param({"ms": 70_000}, {"ms": 4}, BROKEN, id="beyond all buckets"),
    ],
)
def test_times_are_judged(canary, stable, state):
    assert judge(SLOW, track(100, **canary), track(100, **stable), 10).state == state


def test_times_are_not_judged_without_enough_of_stable():
    assert judge(SLOW, track(100, ms=300), track(49), 10).state == NO_DATA


def test_the_floor_itself_is_fast_enough():
    canary, stable = track(100, ms=300), track(100)
    at = dataclasses.replace(SLOW, min_latency_ms=canary.p95_ms)
    assert judge(at, canary, stable, 10).state == OK
    below = dataclasses.replace(SLOW, min_latency_ms=canary.p95_ms - 1)
    assert judge(below, canary, stable, 10).state == BROKEN


def test_reasons_hold_the_numbers():
    found = judge(OVER_STABLE, track(80, 12), track(190), 10.02)
    assert found.said == (
        "canary 12 of 80 requests failed (15.0%), stable 0 of 190 (0.0%) in 10 s,"
        " want at most 2.0 points more"
    )
    found = judge(ABSOLUTE, track(80, 12), track(0), 3)
    assert found.said == "canary 12 of 80 requests failed (15.0%) in 3 s, want at most 5.0%"
    found = judge(SLOW, track(100, ms=300), track(100, ms=3), 10)
    assert found.said == (
        "canary p95 488 ms to stable's 5 ms, mean 300 ms to stable's 3 ms in 10 s,"
        " want at most 2 times as much"
    )


def test_reasons_of_errors_and_times_together_begin_with_the_errors():
    found = judge(ALL, track(80, 12, ms=300), track(190), 10)
    assert found.said.startswith("canary 12 of 80 requests failed (15.0%), stable 0 of 190 (0.0%) in 10 s")
    assert "; canary p95 488 ms" in found.said
    assert found.said.index("; canary p95") < MAX_REASON


def test_no_data_says_who_had_how_many_and_how_many_it_takes():
    assert judge(ALL, track(3), track(190), 10).said == "canary answered 3 requests in 10 s, want 50 to judge"
    assert judge(ALL, track(80), track(7), 10).said == "stable answered 7 requests in 10 s, want 50 to judge"


# Counting.


def test_only_5xx_count_as_failed_and_every_answer_counts_as_a_request():
    counters = Counters()
    for status in (200, 302, 404, 499, 500, 502, 504):
        counters.finished("shop", "canary", "canary-1", status, 0.001)
    counters.finished("shop", "canary", "canary-2", 503, 0.001)
    counters.finished("shop", "stable", "stable-1", 200, 0.001)
    counters.finished("shop", "none", "none", 503, 0.001)
    counters.finished("shop-2", "canary", "canary-1", 500, 0.001)
    found = counted(counters.dump(), "shop")
    assert (found["canary"].requests, found["canary"].failed) == (8, 4)
    assert (found["stable"].requests, found["stable"].failed) == (1, 0)


@pytest.mark.parametrize("ms", [0.4, 3, 30, 300, 3000])
def test_the_percentile_is_within_its_bucket(ms):
    bounds = [0.0, *BUCKETS]
    high = next(bound for bound in BUCKETS if bound >= ms / 1000)
    low = bounds[bounds.index(high) - 1]
    assert low * 1000 < track(100, ms=ms).p95_ms <= high * 1000


def test_nothing_has_a_ratio_and_times_of_zero():
    assert (Counted().error_ratio, Counted().mean_ms, Counted().p95_ms) == (0, 0, 0)


# The window.


class Traffic:
    """Totals that grow, as the workers count them, and a watch that looks at them every second."""

    def __init__(self, limits):
        self.limits, self.watch, self.now = limits, Watch(), 1000.0
        self.total = {"stable": Counted(), "canary": Counted()}
        self.look()

    def look(self, canary=(0, 0), stable=(0, 0), seconds=1.0):
        """True if an alert is due after so much more traffic."""
        for name, more in (("canary", canary), ("stable", stable)):
            for row, failed in ((track(more[0] - more[1]), False), (track(more[1]), True)):
                values = (row.requests, row.seconds, *row.buckets)
                self.total[name] = self.total[name].plus(values, failed)
        self.now += seconds
        return self.watch.look(self.limits, self.now, dict(self.total))

    @property
    def state(self):
        return self.watch.finding.state


def test_an_alert_is_due_when_a_limit_is_broken_for_enough_looks():
    traffic = Traffic(dataclasses.replace(OVER_STABLE, looks=3))
    assert [traffic.look((60, 30), (60, 0)) for _ in range(3)] == [False, False, True]


def test_a_good_look_between_bad_ones_starts_the_count_anew():
    traffic = Traffic(dataclasses.replace(OVER_STABLE, window_seconds=2))
    assert not traffic.look((100, 5), (100, 0))
    assert traffic.state == BROKEN
    assert not traffic.look((1000, 0), (1000, 0))
    assert traffic.state == OK
    assert not traffic.look((5000, 300), (5000, 0))
    assert traffic.state == BROKEN


def test_missing_data_does_not_make_up_for_a_bad_look():
    traffic = Traffic(dataclasses.replace(OVER_STABLE, window_seconds=2))
    assert not traffic.look((100, 5), (100, 0))
    for _ in range(5):
        assert not traffic.look(seconds=2)
    assert traffic.state == NO_DATA
    assert traffic.look((100, 5), (100, 0))


def test_what_is_older_than_the_window_does_not_count():
    traffic = Traffic(dataclasses.replace(OVER_STABLE, looks=1000))
    traffic.look((100, 50), (100, 0))
    for _ in range(9):
        traffic.look((100, 0), (100, 0))
    assert traffic.state == BROKEN
    traffic.look((100, 0), (100, 0))
    assert traffic.state == OK
    assert (
        "canary 0 of 1000 requests failed (0.0%), stable 0 of 1000 (0.0%) in 10 s"
        in traffic.watch.finding.said
    )


def test_a_look_that_came_late_tells_the_time_it_covers():
    traffic = Traffic(OVER_STABLE)
    traffic.look((100, 0), (100, 0), seconds=14)
    assert "in 14 s" in traffic.watch.finding.said


def test_counters_that_went_backwards_start_the_window_anew():
    traffic = Traffic(OVER_STABLE)
    traffic.look((500, 0), (500, 0))
    traffic.total = {"stable": track(300), "canary": track(200, 20)}
    assert not traffic.look()
    assert traffic.watch.finding.said == "canary answered 0 requests in 0 s, want 50 to judge"
    traffic.look((60, 0), (60, 0))
    assert "canary 0 of 60 requests failed (0.0%)" in traffic.watch.finding.said


def test_errors_before_the_first_look_do_not_count():
    watch = Watch()
    totals = {"stable": track(500), "canary": track(500, 400)}
    assert not watch.look(dataclasses.replace(OVER_STABLE, looks=1), 1.0, totals)
    assert watch.finding.state == NO_DATA


# All services.


def service(name, limits):
    health = Health("/", 200, 1, 1, 2, 2)
    return Service(name, Address("127.0.0.1", 80), {"stable": 100}, health, {"stable": {}}, limits)


SHOP, CART = service("shop", dataclasses.replace(OVER_STABLE, looks=1)), service("cart", None)


def failing(count):
    """Counters of workers in which every canary of every service fails."""
    counters = Counters()
    for name in ("shop", "cart"):
        for _ in range(count):
            counters.finished(name, "canary", "canary-1", 500, 0.001)
            counters.finished(name, "stable", "stable-1", 200, 0.001)
    return counters.dump()


def test_only_services_with_limits_are_watched():
    monitor = Monitor()
    assert monitor.look([SHOP, CART], [], failing(0), 1.0) == []
    (bad,) = monitor.look([SHOP, CART], [], failing(100), 2.0)
    assert bad == ("shop", monitor.finding(SHOP, False).said)
    assert bad[1].startswith("canary 100 of 100 requests failed (100.0%)")
    assert monitor.finding(CART, False).state == OFF


def test_nothing_more_is_raised_while_an_alert_stands_and_then_the_window_starts_anew():
    monitor = Monitor()
    monitor.look([SHOP], [], failing(0), 1.0)
    assert monitor.look([SHOP], ["shop"], failing(100), 2.0) == []
    assert monitor.finding(SHOP, True).state == ALERT
    assert monitor.look([SHOP], [], failing(200), 3.0) == []
    assert monitor.finding(SHOP, False).state == NO_DATA
    assert len(monitor.look([SHOP], [], failing(300), 4.0)) == 1


def test_an_alert_that_came_and_went_between_two_looks_starts_the_window_anew():
    monitor = Monitor()
    monitor.look([SHOP], [], failing(0), 1.0)
    monitor.start_anew("shop")
    assert monitor.finding(SHOP, False).state == NO_DATA
    assert monitor.look([SHOP], [], failing(100), 2.0) == []


# A worker that ends while it tells.


class Ending:
    """The channel of a worker that tells its numbers and is retired before all others have told theirs."""

    def __init__(self, workers, counters):
        self._workers, self._counters = workers, counters

    async def order(self, kind):
        told = {"counters": self._counters, "in_flight": {}}
        self._workers._last[0] = told
        self._workers._retire(0)
        return told


def test_what_a_worker_counted_that_ends_while_it_tells_is_not_counted_twice():
    workers = Workers(None, Sockets())
    workers._alive[0] = Worker(None, Ending(workers, failing(7)), None)
    counters, _ = asyncio.run(workers.numbers())
    assert counted(counters, "shop")["canary"].failed == 7


# Limits in the balancer's file and in pillar.


def file_with(limits):
    shop = {"listen": "127.0.0.1:80", "weights": {"stable": 100}, "tracks": {"stable": {}}, "monitor": limits}
    admin = {"listen": "127.0.0.1:9901", "token_file": "/token"}
    return json.dumps({"admin": admin, "state_dir": "/state", "services": {"shop": shop}}).encode()


def test_one_limit_is_enough_and_the_rest_has_defaults():
    found = config.parse(file_with({"max_error_ratio": 0.05})).services["shop"].monitor
    assert found == ABSOLUTE


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({}, "has no limit, want one of max_error_ratio, max_error_ratio_over_stable, max_latency_ratio"),
        ({"window_seconds": 10}, "has no limit"),
        ([], "is [], want an object"),
        (None, "is null, want an object"),
        ({"max_error_ratio": 5}, ".max_error_ratio: is 5, want a number, 0 to 1"),
        ({"max_error_ratio": None}, ".max_error_ratio: is null, want a number, 0 to 1"),
        (
            {"max_error_ratio_over_stable": -0.1},
            ".max_error_ratio_over_stable: is -0.1, want a number, 0 to 1",
        ),
        ({"max_latency_ratio": 0.5}, ".max_latency_ratio: is 0.5, want a number, 1 to 1000"),
        ({"max_error_ratio": 0, "window_seconds": 1}, ".window_seconds: is 1, want a number, 2 to 600"),
        ({"max_error_ratio": 0, "min_requests": 0}, ".min_requests: is 0, want a whole number, 1 to 1000000"),
        ({"max_error_ratio": 0, "looks": 0}, ".looks: is 0, want a whole number, 1 to 100"),
        ({"max_error_ratio": 0, "min_latency_ms": -1}, ".min_latency_ms: is -1, want a number, 0 to 60000"),
        ({"max_error_ratio": 0, "max_errors": 1}, ".max_errors: not a known key"),
    ],
)
def test_limits_that_cannot_be_used_are_told_with_their_path(limits, said):
    with pytest.raises(reader.ConfigError) as refused:
        config.parse(file_with(limits))
    told = [line.removeprefix("$.services.shop.monitor") for line in refused.value.mistakes]
    assert any(said in line for line in told if line not in refused.value.mistakes), refused.value.mistakes


PILLAR = {"listen": "0.0.0.0:80", "backend_port": 80, "tracks": {"stable": "shop-*"}}


def in_file(pillar):
    """The service in the balancer's file."""
    return sluice_balancer_config.service("shop", pillar, {"stable": 100}, {"stable": {"shop-1": "10.0.0.1"}})


def test_limits_of_pillar_come_into_the_file_as_they_are_and_without_them_there_are_none():
    limits = {"max_error_ratio": 0.05, "looks": 3}
    assert in_file(PILLAR | {"monitor": limits})["monitor"] == limits
    assert "monitor" not in in_file(PILLAR)
    assert "monitor" not in in_file(PILLAR | {"monitor": {}})


def test_limits_in_pillar_that_are_no_table_are_refused():
    with pytest.raises(sluice_balancer_config.ConfigError, match="balancer:services:shop:monitor is 5"):
        sluice_balancer_config.services({"services": {"shop": PILLAR | {"monitor": 5}}})


def test_the_labs_limits_tell_its_bad_version_from_a_good_one_on_a_busy_machine():
    source = (Path(__file__).parents[3] / "pillar/lab/balancer.sls").read_text()
    pillar = yaml.safe_load(re.sub(r"{%.*?%}|{{.*?}}", "", source))
    limits = in_file(PILLAR | {"monitor": pillar["balancer"]["services"]["checkbox"]["monitor"]})["monitor"]
    lab = config.parse(file_with(limits)).services["shop"].monitor
    stable = track(1400, ms=8, slow=10, slow_ms=1500)
    # Every fifth answer an error, as of v2-bad, or each 400 ms late.
    assert judge(lab, track(600, 120, ms=8), stable, 10).state == BROKEN
    assert judge(lab, track(600, ms=408), stable, 10).state == BROKEN
    # A restart of a second, and a stall that hits one track alone.
    assert judge(lab, track(600, 60, ms=8), stable, 10).state == OK
    assert judge(lab, track(600, ms=70, slow=60, slow_ms=250), stable, 10).state == OK
