"""Passive health: backends that fail users' requests while their health checks go on well."""

import os
import re
import signal
import time

import pytest
from misbehaving import Backend
from running import Load, wait_until


class Failing(Backend):
    """Answers health checks well, and other requests as `way` says."""

    way = "well"

    async def say_page(self, seen, reader, writer):
        await self.read_body(seen, reader)
        if self.way == "silent":
            return False
        if self.way == "cut":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
            await writer.drain()
            return False
        status = 200 if self.way == "well" else self.way
        return await self.answer(writer, status, self.name.encode())


@pytest.fixture
def failing(loop):
    """Makes such backends; they outlive the balancer that asks for their health."""
    made = []

    def make(name):
        made.append(Failing(loop, name).start())
        return made[-1]

    yield make
    for backend in made:
        backend.stop()


@pytest.fixture
def fleet(failing, balancer):
    """Makes a balancer before so many stable and canary backends, as `fleet` of it by name."""

    def make(stable=2, canary=0, weights=None, workers=2, monitor=None, **ejection):
        tracks = {
            "stable": [failing(f"stable-{n + 1}") for n in range(stable)],
            "canary": [failing(f"canary-{n + 1}") for n in range(canary)],
        }
        shop = balancer(start=False, tracks=tracks, weights=weights, workers=workers)
        shop.shop["ejection"] = {"errors": 3, "base_seconds": 600, "max_seconds": 3600, **ejection}
        if monitor is not None:
            shop.shop["monitor"] = monitor
        shop.write()
        shop.start().wait_for_backends()
        shop.fleet = {backend.name: backend for track in tracks.values() for backend in track}
        return shop

    return make


def told(shop, name):
    tracks = shop.status()["services"]["shop"]["tracks"]
    return next(track["backends"][name] for track in tracks.values() if name in track["backends"])


def metric(shop, name, backend, **labels):
    track = backend.rpartition("-")[0]
    wanted = {"service": "shop", "track": track, "backend": backend, **labels}
    inner = ",".join(f'{key}="{wanted[key]}"' for key in sorted(wanted))
    return shop.metrics()[f"{name}{{{inner}}}"]


