"""What operators do to a running balancer: ratios, reloads, alerts, drains, restarts."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from misbehaving import Backend
from running import (
    ADMIN_TOKEN,
    MONITOR_TOKEN,
    ROOT,
    Balancer,
    Load,
    ask,
    read_all,
    read_until,
    wait_until,
)

SPLIT = {"stable": 70, "canary": 30}


@pytest.fixture
def fleet(backend, balancer):
    """A stable and a canary backend behind a balancer with 70 to 30."""

    def make(**settings):
        stable, canary = backend("stable-1"), backend("canary-1")
        made = balancer(tracks={"stable": [stable], "canary": [canary]}, weights=SPLIT, **settings)
        made.stable, made.canary = stable, canary
        return made

    return make


# Shares.


def test_shares_are_exact_over_a_thousand_requests_and_two_workers(fleet):
    shop = fleet()
    served = shop.served_by(1000)
    assert abs(served["canary-1"] - 300) <= 10, served
    assert served["stable-1"] + served["canary-1"] == 1000


def test_every_worker_takes_part(fleet):
    shop = fleet()
    pids = shop.worker_pids()
    assert len(pids) == 2
    assert shop.metrics()["sluice_workers"] == 2


def test_a_canary_that_is_down_gets_nothing_and_stable_takes_all(fleet):
    shop = fleet()
    shop.canary.stop()
    shop.wait_for_backends("down", ["canary-1"])
    assert shop.weights() == {"stable": 100, "canary": 0}
    assert shop.served_by(50) == {"stable-1": 50}


# The doors of an alert.


def raise_by_admin(shop):
    return shop.admin("POST", "/alert", {"service": "shop", "reason": "bad"})


def raise_by_monitor(shop):
    told = {"service": "shop", "reason": "bad"}
    return shop.admin("POST", "/alert", told, token=MONITOR_TOKEN, port=shop.alert_port)


@pytest.mark.parametrize(("knock", "by"), [(raise_by_admin, "admin"), (raise_by_monitor, "canary-1")])
def test_no_request_to_the_canary_begins_after_an_alert_returned(fleet, knock, by):
    shop = fleet()
    with Load(shop.port) as load:
        load.wait_for(100)
        answer = knock(shop)
        at_once = len(shop.canary.requests())
        load.wait_for(300)
    # One that was on its way when the alert came may still be counted late: per client, not per request.
    assert len(shop.canary.requests()) - at_once <= 4
    assert load.failed == []
    assert answer.status == 200
    alert = answer.json["alert"]
    assert (alert["reason"], alert["by"], alert["door"]) == ("bad", by, "http")
    assert shop.weights() == {"stable": 100, "canary": 0}
    assert shop.served_by(50) == {"stable-1": 50}


def test_no_quiet_client_reaches_the_canary_after_an_alert(fleet):
    shop = fleet()
    for _ in range(5):
        assert raise_by_admin(shop).status == 200
        before = len(shop.canary.requests())
        assert shop.served_by(40) == {"stable-1": 40}
        assert len(shop.canary.requests()) == before
        assert shop.admin("DELETE", "/alert/shop").json == {"cleared": True}
        assert "canary-1" in shop.served_by(20)


def test_the_first_alert_stands_and_repeating_it_is_harmless(fleet):
    shop = fleet()
    first = raise_by_admin(shop).json
    assert shop.admin("POST", "/alert", {"service": "shop", "reason": "other"}).json == first


def test_an_alert_stands_over_a_restart_and_a_crash(fleet):
    shop = fleet()
    raise_by_admin(shop)
    assert shop.stop() == 0
    shop.start().wait_for_backends()
    assert shop.alert()["reason"] == "bad"
    assert shop.served_by(30) == {"stable-1": 30}
    shop.kill()
    shop.start().wait_for_backends()
    assert shop.alert()["reason"] == "bad"
    assert shop.served_by(30) == {"stable-1": 30}


def test_a_crash_at_once_after_an_alert_does_not_lose_it(fleet):
    shop = fleet()
    raise_by_admin(shop)
    shop.kill()
    shop.start()
    assert shop.alert()["reason"] == "bad"


def test_with_an_unreadable_state_every_service_is_alerted_until_cleared(fleet):
    shop = fleet()
    shop.stop()
    (shop.state_dir / "state.json").write_text("{half")
    shop.start().wait_for_backends()
    assert shop.alert()["door"] == "state"
    assert shop.served_by(30) == {"stable-1": 30}
    assert shop.admin("DELETE", "/alert/shop").json == {"cleared": True}
    assert shop.alert() is None
    shop.stop()
    shop.start()
    assert shop.alert() is None


def test_under_an_alert_without_stable_nothing_is_served(fleet):
    shop = fleet()
    raise_by_admin(shop)
    shop.stable.stop()
    shop.wait_for_backends("down", ["stable-1"])
    answer = shop.get()
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert shop.canary.requests() == []


@contextlib.contextmanager
def full_canary():
    """A canary that answers one health check and then lets connections hang: its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as fillers:

        def answer_once():
            line, _ = listener.accept()
            line.recv(65536)
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            line.close()

        answering = threading.Thread(target=answer_once)
        answering.start()

        def fill():
            answering.join(20)
            for _ in range(3):
                filler = fillers.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())

        yield listener, fill


