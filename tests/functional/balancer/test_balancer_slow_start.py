"""Round robin, and backends that come back by and by, at a running balancer."""

import os
import signal

import pytest
from running import Load, wait_until


@pytest.fixture
def shop(backend, balancer):
    """Two stable backends that share by turns, with a slow start that lasts longer than any test."""
    one, two = backend("stable-1"), backend("stable-2")
    made = balancer(start=False, tracks={"stable": [one, two]})
    made.shop.update(balance="round_robin", slow_start_seconds=3600)
    made.one, made.two = one, two
    made.write()
    return made.start().wait_for_backends()


def in_part(served, part):
    return abs(served["stable-1"] - 200 * part / (1 + part)) <= 4


def test_slow_start(shop):
    # That the balancer started is no reason.
    assert in_part(shop.served_by(200), 1)
    # Drained and restored.
    shop.admin("POST", "/drain", {"service": "shop", "backend": "stable-1"})
    assert shop.served_by(20) == {"stable-2": 20}
    shop.admin("POST", "/restore", {"service": "shop", "backend": "stable-1"})
    served = shop.served_by(200)
    assert in_part(served, 0.1), served
    # A worker that takes another's place knows of it, too.
    pids = shop.worker_pids()
    os.kill(min(pids), signal.SIGKILL)
    wait_until(lambda: len(shop.worker_pids() - {min(pids)}) == 2, "a new worker")
    wait_until(lambda: shop.metrics()["sluice_workers"] == 2, "it serves")
    served = shop.served_by(200)
    assert in_part(served, 0.1), served
    # The only one is not spared.
    shop.two.healthy = False
    shop.wait_for_backends("down", ["stable-2"])
    assert shop.served_by(20) == {"stable-1": 20}
    # Where none is warm nobody is spared.
    shop.two.healthy = True
    shop.wait_for_backends()
    assert in_part(shop.served_by(200), 1)
    # The setting changes live.
    shop.shop["slow_start_seconds"] = 0
    shop.write()
    assert shop.admin("POST", "/reload").status == 200
    assert in_part(shop.served_by(200), 1)


def test_a_backend_that_was_down_comes_back_slowly_and_nothing_fails(shop):
    with Load(shop.port) as load:
        shop.one.healthy = False
        shop.wait_for_backends("down", ["stable-1"])
        shop.one.healthy = True
        shop.wait_for_backends()
        load.wait_for(200)
    assert load.failed == []
    served = shop.served_by(200)
    assert in_part(served, 0.1), served


def test_round_robin_does_not_look_at_what_is_in_flight(shop):
    lines = [shop.connect() for _ in range(8)]
    opened = [line.__enter__() for line in lines]
    for line in opened:
        line.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until(lambda: len(shop.one.requests("/wait") + shop.two.requests("/wait")) == 8, "all wait")
    served = shop.served_by(200)
    assert in_part(served, 1), served
    for one in (shop.one, shop.two):
        one.open_gate()
    for line in lines:
        line.__exit__(None, None, None)
