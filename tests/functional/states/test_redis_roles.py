"""redis_server.in_role and watched on real servers: what lives decides, and no failover is undone."""

import contextlib
import json
import signal

import pytest
import sluice_redis
from redis_machines import RedisMachines, unchanged
from sluice_config import RedisServers
from sluice_redis import RedisError
from sluice_redis_servers import find_master

from tests.support.certificates import Authority
from tests.support.redis_fleet import wait_for


@pytest.fixture(scope="module")
def loaded(machine_of_module):
    return machine_of_module("redis-1")


def promote(fleet, id_, term):
    """As flags.promote does: one is the master, the others that live follow it, and the term is raised."""
    fleet[id_].call("REPLICAOF", "NO", "ONE")
    fleet[id_].call("SET", "sluice:term", str(term))
    for one in fleet:
        if one.id != id_ and one.units.running("redis-server"):
            one.call("REPLICAOF", fleet[id_].host, str(fleet.port))
    fleet.wait_linked(id_)


def roles(fleet):
    return {one.id: one.role()[0] for one in fleet}


def test_a_promotion_is_never_undone(machines):
    fleet = machines().up()
    promote(fleet, "redis-3", 1)
    assert unchanged(fleet)
    assert roles(fleet) == {"redis-1": "slave", "redis-2": "slave", "redis-3": "master"}


def test_a_master_that_came_back_follows_the_new_one_and_its_data_are_kept(machines):
    fleet = machines().up()
    old = fleet["redis-1"]
    old.call("SET", "key1", "1")
    old.units.stop("redis-server", signal.SIGKILL)
    promote(fleet, "redis-2", 1)
    old.units.start("redis-server")
    wait_for(old.answers, 10, "the old master")
    old.call("SET", "only-here", "lost otherwise")
    planned, made = old.in_role(test=True), old.in_role()
    assert planned["result"] is None and planned["changes"] == made["changes"]
    assert made["changes"]["role"]["old"] == "master of term 0"
    assert made["changes"]["role"]["new"].startswith("replica of redis-2")
    fleet.wait_linked("redis-2")
    assert old.call("GET", "only-here") is None
    kept = made["comment"].rpartition("Its old data are in ")[2]
    (base,) = {path.name for path in (old.folder / "data/stale").iterdir()}
    assert kept.endswith(f"data/stale/{base}")
    assert b"lost otherwise" in b"".join(
        path.read_bytes() for path in (old.folder / "data/stale" / base).iterdir()
    )
    assert unchanged(fleet)


def test_a_replica_of_a_stale_master_follows_the_true_one(machines):
    fleet = machines().up()
    fleet["redis-2"].call("REPLICAOF", "NO", "ONE")
    fleet["redis-2"].call("SET", "sluice:term", "1")
    wait_for(lambda: fleet["redis-3"].role()[3] == "connected", 10, "redis-3 with its stale master")
    made = fleet["redis-3"].in_role()
    assert made["changes"]["role"]["new"].startswith("replica of redis-2")
    assert "stale" not in made["comment"]


def test_a_stale_master_is_left_alone_while_the_true_one_is_dead(machines):
    fleet = machines().up()
    fleet["redis-1"].units.stop("redis-server")
    promote(fleet, "redis-2", 1)
    fleet["redis-2"].units.stop("redis-server")
    fleet["redis-1"].units.start("redis-server")
    wait_for(fleet["redis-1"].answers, 10, "the stale master")
    left = fleet["redis-1"].in_role()
    assert (left["result"], left["changes"]) == (True, {})
    assert left["warnings"] and "no master answers" in left["comment"]
    assert roles([fleet["redis-1"]]) == {"redis-1": "master"}


def test_two_masters_with_data_and_no_term_are_left_to_people(machines):
    fleet = machines(2).up()
    fleet["redis-1"].call("SET", "key1", "1")
    wait_for(lambda: fleet["redis-2"].call("GET", "key1") == "1", 10, "the data")
    fleet["redis-2"].call("REPLICAOF", "NO", "ONE")
    wait_for(lambda: fleet["redis-1"].role()[2] == [], 10, "a master without replicas")
    for one in fleet:
        left = one.in_role()
        assert (left["result"], left["changes"]) == (False, {})
        assert "2 servers say that they are the master" in left["comment"]
        assert "salt-run flags.promote" in left["comment"]


def test_three_fresh_masters_follow_the_one_that_pillar_names(machines):
    fleet = machines()
    for one in fleet:
        one.fleet.pillar["servers"] = {one.id: one.host}
        one.fleet.pillar["master"] = one.id
        for ret in (one.users(), one.configured()):
            assert ret["result"] is True
    fleet.pillar |= {"servers": dict(fleet.hosts), "master": "redis-2"}
    for one in fleet:
        assert one.in_role()["result"] is True
    fleet.wait_linked("redis-2")
    assert roles(fleet)["redis-2"] == "master"