def test_an_alert_while_a_connection_to_the_canary_is_made_diverts_the_request(backend, balancer):
    stable = backend("stable-1")
    with full_canary() as (listener, fill):
        shop = balancer(start=False, tracks={"stable": [stable]}, weights={"stable": 0, "canary": 100})
        shop.shop["tracks"]["canary"] = {"canary-1": f"127.0.0.1:{listener.getsockname()[1]}"}
        shop.shop["health"]["interval_seconds"] = 3600
        shop.write()
        shop.start().wait_for_backends()
        fill()
        answers = []
        client = threading.Thread(target=lambda: answers.append(shop.get().body))
        client.start()
        flying = 'sluice_in_flight_requests{backend="canary-1",service="shop",track="canary"}'
        wait_until(lambda: shop.metrics()[flying] == 1, "the request waits for its connection")
        assert raise_by_admin(shop).status == 200
        listener.settimeout(0.1)
        sent = []
        while client.is_alive():
            with contextlib.suppress(TimeoutError), listener.accept()[0] as line:
                line.settimeout(0.5)
                sent.append(line.recv(65536))
        client.join()
    assert answers == [b"stable-1"]
    assert not any(sent)


def test_a_full_disk_keeps_an_alert_in_force_and_says_so(fleet):
    shop = fleet()
    fresh = shop.state_dir / "state.new"
    fresh.mkdir()
    answer = raise_by_admin(shop)
    assert answer.status == 500
    assert "could not be written" in answer.json["error"]
    assert shop.served_by(30) == {"stable-1": 30}
    assert raise_by_admin(shop).status == 500
    fresh.rmdir()
    wait_until(lambda: (shop.state_dir / "state.json").exists(), "the alert is on disk by itself")
    assert raise_by_admin(shop).status == 200
    fresh.mkdir()
    assert shop.admin("DELETE", "/alert/shop").status == 500
    assert shop.served_by(30) == {"stable-1": 30}
    assert shop.alert() is not None
    fresh.rmdir()


# Who may do what.


def test_tokens_decide_who_may_do_what(fleet):
    shop = fleet()
    told = {"service": "shop"}
    assert shop.admin("POST", "/alert", told, token=None).status == 401
    assert shop.admin("POST", "/alert", told, token="wrong").status == 401
    assert shop.admin("POST", "/alert", told, token="wrong", port=shop.alert_port).status == 401
    assert (
        ask(shop.admin_port, "GET", "/status", headers={"Authorization": f"Basic {ADMIN_TOKEN}"}).status
        == 401
    )
    for method, path in [
        ("GET", "/status"),
        ("DELETE", "/alert/shop"),
        ("POST", "/drain"),
        ("POST", "/restore"),
        ("POST", "/reload"),
    ]:
        assert shop.admin(method, path, told, token=None).status == 401
        assert shop.admin(method, path, told, token=MONITOR_TOKEN).status == 403
        # At the network listener these two are the hosts' own; the others are not there at all.
        there = 403 if path in ("/drain", "/restore") else 404
        assert shop.admin(method, path, told, port=shop.alert_port).status == there
    assert shop.alert() is None
    assert ask(shop.admin_port, "GET", "/metrics").status == 200
    assert shop.admin("GET", "/nothing").status == 404


