"""Backends and balancers that end with the test that wanted them."""

import itertools

import pytest
from misbehaving import Backend, Loop
from running import Balancer


@pytest.fixture(scope="session")
def loop():
    made = Loop()
    yield made
    made.stop()


@pytest.fixture
def backend(loop):
    """Makes backends by name."""
    made = []

    def make(name):
        made.append(Backend(loop, name).start())
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def balancer(tmp_path):
    """Makes balancers that run, with all backends up."""
    made = []
    numbers = itertools.count()

    def make(start=True, **settings):
        directory = tmp_path / f"balancer-{next(numbers)}"
        directory.mkdir()
        made.append(Balancer(directory, **settings))
        return made[-1].start().wait_for_backends() if start else made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture(scope="module")
def proxy(loop, tmp_path_factory):
    """One balancer for tests of HTTP itself, before one backend; `proxy.backend` saw the requests."""
    backend = Backend(loop, "stable-1").start()
    made = Balancer(tmp_path_factory.mktemp("proxy"), {"stable": [backend]}).start().wait_for_backends()
    made.backend = backend
    yield made
    made.stop()
    backend.stop()
