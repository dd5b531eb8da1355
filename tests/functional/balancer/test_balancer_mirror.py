"""Copies for the canary at a running balancer: what is copied, and that no user notices."""

import asyncio

import pytest
from misbehaving import CHUNK, Backend
from running import Balancer, Load, wait_until


@pytest.fixture(scope="module")
def running(loop, tmp_path_factory):
    """A stable and a canary backend; the canary has no share."""
    stable, canary = Backend(loop, "stable-1").start(), Backend(loop, "canary-1").start()
    made = Balancer(tmp_path_factory.mktemp("mirror"), {"stable": [stable], "canary": [canary]})
    made.stable, made.canary = stable, canary
    made.start().wait_for_backends()
    yield made
    made.stop()
    stable.stop()
    canary.stop()


@pytest.fixture
def shop(running):
    """All safe requests are copied, at most four at a time by each worker."""
    change(running, mirror={"percent": 100, "max_in_flight": 4})
    running.stable.seen.clear()
    running.canary.seen.clear()
    running.before = running.metrics()
    yield running
    running.canary.__dict__.pop("say_", None)
    running.canary.open_gate()


def change(shop, **settings):
    shop.shop.update(settings)
    shop.write()
    assert shop.admin("POST", "/reload").status == 200


def results(shop):
    """What became of the copies of this test."""
    now, found = shop.metrics(), {}
    for name, value in now.items():
        if name.startswith("sluice_mirrored_requests_total"):
            result = name.partition('result="')[2].partition('"')[0]
            found[result] = value - shop.before.get(name, 0)
    return {result: count for result, count in found.items() if count}


def wait_for(shop, **wanted):
    wait_until(lambda: results(shop) == wanted, f"{wanted}")


def test_a_copy_is_the_users_request_marked_and_seen_by_nobody_else(shop):
    sent = {"Cookie": "session=1", "Authorization": "Basic eDp5", "X-Request-Id": "one", "X-Other": "2"}
    assert shop.get("/page?x=1", **sent).body == b"stable-1"
    wait_for(shop, **{"2xx": 1})
    (copy,), (original,) = shop.canary.requests(), shop.stable.requests()
    assert copy.target == "/page?x=1"
    assert copy.headers == [*original.headers, ("X-Sluice-Mirror", "1")]
    assert original.all("x-sluice-mirror") == []
    assert {copy.one(name) for name in ("cookie", "authorization", "x-request-id")} == {
        "session=1",
        "Basic eDp5",
        "one",
    }
    # It is no request of a user's: neither in the log nor in the metrics.
    row = 'sluice_requests_total{backend="canary-1",code="2xx",service="shop",track="canary"}'
    assert shop.metrics()[row] == shop.before[row] == 0
    assert shop.log_line("one")["backend"] == "stable-1"
    assert shop.access_log.read_text().count('"one"') == 1


def test_the_share_of_copies_is_exact(shop):
    change(shop, mirror={"percent": 25, "max_in_flight": 100})
    for _ in range(200):
        assert shop.get("/").body == b"stable-1"
    wait_until(lambda: sum(results(shop).values()) >= 48, "copies")
    assert abs(sum(results(shop).values()) - 50) <= 2
    assert abs(len(shop.canary.requests()) - 50) <= 2