BAD_ORDERS = {
    "no JSON": b"shop",
    "nothing": b"",
    "a list": b"[]",
    "no service": b"{}",
    "a service that is a number": b'{"service": 1}',
    "a service that is true": b'{"service": true}',
    "a service that is a list": b'{"service": ["shop"]}',
    "a reason that is an object": b'{"service": "shop", "reason": {}}',
    "too deep": b"[" * 60_000,
    "not UTF-8": b'{"service": "shop\xff"}',
}


@pytest.fixture(scope="module")
def orders(loop, tmp_path_factory):
    """A balancer that gets bad orders, and must not change by them."""
    one = Backend(loop, "stable-1").start()
    made = Balancer(tmp_path_factory.mktemp("orders"), {"stable": [one]}).start().wait_for_backends()
    yield made
    made.stop()
    one.stop()


@pytest.mark.parametrize("raw", BAD_ORDERS.values(), ids=BAD_ORDERS)
def test_a_bad_order_is_400_and_changes_nothing(orders, raw):
    answer = orders.admin("POST", "/alert", raw=raw)
    assert answer.status == 400
    assert answer.json["error"]
    assert orders.alert() is None


def test_an_unknown_name_is_404(orders):
    assert orders.admin("POST", "/alert", {"service": "nope"}).status == 404
    assert orders.admin("DELETE", "/alert/nope").status == 404
    assert orders.admin("POST", "/drain", {"service": "shop", "backend": "nope"}).status == 404
    assert orders.admin("POST", "/restore", {"service": "nope", "backend": "stable-1"}).status == 404


@pytest.mark.parametrize("seconds", [-1, 1e9, "10", None, True])
def test_a_deadline_that_is_none_is_400(orders, seconds):
    told = {"service": "shop", "backend": "stable-1", "deadline_seconds": seconds}
    assert orders.admin("POST", "/drain", told).status == 400
    assert orders.backends() == {"stable-1": "up"}


def test_a_body_that_is_too_large_is_refused(orders):
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        answer = orders.admin("POST", "/alert", {"service": "shop", "reason": "x" * 1_000_000})
        assert answer.status == 400
    assert orders.alert() is None


def test_a_reason_is_kept_as_one_short_line(orders):
    reason = "{{ x }}\n\x1b[31mred\x00 " + "y" * 5000
    alert = orders.admin("POST", "/alert", {"service": "shop", "reason": reason}).json["alert"]
    assert alert["reason"].startswith("{{ x }}  [31mred  yyy")
    assert len(alert["reason"]) == 200
    assert orders.admin("DELETE", "/alert/shop").json == {"cleared": True}
    assert orders.admin("DELETE", "/alert/shop").json == {"cleared": False}


def test_label_values_are_there_from_the_start(backend, balancer):
    shop = balancer(tracks={"stable": [backend("stable-1")], "canary": [backend("canary-1")]}, weights=SPLIT)
    metrics = shop.metrics()
    for track, name in [("stable", "stable-1"), ("canary", "canary-1"), ("none", "none")]:
        who = f'backend="{name}",'
        for code in ("2xx", "3xx", "4xx", "5xx"):
            assert metrics[f'sluice_requests_total{{{who}code="{code}",service="shop",track="{track}"}}'] == 0
        assert metrics[f'sluice_request_seconds_count{{{who}service="shop",track="{track}"}}'] == 0
    for track, weight in SPLIT.items():
        assert metrics[f'sluice_weight_declared_percent{{service="shop",track="{track}"}}'] == weight
        assert metrics[f'sluice_weight_effective_percent{{service="shop",track="{track}"}}'] == weight
    for name in ("sluice_alert", "sluice_retries_total", "sluice_refused_requests_total"):
        assert metrics[f'{name}{{service="shop"}}'] == 0
    for result in ("applied", "refused"):
        assert metrics[f'sluice_reloads_total{{result="{result}"}}'] == 0
    assert metrics["sluice_config_refused"] == 0


