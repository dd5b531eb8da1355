"""redis_server.configured on real servers: made once, changed live, restarted in turn."""

import hashlib
import json

import pytest
import sluice_redis
from redis_machines import password, unchanged

from tests.support.certificates import Authority
from tests.support.redis_fleet import wait_for


@pytest.fixture(scope="module")
def loaded(machine_of_module):
    return machine_of_module("redis-1")


@pytest.fixture
def single(machines):
    return machines(1).up()["redis-1"]


def test_a_first_highstate_makes_a_master_and_its_replicas(machines):
    fleet = machines().up()
    assert [one.role()[0] for one in fleet] == ["master", "slave", "slave"]
    fleet["redis-1"].call("SET", "key1", "1")
    fleet["redis-1"].call("WAIT", "2", "2000")
    assert [one.call("GET", "key1") for one in fleet] == ["1"] * 3
    assert unchanged(fleet)
    assert all(len(one.units.restarts) == 1 for one in fleet)


def test_a_write_on_a_replica_is_refused_and_it_serves_stale_data_without_its_master(machines):
    fleet = machines(2).up()
    fleet["redis-1"].call("SET", "key1", "1")
    with pytest.raises(Exception, match="READONLY"):
        fleet["redis-2"].call("SET", "key1", "0", user="writer")
    fleet["redis-1"].units.stop("redis-server")
    wait_for(lambda: fleet["redis-2"].role()[3] != "connected", 10, "a link that is down")
    assert fleet["redis-2"].call("GET", "key1", user="reader") == "1"


def test_dry_run_of_a_first_highstate_changes_nothing(machines):
    one = machines(1)["redis-1"]
    planned = one.apply(test=True)
    assert [ret["result"] for ret in planned[:2]] == [None, None], planned
    assert sorted(path.name for path in one.folder.iterdir()) == ["data", "unit.conf"]


def test_a_setting_is_changed_while_redis_runs_and_kept(single):
    single.fleet.pillar["maxmemory"] = "64mb"
    planned, made = single.configured(test=True), single.configured()
    assert (planned["result"], planned["changes"]) == (None, made["changes"])
    assert made["changes"] == {"maxmemory": {"old": "134217728", "new": "64mb"}}
    assert single.setting("maxmemory") == str(64 * 1024**2)
    assert unchanged(single.fleet)
    assert single.units.restarts == ["redis-server"]
    single.units.restart("redis-server")
    wait_for(lambda: single.users()["changes"] == {} and single.configured()["result"], 10, "redis is back")
    assert single.setting("maxmemory") == str(64 * 1024**2)


def test_what_somebody_changed_by_hand_is_put_right(single):
    single.call("CONFIG", "SET", "appendfsync", "no", "notify-keyspace-events", "")
    assert set(single.configured()["changes"]) == {"appendfsync", "notify-keyspace-events"}
    assert single.setting("appendfsync") == "always"
    conf = single.folder / "redis.conf"
    conf.write_text(conf.read_text().replace("appendfsync always", "appendfsync no"))
    assert single.configured()["changes"] == {
        "appendfsync": {"old": "another value in the file", "new": "as it runs"}
    }
    assert "appendfsync no" not in conf.read_text()


def test_a_restart_waits_until_redis_has_written_its_first_file(single):
    for number in range(4):
        single.call("SET", f"key{number}", "1")
    # Half a second for each key; meanwhile Redis takes no order to end.
    single.call("CONFIG", "SET", "rdb-key-save-delay", "500000", "appendonly", "no")
    single.call("CONFIG", "SET", "appendonly", "yes")
    single.fleet.pillar["config"] = {"databases": 17}
    changed = single.configured()
    assert changed["result"] is True, changed
    assert "its append-only file is not yet written" in changed["comment"]
    assert single.setting("databases") == "17"
    assert single.call("GET", "key3") == "1"