def ask_until_ejected(shop, name, method="GET"):
    """Requests, one after the other, until a backend is ejected."""

    def ejected():
        shop.send(
            method.encode() + b" /page HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        return shop.backends()[name] == "ejected"

    wait_until(ejected, f"{name} is ejected")


@pytest.mark.parametrize("way", ["silent", "cut"])
def test_a_backend_that_fails_requests_is_ejected_though_its_health_is_well(fleet, way):
    shop = fleet()
    shop.fleet["stable-1"].way = way
    ask_until_ejected(shop, "stable-1")
    found = told(shop, "stable-1")
    assert found["health"] == "status 200 (want 200)"
    assert found["ejected"]["reason"] == "the backend closed the connection"
    assert found["ejected"]["times"] == found["ejections"] == 1
    assert found["ejected"]["until"].endswith("Z")
    assert shop.served_by(30, "/page") == {"stable-2": 30}
    assert metric(shop, "sluice_ejections_total", "stable-1") == 1
    assert metric(shop, "sluice_backend_up", "stable-1") == 0
    reason = {"silent": "no_answer", "cut": "cut_short"}[way]
    assert metric(shop, "sluice_upstream_failures_total", "stable-1", reason=reason) >= 3
    assert "backend shop/stable/stable-1 is ejected for 600 s: the backend closed" in shop.said()


def test_the_workers_stop_within_tenths_of_a_second_of_the_last_failure(fleet):
    shop = fleet(workers=1, canary=1, weights={"stable": 0, "canary": 100}, errors=5)
    shop.fleet["canary-1"].way = "silent"
    began = time.monotonic()
    with Load(shop.port, clients=8, path="/page"):
        wait_until(lambda: shop.backends()["canary-1"] == "ejected", "it is ejected")
        took = time.monotonic() - began
        before = len(shop.fleet["canary-1"].requests())
        shop.served_by(20, "/page")
    assert took < 2
    assert len(shop.fleet["canary-1"].requests()) == before


def test_an_ejection_ends_by_itself_and_one_failure_begins_a_longer_one(fleet):
    shop = fleet(base_seconds=1)
    shop.fleet["stable-1"].way = "silent"
    ask_until_ejected(shop, "stable-1")
    wait_until(lambda: shop.backends()["stable-1"] == "up", "its time is over")
    assert told(shop, "stable-1")["ejected"] is None
    before = len(shop.fleet["stable-1"].requests())
    ask_until_ejected(shop, "stable-1")
    # Each worker may have asked once before it heard of it.
    assert len(shop.fleet["stable-1"].requests()) - before <= 2
    shop.fleet["stable-1"].way = "well"
    wait_until(lambda: "stable-1" in shop.served_by(4, "/page"), "it serves again")
    shop.fleet["stable-1"].way = "silent"
    ask_until_ejected(shop, "stable-1")
    # A good answer made the next one the first again.
    assert re.findall("is ejected for ([0-9]+) s", shop.said()) == ["1", "2", "1"]
    assert told(shop, "stable-1")["ejections"] == 3


def test_half_of_stable_stays_however_many_fail(fleet):
    shop = fleet(stable=4)
    for backend in shop.fleet.values():
        backend.way = "silent"
    with Load(shop.port, path="/page", method="POST") as load:
        load.wait_for(200)
        states = wait_until(
            lambda: sorted(shop.backends().values()) == ["ejected", "ejected", "up", "up"], "half is ejected"
        )
        load.wait_for(100)
    assert states
    assert sorted(shop.backends().values()) == ["ejected", "ejected", "up", "up"]


def test_the_last_backend_of_stable_is_never_ejected(fleet):
    shop = fleet(stable=1)
    shop.fleet["stable-1"].way = "silent"
    with Load(shop.port, path="/page", method="POST") as load:
        load.wait_for(50)
    assert shop.backends() == {"stable-1": "up"}
    shop.fleet["stable-1"].way = "well"
    assert shop.served_by(5, "/page") == {"stable-1": 5}


def test_an_ejected_backend_is_taken_back_when_no_other_is_left(fleet):
    shop = fleet()
    shop.fleet["stable-1"].way = "silent"
    ask_until_ejected(shop, "stable-1")
    shop.fleet["stable-1"].way = "well"
    shop.fleet["stable-2"].stop()
    wait_until(lambda: shop.backends() == {"stable-1": "up", "stable-2": "down"}, "it is taken back")
    assert shop.served_by(5, "/page") == {"stable-1": 5}


def test_a_canary_that_is_ejected_whole_counts_as_nothing_and_stable_answers(fleet):
    shop = fleet(stable=1, canary=1, weights={"stable": 50, "canary": 50})
    shop.fleet["canary-1"].way = "silent"
    ask_until_ejected(shop, "canary-1")
    assert shop.weights() == {"stable": 100, "canary": 0}
    assert shop.served_by(20, "/page") == {"stable-1": 20}


def test_an_applications_own_errors_eject_nobody(fleet):
    shop = fleet()
    for status in (500, 503):
        shop.fleet["stable-1"].way = status
        with Load(shop.port, path="/page") as load:
            load.wait_for(100)
    assert shop.backends() == {"stable-1": "up", "stable-2": "up"}
    assert metric(shop, "sluice_upstream_failures_total", "stable-1", reason="status") == 0


def test_errors_of_a_gateway_eject_where_the_file_says_so_and_500_does_not(fleet):
    shop = fleet(gateway_errors=True)
    shop.fleet["stable-1"].way = 500
    with Load(shop.port, path="/page") as load:
        load.wait_for(50)
    assert shop.backends()["stable-1"] == "up"
    shop.fleet["stable-1"].way = 502
    ask_until_ejected(shop, "stable-1")
    assert told(shop, "stable-1")["ejected"]["reason"] == "status 502"
    assert metric(shop, "sluice_upstream_failures_total", "stable-1", reason="status") >= 3


def test_it_is_switched_off_and_on_by_a_reload(fleet):
    shop = fleet(errors=0)
    shop.fleet["stable-1"].way = "silent"
    with Load(shop.port, path="/page", method="POST") as load:
        load.wait_for(50)
    assert shop.backends()["stable-1"] == "up"
    shop.shop["ejection"]["errors"] = 3
    shop.write()
    assert shop.admin("POST", "/reload").status == 200
    ask_until_ejected(shop, "stable-1")


def test_a_restore_ends_an_ejection(fleet):
    shop = fleet()
    shop.fleet["stable-1"].way = "silent"
    ask_until_ejected(shop, "stable-1")
    shop.fleet["stable-1"].way = "well"
    order = {"service": "shop", "backend": "stable-1"}
    refused = shop.admin("POST", "/drain", {**order, "backend": "stable-2"})
    assert refused.status == 409
    assert "ejected: stable-1" in refused.json["error"]
    assert shop.admin("POST", "/drain", order).status == 200
    assert shop.admin("POST", "/restore", order).json == {"restored": True}
    assert shop.backends()["stable-1"] == "up"
    wait_until(lambda: "stable-1" in shop.served_by(4, "/page"), "it serves again")


def test_a_dead_worker_takes_no_ejection_with_it(fleet):
    shop = fleet()
    shop.fleet["stable-1"].way = "silent"
    ask_until_ejected(shop, "stable-1")
    for pid in shop.worker_pids():
        wait_until(lambda: shop.metrics()["sluice_workers"] == 2, "both serve")
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: shop.metrics()["sluice_workers"] == 2, "new ones serve")
    assert shop.served_by(20, "/page") == {"stable-2": 20}