def test_requests_are_counted_over_all_workers(fleet):
    shop = fleet()
    shop.served_by(40)
    shop.get("/status?code=404")
    shop.send(b"nonsense\r\n\r\n")
    metrics = shop.metrics()
    counted = {name: value for name, value in metrics.items() if name.startswith("sluice_requests_total")}
    assert sum(value for name, value in counted.items() if "2xx" in name) == 40
    assert sum(value for name, value in counted.items() if "4xx" in name) == 1
    assert metrics['sluice_refused_requests_total{service="shop"}'] == 1
    buckets = [
        value for name, value in metrics.items() if "sluice_request_seconds_bucket" in name and "+Inf" in name
    ]
    assert sum(buckets) == 41


# The file, live.


def test_a_change_of_weights_under_load_fails_no_request(fleet):
    shop = fleet()
    with Load(shop.port) as load:
        for canary in (0, 100, 50, 10):
            load.wait_for(50)
            shop.shop["weights"] = {"stable": 100 - canary, "canary": canary}
            shop.write()
            wait_until(lambda canary=canary: shop.weights()["canary"] == canary, "the weight is in force")
        load.wait_for(100)
    assert load.failed == []


def test_a_change_of_all_backends_under_load_fails_no_request(fleet, backend):
    shop = fleet()
    for number in (2, 3):
        fresh = backend(f"stable-{number}")
        with Load(shop.port) as load:
            load.wait_for(50)
            shop.shop["tracks"]["stable"] = {fresh.name: fresh.address}
            shop.shop["weights"] = {"stable": 100, "canary": 0}
            shop.write()
            assert shop.admin("POST", "/reload").status == 200
            assert shop.served_by(20) == {fresh.name: 20}
        assert load.failed == []


def test_a_bad_file_is_refused_and_the_last_good_one_stays(fleet):
    shop = fleet()
    good = shop.status()["config"]["sha256"]
    shop.shop["weights"] = {"stable": 70, "canary": 40}
    shop.write()
    told = wait_until(lambda: shop.status()["config"]["error"], "the file is refused")
    assert told == "$.services.shop.weights: sum to 110, want 100"
    assert shop.status()["config"]["sha256"] == good
    assert shop.weights() == SPLIT
    metrics = shop.metrics()
    assert metrics["sluice_config_refused"] == 1
    assert metrics['sluice_reloads_total{result="refused"}'] >= 1
    answer = shop.admin("POST", "/reload")
    assert answer.status == 400
    assert answer.json["mistakes"] == [told]
    shop.shop["weights"] = {"stable": 90, "canary": 10}
    shop.write()
    wait_until(lambda: shop.weights() == {"stable": 90, "canary": 10}, "the good file is in force")
    assert shop.status()["config"]["error"] is None
    assert shop.metrics()["sluice_config_refused"] == 0


def test_no_text_stops_the_live_reload(fleet):
    shop = fleet()
    for number, text in enumerate(("", "{", "[]", "[" * 100_000, '{"workers": 1' + "0" * 400 + "}", "\x00")):
        shop.write(text)
        wait_until(lambda: shop.status()["config"]["error"], f"{text[:20]!r} is refused")
        wanted = {"stable": 90 - number, "canary": 10 + number}
        shop.shop["weights"] = wanted
        shop.write()
        wait_until(lambda wanted=wanted: shop.weights() == wanted, "the good file is in force")
        assert shop.status()["config"]["error"] is None


def test_a_file_that_vanishes_is_told_and_changes_nothing(fleet):
    shop = fleet()
    shop.path.unlink()
    assert "cannot be read" in wait_until(lambda: shop.status()["config"]["error"], "its loss is noticed")
    assert shop.weights() == SPLIT


def test_what_takes_a_restart_is_refused_and_named(fleet):
    shop = fleet()
    shop.config["workers"] = 3
    shop.config["access_log"] = "/elsewhere"
    shop.write()
    answer = shop.admin("POST", "/reload")
    assert answer.status == 400
    assert answer.json["mistakes"] == [
        f"$.access_log: changed from {shop.access_log} to /elsewhere, takes a restart of the balancer",
        "$.workers: changed from 2 to 3, takes a restart of the balancer",
    ]


