"""Finding the master and where to read, among real servers and Sentinels."""

import contextlib
import time
from dataclasses import replace

import pytest
import sluice_redis_servers
from sluice_config import redis_servers
from sluice_redis import RedisError
from sluice_redis_roles import TERM_KEY
from sluice_redis_sentinel import NoMaster
from sluice_redis_servers import find_master, is_here, readers, roles, write_everywhere

from tests.support.redis_fleet import RedisFleet, wait_for

ALERT = "sluice:alert:checkbox"


def ids(servers):
    return [one.id for one in servers]


def found(fleet, user="release", timeout=1.0):
    return find_master(fleet.declared(user), timeout).id


def promote(fleet, id_, term):
    """What a promotion does to one server, without all around it."""
    fleet.call(id_, "REPLICAOF", "NO", "ONE")
    fleet.call(id_, "SET", TERM_KEY, str(term))


@pytest.mark.parametrize("user", ["release", "reader", "writer", "balancer", "admin", "operator"])
def test_each_user_can_find_the_master(lasting, user):
    assert found(lasting, user) == "redis-1"


def test_roles_tell_who_is_what_in_the_order_of_the_settings(lasting):
    lasting.call("redis-1", "SET", TERM_KEY, "7")
    first = wait_for(
        lambda: all(one.term == 7 for one in roles(lasting.declared())) and roles(lasting.declared())
    )
    assert ids(one.server for one in first) == ["redis-1", "redis-2", "redis-3"]
    assert [one.role for one in first] == ["master", "replica", "replica"]
    assert first[1].linked and first[1].follows == f"{lasting.hosts['redis-1']}:{lasting.port}"
    assert first[0].replication_ids == first[1].replication_ids and len(first[0].replicas) == 2
    lasting.call("redis-1", "DEL", TERM_KEY)


def test_master_is_found_wherever_it_is(fleet):
    promote(fleet, "redis-3", 1)
    for id_ in ("redis-1", "redis-2"):
        fleet.call(id_, "REPLICAOF", fleet.hosts["redis-3"], str(fleet.port))
    assert wait_for(lambda: fleet.linked("redis-3"))
    assert found(fleet) == "redis-3"


def test_of_two_masters_the_one_with_the_higher_term_is_found(fleet):
    fleet.call("redis-1", "SET", TERM_KEY, "9")
    promote(fleet, "redis-2", 10)
    assert found(fleet) == "redis-2"


def test_two_masters_of_the_same_term_are_an_error_that_names_both(fleet):
    promote(fleet, "redis-1", 3)
    promote(fleet, "redis-2", 3)
    with pytest.raises(
        NoMaster, match=r"2 Redis masters of the same term.*redis-1 .*term 3.*redis-2 .*term 3"
    ):
        found(fleet)


def test_old_master_alone_is_not_taken_for_the_master(fleet):
    """redis-3 followed redis-2 to term 2, redis-2 died, and redis-1 of term 1 came back."""
    promote(fleet, "redis-2", 2)
    fleet.call("redis-3", "REPLICAOF", fleet.hosts["redis-2"], str(fleet.port))
    wait_for(lambda: fleet.call("redis-3", "GET", TERM_KEY) == "2")
    fleet.kill("redis-2")
    with pytest.raises(NoMaster, match=r"no Redis master of term 2.*redis-1 .*is a master of term 0"):
        found(fleet)


def test_no_declared_server_is_an_error_that_names_the_pillar_key():
    with pytest.raises(NoMaster, match="pillar redis:servers"):
        find_master(redis_servers({}))


def test_no_master_is_an_error_that_names_each_server_and_what_it_said(fleet):
    fleet.kill("redis-1")
    fleet.kill("redis-3")
    with pytest.raises(
        NoMaster, match=r"redis-1 .*refused.*redis-2 .*a replica of .*not linked.*redis-3 .*refused"
    ):
        found(fleet)


