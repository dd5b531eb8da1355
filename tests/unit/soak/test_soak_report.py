"""The soak's sums."""

import pytest

from tests.soak import gauges, report


def test_slope_is_megabytes_a_minute():
    assert gauges.slope([(t, 50 + t / 60) for t in range(100)]) == pytest.approx(1.0)
    assert gauges.slope([(0, 1)]) == 0.0


def test_memory_that_grows_all_the_while_is_told():
    leaking = report.memory({("worker 1", 1): [(t, 30 + t / 30) for t in range(0, 600, 2)]})
    flat = report.memory({("worker 1", 1): [(t, 30 + t % 3) for t in range(0, 600, 2)]})
    assert "worker 1 grows by 2.0 MB a minute" in report.growing(leaking)[0]
    assert report.growing(flat) == []


def test_growth_in_a_short_run_is_told_when_it_is_large():
    told = report.memory({("worker 1", 1): [(t, 30 + t) for t in range(30)]})
    assert "grew by" in report.growing(told)[0]


def test_quantiles_are_in_milliseconds():
    assert report.quantiles([0.001] * 99 + [0.5]) == {"p50": 1.0, "p99": 500.0, "p99.9": 500.0, "max": 500.0}