def test_a_new_machine_follows_the_master_that_lives_whatever_pillar_says(machines):
    fleet = machines()
    fresh = fleet["redis-1"]
    fleet.pillar["master"] = "redis-2"
    for id_ in ("redis-2", "redis-3"):
        assert all(ret["result"] for ret in fleet[id_].apply())
    fleet["redis-2"].call("SET", "key1", "1")
    fleet.pillar["master"] = "redis-1"
    assert fresh.users()["result"] is True
    assert fresh.configured()["comment"].startswith("made: replica of redis-2")
    fleet.wait_linked("redis-2")
    assert fresh.call("GET", "key1") == "1"


def test_a_first_master_that_lost_its_disk_does_not_empty_its_replicas(machines):
    fleet = machines().up()
    lost = fleet["redis-1"]
    lost.call("SET", "key1", "1")
    lost.call("WAIT", "2", "2000")
    lost.units.stop("redis-server", signal.SIGKILL)
    for path in ("redis.conf", "redis.acl"):
        (lost.folder / path).unlink()
    assert lost.users()["result"] is True
    refused = lost.configured()
    assert refused["result"] is False
    assert "starting it would empty the others" in refused["comment"]
    assert "salt-run flags.promote redis-" in refused["comment"]
    assert [fleet[id_].call("GET", "key1") for id_ in ("redis-2", "redis-3")] == ["1", "1"]
    promote(fleet, "redis-2", 1)
    assert lost.configured()["result"] is True
    fleet.wait_linked("redis-2")
    assert lost.call("GET", "key1") == "1"


def test_a_replica_whose_master_is_dead_says_so_and_stays(machines):
    fleet = machines(2).up()
    fleet["redis-1"].units.close()
    said = fleet["redis-2"].in_role()
    assert (said["result"], said["changes"]) == (True, {})
    assert "docs/howto/promote-a-redis.md" in said["warnings"][0]


def test_a_changed_password_of_replication_is_taken_over_without_a_new_transfer(machines):
    fleet = machines(2).up()
    transfers = fleet["redis-1"].call("INFO", "stats").partition("sync_full:")[2].split()[0]
    fleet.change_password("replication", 'hidden-word "with" \\ blanks')
    for one in fleet:
        changes = [ret["changes"] for ret in one.apply()]
        assert "replication" in changes[0] and "masterauth" in changes[1]
    assert unchanged(fleet)
    assert fleet["redis-1"].call("INFO", "stats").partition("sync_full:")[2].split()[0] == transfers
    fleet["redis-2"].units.restart("redis-server")
    wait_for(fleet["redis-2"].answers, 10, "the replica")
    fleet.wait_linked()


def sentinel(one, *words, user="admin"):
    return one.call("SENTINEL", *words, user=user, port=one.fleet.pillar["sentinel"]["port"])


def named(one):
    return sentinel(one, "GET-MASTER-ADDR-BY-NAME", "sluice", user="reader")[0]


def agree(fleet):
    """Whether every Sentinel knows the two others and both replicas."""
    for one in fleet:
        said = sentinel(one, "MASTER", "sluice")
        told = dict(zip(said[::2], said[1::2], strict=True))
        if (told["num-other-sentinels"], told["num-slaves"]) != ("2", "2"):
            return False
    return True


def has_quorum(one):
    with contextlib.suppress(RedisError):
        return sentinel(one, "CKQUORUM", "sluice").startswith("OK")
    return False


@pytest.fixture(scope="module")
def watched(loaded, tmp_path_factory):
    """A fleet with Sentinels; each test goes on with it: it takes them ten seconds to know each other."""
    made = RedisMachines(tmp_path_factory.mktemp("watched"), loaded, ha="sentinel")
    yield made.up()
    made.close()


@pytest.fixture(autouse=True)
def they_know_each_other(request):
    if "watched" in request.fixturenames:
        fleet = request.getfixturevalue("watched")
        wait_for(lambda: agree(fleet), 20, "Sentinels that know each other")


def test_writes_need_a_replica_only_where_sentinel_may_promote(machines, watched):
    assert watched["redis-1"].setting("min-replicas-to-write") == "1"
    plain = machines(2).up()
    assert plain["redis-1"].setting("min-replicas-to-write") == "0"
    plain["redis-2"].units.close()
    assert plain["redis-1"].call("SET", "sluice:alert:checkbox", "x", user="release") == "OK"


def test_sentinels_settings_and_passwords_are_changed_while_it_runs(watched):
    fleet = watched
    fleet.pillar["sentinel"] |= {"down_after_milliseconds": 700, "quorum": 3}
    fleet.change_password("sentinel", "hidden-word-of-sentinel-2")
    for one in fleet:
        returned = one.apply()
        assert all(ret["result"] for ret in returned), returned
        assert set(returned[-1]["changes"]) == {
            "auth-pass",
            "down-after-milliseconds",
            "quorum",
            "sentinel-pass",
        }
        assert "hidden-word" not in json.dumps(returned)
        assert one.units.restarts == ["redis-server", "redis-sentinel"]
    assert unchanged(fleet)
    wait_for(lambda: agree(fleet), 20, "Sentinels that know each other")
    wait_for(lambda: has_quorum(fleet["redis-1"]), 20, "a quorum with the new password")


