"""The client against real servers, refusals of every kind, and servers that are none."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
import sluice_redis
from sluice_config import RedisServer, Tls
from sluice_redis import Redis, RedisError

from tests.support.certificates import Authority
from tests.support.redis_fleet import RedisFleet, password, wait_for


def refusal(fleet, *words, id_="redis-1", user="admin"):
    with pytest.raises(RedisError) as caught:
        fleet.call(id_, *words, user=user)
    return caught.value


def test_replies_of_every_kind_come_back_as_plain_data(lasting):
    lasting.call("redis-1", "RPUSH", "list", "a", "", "b\r\nc \u20ac")
    assert lasting.call("redis-1", "LRANGE", "list", "0", "-1") == ["a", "", "b\r\nc \u20ac"]
    assert lasting.call("redis-1", "LRANGE", "nothing", "0", "-1") == []
    assert lasting.call("redis-1", "MGET", "nothing", "nor this") == [None, None]
    assert lasting.call("redis-1", "LLEN", "list") == 3
    role, _offset, replicas = lasting.call("redis-1", "ROLE")
    assert role == "master" and {one[0] for one in replicas} == {lasting.hosts[f"redis-{n}"] for n in (2, 3)}


def test_pipeline_gives_each_command_its_own_answer(lasting):
    with Redis(lasting.server("redis-1")) as redis:
        first, refused, last = redis.pipeline([("SET", "one", "1"), ("LPUSH", "one", "2"), ("GET", "one")])
    assert (first, last) == ("OK", "1")
    assert isinstance(refused, RedisError) and refused.code == "WRONGTYPE"


def test_transaction_does_all_or_nothing(lasting):
    with Redis(lasting.server("redis-1")) as redis:
        assert redis.transaction([("SET", "a", "1"), ("INCR", "a"), ("LRANGE", "l", "0", "9")]) == [
            "OK",
            2,
            [],
        ]
        with pytest.raises(RedisError, match="unknown command"):
            redis.transaction([("SET", "a", "never"), ("NONSENSE",)])
        assert redis.call("GET", "a") == "2"


def test_transaction_is_refused_if_a_watched_key_changed(lasting):
    with Redis(lasting.server("redis-1")) as redis:
        redis.call("WATCH", "watched")
        lasting.call("redis-1", "SET", "watched", "by someone else")
        with pytest.raises(RedisError) as caught:
            redis.transaction([("SET", "watched", "mine")])
        assert caught.value.code == "CHANGED"
        assert redis.call("GET", "watched") == "by someone else"


def test_refusal_within_a_transaction_is_an_error_and_the_connection_stays_in_step(lasting):
    with Redis(lasting.server("redis-1")) as redis:
        redis.call("SET", "text", "1")
        with pytest.raises(RedisError, match="WRONGTYPE"):
            redis.transaction([("LPUSH", "text", "2"), ("GET", "text")])
        assert redis.call("PING") == "PONG"


def test_write_on_a_replica_says_that_it_is_a_replica(lasting):
    error = refusal(lasting, "SET", "key1", "1", id_="redis-2")
    assert error.code == "READONLY"
    assert "redis-2" in str(error) and "only the master takes writes" in str(error)


def test_command_without_the_right_names_the_user(lasting):
    error = refusal(lasting, "FLUSHALL", user="release")
    assert error.code == "NOPERM" and "FLUSHALL as release" in str(error)


def test_missing_log_in_says_so(lasting):
    error = refusal(lasting, "GET", "key1", user=None)
    assert error.code == "NOAUTH" and "no password" in str(error)


def test_wrong_password_is_one_clear_line_that_does_not_show_it(lasting):
    wrong = replace(lasting.server("redis-1"), password="wrong-secret")
    with pytest.raises(RedisError) as caught:
        Redis(wrong)
    said = str(caught.value)
    assert caught.value.code == "WRONGPASS" and "AUTH as admin" in said and "\n" not in said
    assert "wrong-secret" not in said and "wrong-secret" not in repr(wrong)


def test_full_memory_is_a_clear_error_and_nothing_is_written(lasting):
    lasting.call("redis-1", "CONFIG", "SET", "maxmemory", "1")
    try:
        error = refusal(lasting, "SET", "big", "x")
    finally:
        lasting.call("redis-1", "CONFIG", "SET", "maxmemory", "64mb")
    assert error.code == "OOM" and "maxmemory" in str(error)
    assert lasting.call("redis-1", "EXISTS", "big") == 0


def test_too_few_replicas_is_a_clear_error(lasting):
    lasting.call("redis-1", "CONFIG", "SET", "min-replicas-to-write", "3")
    try:
        error = refusal(lasting, "SET", "key1", "1")
    finally:
        lasting.call("redis-1", "CONFIG", "SET", "min-replicas-to-write", "0")
    assert error.code == "NOREPLICAS" and "too few replicas" in str(error)


@pytest.mark.parametrize("code", sorted(sluice_redis.MEANINGS))
def test_every_known_refusal_is_explained(bad_server, code):
    port = bad_server(b"-%s in the words of the server\r\n" % code.encode())
    with Redis(RedisServer("127.0.0.1", port)) as redis, pytest.raises(RedisError) as caught:
        redis.call("SET", "key1", "1")
    assert caught.value.code == code
    assert f"{code} in the words of the server ({sluice_redis.MEANINGS[code]})" in str(caught.value)


HOSTILE = {
    "not redis": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "no number": b"$x\r\n",
    "negative size": b"$-5\r\n",
    "huge string": b"$999999999999\r\nx",
    "huge list": b"*99999999\r\n",
    "many huge lists": b"*90000\r\n" * 3,
    "deep list": b"*1\r\n" * 500,
    "huge number": b":" + b"9" * 50_000 + b"\r\n",
    "line without an end": b"+" + b"x" * 200_000,
    "string without an end": b"$3\r\nabcde\r\n",
    "unknown kind": b"%2\r\n",
    "empty line": b"\r\n",
    "binary": bytes(range(256)) + b"\r\n",
}


@pytest.mark.parametrize("said", HOSTILE.values(), ids=HOSTILE)
def test_hostile_reply_is_one_error_and_no_memory(bad_server, said):
    with Redis(RedisServer("127.0.0.1", bad_server(said)), 2.0) as redis:
        begin = time.monotonic()
        with pytest.raises(RedisError) as caught:
            redis.call("GET", "key1")
        assert time.monotonic() - begin < 1.5
        assert len(str(caught.value)) < 300 and str(caught.value).isprintable()
        with pytest.raises(RedisError):
            redis.call("GET", "key1")


def test_reply_that_never_ends_is_cut_off(bad_server):
    item = b"$1000000\r\n" + b"x" * 1_000_000 + b"\r\n"
    server = RedisServer("127.0.0.1", bad_server(b"*100\r\n" + item * 20))
    with Redis(server, 5.0) as redis, pytest.raises(RedisError, match="too long"):
        redis.call("LRANGE", "list", "0", "-1")


def test_refusal_shows_neither_the_password_nor_control_characters(bad_server):
    port = bad_server(b"-ERR unknown command AUTH release s3cret\x1b[2J\r\n")
    with pytest.raises(RedisError) as caught:
        Redis(RedisServer("127.0.0.1", port, "release", "s3cret"))
    assert "s3cret" not in str(caught.value) and str(caught.value).isprintable()


def test_password_echoed_by_a_later_refusal_is_blotted_out(bad_server):
    port = bad_server(b"+OK\r\n-ERR you said s3cret \x1b[2J" + b"y" * 5000 + b"\r\n")
    with (
        Redis(RedisServer("127.0.0.1", port, "release", "s3cret")) as redis,
        pytest.raises(RedisError) as caught,
    ):
        redis.call("GET", "key1")
    said = str(caught.value)
    assert "you said ***" in said and "s3cret" not in said and said.isprintable() and len(said) < 400


def test_server_that_hangs_costs_no_more_than_the_deadline(fleet):
    fleet.pause("redis-1")
    try:
        begin = time.monotonic()
        with pytest.raises(RedisError, match=r"redis-1 .*timed out"):
            Redis(fleet.server("redis-1"), 0.2)
        assert 0.15 < time.monotonic() - begin < 1
    finally:
        fleet.resume("redis-1")


def test_stopped_server_says_refused_at_once(fleet):
    fleet.kill("redis-1")
    with pytest.raises(RedisError, match=r"redis-1 .*refused"):
        Redis(fleet.server("redis-1"), 5.0)


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    """Servers that speak only TLS."""
    with RedisFleet(tmp_path_factory.mktemp("tls"), replicas=1, tls=True) as fleet:
        yield fleet


def test_tls_server_answers_and_replicates(encrypted):
    encrypted.call("redis-1", "SET", "key1", "1")
    wait_for(lambda: encrypted.call("redis-2", "GET", "key1", user="reader") == "1")


def test_certificate_for_another_name_is_refused_unless_told_otherwise(encrypted):
    server = replace(encrypted.server("redis-1"), host="127.0.0.1")
    encrypted.call("redis-1", "CONFIG", "SET", "bind", f"{encrypted.hosts['redis-1']} 127.0.0.1")
    with pytest.raises(RedisError, match=r"redis-1 .*no TLS connection.*certificate"):
        Redis(server, 2.0)
    with Redis(replace(server, tls=replace(server.tls, check_hostname=False)), 2.0) as redis:
        assert redis.call("PING") == "PONG"


def test_certificate_of_another_authority_is_refused(encrypted, tmp_path):
    server = encrypted.server("redis-1")
    other = Tls(str(Authority(tmp_path).path), check_hostname=False)
    with pytest.raises(RedisError, match=r"no TLS connection.*certificate verify failed"):
        Redis(replace(server, tls=other), 2.0)


def test_plain_talk_to_a_tls_server_and_tls_to_a_plain_one_fail_with_one_line(encrypted, lasting):
    with pytest.raises(RedisError, match="redis-1"):
        Redis(replace(encrypted.server("redis-1"), tls=None), 2.0)
    tls = encrypted.server("redis-1").tls
    with pytest.raises(RedisError, match="no TLS connection"):
        Redis(replace(lasting.server("redis-1"), tls=tls), 2.0)


def test_authority_may_be_given_as_text(encrypted):
    server = encrypted.server("redis-1")
    with Redis(replace(server, tls=Tls(Path(server.tls.ca).read_text())), 2.0) as redis:
        assert redis.call("PING") == "PONG"
    with pytest.raises(RedisError, match="cannot be used") as caught:
        Redis(replace(server, tls=Tls("-----BEGIN CERTIFICATE-----\nnonsense")), 2.0)
    assert "\n" not in str(caught.value)


def test_missing_certificate_file_is_named(encrypted):
    server = encrypted.server("redis-1")
    with pytest.raises(RedisError, match=r"/nowhere/ca.pem .*cannot be used"):
        Redis(replace(server, tls=Tls("/nowhere/ca.pem")), 2.0)


def test_password_of_the_fleet_is_not_in_any_process_list(lasting):
    for server in lasting.servers.values():
        words = Path(f"/proc/{server.process.pid}/cmdline").read_text()
        assert password("admin") not in words
