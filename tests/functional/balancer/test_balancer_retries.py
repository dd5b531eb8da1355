"""Second tries: once, at another backend, of the same track first, and no more than a fifth of extra load."""

import pytest
from misbehaving import Backend
from running import Load, wait_until

# What may always be tried again, and what traffic earns of it, at each of two workers.
FLOOR, RATIO, WORKERS = 10, 0.2, 2


class Broken(Backend):
    """Takes a request and closes without an answer, or after a part of its head."""

    said = b""

    async def say_page(self, seen, reader, writer):
        await self.read_body(seen, reader)
        writer.write(self.said)
        await writer.drain()
        return False


@pytest.fixture
def backends(loop):
    made = []

    def make(kind, name):
        made.append(kind(loop, name).start())
        return made[-1]

    yield make
    for one in made:
        one.stop()


def without_ejection(balancer, **settings):
    """A balancer whose checks do not get in the way."""
    shop = balancer(start=False, **settings)
    shop.shop["ejection"] = {"errors": 0}
    shop.write()
    return shop.start().wait_for_backends()


def retries(shop):
    return shop.metrics()['sluice_retries_total{service="shop"}']


def test_a_request_goes_to_one_other_backend_and_no_further(backends, balancer):
    broken = [backends(Broken, f"stable-{n}") for n in range(1, 5)]
    shop = without_ejection(balancer, tracks={"stable": broken}, workers=1)
    assert shop.get("/page").status == 502
    asked = [backend.name for backend in broken for _ in backend.requests("/page")]
    assert len(asked) == len(set(asked)) == 2
    assert retries(shop) == 1


def test_a_failed_request_stays_in_its_track_if_another_backend_is_there(backends, balancer):
    stable = backends(Backend, "stable-1")
    canaries = [backends(Broken, "canary-1"), backends(Backend, "canary-2")]
    tracks = {"stable": [stable], "canary": canaries}
    shop = without_ejection(balancer, tracks=tracks, weights={"stable": 0, "canary": 100}, workers=1)
    assert shop.served_by(10, "/page") == {"canary-2": 10}
    assert canaries[0].requests("/page")
    assert stable.requests() == []


def test_what_the_only_canary_fails_stable_answers(backends, balancer):
    tracks = {"stable": [backends(Backend, "stable-1")], "canary": [backends(Broken, "canary-1")]}
    shop = without_ejection(balancer, tracks=tracks, weights={"stable": 50, "canary": 50}, workers=1)
    assert shop.served_by(10, "/page") == {"stable-1": 10}
    assert len(tracks["canary"][0].requests("/page")) == 5


def test_what_stable_fails_no_canary_without_a_share_answers(backends, balancer):
    canary = backends(Backend, "canary-1")
    shop = without_ejection(balancer, tracks={"stable": [backends(Broken, "stable-1")], "canary": [canary]})
    assert shop.get("/page").status == 502
    assert canary.requests() == []


@pytest.mark.parametrize(
    ("method", "said", "asked"),
    [
        (b"GET", b"", 2),
        (b"PUT", b"", 2),
        (b"POST", b"", 1),
        (b"PATCH", b"", 1),
        # A byte of an answer came: whatever it was going to be, it is not asked for again.
        (b"GET", b"HTTP/1.1 20", 1),
        (b"GET", b"HTTP/1.1 103 Early Hints\r\n\r\n", 1),
    ],
)
def test_only_what_is_idempotent_and_got_no_byte_is_sent_again(backends, balancer, method, said, asked):
    broken = [backends(Broken, f"stable-{n}") for n in (1, 2)]
    for backend in broken:
        backend.said = said
    shop = without_ejection(balancer, tracks={"stable": broken}, workers=1)
    answer = shop.send(method + b" /page HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"HTTP/1.1 502 " in answer
    assert sum(len(backend.requests("/page")) for backend in broken) == asked


def test_a_body_that_was_sent_is_not_sent_again(backends, balancer):
    broken = [backends(Broken, f"stable-{n}") for n in (1, 2)]
    shop = without_ejection(balancer, tracks={"stable": broken}, workers=1)
    head = b"PUT /page HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
    assert shop.send(head + b"ab").startswith(b"HTTP/1.1 502 ")
    assert sum(len(backend.requests("/page")) for backend in broken) == 1


@pytest.fixture
def half_dead(backends, balancer):
    """A balancer with a good backend and one that is gone, though its last check was well."""
    good, gone = backends(Backend, "stable-1"), backends(Backend, "stable-2")
    shop = balancer(start=False, tracks={"stable": [good, gone]}, workers=1)
    shop.shop["health"]["interval_seconds"] = 3600
    shop.shop["ejection"] = {"errors": 0}
    shop.write()
    shop.start().wait_for_backends()
    gone.stop()
    return shop


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_what_was_not_sent_goes_elsewhere_whatever_the_method_and_the_budget(half_dead, method):
    with Load(half_dead.port, path="/page", method=method, clients=16) as load:
        load.wait_for(300)
        wait_until(lambda: retries(half_dead) > 0, "one was tried again")
    assert load.failed == []
    assert set(load.served) == {"stable-1"}


def test_at_most_a_fifth_of_extra_load_reaches_the_backends(backends, balancer):
    """Without a health check, an ejection or a good backend to hide behind: the budget alone."""
    broken = [backends(Broken, f"stable-{n}") for n in (1, 2)]
    shop = without_ejection(balancer, tracks={"stable": broken}, workers=WORKERS)
    with Load(shop.port, path="/page", clients=8) as load:
        load.wait_for(1000)
    total = load.total
    again = sum(len(backend.requests("/page")) for backend in broken) - total
    assert again == retries(shop)
    assert 0.5 * RATIO * total <= again <= RATIO * total + FLOOR * WORKERS


def test_a_connection_that_was_dead_already_does_not_cost_the_second_try(backends, balancer):
    """An idle connection dies, the next one breaks too, and still the other backend answers."""
    bad, good = backends(Restarting, "stable-1"), backends(Backend, "stable-2")
    shop = without_ejection(balancer, tracks={"stable": [bad]}, workers=1)
    assert shop.get("/first").status == 200
    shop.shop["tracks"]["stable"][good.name] = good.address
    shop.write()
    shop.admin("POST", "/reload")
    shop.wait_for_backends()
    bad.dies = True
    for _ in range(4):
        assert shop.get("/second").status == 200
    assert bad.requests("/second")


class Restarting(Backend):
    """Keeps connections until `dies`; then it closes each instead of an answer."""

    dies = False

    async def say_second(self, seen, reader, writer):
        return False if self.dies else await self.answer(writer, 200, self.name.encode())
