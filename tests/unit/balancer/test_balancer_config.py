"""A good file becomes settings; every mistake in a bad one is told with path, actual and wanted."""

import copy
import hashlib
import json
from pathlib import Path

import pytest

from balancer import config, reader
from balancer.reader import Address, ConfigError

GOOD = {
    "workers": 2,
    "admin": {"listen": "127.0.0.1:9901", "token_file": "/etc/sluice/admin.token"},
    "alert": {"listen": "[::1]:9902", "tokens_file": "/etc/sluice/alert.tokens.json"},
    "redis": {
        "servers": [
            {"id": "redis-1", "host": "10.0.0.12", "port": 6380},
            {"id": "redis-2", "host": "redis-2.example"},
        ],
        "ha": "sentinel",
        "sentinel_port": 26380,
        "tls": {"ca": "/etc/sluice/redis-ca.pem"},
        "username": "balancer",
        "password_file": "/etc/sluice/redis",
    },
    "state_dir": "/var/lib/sluice",
    "access_log": "/var/log/sluice/access.log",
    "services": {
        "shop": {
            "listen": "0.0.0.0:80",
            "weights": {"stable": 70, "canary": 30.0},
            "health": {"path": "/health", "status": 204, "interval_seconds": 0.5, "fall": 3},
            "tracks": {
                "stable": {"shop-1": "10.0.0.1:3000", "shop-2": "10.0.0.2:3000"},
                "canary": {"canary-1": "10.0.0.3:3000"},
            },
        }
    },
}
SHOP = "$.services.shop"


def changed(path, value):
    """The good file with one value changed; `path` is keys joined with dots. None removes."""
    told = copy.deepcopy(GOOD)
    *above, last = path.split(".")
    table = told
    for key in above:
        table = table[key]
    if value is None:
        table.pop(last)
    else:
        table[last] = value
    return json.dumps(told).encode()


def mistakes(raw):
    with pytest.raises(ConfigError) as refused:
        config.parse(raw)
    return refused.value.mistakes


def test_a_good_file_becomes_settings():
    raw = json.dumps(GOOD).encode()
    found = config.parse(raw)
    assert found.sha256 == hashlib.sha256(raw).hexdigest()
    assert found.workers == 2
    assert found.admin_listen == Address("127.0.0.1", 9901)
    assert found.alert_listen == Address("::1", 9902)
    first, second = found.redis.servers
    assert (first.id, first.host, first.port) == ("redis-1", "10.0.0.12", 6380)
    assert (second.id, second.host, second.port) == ("redis-2", "redis-2.example", 6379)
    assert (found.redis.ha, found.redis.sentinel_port) == ("sentinel", 26380)
    assert (found.redis.ca, found.redis.username) == (Path("/etc/sluice/redis-ca.pem"), "balancer")
    assert found.state_dir == Path("/var/lib/sluice")
    shop = found.services["shop"]
    assert shop.weights == {"stable": 70.0, "canary": 30.0}
    assert shop.tracks["stable"]["shop-2"] == Address("10.0.0.2", 3000)
    assert (shop.health.path, shop.health.status, shop.health.interval_seconds) == ("/health", 204, 0.5)
    assert (shop.health.rise, shop.health.fall, shop.health.timeout_seconds) == (2, 3, 1)


def test_the_least_file_has_defaults():
    least = {key: GOOD[key] for key in ("admin", "state_dir", "services")}
    least = copy.deepcopy(least)
    del least["services"]["shop"]["health"]
    found = config.parse(json.dumps(least).encode())
    assert (found.workers, found.alert_listen, found.redis, found.access_log) == (1, None, None, None)
    assert found.services["shop"].health.path == "/"


def test_tracks_may_be_empty():
    assert config.parse(changed("services.shop.tracks.canary", {})).services["shop"].tracks["canary"] == {}


TRACKS = "want one of canary, stable"
PERCENT = "want a number, 0 to 100"
ADDRESS = "want an IP address and a port, like 10.0.0.1:80"
PATH = "want a path like /health"
REDIS_KEYS = "want one of ha, password_file, sentinel_port, servers, tls, username"
SERVERS = "want a list of 1 to 16 servers, each with id, host and port"
TOP_KEYS = "want one of access_log, admin, alert, limits, redis, services, state_dir, workers"


