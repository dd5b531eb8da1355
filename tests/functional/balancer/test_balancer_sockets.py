"""Listening sockets: one per worker, kept when a worker dies, changed live, not shared with strangers."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import time

import pytest
from running import PATIENCE, Load, ask, read_until, wait_until

from tests.support.ports import free_port

GET = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"


@pytest.fixture
def shop(backend, balancer):
    return balancer(tracks={"stable": [backend("stable-1")]})


def listening(port):
    """How many sockets listen on a port of 127.0.0.1, and what waits in each one's queue."""
    out = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True, check=True)
    return [int(row.split()[1]) for row in out.stdout.splitlines()]


def connections_of(pid):
    """The inodes of a process's sockets."""
    found = set()
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/{pid}/fd/{number}"))
    return {one for one in found if one.startswith("socket:")}


def test_each_worker_has_a_listening_socket_of_its_own(shop):
    assert len(listening(shop.port)) == 2
    with contextlib.ExitStack() as lines:
        before = {pid: len(connections_of(pid)) for pid in shop.worker_pids()}
        for _ in range(40):
            lines.enter_context(shop.connect())

        def shares():
            return [len(connections_of(pid)) - before[pid] for pid in before]

        wait_until(lambda: sum(shares()) == 40, "all are accepted")
        # By chance all on one side once in 2**39.
        assert min(shares()) > 0


def test_what_waits_for_a_worker_that_is_killed_is_answered_by_the_one_that_takes_its_place(shop):
    victim = min(shop.worker_pids())
    os.kill(victim, signal.SIGSTOP)
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(shop.connect()) for _ in range(40)]
        for line in lines:
            line.sendall(GET)
        wait_until(lambda: any(listening(shop.port)), "some wait in the queue of the stopped worker")
        begun = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        for line in lines:
            assert b"200 OK" in read_until(line, b"\r\n\r\n")
    # Under a second on an idle machine; tests run beside others.
    assert time.monotonic() - begun < 5


def test_a_new_service_gets_its_listener_without_a_restart(shop, backend):
    books = backend("books-1")
    port = free_port()
    pids = shop.worker_pids()
    with Load(shop.port) as load:
        load.wait_for(20)
        shop.config["services"]["books"] = {
            **shop.shop,
            "listen": f"127.0.0.1:{port}",
            "tracks": {"stable": {"books-1": books.address}, "canary": {}},
        }
        shop.write()
        assert shop.admin("POST", "/reload").status == 200
        # In force when the call returns: 40 connections reach every worker's socket.
        assert {ask(port, "GET", "/").body for _ in range(40)} == {b"books-1"}
        load.wait_for(20)
    assert load.failed == []
    assert shop.worker_pids() == pids
    assert shop.status()["services"]["books"]["tracks"]["stable"]["backends"]["books-1"]["state"] == "up"
    # A worker that starts later has it as well.
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert {ask(port, "GET", "/").body for _ in range(20)} == {b"books-1"}


def test_a_service_that_goes_takes_its_listener_along(shop, backend):
    port = free_port()
    shop.config["services"]["books"] = {**shop.shop, "listen": f"127.0.0.1:{port}"}
    shop.write()
    assert shop.admin("POST", "/reload").status == 200
    with shop.connect(port) as line:
        line.sendall(GET)
        read_until(line, b"stable-1")
        del shop.config["services"]["books"]
        shop.write()
        assert shop.admin("POST", "/reload").status == 200
        line.sendall(GET)
        assert b" 503 " in read_until(line, b"\r\n\r\n")
    wait_until(lambda: listening(port) == [], "nobody listens there")
    with pytest.raises(ConnectionRefusedError):
        shop.connect(port).__enter__()
    assert "books" not in shop.status()["services"]
    assert shop.get().status == 200


def test_a_listener_that_moves_keeps_the_connections_it_has(shop):
    old, new = shop.port, free_port()
    with shop.connect() as line:
        line.sendall(GET)
        read_until(line, b"stable-1")
        shop.shop["listen"] = f"127.0.0.1:{new}"
        shop.write()
        assert shop.admin("POST", "/reload").status == 200
        shop.port = new
        assert shop.served_by(10) == {"stable-1": 10}
        wait_until(lambda: listening(old) == [], "the old address is left")
        line.sendall(GET)
        read_until(line, b"stable-1")