@pytest.mark.parametrize("value", ["x", "", "-5", "1e3", "9" * 400, "1\n"])
def test_unreadable_term_counts_as_none(lasting, value):
    lasting.call("redis-1", "SET", TERM_KEY, value)
    assert found(lasting) == "redis-1"
    lasting.call("redis-1", "DEL", TERM_KEY)
    lasting.call("redis-1", "RPUSH", TERM_KEY, "1")
    assert found(lasting) == "redis-1"
    lasting.call("redis-1", "DEL", TERM_KEY)


def test_hanging_replica_holds_the_master_up_for_no_longer_than_the_grace(fleet):
    fleet.pause("redis-3")
    try:
        begin = time.monotonic()
        assert found(fleet, timeout=5.0) == "redis-1"
        assert time.monotonic() - begin < 2
    finally:
        fleet.resume("redis-3")


def test_hanging_servers_cost_the_deadline_once(fleet):
    for id_ in fleet.servers:
        fleet.pause(id_)
    try:
        begin = time.monotonic()
        with pytest.raises(NoMaster, match=r"redis-1 .*timed out.*redis-2 .*timed out.*redis-3 .*timed out"):
            found(fleet, timeout=0.4)
        assert time.monotonic() - begin < 1.2
    finally:
        for id_ in fleet.servers:
            fleet.resume(id_)


def test_server_that_starts_up_is_not_a_master_yet(bad_server):
    port = bad_server(b"+OK\r\n-LOADING Redis is loading the dataset in memory\r\n" * 4, host="127.0.0.1")
    raw = {"servers": [{"id": "redis-1", "host": "127.0.0.1", "port": port}]}
    with pytest.raises(NoMaster, match="nonsense|LOADING"):
        find_master(redis_servers(raw))


NONSENSE = {
    "text": b"+master",
    "empty list": b"*0",
    "master without the rest": b"*1\r\n$6\r\nmaster",
    "replicas of no kind": b"*3\r\n$6\r\nmaster\r\n:1\r\n*1\r\n:5",
    "lists only": b"*1\r\n*0",
    "number": b":1",
    "nothing": b"*-1",
    "replica of a number": b"*5\r\n$5\r\nslave\r\n:1\r\n:1\r\n:1\r\n:1",
    "offset of letters": b"*3\r\n$6\r\nmaster\r\n$1\r\nx\r\n*0",
}


