"""Requests that wait for a backend when its checks find it down."""

import threading

import pytest
from running import ask, wait_until


class Asking(threading.Thread):
    """One request, in the background."""

    def __init__(self, *words):
        super().__init__(daemon=True)
        self._words = words
        self.answer = None
        self.start()

    def run(self):
        self.answer = ask(*self._words)

    def result(self):
        self.join(20)
        return self.answer.status, self.answer.body


@pytest.fixture
def shop(backend, balancer):
    """Two stable backends; of those only `shop.stuck` lets its users wait."""
    stuck, other = backend("stable-1"), backend("stable-2")
    other.open_gate()
    made = balancer(tracks={"stable": [stuck, other]}, workers=1)
    made.stuck, made.other = stuck, other
    yield made
    stuck.open_gate()


def waiting(shop, method="GET", path="/wait"):
    """A request that waits for the stuck backend."""
    before = len(shop.stuck.requests())

    def begun():
        asking = Asking(shop.port, method, path)
        wait_until(lambda: len(shop.stuck.requests()) > before or not asking.is_alive(), "it is asked")
        return asking if len(shop.stuck.requests()) > before else None

    return wait_until(begun, "a request waits")


def go_down(shop, backend):
    backend.healthy = False
    shop.wait_for_backends("down", [backend.name])


def test_idempotent_request_leaves_a_backend_that_is_down(shop):
    asking = waiting(shop)
    go_down(shop, shop.stuck)
    assert asking.result() == (200, b"stable-2")
    assert shop.metrics()['sluice_retries_total{service="shop"}'] == 1
    backends = shop.status()["services"]["shop"]["tracks"]["stable"]["backends"]
    assert [backend["in_flight"] for backend in backends.values()] == [0, 0]


def test_request_that_must_not_be_repeated_goes_on_waiting(shop):
    asking = waiting(shop, "POST")
    go_down(shop, shop.stuck)
    asking.join(0.3)
    assert asking.is_alive()
    shop.stuck.open_gate()
    assert asking.result() == (200, b"stable-1")


def test_request_goes_on_waiting_where_no_other_backend_is_up(shop):
    asking = waiting(shop)
    go_down(shop, shop.other)
    go_down(shop, shop.stuck)
    asking.join(0.3)
    assert asking.is_alive()
    shop.stuck.open_gate()
    assert asking.result() == (200, b"stable-1")


def test_answer_that_has_begun_is_not_begun_again(shop):
    asking = waiting(shop, "GET", "/half_then_wait")
    go_down(shop, shop.stuck)
    asking.join(0.3)
    assert asking.is_alive()
    shop.stuck.open_gate()
    assert asking.result() == (200, b"first-last")


def test_drained_backend_answers_what_waits_for_it(shop):
    asking = waiting(shop)
    order = {"service": "shop", "backend": "stable-1", "deadline_seconds": 20}
    draining = threading.Thread(target=lambda: shop.admin("POST", "/drain", order))
    draining.start()
    shop.wait_for_backends("drained", ["stable-1"])
    asking.join(0.3)
    assert asking.is_alive()
    shop.stuck.open_gate()
    assert asking.result() == (200, b"stable-1")
    draining.join(20)
