"""Machines and networks that fail in every way, with users on the balancer who only look."""

import re
import time

import pytest

from lab.demo.doors import http_door
from lab.load import CHECKBOX, CREATE, Load
from lab.process import wait_until
from tests.support.faults import Faults

# Nothing that must not be asked twice: no proxy can save that when its backend dies over it.
LOOKING = tuple(check for check in CHECKBOX if check is not CREATE)
RATE = 40.0
# Checks every second with 2 s for an answer: three in a row that fail take 9 s at most.
OUT_SECONDS = 20
BACK_SECONDS = 20
# Once a faulty backend is out of service nobody waits for it; generous, for a busy computer.
CALM_SECONDS = 2.0
# Whoever waits when a backend freezes waits until the checks have found it down.
PATIENCE_SECONDS = OUT_SECONDS
STABLE, CANARY = "checkbox-2", "canary-1"


@pytest.fixture(scope="module")
def shipped(fleet):
    """v2 as a canary, for all tests here."""
    fleet.clear()
    fleet.ship("v2")
    fleet.wait_for_weights(stable=70.0, canary=30.0)
    return fleet


@pytest.fixture
def faults(shipped):
    return Faults(shipped)


@pytest.fixture
def lookers(shipped, request):
    """Users who look all through a test; afterwards not one of their requests has failed."""
    load = Load(
        shipped.lab.machine("lb-1").address,
        80,
        RATE,
        shipped.lab.network,
        LOOKING,
        answer_seconds=PATIENCE_SECONDS,
    )
    load.start()
    wait_until(lambda: len(load.answers) > RATE, "the first answers", 30)
    yield load
    load.stop()
    took = sorted(answer.ended - answer.started for answer in load.answers)
    print(
        f"\n{request.node.name}: {len(took)} requests, {len(load.failed())} failed, "
        f"p50 {1000 * took[len(took) // 2]:.0f} ms, p99 {1000 * took[int(len(took) * 0.99)]:.0f} ms, "
        f"longest {took[-1]:.1f} s"
    )
    failed = [f"{answer.version or 'nobody'}: {answer.problem}" for answer in load.failed()]
    assert not failed, f"{len(failed)} of {len(took)} requests failed: {failed[:5]}"


def metric(fleet, name, backend):
    """The sum of a metric's samples of one backend."""
    said = fleet.ok("lb-1", "curl", "-sf", "http://127.0.0.1:9901/metrics")
    rows = re.findall(rf'^{name}{{[^}}]*backend="{backend}"[^}}]*}} (\S+)$', said, re.MULTILINE)
    return sum(map(float, rows))


def is_up(fleet, backend):
    return metric(fleet, "sluice_backend_up", backend) == 1


def served(fleet, backend):
    return metric(fleet, "sluice_requests_total", backend)


def wait_until_back(fleet, backend):
    """It is in service again by itself, and serves."""
    wait_until(lambda: is_up(fleet, backend), f"{backend} is up again", BACK_SECONDS)
    before = served(fleet, backend)
    wait_until(lambda: served(fleet, backend) > before + 5, f"{backend} serves again", 15)


def longest(load, since, until):
    """The longest that a user waited whose request began in a span of time, in seconds."""
    return max((a.ended - a.started for a in load.answers if since <= a.started <= until), default=0.0)


@pytest.mark.parametrize("kind", ["frozen", "resetting", "half_open", "swallowing"])
def test_faulty_backend_is_left_alone_and_returns_by_itself(shipped, faults, lookers, kind):
    with getattr(faults, kind)(STABLE):
        began = time.time()
        wait_until(lambda: not is_up(shipped, STABLE), f"{STABLE} is out of service", OUT_SECONDS)
        out = time.time()
        time.sleep(2 * CALM_SECONDS)
        healed = time.time()
    print(f"\n{kind}: out of service after {out - began:.1f} s", end="")
    wait_until_back(shipped, STABLE)
    assert longest(lookers, out + 0.5, healed - CALM_SECONDS) < CALM_SECONDS


def test_slow_backend_slows_only_its_own_answers(shipped, faults, lookers):
    with faults.slow(STABLE):
        began = time.time()
        time.sleep(6)
        until = time.time()
    took = sorted(a.ended - a.started for a in lookers.answers if began < a.started < until)
    assert took[len(took) // 2] < 0.3
    assert took[-1] < 8
    wait_until_back(shipped, STABLE)


@pytest.mark.parametrize("kind", ["frozen", "swallowing"])
def test_faulty_canary_loses_its_share_and_gets_it_back(shipped, faults, lookers, kind):
    with getattr(faults, kind)(CANARY):
        shipped.wait_for_weights(seconds=OUT_SECONDS, stable=100.0, canary=0.0)
        out = time.time()
        time.sleep(2 * CALM_SECONDS)
        healed = time.time()
    assert longest(lookers, out + 0.5, healed - CALM_SECONDS) < CALM_SECONDS
    wait_until(lambda: is_up(shipped, CANARY), f"{CANARY} is up again", BACK_SECONDS)
    # What it failed may have been reason enough for the monitor.
    shipped.ok("master", "salt-run", "release.clear", "checkbox")
    shipped.wait_for_weights(seconds=BACK_SECONDS, stable=70.0, canary=30.0)
    wait_until_back(shipped, CANARY)


def test_alert_works_with_the_cables_of_redis_and_master_pulled(shipped, faults, lookers):
    with faults.unplugged("redis-1"), faults.unplugged("master"):
        time.sleep(3)
        http_door(shipped.lab)
        took = shipped.wait_for_weights(seconds=5, stable=100.0, canary=0.0)
        since = len(lookers.answers)
        time.sleep(2)
        # Those that were under way when the alert came may still be among the first.
        assert {answer.version for answer in lookers.answers[since + 5 :]} == {"v1"}
    print(f"\nno canary {1000 * took:.0f} ms after the alert", end="")
    shipped.wait_for_master()
    shipped.ok("master", "salt-run", "release.clear", "checkbox")
    shipped.wait_for_weights(stable=70.0, canary=30.0)
