"""One balancer takes over from another: nobody meets a refused, reset or unanswered request."""

import contextlib
import os
import socket
import threading

import pytest
from running import PATIENCE, Load, read_all, read_until, wait_until

from tests.support.certificates import Authority
from tests.support.fake_systemd import FakeSystemd
from tests.support.ports import free_port

GET = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"


@pytest.fixture
def systemd(tmp_path):
    made = FakeSystemd(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def shop(systemd, backend, balancer):
    """A balancer under systemd with a stable and a canary backend."""
    stable, canary = backend("stable-1"), backend("canary-1")
    tracks, weights = {"stable": [stable], "canary": [canary]}, {"stable": 70, "canary": 30}
    made = balancer(start=False, tracks=tracks, weights=weights)
    made.systemd, made.stable, made.canary = systemd, stable, canary
    return made.start().wait_for_backends()


def restart(shop):
    assert shop.stop() == 0
    shop.start()


def test_a_restart_under_load_fails_no_request(shop):
    with Load(shop.port, clients=6) as load:
        for _ in range(2):
            load.wait_for(100)
            restart(shop)
        load.wait_for(100)
    assert load.failed == []


def test_what_comes_while_nobody_is_there_is_answered_by_the_next_balancer(shop):
    assert shop.stop() == 0
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(shop.connect()) for _ in range(10)]
        asking = stack.enter_context(shop.connect(shop.admin_port))
        for line in lines:
            line.sendall(GET)
        asking.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        shop.start()
        for line in [*lines, asking]:
            assert b" 200 OK" in read_until(line, b"\r\n\r\n")


def test_a_start_that_fails_loses_no_socket(shop):
    assert shop.stop() == 0
    token = shop.directory / "admin.token"
    good = token.read_text()
    token.write_text("")
    with shop.connect() as line:
        line.sendall(GET)
        shop.start(wait=False)
        assert shop._process.wait(20) == shop.stop() == 2
        token.write_text(good)
        shop.start()
        assert b" 200 OK" in read_until(line, b"\r\n\r\n")


def test_a_crash_loses_nobody_who_waits_to_be_accepted(shop):
    workers = shop.worker_pids()
    shop.kill()
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers), "its workers are gone")
    with shop.connect() as line:
        line.sendall(GET)
        shop.start()
        assert b" 200 OK" in read_until(line, b"\r\n\r\n")


def test_requests_under_way_finish_while_the_next_balancer_serves(shop, backend):
    slow = backend("slow-1")
    shop.shop["tracks"] = {"stable": {"slow-1": slow.address}, "canary": {}}
    shop.write()
    assert shop.admin("POST", "/reload").status == 200
    answers = []
    client = threading.Thread(target=lambda: answers.append(shop.get("/wait")))
    client.start()
    wait_until(lambda: slow.requests("/wait"), "a request is under way")
    old = shop.worker_pids()
    restart(shop)
    assert shop.get().status == 200
    assert not old & shop.worker_pids()
    slow.open_gate()
    client.join(20)
    assert answers[0].status == 200
    assert answers[0].headers["connection"] == "close"
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in old), "the old workers are gone")


def test_a_connection_that_is_idle_at_the_stop_has_its_next_request_answered(shop):
    with shop.connect() as line:
        line.sendall(GET)
        read_until(line, b"-1")
        shop.stop(wait=False)
        wait_until(lambda: "1" in shop.systemd.values("STOPPING"), "it stops")
        line.sendall(GET)
        said = read_all(line)
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nConnection: close\r\n" in said


def test_a_half_sent_request_is_waited_for(shop):
    with shop.connect() as line:
        line.sendall(GET)
        read_until(line, b"-1")
        line.sendall(GET[:20])
        assert shop.stop() == 0
        line.sendall(GET[20:])
        assert read_all(line).startswith(b"HTTP/1.1 200 OK\r\n")


def test_workers_without_a_supervisor_send_nothing_more_to_a_canary(shop):
    shop.shop["weights"] = {"stable": 0, "canary": 100}
    shop.write()
    assert shop.admin("POST", "/reload").status == 200
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(shop.connect()) for _ in range(8)]
        for line in lines:
            line.sendall(GET)
            read_until(line, b"canary-1")
        old = shop.worker_pids()
        before = len(listening_inodes(old))
        shop.kill()
        # They let go of their listening sockets when they notice.
        wait_until(lambda: len(listening_inodes(old)) <= before - 2, "the workers noticed")
        for line in lines:
            line.sendall(GET)
            assert b"stable-1" in read_all(line)


