"""The flag service's file: every mistake is told with its path."""

import json

import pytest

from balancer.reader import ConfigError
from flags import config

GOOD = {
    "listen": "127.0.0.1:8016",
    "tokens_file": "/etc/sluice/flags.tokens.json",
    "state_dir": "/var/lib/sluice/flags",
    "redis": {"servers": [{"id": "redis-1", "host": "10.0.0.1"}, {"id": "redis-2", "host": "b", "port": 7}]},
}


def parsed(**changes):
    return config.parse(json.dumps({**GOOD, **changes}).encode())


def test_a_good_file_is_read_with_its_defaults():
    read = parsed()
    assert [(place.id, place.host, place.port) for place in read.redis.servers] == [
        ("redis-1", "10.0.0.1", 6379),
        ("redis-2", "b", 7),
    ]
    assert (read.redis.username, read.redis.password_file, read.redis.tls) == ("reader", None, None)
    assert (read.stale_seconds, read.tls, read.access_log) == (5.0, None, None)
    assert (read.limits.body_bytes, read.limits.connections, read.limits.event_readers) == (65536, 4096, 1000)


def redis(**changes):
    return {"redis": {**GOOD["redis"], **changes}}


MISTAKES = {
    "$: is [], want an object": [],
    "$.listen: is null, want an IP address": {"listen": None},
    '$.listen: is "localhost:80", want an IP address': {"listen": "localhost:80"},
    "$.tokens_file: is 7, want an absolute path": {"tokens_file": 7},
    '$.state_dir: is "state", want an absolute path': {"state_dir": "state"},
    "$.stale_seconds: is 1, want a number, 2 to 3600": {"stale_seconds": 1},
    "$.stale_seconds: is true, want a number": {"stale_seconds": True},
    "$.colour: not a known key": {"colour": 1},
    "$.redis: is null, want an object": {"redis": None},
    "$.redis.servers: is [], want a list of 1 to 16 servers": redis(servers=[]),
    "$.redis.servers: is {}, want a list": redis(servers={}),
    "$.redis.servers[0]: is 1, want an object": redis(servers=[1]),
    "$.redis.servers[0].host: is null, want a host": redis(servers=[{"id": "a"}]),
    "$.redis.servers[0].port: is 0, want a whole number": redis(
        servers=[{"id": "a", "host": "b", "port": 0}]
    ),
    '$.redis.servers[0].id: is "a b"': redis(servers=[{"id": "a b", "host": "b"}]),
    '$.redis.servers[1].id: is "a", want an id that no other server has': redis(
        servers=[{"id": "a", "host": "b"}] * 2
    ),
    "$.redis.username: is 1, want a name": redis(username=1),
    "$.redis.password: not a known key": redis(password="not-to-be-here"),
    "$.redis.tls.ca: is null, want an absolute path": redis(tls={}),
    "$.redis.tls.check_hostname: is 1, want true or false": redis(tls={"ca": "/a", "check_hostname": 1}),
    "$.tls.key_file: is null, want an absolute path": {"tls": {"certificate_file": "/a"}},
    '$.tls.min_version: is "1.1"': {
        "tls": {"certificate_file": "/a", "key_file": "/b", "min_version": "1.1"}
    },
    "$.limits.connections: is 0, want a whole number, 1 to 60000": {"limits": {"connections": 0}},
    "$.limits.bodies: not a known key": {"limits": {"bodies": 1}},
}


@pytest.mark.parametrize("wanted", MISTAKES)
def test_each_mistake_is_told_with_its_path(wanted):
    told = MISTAKES[wanted]
    with pytest.raises(ConfigError) as caught:
        config.parse(json.dumps(told if isinstance(told, list) else {**GOOD, **told}).encode())
    assert any(mistake.startswith(wanted) for mistake in caught.value.mistakes), caught.value.mistakes
    assert "not-to-be-here" not in str(caught.value)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        parsed(listen=1, stale_seconds=0, limits=[])
    assert len(caught.value.mistakes) == 3


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_refused(raw):
    with pytest.raises(ConfigError) as caught:
        config.parse(raw)
    assert caught.value.mistakes[0].startswith("not JSON: ")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path / "nowhere.json")
    assert "cannot be read: No such file" in caught.value.mistakes[0]