# What the monitor makes of it.


def test_a_canarys_failure_that_stable_made_good_is_the_canarys_all_the_same(fleet):
    shop = fleet(
        stable=1,
        canary=1,
        weights={"stable": 90, "canary": 10},
        errors=0,
        monitor={"window_seconds": 5, "min_requests": 10, "max_error_ratio": 0.2},
    )
    shop.fleet["canary-1"].way = "silent"
    with Load(shop.port, path="/page") as load:
        alert = wait_until(shop.alert, "the monitor raised an alert")
    assert load.failed == []
    assert alert["door"] == "monitor"
    assert "requests failed (100.0%)" in alert["reason"], alert


def test_an_answer_that_broke_off_after_a_good_status_is_a_failure(fleet):
    shop = fleet(
        stable=1,
        canary=1,
        weights={"stable": 50, "canary": 50},
        errors=0,
        monitor={"window_seconds": 5, "min_requests": 10, "max_error_ratio": 0.2},
    )
    shop.fleet["canary-1"].way = "cut"
    with Load(shop.port, path="/page"):
        alert = wait_until(shop.alert, "the monitor raised an alert")
    assert "requests failed (100.0%)" in alert["reason"], alert


def test_a_canary_nobody_listens_at_is_judged_too_while_its_health_is_not_asked(fleet, failing):
    monitor = {"window_seconds": 5, "min_requests": 10, "max_error_ratio": 0.2}
    shop = fleet(stable=1, errors=0, monitor=monitor)
    shop.stop()
    listener = failing("canary-1")
    shop.shop["tracks"]["canary"] = {"canary-1": listener.address}
    shop.shop["weights"] = {"stable": 80, "canary": 20}
    shop.shop["health"]["interval_seconds"] = 3600
    shop.write()
    shop.start().wait_for_backends()
    listener.stop()
    with Load(shop.port, path="/page") as load:
        alert = wait_until(shop.alert, "the monitor raised an alert")
    assert load.failed == []
    assert "requests failed (100.0%)" in alert["reason"], alert
    assert metric(shop, "sluice_upstream_failures_total", "canary-1", reason="connect") >= 10


def test_a_canary_that_is_ejected_again_raises_the_alert_though_it_answered_too_few_to_judge(fleet):
    monitor = {"window_seconds": 5, "min_requests": 1_000_000, "max_error_ratio": 0.2}
    weights = {"stable": 80, "canary": 20}
    shop = fleet(stable=1, canary=1, weights=weights, base_seconds=1.5, monitor=monitor)
    shop.fleet["canary-1"].way = "silent"
    with Load(shop.port, path="/page") as load:
        wait_until(lambda: shop.backends()["canary-1"] == "ejected", "it is ejected")
        wait_until(lambda: shop.backends()["canary-1"] == "up", "its time is over")
        assert shop.alert() is None
        alert = wait_until(shop.alert, "the monitor raised an alert")
    assert load.failed == []
    assert alert["door"] == "monitor"
    assert alert["reason"] == (
        "canary has no backend left that answers: canary-1 ejected again (the backend closed the connection)"
    )