@pytest.mark.parametrize(
    ("path", "value", "wanted"),
    [
        ("workers", 0, "is 0, want a whole number, 1 to 10"),
        ("workers", 11, "is 11, want a whole number, 1 to 10"),
        ("workers", True, "is true, want a whole number, 1 to 10"),
        ("workers", 2.0, "is 2.0, want a whole number, 1 to 10"),
        ("workers", "2", 'is "2", want a whole number, 1 to 10'),
        ("admin.listen", None, f"is null, {ADDRESS}"),
        ("admin.token_file", "token", 'is "token", want an absolute path'),
        ("alert.tokens_file", None, "is null, want an absolute path"),
        ("redis.servers", None, f"is null, {SERVERS}"),
        ("redis.servers", [], f"is [], {SERVERS}"),
        ("redis.servers", {"redis-1": "10.0.0.12"}, f'is {{"redis-1": "10.0.0.12"}}, {SERVERS}'),
        ("redis.ha", "both", 'is "both", want "none" or "sentinel"'),
        ("redis.sentinel_port", 0, "is 0, want a whole number, 1 to 65535"),
        ("redis.tls", True, "is true, want an object"),
        ("redis.tls.ca", "ca.pem", 'is "ca.pem", want an absolute path'),
        ("redis.tls.cert", "/cert.pem", "not a known key, want one of ca"),
        ("redis.password", "x", f"not a known key, {REDIS_KEYS}"),
        ("state_dir", None, "is null, want an absolute path"),
        ("access_log", 1, "is 1, want an absolute path"),
        ("services", [], "is [], want an object"),
        ("services", None, "is null, want an object"),
        ("service", {}, f"not a known key, {TOP_KEYS}"),
        ("services.shop.listen", "shop:80", f'is "shop:80", {ADDRESS}'),
        ("services.shop.weights.canary", -1, f"is -1, {PERCENT}"),
        ("services.shop.weights.canary", 101, f"is 101, {PERCENT}"),
        ("services.shop.weights.canary", "30", f'is "30", {PERCENT}'),
        ("services.shop.weights.canary", True, f"is true, {PERCENT}"),
        ("services.shop.weights.canary", [30], f"is [30], {PERCENT}"),
        ("services.shop.weights.canary", float("nan"), f"is NaN, {PERCENT}"),
        ("services.shop.weights.canary", float("inf"), f"is Infinity, {PERCENT}"),
        ("services.shop.weights.canary", None, "missing, want 0 to 100 percent"),
        ("services.shop.weights.beta", 0, f"not a known key, {TRACKS}"),
        ("services.shop.tracks.beta", {}, f"not a known key, {TRACKS}"),
        ("services.shop.tracks.stable", ["10.0.0.1:1"], 'is ["10.0.0.1:1"], want an object'),
        ("services.shop.tracks.stable", {"a b": "10.0.0.1:1"}, 'is "a b", want host ids'),
        ("services.shop.tracks.stable.shop-1", "10.0.0.1", f'is "10.0.0.1", {ADDRESS}'),
        ("services.shop.health.path", "health", f'is "health", {PATH}'),
        ("services.shop.health.path", "/a b", f'is "/a b", {PATH}'),
        ("services.shop.health.path", "/a\r\nX: y", f'is "/a\\r\\nX: y", {PATH}'),
        ("services.shop.health.status", 99, "is 99, want a whole number, 100 to 599"),
        ("services.shop.health.interval_seconds", 0, "is 0, want a number, 0.05 to 3600"),
        ("services.shop.health.rise", 0, "is 0, want a whole number, 1 to 100"),
    ],
)
def test_a_mistake_is_told_with_path_actual_and_wanted(path, value, wanted):
    assert f"$.{path}: {wanted}" in mistakes(changed(path, value))