def test_transactions_outlive_a_restart(single):
    with sluice_redis.Redis(single.server("writer"), 5.0) as redis:
        redis.transaction([("SET", "key1", "1"), ("LPUSH", "sluice:history:key1", "{}")])
    single.units.restart("redis-server")
    wait_for(single.answers, 10, "redis is back")
    assert single.call("GET", "key1", user="reader") == "1"
    assert single.call("LRANGE", "sluice:history:key1", "0", "-1", user="reader") == ["{}"]


def test_only_a_server_alone_waits_for_its_disk_at_each_write(machines, single):
    assert single.setting("appendfsync") == "always"
    fleet = machines(2)
    fleet.up()
    assert [one.setting("appendfsync") for one in fleet] == ["everysec"] * 2


def test_a_value_that_redis_refuses_changes_nothing_and_its_reason_is_told(single):
    before = (single.folder / "redis.conf").read_text()
    single.fleet.pillar["config"] = {"hz": "fast", "maxclients": 100}
    refused = single.configured()
    assert (refused["result"], refused["changes"]) == (False, {})
    assert "hz" in refused["comment"] and "argument couldn't be parsed" in refused["comment"]
    assert (single.folder / "redis.conf").read_text() == before
    assert single.setting("maxclients") != "100"


def test_a_setting_that_redis_does_not_know_is_refused(single):
    single.fleet.pillar["config"] = {"no-such-thing": 1}
    refused = single.configured()
    assert refused["result"] is False
    assert "no-such-thing" in refused["comment"]


def test_a_server_that_died_is_started(single):
    single.call("SET", "sluice:alert:checkbox", "x")
    single.units.close()
    assert single.configured()["changes"] == {"redis-server": "started"}
    assert single.call("EXISTS", "sluice:alert:checkbox") == 1


def test_replicas_restart_first_and_the_master_last(machines):
    fleet = machines().up()
    fleet["redis-1"].call("SET", "key1", "1")
    fleet.pillar["config"] = {"tcp-backlog": 128}
    refused = fleet["redis-1"].configured(deadline_seconds=1)
    assert refused["result"] is False
    assert (
        "it is not this server's turn" in refused["comment"]
        and "has not restarted for tcp-backlog yet" in refused["comment"]
    )
    assert "salt -N redis state.apply redis" in refused["comment"]
    assert fleet["redis-1"].setting("tcp-backlog") != "128"
    early = fleet["redis-3"].configured(deadline_seconds=0.5)
    assert (early["result"], "redis-2" in early["comment"]) == (False, True)
    for id_ in ("redis-2", "redis-3", "redis-1"):
        done = fleet[id_].configured()
        assert done["result"] is True, done
        assert fleet[id_].setting("tcp-backlog") == "128"
    assert fleet["redis-1"].call("GET", "key1") == "1"
    fleet.wait_linked()
    assert unchanged(fleet)


def test_a_setting_that_redis_does_not_start_with_is_taken_back(single):
    single.call("SET", "key1", "1")
    before = (single.folder / "redis.conf").read_text()
    single.fleet.pillar["config"] = {"tcp-backlog": "many"}
    refused = single.configured()
    assert refused["result"] is False
    assert "does not start" in refused["comment"] and "the old file is back" in refused["comment"]
    assert (single.folder / "redis.conf").read_text() == before
    assert single.call("GET", "key1") == "1"


def test_a_changed_unit_is_a_reason_to_restart(single):
    single.unit_file.write_text("[Service]\nRestart=always\n")
    done = single.configured()
    assert done["result"] is True
    assert set(done["changes"]) == {"syslog-ident"}
    assert len(single.units.restarts) == 2
    assert unchanged(single.fleet)


def test_the_master_does_not_restart_while_a_replica_is_dead(machines):
    fleet = machines(2).up()
    fleet["redis-2"].units.close()
    fleet.pillar["config"] = {"tcp-backlog": 128}
    refused = fleet["redis-1"].configured(deadline_seconds=0.5)
    assert refused["result"] is False
    assert "redis-2" in refused["comment"] and "out of redis:servers" in refused["comment"]


