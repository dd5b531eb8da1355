"""The stand-in's /getPic: the picture or NULL as Redis says, whatever becomes of Redis."""

import json
import statistics
import subprocess
import time

import pytest
from apps_support import environment

from tests.support.redis_fleet import RedisFleet, password, wait_for

REPLICAS = ("redis-2", "redis-3")
# Far more than a flip takes, and less than the quarter of a second after which, in the middle, it would have
# been asked for anyway. A busy computer may be late with any one of them.
AT_ONCE_SECONDS = 0.2


def promote(redis, id_):
    """What salt-run flags.promote does to the servers, in short."""
    redis.call(id_, "REPLICAOF", "NO", "ONE")
    redis.call(id_, "INCR", "sluice:term")
    for other, server in redis.servers.items():
        if other != id_ and server.process:
            redis.call(other, "REPLICAOF", redis.hosts[id_], str(redis.port))


def test_picture_is_shown_for_1_and_null_for_anything_else(application, redis):
    for value in ("0", "", "on", "1\n", "\u00e9", "01", "true"):
        redis.call("redis-1", "SET", "key1", value)
        application.wait_for("NULL")
        redis.call("redis-1", "SET", "key1", "1")
        application.wait_for("picture")


def test_absent_flag_is_null_and_a_list_is_null(application, redis):
    redis.call("redis-1", "DEL", "key1")
    application.wait_for("NULL")
    redis.call("redis-1", "SET", "key1", "1")
    application.wait_for("picture")
    redis.call("redis-1", "DEL", "key1")
    redis.call("redis-1", "LPUSH", "key1", "1")
    application.wait_for("NULL")


def seconds_of_flips(application, redis, number):
    """How long it takes until the application shows a flip, for the middle one of some."""
    took = []
    for flip in range(number):
        value = str(flip % 2)
        redis.call("redis-1", "SET", "key1", value)
        began = time.monotonic()
        application.wait_for("picture" if value == "1" else "NULL")
        took.append(time.monotonic() - began)
    return statistics.median(took)


def test_every_flip_is_seen_at_once_and_in_order(application, redis):
    assert seconds_of_flips(application, redis, 40) < AT_ONCE_SECONDS


def test_replicas_are_read_and_not_the_master(application, redis):
    wait_for(lambda: application.get()[1] in REPLICAS, what="a replica as the source")
    _, _, age = application.get()
    assert float(age) < 1.5


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_reader_changes_to_another_server_without_a_wrong_answer(application, redis, how):
    """Whichever server dies or falls silent: the next flip is there as fast as ever."""
    wait_for(lambda: application.get()[1] in REPLICAS, what="a replica as the source")
    nearest = application.get()[1]
    getattr(redis, how)(nearest)
    assert seconds_of_flips(application, redis, 11) < AT_ONCE_SECONDS
    (other,) = set(REPLICAS) - {nearest}
    getattr(redis, how)(other)
    application.wait_for("NULL", source="redis-1")
    assert seconds_of_flips(application, redis, 11) < AT_ONCE_SECONDS


def test_last_known_value_is_shown_without_redis_and_its_age_grows(application, redis):
    for id_ in redis.hosts:
        redis.kill(id_)
    application.wait_for("picture", source="memory")
    ages = [float(application.get()[2]), float(application.get()[2])]
    assert ages[0] < ages[1]


def test_default_is_off_until_a_server_answers_and_starts_without_redis(start, redis):
    redis.call("redis-1", "SET", "key1", "1")
    for id_ in redis.hosts:
        redis.kill(id_)
    one = start(**environment(redis))
    one.wait_for("NULL", source="default")
    assert one.get()[2] == "never"
    redis.restart("redis-1")
    one.wait_for("picture", source="redis-1")


def test_servers_that_hang_delay_no_answer(start, redis):
    for id_ in redis.hosts:
        redis.pause(id_)
    one = start(**environment(redis))
    one.wait_for("NULL", source="default")
    began = time.monotonic()
    for _ in range(20):
        one.get()
    assert time.monotonic() - began < 1
    for id_ in redis.hosts:
        redis.resume(id_)
    wait_for(lambda: one.get()[1] in redis.hosts, what="a server as the source")