def test_sighup_reloads(fleet):
    shop = fleet()
    shop.shop["weights"] = {"stable": 80, "canary": 20}
    shop.write()
    os.kill(shop._process.pid, signal.SIGHUP)
    wait_until(lambda: shop.weights() == {"stable": 80, "canary": 20}, "the file is in force")


def test_a_start_with_a_bad_file_uses_the_last_good_one(fleet):
    shop = fleet()
    shop.stop()
    shop.shop["weights"] = {"stable": 1, "canary": 1}
    shop.write()
    shop.start().wait_for_backends()
    assert shop.weights() == SPLIT
    assert shop.status()["config"]["error"] == "$.services.shop.weights: sum to 2, want 100"
    assert shop.metrics()["sluice_config_refused"] == 1
    shop.shop["weights"] = {"stable": 60, "canary": 40}
    shop.write()
    wait_until(lambda: shop.weights() == {"stable": 60, "canary": 40}, "the good file is in force")


def test_a_first_start_with_a_bad_file_ends_with_code_2(fleet, balancer):
    shop = balancer(start=False, tracks={}, weights={"stable": 1, "canary": 1})
    shop.start(wait=False)
    assert shop._process.wait(20) == 2
    assert "$.services.shop.weights: sum to 2, want 100" in shop.said()
    assert "Traceback" not in shop.said()


@pytest.mark.parametrize("door", ["admin", "alert"])
def test_an_address_in_use_ends_with_code_2(balancer, door):
    shop = balancer(start=False, tracks={})
    port = {"admin": shop.admin_port, "alert": shop.alert_port}[door]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        shop.start(wait=False)
        assert shop._process.wait(20) == 2
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in shop.said()
    assert "Traceback" not in shop.said()


# Drain and restore.


@contextlib.contextmanager
def waiting_clients(shop, count):
    """So many requests that wait until the backends open their gates; the answers, complete at the end."""
    answers = []
    clients = [threading.Thread(target=lambda: answers.append(shop.get("/wait"))) for _ in range(count)]
    for client in clients:
        client.start()
    yield answers
    for client in clients:
        client.join(20)


def test_a_drain_and_restore_under_load_fails_no_request(backend, balancer):
    shop = balancer(tracks={"stable": [backend("stable-1"), backend("stable-2")]})
    told = {"service": "shop", "backend": "stable-1"}
    with Load(shop.port) as load:
        for _ in range(3):
            load.wait_for(50)
            assert shop.admin("POST", "/drain", told).json == {"in_flight": 0, "cut": 0}
            assert shop.backends()["stable-1"] == "drained"
            assert shop.served_by(20) == {"stable-2": 20}
            assert shop.admin("POST", "/restore", told).json == {"restored": True}
            wait_until(lambda: "stable-1" in shop.served_by(4), "stable-1 serves again")
    assert load.failed == []
    assert shop.admin("POST", "/restore", told).json == {"restored": False}


def test_a_drain_waits_for_what_is_under_way(backend, balancer):
    one, two = backend("stable-1"), backend("stable-2")
    shop = balancer(tracks={"stable": [one, two]})
    drained = []
    told = {"service": "shop", "backend": "stable-1", "deadline_seconds": 60}
    drain = threading.Thread(target=lambda: drained.append(shop.admin("POST", "/drain", told).json))
    with waiting_clients(shop, 4) as answers:
        wait_until(lambda: one.requests("/wait") and two.requests("/wait"), "requests are under way at both")
        drain.start()
        wait_until(lambda: shop.backends()["stable-1"] == "drained", "the drain has begun")
        assert drained == []
        one.open_gate()
        drain.join(20)
        assert drained == [{"in_flight": 0, "cut": 0}]
        two.open_gate()
    assert [answer.status for answer in answers] == [200] * 4


def test_a_drain_cuts_what_is_left_at_its_deadline_and_reports_it(backend, balancer):
    one = backend("stable-1")
    shop = balancer(tracks={"stable": [one]})
    with shop.connect() as begun, shop.connect() as waiting:
        begun.sendall(b"GET /half-then-wait HTTP/1.1\r\nHost: x\r\n\r\n")
        read_until(begun, b"first")
        waiting.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: len(one.requests("/wait")) == 1, "the request is under way")
        told = {"service": "shop", "backend": "stable-1", "deadline_seconds": 0.2, "force": True}
        assert shop.admin("POST", "/drain", told).json == {"in_flight": 0, "cut": 2}
        assert read_all(begun) == b""
        assert b"HTTP/1.1 503 " in read_until(waiting, b"\r\n\r\n")
    assert shop.get().status == 503


