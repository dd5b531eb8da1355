"""A lab of its own for the whole run, and users on its balancer during every test."""

import os

import pytest

from lab import fleet as lab_fleet
from tests.support import labs
from tests.support.fleet import Fleet


@pytest.fixture(scope="session")
def fleet():
    """The whole fleet, highstated. SLUICE_E2E_REUSE=1 keeps them for the next run."""
    lab = labs.settings_of("e2e", "e2ebr")
    reuse = os.environ.get("SLUICE_E2E_REUSE") == "1"
    if not reuse:
        lab_fleet.down(lab)
    try:
        lab_fleet.up(lab)
        lab_fleet.highstate(lab)
        found = Fleet(lab)
        yield found
        if reuse:
            found.reset()
    finally:
        if not reuse:
            lab_fleet.down(lab)


@pytest.fixture
def users(fleet):
    """Users all through a test; afterwards not one of their requests has failed."""
    load = fleet.users()
    load.start()
    yield load
    load.stop()
    failed = [f"{answer.version or 'nobody'}: {answer.problem}" for answer in load.failed()]
    assert not failed, f"{len(failed)} of {len(load.answers)} requests failed: {failed[:5]}"
    assert load.answers


@pytest.fixture
def canary(fleet):
    """v2 as a canary with its share and without an alert: shipped, unless the test before left it."""
    fleet.clear()
    fleet.ship("v2")
    fleet.wait_for_weights(stable=70.0, canary=30.0)
    return fleet


@pytest.fixture
def no_canary(fleet):
    """No release and no alert."""
    fleet.reset()
    fleet.wait_for_weights(stable=100.0, canary=0.0)
    return fleet
