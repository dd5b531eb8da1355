"""A fleet of real Redis servers for the tests of one file, and servers that behave badly."""

import contextlib
import socket
import threading

import pytest

from tests.support.redis_fleet import RedisFleet


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    """One fleet for all tests of a file that only read and write."""
    with RedisFleet(tmp_path_factory.mktemp("redis")) as fleet:
        yield fleet


@pytest.fixture
def fleet(tmp_path):
    """A fleet of its own for a test that stops or promotes servers."""
    with RedisFleet(tmp_path / "redis") as made:
        yield made


@pytest.fixture
def bad_server():
    """Start a server that sends `said` to whoever connects, then says no more; returns its port."""
    opened = []

    def start(said=b"", host="127.0.0.1", port=0):
        listening = socket.create_server((host, port))
        opened.append(listening)

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    opened.append(connection)
                    connection.sendall(said)

        threading.Thread(target=serve, daemon=True).start()
        return listening.getsockname()[1]

    yield start
    for one in opened:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
