"""What the benchmark of flags measures with real servers, in small."""

import contextlib
import os

import pytest

from bench.balancer.processes import alive
from bench.flags import changes, propagation, serving
from bench.flags.fleet import start_fleet, start_service


@pytest.fixture
def running():
    with contextlib.ExitStack() as stack:
        yield stack


def everywhere():
    return sorted(os.sched_getaffinity(0))


def test_a_flip_is_timed_until_each_replica_and_each_service_has_it(running, tmp_path):
    fleet = start_fleet(running, tmp_path, everywhere())
    services = [start_service(running, fleet, nearest, everywhere())[0] for nearest in (1, 2)]
    delays = propagation.measure(fleet, services, flips=5)
    assert len(delays.subscriber) == len(delays.service) == 10
    assert min(delays.subscriber + delays.service) > 0


def test_changes_are_followed_and_requests_served_and_all_ends_with_the_benchmark(running, tmp_path):
    with contextlib.ExitStack() as servers:
        fleet = start_fleet(servers, tmp_path, everywhere(), replicas=1)
        port, program = start_service(servers, fleet, 1, everywhere())
        grown = changes.measure(fleet, port, program, 2 * changes.BATCH)
        assert (grown.changes, grown.before_bytes > 1e6) == (2000, True)
        server = serving.Server("sluice", port, program, tmp_path)
        for mode in serving.MODES:
            one = serving.load(server, mode, 1, everywhere())
            assert (one.failed, one.requests > 0, one.cpu_us_per_request > 0) == (0, True, True)
        pids = program.look()
    assert alive(pids) == []