def test_a_drain_stands_over_a_restart(backend, balancer):
    shop = balancer(tracks={"stable": [backend("stable-1"), backend("stable-2")]})
    shop.admin("POST", "/drain", {"service": "shop", "backend": "stable-1"})
    shop.stop()
    shop.start()
    wait_until(lambda: shop.backends() == {"stable-1": "drained", "stable-2": "up"}, "it is drained still")
    assert shop.served_by(20) == {"stable-2": 20}


# Processes that end.


def test_a_killed_worker_is_replaced_and_the_others_answer(fleet):
    shop = fleet()
    raise_by_admin(shop)
    before = shop.worker_pids()
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    for _ in range(20):
        assert shop.get().status == 200

    def replaced():
        now = shop.worker_pids()
        return len(now) == 2 and victim not in now and shop.status()["workers"] == 2

    wait_until(replaced, "a new worker took its place")
    assert shop.served_by(100) == {"stable-1": 100}
    os.kill(max(before), signal.SIGKILL)
    wait_until(lambda: not before & shop.worker_pids() and shop.status()["workers"] == 2, "all are new")
    assert shop.served_by(50) == {"stable-1": 50}


def test_an_alert_raised_while_a_worker_starts_holds_in_it(fleet):
    """The table it was started with is old by the time it serves."""
    shop = fleet()
    old = shop.worker_pids()
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    fresh = wait_until(lambda: len(new := started_workers(shop) - old) == 2 and new, "new workers start")
    for pid in fresh:
        os.kill(pid, signal.SIGSTOP)
    for _ in range(20):
        assert ask(shop.admin_port, "GET", "/health").status == 200
    assert raise_by_admin(shop).status == 200
    for pid in fresh:
        os.kill(pid, signal.SIGCONT)
    assert shop.served_by(40) == {"stable-1": 40}
    wait_until(lambda: shop.status()["workers"] == 2, "both serve")
    assert shop.served_by(40) == {"stable-1": 40}


def started_workers(shop):
    """The workers that are past exec: before, the supervisor waits for them."""
    pids = set()
    for pid in shop.worker_pids():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if b"balancer.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                pids.add(pid)
    return pids


def test_a_stuck_worker_is_killed_before_an_alert_returns(fleet):
    shop = fleet()
    stuck = min(shop.worker_pids())
    os.kill(stuck, signal.SIGSTOP)
    first = threading.Thread(target=raise_by_admin, args=(shop,))
    first.start()
    wait_until(lambda: "alert for shop" in shop.said(), "the first alert is under way")
    # Whoever comes second must wait for what the first one does.
    assert raise_by_admin(shop).status == 200
    assert not is_stopped(stuck)
    first.join(20)
    wait_until(lambda: stuck not in shop.worker_pids(), "it is gone")
    wait_until(lambda: shop.status()["workers"] == 2, "it is replaced")
    assert shop.served_by(50) == {"stable-1": 50}


def is_stopped(pid):
    """True if a process is stopped by a signal; one that was killed is not, however long it takes to go."""
    try:
        return "State:\tT" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_a_killed_worker_had_counted_is_not_lost(fleet):
    shop = fleet()
    shop.served_by(50)

    def counted():
        return sum(v for k, v in shop.metrics().items() if k.startswith("sluice_requests_total"))

    assert counted() == 50
    os.kill(min(shop.worker_pids()), signal.SIGKILL)
    wait_until(lambda: shop.status()["workers"] == 2, "it is replaced")
    assert counted() == 50