def test_promotion_is_followed_and_a_returned_old_master_is_not_believed(application, redis):
    redis.kill("redis-1")
    promote(redis, "redis-2")
    redis.call("redis-2", "SET", "key1", "0")
    application.wait_for("NULL", seconds=2)
    redis.restart("redis-1")  # a master still, with the old value
    assert redis.call("redis-1", "GET", "key1") == "1"
    connected = "flags: redis-1 "
    wait_for(
        lambda: (
            application.said().count(f"{connected}({redis.hosts['redis-1']}:{redis.port}): connected") == 2
        )
    )
    assert all(application.shows("NULL") for _ in range(20))
    redis.call("redis-2", "SET", "key1", "1")
    application.wait_for("picture", seconds=2)


def test_wrong_password_is_one_line_without_it_and_the_flag_is_off(start, redis):
    redis.call("redis-1", "SET", "key1", "1")
    one = start(**environment(redis, REDIS_PASSWORD="swordfish"))
    one.wait_for("NULL", source="default")
    wait_for(lambda: one.said().count("WRONGPASS") == 3, what="a line for each server")
    time.sleep(1)  # it tries again meanwhile, and says no more
    said = one.said()
    assert said.count("WRONGPASS") == 3
    assert "swordfish" not in said


def test_password_is_neither_logged_nor_an_argument(application, redis):
    redis.kill("redis-3")
    application.wait_for("picture")
    wait_for(lambda: "flags: redis-3" in application.said().split("connected")[-1], what="a line of the loss")
    assert password("reader") not in application.said()
    with open(f"/proc/{application.process.pid}/cmdline") as arguments:
        assert password("reader") not in arguments.read()


def test_reader_speaks_tls_and_believes_its_own_authority_alone(start, tmp_path):
    with RedisFleet(tmp_path / "tls", replicas=1, tls=True) as redis:
        redis.call("redis-1", "SET", "key1", "1")
        told = environment(redis, REDIS_TLS="1")
        start(**told, REDIS_CA=str(redis.tls[0])).wait_for("picture")
        stranger = start(**told)
        stranger.wait_for("NULL", source="default")
        wait_for(lambda: "certificate" in stranger.said(), what="a line about the certificate")


def test_without_redis_in_the_environment_the_picture_is_shown_as_ever(start):
    one = start()
    one.wait_for("picture")
    assert one.get()[1:] == (None, None)


@pytest.mark.parametrize("servers", ["redis-1", "redis-1=10.0.0.1", "a=b:0", "a=b:65536", "=b:1", "a=b:1;x"])
def test_servers_that_cannot_be_read_end_the_application_with_one_clear_line(start, servers):
    one = start(REDIS_SERVERS=servers)
    assert one.process.wait(20) != 0
    assert f'REDIS_SERVERS: "{servers}": want ID=HOST:PORT' in one.said()


FRESH = {
    "id": "x",
    "at": 100,
    "roundTripMs": 1,
    "term": 1,
    "isMaster": False,
    "isLinked": True,
    "history": "h",
}


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"term": 2, "isLinked": False, "offset": 1}, {"term": 1, "offset": 9}),
        ({"isLinked": True, "offset": 1}, {"isLinked": False, "offset": 9}),
        ({"offset": 9, "roundTripMs": 5}, {"offset": 8, "roundTripMs": 1}),
        ({"offset": 9, "roundTripMs": 1}, {"offset": 9, "roundTripMs": 5}),
        ({"offset": 9, "at": 100}, {"offset": 9, "isMaster": True, "at": 90}),
        # Asked before the master: whether it lags is not known.
        ({"offset": 8, "at": 80}, {"offset": 9, "isMaster": True, "at": 90}),
        # What the master took a moment ago may be on its way.
        ({"offset": 8, "at": 139}, {"offset": 9, "isMaster": True, "at": 90}),
        ({"offset": 9, "isMaster": True, "at": 90}, {"offset": 8, "at": 140}),
        # A master that came back is no better than a replica of the new one.
        ({"offset": 8, "at": 100, "history": "new"}, {"offset": 9, "isMaster": True, "at": 90}),
        ({"offset": 1, "at": 100, "history": "new"}, {"offset": 9, "at": 90}),
    ],
)
def test_fresher_of_two_servers_is_believed(site, better, worse):
    states = json.dumps([FRESH | better, FRESH | worse])
    script = (
        f"const f = require('./freshest').isFresher; const [a, b] = {states}; console.log(f(a, b), f(b, a))"
    )
    done = subprocess.run(
        ["node", "-e", script], cwd=site, capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout.split() == ["true", "false"]