def test_users_at_sentinel_may_ask_for_the_master_and_no_more(watched):
    one = watched["redis-1"]
    for user in ("reader", "writer", "balancer", "release", "probe", "operator"):
        assert sentinel(one, "GET-MASTER-ADDR-BY-NAME", "sluice", user=user) == [one.host, str(watched.port)]
        for words in (("FAILOVER", "sluice"), ("SET", "sluice", "quorum", "1"), ("REMOVE", "sluice")):
            with pytest.raises(RedisError, match="NOPERM"):
                sentinel(one, *words, user=user)
    watched.words["nobody"] = ""
    with pytest.raises(RedisError, match="NOAUTH"):
        sentinel(one, "MASTERS", user="nobody")
    with pytest.raises(RedisError, match="WRONGPASS"):
        sluice_redis.Redis(one.server("replication", watched.pillar["sentinel"]["port"]), 2.0)


@pytest.mark.parametrize("user", ["reader", "writer", "balancer", "release", "probe", "admin"])
def test_every_user_that_looks_for_the_master_finds_it_by_the_sentinels(watched, user):
    servers = tuple(one.server(user) for one in watched)
    declared = RedisServers(servers, "sentinel", watched.pillar["sentinel"]["port"])
    assert find_master(declared, 2.0).id == "redis-1"


def test_sentinel_promotes_and_a_highstate_follows_it(watched):
    fleet = watched
    assert unchanged(fleet)
    fleet["redis-1"].call("SET", "key1", "1")
    fleet["redis-1"].call("WAIT", "2", "2000")
    fleet["redis-1"].units.stop("redis-server", signal.SIGKILL)
    living = [fleet["redis-2"], fleet["redis-3"]]
    wait_for(lambda: named(living[0]) in [one.host for one in living], 20, "a failover")
    wait_for(lambda: "master" in roles(living).values(), 20, "a new master")
    (new,) = [one for one in living if one.role()[0] == "master"]
    # In the middle of a failover a highstate says that it is undecided, and changes nothing.
    fleet.wait_linked(new.id)
    # A highstate starts the dead one; it comes back in no other role than Sentinel's.
    for one in fleet:
        for ret in one.apply():
            assert ret["result"] is True, ret
    wait_for(lambda: {one.role()[0] for one in fleet if one is not new} == {"slave"}, 20, "one master")
    assert [one.call("GET", "key1") for one in fleet] == ["1"] * 3
    fleet.wait_linked(new.id)
    wait_for(lambda: {named(one) for one in fleet} == {new.host}, 10, "Sentinels of one opinion")
    assert unchanged(fleet)


def test_sentinel_watches_over_tls(watched, tmp_path):
    fleet, authority = watched, Authority(tmp_path)
    cert, key = authority.pair("redis")
    (tmp_path / "cert.pem").write_bytes(cert)
    (tmp_path / "key.pem").write_bytes(key)
    fleet.tls = {
        "ca": str(authority.path),
        "cert": str(tmp_path / "cert.pem"),
        "key": str(tmp_path / "key.pem"),
    }
    fleet.pillar["tls"] = {"enabled": True, "auth_clients": "optional"}
    # Redis first: where no Sentinel may find the master dead in between, all go over in seconds.
    fleet.pillar["sentinel"]["down_after_milliseconds"] = 20_000
    for one in fleet:
        assert one.configured()["result"] is True
    for one in fleet:
        for ret in (one.sentinel_users(), one.watched()):
            assert ret["result"] is True, ret
    wait_for(lambda: agree(fleet), 20, "Sentinels that know each other")
    (master,) = [one for one in fleet if one.role()[0] == "master"]
    assert {named(one) for one in fleet} == {master.host}
    assert unchanged(fleet)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"quorum": 4}, "redis:sentinel:quorum is 4; want 1 to 3"),
        ({"down_after_milliseconds": 5}, "redis:sentinel:down_after_milliseconds is 5; want 100 to"),
        ({"failover_timeout_milliseconds": "1s"}, "redis:sentinel:failover_timeout_milliseconds is '1s'"),
    ],
)
def test_a_sentinel_that_cannot_be_meant_is_refused(machines, told, said):
    one = machines(ha="sentinel")["redis-1"]
    one.fleet.pillar["sentinel"] |= told
    refused = one.watched()
    assert (refused["result"], refused["changes"]) == (False, {})
    assert said in refused["comment"]
    assert not (one.folder / "sentinel.conf").exists()