@pytest.mark.parametrize("role", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_instead_of_a_role_is_no_master_and_no_traceback(bad_server, role):
    port = bad_server(role + b"\r\n$2\r\nhi\r\n$-1\r\n")
    raw = {"servers": [{"id": "redis-1", "host": "127.0.0.1", "port": port}]}
    with pytest.raises(NoMaster, match="redis-1"):
        find_master(redis_servers(raw))


def test_wrong_password_is_told_once_for_each_server_and_not_shown(lasting):
    servers = replace(lasting.declared(), passwords={"release": "wrong-secret"}).user("release")
    with pytest.raises(NoMaster, match="does not know this user") as caught:
        find_master(servers)
    assert "wrong-secret" not in str(caught.value) and str(caught.value).count("WRONGPASS") == 3


def test_readers_are_linked_replicas_then_the_master(lasting):
    assert ids(readers(lasting.declared("reader"))) == ["redis-2", "redis-3", "redis-1"]


def test_server_on_this_machine_is_the_nearest_of_its_kind(lasting, monkeypatch):
    here = lasting.hosts["redis-3"]
    monkeypatch.setattr(sluice_redis_servers, "is_here", lambda host: host == here)
    assert ids(readers(lasting.declared("reader"))) == ["redis-3", "redis-2", "redis-1"]
    monkeypatch.undo()
    assert is_here(here) and is_here("::1") and not is_here("192.0.2.1") and not is_here("not an address")


def test_replicas_can_be_read_after_their_master_died(fleet):
    fleet.kill("redis-1")
    wait_for(lambda: not any(one.linked for one in roles(fleet.declared("reader"))))
    assert ids(readers(fleet.declared("reader"))) == ["redis-2", "redis-3"]


def test_what_an_old_promotion_left_over_is_not_read(fleet):
    promote(fleet, "redis-2", 2)
    fleet.call("redis-3", "REPLICAOF", fleet.hosts["redis-2"], str(fleet.port))
    wait_for(lambda: roles(fleet.declared())[2].linked)
    assert ids(readers(fleet.declared("reader"))) == ["redis-3", "redis-2"]


def test_nothing_to_read_from_is_an_error_that_names_each_server(fleet):
    for id_ in fleet.servers:
        fleet.kill(id_)
    with pytest.raises(RedisError, match=r"No Redis can be read from.*redis-1.*redis-2.*redis-3"):
        readers(fleet.declared("reader"))


def test_write_reaches_the_master_wherever_it_is(fleet):
    servers = fleet.declared()
    write_everywhere(servers, ("SET", ALERT, "one"))
    assert fleet.call("redis-1", "GET", ALERT) == "one"
    promote(fleet, "redis-2", 1)
    write_everywhere(servers, ("SET", ALERT, "two"))
    assert fleet.call("redis-2", "GET", ALERT) == "two"
    fleet.kill("redis-1")
    write_everywhere(servers, ("SET", ALERT, "three"))
    assert fleet.call("redis-2", "GET", ALERT) == "three"


def test_write_that_the_master_refuses_is_an_error(lasting):
    lasting.call("redis-1", "CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(RedisError, match=r"redis-1 .*OOM"):
            write_everywhere(lasting.declared(), ("SET", ALERT, "x"))
    finally:
        lasting.call("redis-1", "CONFIG", "SET", "maxmemory", "64mb")


def test_write_without_a_master_is_an_error(fleet):
    fleet.kill("redis-1")
    with pytest.raises(NoMaster):
        write_everywhere(fleet.declared(), ("SET", ALERT, "x"))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """Three servers and three Sentinels."""
    with RedisFleet(tmp_path_factory.mktemp("sentinels"), sentinels=True) as fleet:
        yield fleet


def test_sentinels_name_the_master(guarded):
    assert found(guarded) == "redis-1"


def test_master_is_found_while_a_sentinel_hangs(guarded):
    guarded.sentinels["redis-2"].pause()
    try:
        begin = time.monotonic()
        assert found(guarded, timeout=5.0) == "redis-1"
        assert time.monotonic() - begin < 2
    finally:
        guarded.sentinels["redis-2"].resume()


def test_failover_is_found_and_the_old_master_is_not(tmp_path):
    """A writer goes on all the time; what the new master has acknowledged is kept by it."""
    with RedisFleet(tmp_path / "redis", sentinels=True) as fleet:
        servers, written = fleet.declared(), []
        write_everywhere(servers, ("SET", f"{ALERT}0", "x"))
        fleet.kill("redis-1")
        began = time.monotonic()

        def writes():
            try:
                # As the alert door does.
                write_everywhere(servers, ("SET", f"{ALERT}{len(written) + 1}", "x"), 0.3)
            except RedisError:
                return False
            written.append(time.monotonic())
            return True

        wait_for(writes, 20, "a write after the failover")
        print(f"\nfailover: {written[0] - began:.1f} s")

        def found_again():
            with contextlib.suppress(NoMaster):
                return found(fleet)

        new = wait_for(found_again, 10, "Sentinels that name the new master")
        assert new in ("redis-2", "redis-3")
        fleet.restart("redis-1")
        for _ in range(20):
            assert found(fleet) == new and writes()
        missing = [n for n in range(1, len(written) + 1) if not fleet.call(new, "EXISTS", f"{ALERT}{n}")]
        assert not missing


def test_user_without_the_right_learns_nothing_else_from_a_sentinel(guarded):
    with pytest.raises(RedisError, match="NOPERM"):
        guarded.sentinel_call("redis-1", "SENTINEL", "FAILOVER", "sluice", user="release")


def test_without_sentinels_that_answer_there_is_no_master(guarded):
    for sentinel in guarded.sentinels.values():
        sentinel.stop()
    with pytest.raises(NoMaster, match=r"name no master together.*sentinel of redis-1 .*refused"):
        found(guarded)
