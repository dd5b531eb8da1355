"""The fourth door: a canary that is bad in front of users loses its traffic by itself."""

import asyncio
import os
import re
import signal

import pytest
from misbehaving import Backend
from running import Load, wait_until

STATES = {"off", "no data", "ok", "broken", "alert"}


class Turning(Backend):
    """Answers /page well until it is told otherwise."""

    status = 200
    pause_seconds = 0.0

    async def say_page(self, seen, reader, writer):
        await asyncio.sleep(self.pause_seconds)
        return await self.answer(writer, self.status, self.name.encode())


@pytest.fixture
def turning(loop):
    """Makes such backends; they outlive the balancer that asks for their health."""
    made = []

    def make(name):
        made.append(Turning(loop, name).start())
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def watched(turning, balancer):
    """Makes a balancer that watches its canary, with 50 to 50."""

    def make(**limits):
        stable, canary = turning("stable-1"), turning("canary-1")
        tracks, weights = {"stable": [stable], "canary": [canary]}, {"stable": 50, "canary": 50}
        shop = balancer(start=False, tracks=tracks, weights=weights)
        shop.shop["monitor"] = {"window_seconds": 2, "min_requests": 20, **limits}
        shop.write()
        shop.start().wait_for_backends()
        shop.stable, shop.canary = stable, canary
        return shop

    return make


def monitor(shop):
    return shop.status()["services"]["shop"]["monitor"]


def wait_for_state(shop, state):
    return wait_until(lambda: monitor(shop)["state"] == state and monitor(shop), f"the monitor says {state}")


def wait_for_alert(shop):
    return wait_until(shop.alert, "the monitor raised an alert")


def state_metrics(shop):
    """State to value of the metric."""
    found = {name: value for name, value in shop.metrics().items() if name.startswith("sluice_monitor_state")}
    return {name.partition('state="')[2].partition('"')[0]: value for name, value in found.items()}


def test_a_canary_that_starts_to_fail_loses_its_traffic_by_itself(watched):
    shop = watched(max_error_ratio_over_stable=0.1)
    with Load(shop.port, path="/page") as load:
        wait_for_state(shop, "ok")
        assert load.failed == []
        shop.canary.status = 500
        alert = wait_for_alert(shop)
        at_once = len(shop.canary.requests())
        load.wait_for(200)
    assert (alert["by"], alert["door"]) == ("balancer", "monitor")
    said = alert["reason"]
    assert said.startswith("canary ") and "requests failed (" in said, said
    assert "stable 0 of " in said and "want at most 10.0 points more" in said, said
    assert shop.weights() == {"stable": 100, "canary": 0}
    # Per client one may have been on its way.
    assert len(shop.canary.requests()) - at_once <= 4
    assert shop.served_by(20, "/page") == {"stable-1": 20}
    assert monitor(shop)["state"] == "alert"
    assert "alert for shop by balancer through monitor: canary " in shop.said()


def test_a_canary_that_turns_slow_loses_its_traffic_by_itself(watched):
    shop = watched(max_latency_ratio=3, min_latency_ms=100, min_requests=10)
    with Load(shop.port, path="/page", clients=8):
        wait_for_state(shop, "ok")
        shop.canary.pause_seconds = 0.7
        alert = wait_for_alert(shop)
    assert alert["door"] == "monitor"
    assert "canary p95 " in alert["reason"] and "want at most 3 times as much" in alert["reason"]
    assert shop.served_by(20, "/page") == {"stable-1": 20}


def test_a_canary_that_cannot_be_reached_in_the_middle_of_requests_counts_as_failing(watched):
    shop = watched(max_error_ratio=0.1)
    # A POST is not sent twice, so users get the balancer's own 502.
    with Load(shop.port, path="/page", method="POST") as load:
        wait_for_state(shop, "ok")

        async def say_page(seen, reader, writer):
            return False

        shop.canary.say_page = say_page
        alert = wait_for_alert(shop)
    assert alert["door"] == "monitor"
    assert any(what.startswith("502 ") for what in load.failed)