OLD_CONF = """\
# Managed by Salt (salt/redis).
bind {host}
port {port}
protected-mode yes
supervised no
daemonize no
dir {folder}/data
logfile {folder}/redis.log
aclfile {folder}/redis.acl
appendonly yes
appendfsync always
save ""
maxmemory 128mb
maxmemory-policy noeviction
notify-keyspace-events Kg$x
timeout 0
tcp-keepalive 60
"""


def test_a_server_of_the_release_before_becomes_the_master_and_keeps_its_alerts(machines):
    fleet = machines(2)
    old = fleet["redis-1"]
    (old.folder / "redis.conf").write_text(OLD_CONF.format(host=old.host, port=fleet.port, folder=old.folder))
    digest = hashlib.sha256(password("admin").encode()).hexdigest()
    (old.folder / "redis.acl").write_text(f"user default off\nuser admin on #{digest} ~* &* +@all\n")
    old.units.start("redis-server")
    wait_for(old.answers, 10, "the old server")
    old.call("SET", "sluice:alert:checkbox", "standing")
    assert old.users()["result"] is True
    # It waits for the replica to be made: both run at once in a real fleet.
    assert fleet["redis-2"].users()["result"] is True
    assert fleet["redis-2"].configured()["comment"].startswith("made: replica of redis-1")
    fleet.wait_linked()
    assert old.configured()["result"] is True
    fleet.wait_linked()
    assert [one.call("GET", "sluice:alert:checkbox") for one in fleet] == ["standing"] * 2
    assert old.in_role()["changes"] == {}
    assert unchanged(fleet)


def test_a_redis_of_somebody_else_is_not_taken_over(machines):
    one = machines(1)["redis-1"]
    conf = one.folder / "redis.conf"
    conf.write_text(f"bind {one.host}\nport {one.fleet.port}\ndir {one.folder}/data\nprotected-mode no\n")
    one.units.start("redis-server")
    one.fleet.words["admin"] = ""
    wait_for(one.answers, 10, "redis")
    one.call("SET", "theirs", "1")
    before = conf.read_text()
    refused = one.configured()
    assert refused["result"] is False
    assert "holds 1 keys" in refused["comment"]
    assert conf.read_text() == before
    one.call("FLUSHALL")
    assert one.users()["result"] is True
    assert one.configured()["result"] is True
    assert "protected-mode no" in (one.folder / "redis.conf.package").read_text()


def files(authority, folder, name, host):
    """A certificate for `host` signed by the authority: its settings as pillar has them."""
    cert, key = authority.pair(host)
    for kind, content in (("cert", cert), ("key", key)):
        (folder / f"{kind}-{name}.pem").write_bytes(content)
    made = {kind: str(folder / f"{kind}-{name}.pem") for kind in ("cert", "key")}
    return {"ca": str(authority.path), **made}


def test_tls_is_switched_on_and_certificates_are_renewed_while_it_runs(machines, tmp_path):
    fleet = machines(2).up()
    first, second = fleet["redis-1"], fleet["redis-2"]
    first.call("SET", "key1", "1")
    authority = Authority(tmp_path)
    fleet.tls = files(authority, tmp_path, "old", "redis")
    fleet.pillar["tls"] = {"enabled": True, "auth_clients": "no"}
    for one in fleet:
        assert one.configured()["result"] is True
    fleet.wait_linked()
    assert [one.call("GET", "key1") for one in fleet] == ["1", "1"]
    assert unchanged(fleet)
    # Another name, as for PEM in pillar; then the same name, as a renewal by another program.
    fleet.tls = files(authority, tmp_path, "new", "redis")
    assert set(first.configured()["changes"]) == {"tls-cert-file", "tls-key-file"}
    assert second.configured()["result"] is True
    files(authority, tmp_path, "new", "redis")
    assert set(first.configured()["changes"]) == {"tls-cert-file"}
    assert second.configured()["result"] is True
    assert unchanged(fleet)
    assert [len(one.units.restarts) for one in fleet] == [1, 1]
    fleet.pillar["tls"]["enabled"] = False
    for one in fleet:
        assert one.configured()["result"] is True
    fleet.wait_linked()