@pytest.mark.parametrize(
    ("server", "wanted"),
    [
        ({"id": "redis 1", "host": "10.0.0.12"}, '$.redis.servers[0].id: is "redis 1", want a host\'s id'),
        ({"id": "redis-1", "host": ""}, '$.redis.servers[0].host: is "", want a host'),
        ({"id": "redis-1"}, "$.redis.servers[0].host: is null, want a host"),
        (
            {"id": "redis-1", "host": "10.0.0.12", "port": 0},
            "$.redis.servers[0].port: is 0, want a whole number, 1 to 65535",
        ),
        (
            {"id": "redis-2", "host": "10.0.0.12"},
            "$.redis.servers: two have the same id, want another for each",
        ),
        (
            {"id": "redis-1", "host": "redis-2.example"},
            "$.redis.servers: two have the same address, want another for each",
        ),
    ],
)
def test_a_redis_server_that_cannot_be_is_told(server, wanted):
    assert mistakes(changed("redis.servers", [server, GOOD["redis"]["servers"][1]])) == [wanted]


@pytest.mark.parametrize(("canary", "total"), [(31, "101"), (29.9, "99.9"), (0, "70")])
def test_weights_that_do_not_sum_to_100_are_told(canary, total):
    wanted = [f"{SHOP}.weights: sum to {total}, want 100"]
    assert mistakes(changed("services.shop.weights.canary", canary)) == wanted


def test_a_name_that_is_none_is_told():
    for name in ("Shop", "", "a b", "a" * 32, "1shop", "shop\n"):
        told = mistakes(changed("services", {name: GOOD["services"]["shop"]}))
        assert told == [f"$.services: {name!r} is not a name, want small letters, digits, - and _"]


def test_all_mistakes_are_told_at_once():
    told = copy.deepcopy(GOOD)
    told["workers"] = "many"
    told["services"]["shop"]["weights"] = {"stable": 10, "canary": 10}
    told["services"]["shop"]["listen"] = "nowhere"
    assert len(mistakes(json.dumps(told).encode())) == 3


def test_a_long_value_is_told_short():
    (told,) = mistakes(changed("state_dir", "x" * 10_000))
    assert len(told) < 200


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff", b"\x00", b"[" * 100_000, b'{"workers": ' + b"9" * 5000 + b"}"]
)
def test_what_is_not_json_is_told(raw):
    (told,) = mistakes(raw)
    assert told.startswith("not JSON: ")


def test_a_number_of_400_digits_is_only_a_mistake():
    raw = changed("workers", 2).replace(b'"canary": 30.0', b'"canary": 1' + b"0" * 400)
    assert any(told.startswith(f"{SHOP}.weights.canary: is 1000") for told in mistakes(raw))


@pytest.mark.parametrize("raw", [b"[]", b"1", b"null", b'"x"'])
def test_a_file_that_is_no_object_is_told(raw):
    assert f"$: is {raw.decode()}, want an object" in mistakes(raw)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="no.json: cannot be read: No such file or directory"):
        config.load(tmp_path / "no.json")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("10.0.0.1:80", Address("10.0.0.1", 80)),
        ("[::1]:65535", Address("::1", 65535)),
        ("[2001:DB8::1]:1", Address("2001:db8::1", 1)),
        ("10.0.0.1:0", None),
        ("10.0.0.1:65536", None),
        ("10.0.0.1:-1", None),
        ("10.0.0.1:٣", None),
        ("10.0.0.1:", None),
        ("10.0.0.1", None),
        ("10.0.0:80", None),
        ("010.0.0.1:80", None),
        ("::1:80", None),
        ("[10.0.0.1]:80", None),
        ("[::1:80", None),
        ("localhost:80", None),
        ("10.0.0.1:80\n", None),
        ("", None),
        (80, None),
        (None, None),
    ],
)
def test_an_address_is_an_ip_and_a_port(text, wanted):
    assert reader.parse_address(text) == wanted


def test_an_address_reads_as_it_was_written():
    assert str(Address("10.0.0.1", 80)) == "10.0.0.1:80"
    assert str(Address("::1", 80)) == "[::1]:80"