def test_a_healthy_pair_is_left_alone_also_when_a_worker_is_replaced(watched):
    shop = watched(
        max_error_ratio=0.2, max_error_ratio_over_stable=0.2, max_latency_ratio=10, min_latency_ms=500
    )
    with Load(shop.port, path="/page") as load:
        wait_for_state(shop, "ok")
        before = shop.worker_pids()
        os.kill(min(before), signal.SIGKILL)
        wait_until(lambda: len(shop.worker_pids() - before) == 1, "a new worker")
        wait_until(lambda: shop.metrics()["sluice_workers"] == 2, "the new worker serves")
        load.wait_for(500)
        said = wait_for_state(shop, "ok")["said"]
    assert shop.alert() is None
    assert "-" not in said, said


def test_client_errors_and_failures_of_both_alike_are_not_the_canarys_fault(watched):
    shop = watched(max_error_ratio_over_stable=0.1)
    shop.canary.status = 404
    with Load(shop.port, path="/page"):
        assert "canary 0 of " in wait_for_state(shop, "ok")["said"]
        shop.canary.status = shop.stable.status = 500
        # Once the window holds nothing else: (100.0%) of both.
        wait_until(lambda: monitor(shop)["said"].count("(100.0%)") == 2, "both fail every request")
        assert monitor(shop)["state"] == "ok"
    assert shop.alert() is None


def test_without_requests_there_is_no_data_and_status_and_metrics_say_so(watched):
    shop = watched(max_error_ratio=0.1)
    assert wait_for_state(shop, "no data")
    assert state_metrics(shop) == {**dict.fromkeys(STATES, 0), "no data": 1}
    with Load(shop.port, path="/page"):
        wait_for_state(shop, "ok")
        assert state_metrics(shop) == {**dict.fromkeys(STATES, 0), "ok": 1}
    said = wait_for_state(shop, "no data")["said"]
    assert said.startswith("canary answered ") and said.endswith(", want 20 to judge")


def test_after_a_clear_old_failures_do_not_count(watched):
    shop = watched(max_error_ratio=0.1)
    shop.canary.status = 500
    with Load(shop.port, path="/page"):
        wait_for_alert(shop)
        shop.canary.status = 200
        assert shop.admin("DELETE", "/alert/shop").json == {"cleared": True}
        wait_for_state(shop, "ok")
        assert shop.alert() is None
        shop.canary.status = 500
        assert wait_for_alert(shop)["door"] == "monitor"


def test_an_alert_that_came_and_went_between_two_looks_starts_the_window_anew(watched):
    shop = watched(max_error_ratio=0.1)
    wait_until(lambda: "in 2 s" in monitor(shop)["said"], "the window is full")
    shop.admin("POST", "/alert", {"service": "shop"})
    shop.admin("DELETE", "/alert/shop")
    # One look may have come since.
    assert re.fullmatch("nothing was counted yet|.* in 0 s, .*", monitor(shop)["said"])


def test_requests_cut_by_a_drain_are_not_the_canarys_fault(watched):
    shop = watched(max_error_ratio=0, min_requests=1)
    wait_until(lambda: monitor(shop)["said"].startswith("canary answered 0"), "there was a first look")
    with Load(shop.port, path="/wait"):
        wait_until(lambda: shop.canary.requests("/wait"), "a request waits at the canary")
        order = {"service": "shop", "backend": "canary-1", "deadline_seconds": 0}
        assert shop.admin("POST", "/drain", order).json["cut"] > 0
        shop.stable.open_gate()
    assert shop.admin("POST", "/restore", {"service": "shop", "backend": "canary-1"}).status == 200
    with Load(shop.port, path="/page"):
        assert "canary 0 of " in wait_for_state(shop, "ok")["said"]
    failed = 'sluice_requests_total{backend="canary-1",code="5xx",service="shop",track="canary"}'
    assert shop.metrics()[failed] > 0


def test_limits_are_switched_on_and_off_by_a_reload(watched):
    shop = watched(max_error_ratio=0.1)
    limits = shop.shop.pop("monitor")
    shop.write()
    shop.admin("POST", "/reload")
    assert monitor(shop) == {"state": "off", "said": "no limits are set"}
    assert state_metrics(shop) == {**dict.fromkeys(STATES, 0), "off": 1}
    shop.canary.status = 500
    with Load(shop.port, path="/page") as load:
        load.wait_for(200)
        assert shop.alert() is None
        shop.shop["monitor"] = limits
        shop.write()
        assert shop.admin("POST", "/reload").status == 200
        assert wait_for_alert(shop)["door"] == "monitor"