def test_a_stop_lets_requests_under_way_finish_and_refuses_new_ones(fleet):
    shop = fleet()

    def refused():
        try:
            return shop.get() is None
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:  # it stood in the queue as the listener closed
            return False

    with waiting_clients(shop, 4) as answers:
        both = (shop.stable, shop.canary)
        wait_until(lambda: sum(len(one.requests("/wait")) for one in both) == 4, "4 requests are under way")
        with shop.connect() as idle:
            idle.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            read_until(idle, b"\r\n\r\n")
            shop.stop(wait=False)
            read_all(idle)
        wait_until(refused, "new connections are refused")
        for one in both:
            one.open_gate()
    assert [answer.status for answer in answers] == [200] * 4
    assert {answer.headers.get("connection") for answer in answers} == {"close"}
    assert shop.stop() == 0


def test_workers_end_when_the_supervisor_is_killed(fleet):
    shop = fleet()
    pids = shop.worker_pids()
    shop.kill()
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "the workers are gone")


# Health.


def test_a_backend_that_dies_under_load_fails_no_idempotent_request(backend, balancer):
    one, two = backend("stable-1"), backend("stable-2")
    shop = balancer(tracks={"stable": [one, two]})
    with Load(shop.port) as load:
        for _ in range(2):
            load.wait_for(50)
            one.stop()
            load.wait_for(200)
            shop.wait_for_backends("down", ["stable-1"])
            one.start()
            shop.wait_for_backends("up", ["stable-1"])
            load.wait_for(50)
    assert load.failed == []
    assert shop.metrics()['sluice_retries_total{service="shop"}'] > 0


def test_a_post_is_not_sent_twice(backend, balancer):
    both = [backend("stable-1"), backend("stable-2")]
    shop = balancer(tracks={"stable": both})
    assert ask(shop.port, "POST", "/nothing", b"once").status == 502
    assert sum(len(one.requests("/nothing")) for one in both) == 1
    assert ask(shop.port, "GET", "/nothing").status == 502
    assert sum(len(one.requests("/nothing")) for one in both) == 3


def test_an_ill_backend_gets_nothing_until_it_is_well_twice(backend, balancer):
    one = backend("stable-1")
    shop = balancer(tracks={"stable": [one, backend("stable-2")]})
    one.healthy = False
    shop.wait_for_backends("down", ["stable-1"])
    assert "status 503 (want 200)" in json.dumps(shop.status())
    assert shop.served_by(20) == {"stable-2": 20}
    one.healthy = True
    shop.wait_for_backends("up", ["stable-1"])
    assert set(shop.served_by(20)) == {"stable-1", "stable-2"}


def test_with_nothing_up_the_answer_is_503_and_when_to_come_back(backend, balancer):
    one = backend("stable-1")
    shop = balancer(tracks={"stable": [one]})
    one.stop()
    shop.wait_for_backends("down")
    answer = shop.get()
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    counted = 'sluice_requests_total{backend="none",code="5xx",service="shop",track="none"}'
    assert shop.metrics()[counted] == 1


# The log.


def test_a_rotated_access_log_is_opened_anew(fleet):
    shop = fleet()
    shop.get(**{"X-Request-Id": "old"})
    shop.log_line("old")
    moved = shop.access_log.with_suffix(".1")
    shop.access_log.rename(moved)
    os.kill(shop._process.pid, signal.SIGUSR1)
    wait_until(shop.access_log.exists, "the log is there again")

    def written():
        shop.get(**{"X-Request-Id": "new"})
        return "new" in shop.access_log.read_text()

    wait_until(written, "lines go to the new file")


# --check


def check(shop):
    words = [sys.executable, "-m", "balancer", "--config", str(shop.path), "--check"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_check_says_good_or_every_mistake(balancer):
    shop = balancer(start=False, tracks={})
    done = check(shop)
    assert (done.returncode, done.stdout) == (0, f"{shop.path}: good\n")
    shop.config["workers"] = 0
    shop.shop["weights"] = {"stable": -1, "canary": "x"}
    shop.write()
    done = check(shop)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"{shop.path}:",
        "  $.workers: is 0, want a whole number, 1 to 10",
        "  $.services.shop.weights.stable: is -1, want a number, 0 to 100",
        '  $.services.shop.weights.canary: is "x", want a number, 0 to 100',
        "  $.services.shop.weights: sum to 0, want 100",
    ]
    shop.path.unlink()
    done = check(shop)
    assert done.returncode == 2
    assert "cannot be read: No such file or directory" in done.stderr
