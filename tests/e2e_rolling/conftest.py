"""A lab of its own with iTrust on five hosts, and users who stay logged in during every test."""

import os

import pytest

from lab import fleet
from lab.demo_rolling.users import Users
from lab.process import wait_until
from tests.support import labs
from tests.support.rolling import Rolling

REUSE = os.environ.get("SLUICE_E2E_REUSE") == "1"


@pytest.fixture(scope="session")
def rolling(tmp_path_factory):
    """Version 1 on five hosts. SLUICE_E2E_REUSE=1 keeps them for the next run."""
    lab = labs.settings_of("e2e-rolling", "e2erbr", "itrust")
    if not REUSE:
        # The lab of tests/e2e is done with by now, and two fleets are slow beside each other.
        fleet.down(labs.settings_of("e2e", "e2ebr"))
        fleet.down(lab)
    try:
        fleet.up(lab)
        found = Rolling(lab, tmp_path_factory.mktemp("versions"))
        found.declare("v1")
        if any(found.rolls.running().values()):
            # Of a run before. All at once would be drained at once, and most of them are refused that.
            found.ok("master", "sh", "-c", "rm -f /var/lib/sluice/ledger.db*")
            found.apply()
        else:
            fleet.highstate(lab)
        yield found
    finally:
        if not REUSE:
            fleet.down(lab)


@pytest.fixture
def users(rolling):
    """Users all through a test; afterwards none has failed, none was logged out, and no write is lost."""
    load = Users(rolling.lab.machine("lb-1").address, 8080, rolling.lab.network)
    load.start()
    try:
        wait_until(lambda: len(load.seen) >= 2 * load.count, "users at work", 60)
        yield load
    finally:
        load.stop()
    assert [f"{one.what}: {one.problem}" for one in load.failed()] == []
    assert load.logged_out == 0
    assert load.acknowledged
    assert load.lost() == set()