def test_only_safe_requests_without_a_body_are_copied(shop):
    shop.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    shop.send(b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\n\r\n1")
    shop.send(b"OPTIONS /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    shop.send(b"DELETE /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    shop.send(b"HEAD /d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    shop.send(b"GET /e HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    wait_for(shop, **{"2xx": 2})
    assert sorted((one.method, one.path) for one in shop.canary.requests()) == [("GET", "/e"), ("HEAD", "/d")]


def test_nobody_can_pass_his_request_off_as_a_copy(shop):
    shop.get("/", **{"X-Sluice-Mirror": "1", "X_Sluice_Mirror": "1"})
    (original,) = shop.stable.requests()
    assert original.all("x-sluice-mirror") + original.all("x_sluice_mirror") == []


def test_what_the_canary_served_itself_is_not_copied(shop):
    change(shop, weights={"stable": 0, "canary": 100})
    assert shop.get("/").body == b"canary-1"
    change(shop, weights={"stable": 100, "canary": 0})
    shop.get("/")
    wait_for(shop, **{"2xx": 1})
    assert len(shop.canary.requests()) == 2


def test_no_copies_under_an_alert_nor_to_a_drained_canary(shop):
    shop.admin("POST", "/alert", {"service": "shop", "reason": "bad"})
    for _ in range(4):
        shop.get("/")
    shop.admin("DELETE", "/alert/shop")
    shop.admin("POST", "/drain", {"service": "shop", "backend": "canary-1"})
    for _ in range(4):
        shop.get("/")
    shop.admin("POST", "/restore", {"service": "shop", "backend": "canary-1"})
    assert shop.canary.requests() == []
    shop.get("/")
    wait_for(shop, **{"2xx": 1})


def test_a_frozen_canary_is_never_waited_for_and_what_is_too_much_is_dropped(shop):
    shop.canary.close_gate()
    shop.canary.say_ = shop.canary.say_wait
    with Load(shop.port) as load:
        load.wait_for(200)
        # All users were answered while not one copy was.
        assert "2xx" not in results(shop)
    assert load.failed == []
    assert 0 < len(shop.canary.requests()) <= 8
    wait_until(lambda: results(shop).get("dropped", 0) >= 190, "the others are dropped")
    # Nor does a drain wait for copies.
    told = {"service": "shop", "backend": "canary-1"}
    assert shop.admin("POST", "/drain", told).json == {"in_flight": 0, "cut": 0}
    wait_until(lambda: results(shop).get("cut") == len(shop.canary.requests()), "copies are broken off")
    shop.admin("POST", "/restore", told)


def test_an_endless_answer_is_broken_off(shop):
    async def endless(seen, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"%x\r\n%b\r\n" % (len(CHUNK), CHUNK))
            await writer.drain()

    shop.canary.say_ = endless
    assert shop.get("/").body == b"stable-1"
    wait_for(shop, cut=1)
    assert max(shop.worker_memory()) < 200


def test_a_dead_canary_fails_no_user(shop):
    with Load(shop.port) as load:
        load.wait_for(50)
        shop.canary.stop()
        shop.wait_for_backends("down", ["canary-1"])
        load.wait_for(50)
        shop.canary.start()
        shop.wait_for_backends()
        load.wait_for(50)
    assert load.failed == []
    assert set(load.served) == {"stable-1"}


def test_every_kind_of_answer_is_counted(shop):
    async def late(seen, reader, writer):
        await asyncio.sleep(0.05)
        return await shop.canary.answer(writer, 200, b"x" * 100_000)

    async def status(seen, reader, writer):
        return await shop.canary.answer(writer, 503, b"")

    ways = [
        (late, "2xx"),
        (status, "5xx"),
        (shop.canary.say_chunked, "2xx"),
        (shop.canary.say_close_delimited, "2xx"),
        (shop.canary.say_no_content, "2xx"),
        (shop.canary.say_not_modified, "3xx"),
        (shop.canary.say_hints, "2xx"),
        (shop.canary.say_two_answers, "2xx"),
        (shop.canary.say_nothing, "failed"),
        (shop.canary.say_short, "failed"),
        (shop.canary.say_short_chunked, "failed"),
        (shop.canary.say_garbage, "failed"),
        (shop.canary.say_switch, "failed"),
    ]
    counts = {}
    for way, result in ways:
        shop.canary.say_ = way
        assert shop.get("/").body == b"stable-1"
        counts[result] = counts.get(result, 0) + 1
        wait_for(shop, **counts)


def test_all_results_are_in_the_metrics_from_the_start(shop):
    rows = [name for name in shop.before if name.startswith("sluice_mirrored_requests_total")]
    assert len(rows) == 8
    assert all('backend="canary-1"' in row and 'track="canary"' in row for row in rows)
