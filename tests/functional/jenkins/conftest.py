"""The master, the project, and a stand-in for Jenkins in this process."""

import threading

import pytest
from jenkins_support import TOKEN, Master, Project
from stand_in import StandIn


@pytest.fixture
def master():
    one = Master()
    yield one
    one.close()


@pytest.fixture
def project(tmp_path, master):
    return Project(tmp_path / "project", master)


@pytest.fixture
def served(tmp_path):
    """served(): a stand-in over one home; called again, the one before is stopped and restarted."""
    running = []

    def stop():
        while running:
            server, thread = running.pop()
            server.shutdown()
            thread.join()
            server.close()

    def start(port=0, quiet_seconds=0.05):
        stop()
        told = {"home": str(tmp_path / "home"), "bind": "127.0.0.1", "port": port, "user": "sluice"}
        server = StandIn(told | {"token": TOKEN, "quiet_seconds": quiet_seconds})
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    stop()