def test_a_certificate_that_redis_cannot_use_changes_nothing(single, tmp_path):
    (tmp_path / "bad.pem").write_text("no certificate\n")
    single.fleet.tls = dict.fromkeys(("ca", "cert", "key"), str(tmp_path / "bad.pem"))
    single.fleet.pillar["tls"] = {"enabled": True, "auth_clients": "no"}
    refused = single.configured()
    assert refused["result"] is False
    single.fleet.pillar["tls"]["enabled"] = False
    assert single.call("PING") == "PONG"
    assert unchanged(single.fleet)


BAD = [
    ({"ha": "maybe"}, "redis:ha is 'maybe'; want none or sentinel"),
    ({"port": "6379"}, "redis:port is '6379'; want 1 to 65535"),
    ({"port": 0}, "redis:port is 0"),
    ({"servers": {"redis-1": "example.com"}}, "redis:servers:redis-1 is 'example.com'; want an IP address"),
    ({"servers": {"redis 1": "10.0.0.1"}}, "redis:servers is 'redis 1'"),
    ({"servers": {"redis-9": "10.0.0.1"}}, "want this machine, redis-1, among them"),
    ({"servers": {"redis-1": "10.0.0.1", "redis-2": "10.0.0.1"}}, "an address of its own for each"),
    ({"servers": ["redis-1"]}, "redis:servers is ['redis-1']"),
    ({"master": "redis-7", "servers": {"redis-1": "10.0.0.1", "redis-2": "10.0.0.2"}}, "redis:master is"),
    ({"ha": "sentinel"}, "three at least for ha sentinel"),
    ({"maxmemory": "lots"}, "redis:maxmemory is 'lots'"),
    ({"maxmemory": "1kb"}, "at least 4mb"),
    ({"min_replicas_to_write": 3}, "redis:min_replicas_to_write is 3; want 0 to 0"),
    ({"config": {"maxmemory-policy": "allkeys-lru"}}, "no setting that Sluice itself decides"),
    ({"config": {"requirepass": "x"}}, "no setting that Sluice itself decides"),
    ({"config": {"hz": "10\nuser default on"}}, "want one line of text"),
    ({"config": {"Bad Name": 1}}, "want names as in redis.conf"),
    ({"tls": {"enabled": "yes"}}, "redis:tls:enabled"),
    ({"tls": {"enabled": True}}, "redis:tls:ca is ''"),
    ({"tls": {"enabled": True, "auth_clients": "maybe"}}, "want no or optional"),
    ({"users": {"admin": {"password": ""}}}, "redis:users:admin:password is empty"),
    ({"users": {"admin": "word"}}, "redis:users"),
]


@pytest.mark.parametrize(("told", "said"), BAD, ids=[said for _, said in BAD])
def test_a_pillar_that_cannot_be_meant_is_refused_in_one_line(machines, told, said):
    one = machines(1)["redis-1"]
    one.fleet.pillar.update(told)
    for test in (True, False):
        refused = one.configured(test=test)
        assert (refused["result"], refused["changes"]) == (False, {})
        assert said in refused["comment"]
        assert "\n" not in refused["comment"]
    assert not (one.folder / "redis.conf").exists()


def test_no_password_is_in_what_a_state_returns_or_redis_logs(machines):
    fleet = machines(2)
    returned = [ret for one in fleet for ret in one.apply(test=True) + one.apply()]
    fleet.change_password("replication", "hidden-word-another")
    returned += [ret for one in fleet for ret in one.apply(test=True) + one.apply()]
    fleet.pillar["config"] = {"hz": "fast"}
    returned += [ret for one in fleet for ret in one.apply()]
    text = json.dumps(returned) + "".join((one.folder / "redis.log").read_text() for one in fleet)
    assert "hidden-word" not in text
    assert not [one for one in fleet.words.values() if hashlib.sha256(one.encode()).hexdigest() in text]
    changes = [ret["changes"] for ret in returned if "masterauth" in ret["changes"]]
    assert changes and changes[0]["masterauth"] == {"old": "(secret)", "new": "(secret), another one"}