def test_two_services_that_swap_their_addresses_go_on_without_a_failed_request(shop, backend):
    port = free_port()
    books = {"stable": {"books-1": backend("books-1").address}, "canary": {}}
    shop.config["services"]["books"] = {**shop.shop, "listen": f"127.0.0.1:{port}", "tracks": books}
    shop.write()
    assert shop.admin("POST", "/reload").status == 200
    with Load(shop.port) as load:
        load.wait_for(20)
        services = shop.config["services"]
        services["shop"]["listen"], services["books"]["listen"] = (
            f"127.0.0.1:{port}",
            f"127.0.0.1:{shop.port}",
        )
        shop.write()
        assert shop.admin("POST", "/reload").status == 200
        assert {ask(shop.port, "GET", "/").body for _ in range(20)} == {b"books-1"}
        assert {ask(port, "GET", "/").body for _ in range(20)} == {b"stable-1"}
    assert load.failed == []


def test_a_new_listener_whose_address_is_taken_refuses_the_file(shop):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        shop.config["services"]["books"] = {**shop.shop, "listen": f"127.0.0.1:{port}"}
        shop.write()
        answer = shop.admin("POST", "/reload")
    assert answer.status == 400
    assert answer.json["mistakes"] == [
        f"$.services.books.listen: cannot listen on 127.0.0.1:{port}: Address already in use"
    ]
    assert "books" not in shop.status()["services"]
    assert shop.get().status == 200


def test_a_second_balancer_on_the_same_address_is_refused(shop, balancer):
    """SO_REUSEPORT alone would give it half of the connections."""
    second = balancer(start=False, tracks={})
    second.shop["listen"] = f"127.0.0.1:{shop.port}"
    second.write()
    second.start(wait=False)
    assert second._process.wait(PATIENCE) == 2
    assert f"cannot listen on 127.0.0.1:{shop.port}: Address already in use" in second.said()
    assert len(listening(shop.port)) == 2


def test_a_start_after_a_killed_supervisor_takes_over_its_ports(shop):
    shop.kill()
    shop.start()
    shop.wait_for_backends()
    assert shop.served_by(20) == {"stable-1": 20}


@pytest.mark.parametrize("host", ["[::1]", "[::]"])
def test_an_ipv6_listener_serves_and_says_who_asked(backend, balancer, host):
    one = backend("stable-1")
    shop = balancer(start=False, tracks={"stable": [one]})
    shop.shop["listen"] = f"{host}:{shop.port}"
    shop.write()
    shop.start().wait_for_backends()
    with socket.create_connection(("::1", shop.port), timeout=PATIENCE) as line:
        line.sendall(GET)
        read_until(line, b"stable-1")
    assert one.requests()[-1].one("x-forwarded-for") == "::1"
    if host == "[::]":
        # IPv4 comes in there as well, and is called what it is.
        assert shop.get().status == 200
        assert one.requests()[-1].one("x-forwarded-for") == "127.0.0.1"


def test_a_stop_while_it_starts_ends_it_and_leaves_no_worker(backend, balancer):
    shop = balancer(start=False, tracks={"stable": [backend("stable-1")]})
    shop.start(wait=False)
    pids = wait_until(shop.worker_pids, "the first worker starts")
    assert shop.stop() == 0
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "its workers are gone")


def test_three_workers_hold_the_share_together(backend, balancer):
    """3,000 requests on 30 connections, which the kernel spreads over the workers as it likes."""
    stable, canary = backend("stable-1"), backend("canary-1")
    tracks, weights = {"stable": [stable], "canary": [canary]}, {"stable": 70, "canary": 30}
    shop = balancer(tracks=tracks, weights=weights, workers=3)
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(shop.connect()) for _ in range(30)]
        for _ in range(100):
            for line in lines:
                line.sendall(GET)
            for line in lines:
                read_until(line, b"-1")
    assert abs(len(canary.requests()) - 900) <= 3
    assert len(stable.requests()) + len(canary.requests()) == 3000


def test_two_thousand_idle_connections_cost_little(backend, balancer):
    """10,000 may cost a worker 150 MB, of which it has 30 to begin with; `bench/idle.py` opens as many."""
    # The balancer takes as many connections as it may have open files for.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 20_000)), hard))
    shop = balancer(tracks={"stable": [backend("stable-1")]}, workers=1)
    with contextlib.ExitStack() as stack:
        before = None
        for number in range(40):
            lines = [stack.enter_context(from_address(shop.port, number)) for _ in range(50)]
            for line in lines:
                line.sendall(GET)
            for line in lines:
                read_until(line, b"stable-1")
            before = before or shop.worker_memory()[0]
        kilobytes = (shop.worker_memory()[0] - before) * 1024 / (39 * 50)
    assert kilobytes < 12, f"{kilobytes:.1f} kB for each connection"


def from_address(port, number):
    """A connection from an address of its own: some limits count those of one."""
    source = (f"127.0.3.{number + 1}", 0)
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE, source_address=source)
