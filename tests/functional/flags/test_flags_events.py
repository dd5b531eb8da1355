"""The event stream: every change is told, to everybody who reads, and nobody who does not costs anything."""

import contextlib
import socket
import time

import pytest

from tests.support.flag_service import PATIENCE, PREFIX, TOKEN
from tests.support.redis_fleet import wait_for


@pytest.fixture(autouse=True)
def settled(shared):
    """No reader of another test is left."""
    shared.wait_for_health("nobody reads", event_readers=0)


def flip(service, value, name="key1"):
    service.fleet.call("redis-1", "SET", name, value)


def test_a_change_is_an_event_and_the_answer_is_there_with_it(shared):
    flip(shared, "0")
    shared.wait_for_value("key1", False)
    with shared.events() as reader:
        assert "Content-Type: text/event-stream" in reader.head
        assert int(reader.next()["retry"]) > 0
        for number in range(20):
            flip(shared, str((number + 1) % 2))
            change = reader.next_change()
            assert (change["event"], change["type"]) == ("message", "refetchEvaluation")
            assert change["etag"] == shared.health()["version"]
            assert abs(change["lastModified"] - time.time()) < 5
            assert shared.value("key1") is (number % 2 == 0)


def test_what_changes_nothing_is_no_event(shared):
    flip(shared, "1")
    shared.wait_for_value("key1", True)
    version = shared.health()["version"]
    with shared.events() as reader:
        first = reader.next()["id"]
        for _ in range(20):
            flip(shared, "1")
        shared.fleet.call("redis-1", "RPUSH", "sluice:history:key1", "{}")
        assert shared.health()["version"] == version
        flip(shared, "0")
        change = reader.next_change()
        # The ids count changes.
        assert int(change["id"].partition("-")[2]) == int(first.partition("-")[2]) + 1


def test_who_comes_back_hears_once_of_what_was_missed(shared):
    with shared.events() as reader:
        last = reader.next()["id"]
    with shared.events(**{"Last-Event-ID": last}) as reader:
        assert reader.next()["id"] == last
        flip(shared, "1" if shared.value("key1") is False else "0")
        last = reader.next_change()["id"]
    for number in range(3):
        flip(shared, str(number % 2))
        shared.wait_for_value("key1", number % 2 == 1)
    for old in (last, "of-another-process-7", "\u00fc"):
        with shared.events(**{"Last-Event-ID": old.encode().decode("latin-1")}) as reader:
            assert reader.next_change()["id"] != last


def test_a_browser_opens_the_stream_by_the_ticket_of_the_bulk_answer(shared):
    (stream,) = shared.bulk().json["eventStreams"]
    with shared.events(stream["endpoint"]["requestUri"], token=None) as reader:
        assert reader.status == 200
        assert TOKEN not in stream["endpoint"]["requestUri"]
    # It opens nothing else.
    ticket = stream["endpoint"]["requestUri"].partition("?")[2]
    assert shared.post(f"{PREFIX}?{ticket}", {"context": {}}, token=None).status == 401
    wait_for(lambda: '"/events"' in shared.access_log.read_text(), PATIENCE, "the log is written")
    assert "ticket" not in shared.access_log.read_text()


def test_a_hundred_readers_all_hear_within_a_moment(shared):
    flip(shared, "0")
    shared.wait_for_value("key1", False)
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(shared.events()) for _ in range(100)]
        for reader in readers:
            reader.next()
        assert shared.health()["event_readers"] == 100
        started = time.monotonic()
        flip(shared, "1")
        ids = {reader.next_change()["id"] for reader in readers}
        assert len(ids) == 1
        assert time.monotonic() - started < 2
    shared.wait_for_health("all are gone", event_readers=0)


def test_a_flood_of_changes_is_few_events_and_the_last_one_is_heard(shared):
    with shared.events() as reader:
        reader.next()
        before = shared.metrics()["sluice_flags_events_total"]
        for number in range(1001):
            flip(shared, str(number % 2))
        flip(shared, "1", "the-last")
        while shared.value("the-last") is not True:
            reader.next_change()
        assert shared.metrics()["sluice_flags_events_total"] - before <= 1002
    shared.fleet.call("redis-1", "DEL", "the-last")


def test_a_reader_that_does_not_read_is_cut_off_and_costs_little(shared):
    with contextlib.ExitStack() as stack:
        stack.enter_context(shared.events())
        line = stack.enter_context(socket.socket())
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        line.connect(("127.0.0.1", shared.port))
        line.sendall(f"GET /events HTTP/1.1\r\nHost: a\r\nX-API-Key: {TOKEN}\r\n\r\n".encode())
        shared.wait_for_health("both read", event_readers=2)
        before = shared.memory_kb()
        dropped = shared.metrics()["sluice_flags_event_readers_dropped_total"]
        # What its kernel and ours hold is beyond us: see the unit test for the limit itself.
        for number in range(200):
            flip(shared, str(number % 2))
        assert shared.memory_kb() - before < 5_000
        assert shared.metrics()["sluice_flags_event_readers_dropped_total"] >= dropped


def test_more_readers_than_may_be_are_told_to_come_later(shared_fleet, flags):
    service = flags(shared_fleet, limits={"event_readers": 2})
    with service.events(), service.events():
        service.wait_for_health("both read", event_readers=2)
        answer = service.ask("GET", "/events", headers={"X-API-Key": TOKEN})
        assert answer.status == 429
        assert int(answer.headers["retry-after"]) >= 1
    service.wait_for_health("both are gone", event_readers=0)
    with service.events() as reader:
        assert reader.status == 200


def test_a_stop_ends_the_streams_so_that_readers_come_back(shared_fleet, flags):
    service = flags(shared_fleet)
    with service.events() as reader:
        reader.next()
        started = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - started < 5
        with pytest.raises(ConnectionError):
            reader.next()


def test_an_alert_is_an_event(shared):
    shared.fleet.call("redis-1", "SET", "sluice:canary:checkbox", "10", "EX", "30")
    shared.wait_for_health("the canary serves", serving=["checkbox"])
    with shared.events() as reader:
        reader.next()
        shared.fleet.call("redis-1", "SET", "sluice:alert:checkbox", "slow")
        reader.next_change()
        assert shared.health()["serving"] == []
    shared.fleet.call("redis-1", "DEL", "sluice:canary:checkbox", "sluice:alert:checkbox")