def listening_inodes(pids):
    """The sockets that these processes have open."""
    found = set()
    for pid in pids:
        with contextlib.suppress(FileNotFoundError):
            for number in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(FileNotFoundError):
                    found.add((pid, number, os.readlink(f"/proc/{pid}/fd/{number}")))
    return {one for one in found if one[2].startswith("socket:")}


def test_what_is_kept_follows_the_file(shop, systemd):
    def kept():
        return {name: len(numbers) for name, numbers in systemd.store.items()}

    front, admin, alert = (f"127.0.0.1_{port}" for port in (shop.port, shop.admin_port, shop.alert_port))
    assert kept() == {front: 2, admin: 1, alert: 1}
    moved = free_port()
    shop.shop["listen"] = f"127.0.0.1:{moved}"
    shop.write()
    assert shop.admin("POST", "/reload").status == 200
    wait_until(lambda: kept() == {f"127.0.0.1_{moved}": 2, admin: 1, alert: 1}, "the new address is kept")
    # Changed while it is down: the new start lets the old one go, once it is there.
    assert shop.stop() == 0
    shop.shop["listen"] = f"127.0.0.1:{shop.port}"
    shop.config["workers"] = 3
    shop.write()
    shop.start()
    wait_until(lambda: kept() == {front: 3, admin: 1, alert: 1}, "the first address is kept again")
    # Fewer workers take over all sockets that there are.
    assert shop.stop() == 0
    shop.config["workers"] = 2
    shop.write()
    shop.start()
    assert kept() == {front: 3, admin: 1, alert: 1}
    assert sum(shop.served_by(30).values()) == 30


def test_systemd_is_told_that_it_is_ready_how_it_goes_and_that_it_lives(shop, systemd):
    assert systemd.values("READY") == ["1"]
    wait_until(lambda: len(systemd.values("WATCHDOG")) >= 2, "signs of life")
    assert systemd.values("STATUS")[-1] == "2 of 2 workers; 1 services"
    shop.admin("POST", "/alert", {"service": "shop", "reason": "bad"})
    wait_until(lambda: "alert for shop" in systemd.values("STATUS")[-1], "the status tells of the alert")


def test_an_answer_that_had_begun_without_close_leaves_its_client_time_for_another_request(shop):
    """Its head went out before the stop, so the client was told nothing and asks again."""
    with shop.connect() as line:
        line.sendall(b"GET /half-then-wait HTTP/1.1\r\nHost: shop\r\n\r\n")
        read_until(line, b"first")
        assert shop.stop() == 0
        shop.stable.open_gate()
        shop.canary.open_gate()
        read_until(line, b"-last")
        line.sendall(GET)
        said = read_all(line)
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nConnection: close\r\n" in said


def test_https_is_handed_over_as_well(shop, tmp_path):
    authority, port = Authority(tmp_path), free_port()
    certificate, key = authority.pair("shop.example")
    (tmp_path / "pem").write_bytes(certificate)
    (tmp_path / "key").write_bytes(key)
    files = {"certificate_file": str(tmp_path / "pem"), "key_file": str(tmp_path / "key")}
    shop.shop["tls"] = {"listen": f"127.0.0.1:{port}", **files}
    shop.write()
    assert shop.admin("POST", "/reload").status == 200
    answers, over = [], threading.Event()

    def ask_again_and_again():
        while not over.is_set():
            line = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
            with authority.context().wrap_socket(line, server_hostname="shop.example") as safe:
                safe.sendall(GET.replace(b"shop", b"shop.example"))
                answers.append(safe.recv(15))

    clients = [threading.Thread(target=ask_again_and_again) for _ in range(2)]
    for client in clients:
        client.start()
    wait_until(lambda: len(answers) > 5, "answers come")
    restart(shop)
    seen = len(answers)
    wait_until(lambda: len(answers) > seen + 5, "answers come from the next balancer")
    over.set()
    for client in clients:
        client.join(PATIENCE)
    assert set(answers) == {b"HTTP/1.1 200 OK"}
