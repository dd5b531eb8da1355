"""What systemd is told, and what is taken from it; when there is a sign of life."""

import asyncio
import os
import socket

import pytest

from balancer import systemd, workers
from balancer.reader import Address
from balancer.sockets import Sockets
from balancer.workers import Worker, Workers


@pytest.fixture
def line(tmp_path, monkeypatch):
    """The notify socket of a systemd."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield made


def test_lines_go_in_one_datagram(line):
    systemd.notify("READY=1", "STATUS=all is well")
    assert line.recv(1000) == b"READY=1\nSTATUS=all is well"


def test_an_abstract_socket_is_told_as_well(monkeypatch):
    name = f"sluice-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind("\0" + name)
        line.settimeout(10)
        systemd.notify("READY=1")
        assert line.recv(1000) == b"READY=1"


def test_without_systemd_nothing_is_told(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not systemd.is_there()
    systemd.notify("READY=1")


def test_a_systemd_that_does_not_listen_stops_nothing(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    systemd.notify("READY=1")
    assert "systemd could not be told READY=1" in caplog.text


def test_sockets_are_given_to_keep_under_the_name_of_their_address(line):
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        systemd.keep(Address("::1", 80), [one, two])
        words, numbers, _, _ = socket.recv_fds(line, 1000, 10)
        kept = [socket.socket(fileno=number) for number in numbers]
        assert [one_kept.getsockname() for one_kept in kept] == [one.getsockname(), two.getsockname()]
        for one_kept in kept:
            one_kept.close()
    assert words == b"FDSTORE=1\nFDNAME=[__1]_80\nFDPOLL=0"
    systemd.let_go("[::1]:80")
    assert line.recv(1000) == b"FDSTOREREMOVE=1\nFDNAME=[__1]_80"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_FDS": "2"},
        {"LISTEN_PID": "1", "LISTEN_FDS": "2"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "x"},
    ],
)
def test_sockets_that_are_for_another_process_are_left_alone(environment):
    environment = dict(environment)
    assert systemd.handed_over(environment) == []
    # Nor does a child take them for its own.
    assert environment == {}


def test_sockets_handed_over_are_found_again_by_their_address():
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("::1", 0), family=10) as two:
        ours = [one.dup(), two.dup()]
        sockets = Sockets(ours)
        for host, port, mine in (("127.0.0.1", one.getsockname()[1], 0), ("::1", two.getsockname()[1], 1)):
            address = Address(host, port)
            # The address is in use, but by what was handed over.
            sockets.open(address, 1)
            assert sockets.only(address) is ours[mine]
        sockets.keep_only([])
        assert [one_of_ours.fileno() for one_of_ours in ours] == [-1, -1]


class Answering:
    """The line to a worker that answers, or is gone."""

    def __init__(self):
        self.gone = False

    async def order(self, kind):
        if self.gone:
            raise workers.ChannelClosed("gone")
        return {"counters": {}, "in_flight": {}}

    def close(self):
        return


class Gone:
    returncode = 1


def test_there_is_a_sign_of_life_only_while_a_worker_answers(monkeypatch):
    async def live():
        loop = asyncio.get_running_loop()
        now = loop.time()
        monkeypatch.setattr(loop, "time", lambda: now)
        some = Workers(None, Sockets())
        assert not some.is_answering()
        orders = Answering()
        some._alive[0] = Worker(Gone(), orders, None)
        await some.numbers()
        assert some.is_answering()
        orders.gone = True
        now += workers.ANSWERED_SECONDS - 1
        await some.numbers()
        assert some.is_answering()
        now += 2
        await some.numbers()
        assert not some.is_answering()
        orders.gone = False
        await some.numbers()
        assert some.is_answering()

    asyncio.run(live())
