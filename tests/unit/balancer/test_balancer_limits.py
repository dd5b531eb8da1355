"""Limits of the machine: their defaults, what the file may say, the count of connections, a body's pace."""

import json
import os

import pytest

from balancer import config, limits
from balancer.census import CLIENT, FILES, ROW, TOTAL, Census, client_of, make_table
from balancer.limitsfile import LimitSettings
from balancer.pace import Pace
from balancer.reader import ConfigError

# The file.


def parsed(told=None):
    file = {
        "admin": {"listen": "127.0.0.1:9901", "token_file": "/etc/sluice/admin.token"},
        "state_dir": "/var/lib/sluice",
        "services": {
            "shop": {
                "listen": "0.0.0.0:80",
                "weights": {"stable": 100},
                "tracks": {"stable": {"s1": "10.0.0.1:80"}},
            }
        },
    }
    if told is not None:
        file["limits"] = told
    return config.parse(json.dumps(file).encode()).limits


def test_every_limit_has_its_default():
    assert parsed() == parsed({}) == LimitSettings()
    assert parsed().told() == {
        "header_bytes": 32_768,
        "headers": 128,
        "target_bytes": 8192,
        "response_header_bytes": 131_072,
        "head_seconds": 10,
        "idle_seconds": 75,
        "body_seconds": 30,
        "body_bytes": 1500,
        "max_connections": 0,
        "max_connections_per_client": 0,
    }


def test_a_worker_starts_with_the_defaults_and_takes_over_every_limit():
    fresh = limits.Limits()
    assert {name: getattr(fresh, name) for name in fresh.__slots__} == parsed().told()
    other = {name: number + 1 for number, name in enumerate(fresh.__slots__)}
    fresh.take_over(other)
    assert {name: getattr(fresh, name) for name in fresh.__slots__} == other


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"header_bytes": 1000}, ".header_bytes: is 1000, want a whole number, 12288 to 1048576"),
        ({"headers": 10}, ".headers: is 10, want a whole number, 100 to 1000"),
        ({"target_bytes": 100}, ".target_bytes: is 100, want a whole number, 8192 to 65536"),
        ({"head_seconds": 0}, ".head_seconds: is 0, want a number, 0.2 to 300"),
        ({"max_connections": -1}, ".max_connections: is -1, want a whole number, 0 to 10000000"),
        ({"max_connections_per_client": "1"}, '.max_connections_per_client: is "1", want a whole number'),
        ({"target_bytes": 40_000}, ".target_bytes: is 40000, want at most header_bytes, 32768"),
        ([], ": is [], want an object"),
        ({"max_connection": 1}, ".max_connection: not a known key, want one of body_bytes, "),
    ],
)
def test_a_slip_is_told_with_its_path(told, said):
    with pytest.raises(ConfigError) as refused:
        parsed(told)
    assert refused.value.mistakes[0].startswith(f"$.limits{said}")


# The census.


@pytest.fixture
def table():
    made = make_table(3)
    yield made
    os.close(made)


def enter(census, address="10.0.0.1", total=0, of_client=0):
    return census.enter(address, total, of_client)


def test_connections_are_counted_over_all_workers(table):
    workers = [Census(table, number, 100) for number in range(3)]
    assert [enter(worker, total=3) for worker in workers] == ["", "", ""]
    assert {enter(worker, total=3) for worker in workers} == {TOTAL}
    workers[1].leave("10.0.0.1")
    assert enter(workers[2], total=3) == ""
    assert enter(workers[0], total=3) == TOTAL


def test_clients_are_counted_apart_over_all_workers(table):
    one, other, _ = (Census(table, number, 100) for number in range(3))
    assert [enter(one, of_client=2), enter(other, of_client=2)] == ["", ""]
    assert enter(other, of_client=2) == CLIENT
    assert enter(other, "10.0.0.2", of_client=2) == ""
    one.leave("10.0.0.1")
    assert enter(other, of_client=2) == ""


def test_a_refused_connection_is_not_counted(table):
    census = Census(table, 0, 100)
    enter(census)
    for _ in range(5):
        enter(census, total=1)
    census.leave("10.0.0.1")
    assert enter(census, total=1) == ""


def test_a_worker_takes_no_more_than_it_has_files_for(table):
    one, other = Census(table, 0, 2), Census(table, 1, 2)
    assert [enter(one) for _ in range(3)] == ["", "", FILES]
    assert enter(other) == ""


def test_a_worker_that_takes_anothers_place_begins_anew(table):
    dead, other = Census(table, 0, 100), Census(table, 1, 100)
    for _ in range(5):
        enter(dead)
    enter(other)
    fresh = Census(table, 0, 100)
    assert enter(fresh, total=2) == ""
    assert enter(fresh, total=2) == TOTAL


def test_each_table_hashes_addresses_in_a_way_of_its_own():
    tables = [make_table(1) for _ in range(2)]
    cells = [[Census(t, 0, 1)._cell(f"10.0.0.{n}") for n in range(50)] for t in tables]
    assert cells[0] != cells[1]
    assert all(1 <= cell < ROW for found in cells for cell in found)
    for one in tables:
        os.close(one)


def test_a_client_of_ipv6_is_its_network():
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff")
    assert client_of("2001:db8::1") != client_of("2001:db8:0:1::1")
    assert client_of("10.0.0.1") != client_of("10.0.0.2")
    assert client_of("no:address") == b"no:address"


# The pace of a body.


def test_a_body_that_drips_is_too_slow_once_its_time_is_over():
    pace = Pace(None, 0.0)
    assert [pace.is_too_slow(float(now), now, 30, 100) for now in range(30)] == [False] * 30
    assert pace.is_too_slow(30.0, 30, 30, 100)


def test_a_body_at_its_pace_goes_on_for_ever():
    pace = Pace(None, 0.0)
    assert not any(pace.is_too_slow(float(now), now * 10, 30, 100) for now in range(10_000))


def test_before_the_first_byte_no_pace_is_asked():
    pace = Pace(None, 0.0)
    assert not pace.is_too_slow(1000.0, 0, 30, 100)
    assert not pace.is_too_slow(1001.0, 1, 30, 100)
    assert pace.is_too_slow(1031.0, 1, 30, 100)


def test_while_the_client_is_held_up_its_time_stands_still():
    pace = Pace(None, 0.0)
    pace.is_too_slow(0.0, 1, 30, 100)
    pace.pardon(29.0)
    assert not pace.is_too_slow(58.0, 1, 30, 100)
    assert pace.is_too_slow(60.0, 1, 30, 100)
