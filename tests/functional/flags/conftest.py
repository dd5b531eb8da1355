"""Fleets of Redis and flag services that end with the tests that wanted them."""

import contextlib
import itertools

import pytest
from sluice_redis import RedisError

from tests.support.flag_service import FlagService
from tests.support.redis_fleet import RedisFleet, wait_for


@pytest.fixture(scope="module")
def shared_fleet(tmp_path_factory):
    """A master and two replicas that nobody harms."""
    with RedisFleet(tmp_path_factory.mktemp("redis") / "fleet") as fleet:
        yield fleet


@pytest.fixture(scope="module")
def shared(shared_fleet, tmp_path_factory):
    """A flag service that nobody harms; `shared.fleet` is its Redis."""
    service = FlagService(tmp_path_factory.mktemp("flags"), shared_fleet).start()
    service.fleet = shared_fleet
    yield service
    assert service.stop() == 0
    assert "Traceback" not in service.said()


@pytest.fixture
def fleet(tmp_path):
    with RedisFleet(tmp_path / "redis") as made:
        yield made


@pytest.fixture
def flags(tmp_path):
    """Makes flag services: flags(fleet, nearest=..., **settings)."""
    made = []
    numbers = itertools.count()

    def make(fleet, start=True, **settings):
        with contextlib.suppress(RedisError):
            wait_for(lambda: has_all(fleet), 10, "the replicas have all that the master has")
        made.append(FlagService(tmp_path / f"flags-{next(numbers)}", fleet, **settings))
        return made[-1].start() if start else made[-1]

    yield make
    for one in made:
        one.stop()
        assert "Traceback" not in one.said()


def has_all(fleet):
    """True if every replica with a link has what was written so far."""
    told = [fleet.info(name) for name in fleet.hosts]
    heights = {one["slave_repl_offset"] for one in told if one.get("master_link_status") == "up"}
    return heights <= {one["master_repl_offset"] for one in told if one["role"] == "master"}
