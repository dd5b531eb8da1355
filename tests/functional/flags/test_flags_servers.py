"""Whatever happens to the Redis servers: answers go on, and say how old they are."""

import json
import signal
import subprocess
import time

from tests.support.flag_service import PATIENCE
from tests.support.redis_fleet import password, wait_for

STALE = {"stale_seconds": 2}


def flip(fleet, value, name="key1", server="redis-1"):
    fleet.call(server, "SET", name, value)


def marks(service, name="key1"):
    """What an answer says of its age."""
    return service.evaluate(name).json.get("metadata", {})


def test_the_nearest_is_read_then_the_next_and_the_nearest_again(fleet, flags):
    flip(fleet, "1")
    service = flags(fleet)
    assert service.health()["server"] == "redis-2"
    for dead, next_one in (("redis-2", "redis-3"), ("redis-3", "redis-1")):
        fleet.kill(dead)
        service.wait_for_health(f"{next_one} is read", server=next_one)
        assert service.value("key1") is True
    flip(fleet, "0")
    service.wait_for_value("key1", False)
    fleet.restart("redis-2")
    service.wait_for_health("the nearest is read again", server="redis-2")
    flip(fleet, "1")
    service.wait_for_value("key1", True)
    assert service.health()["stale"] is False


def test_with_every_redis_gone_answers_go_on_and_say_how_old_they_are(fleet, flags):
    flip(fleet, "1")
    service = flags(fleet, **STALE)
    for name in ("redis-2", "redis-3", "redis-1"):
        fleet.kill(name)
    started = time.monotonic()
    while not marks(service):
        assert service.value("key1") is True
        assert time.monotonic() - started < PATIENCE
    found = marks(service)
    assert found["stale"] is True
    assert 2 <= found["ageSeconds"] <= time.monotonic() - started + 3
    told = service.health()
    assert (told["status"], told["server"], told["flags"]) == ("stale", None, 1)
    assert service.bulk().json["metadata"]["stale"] is True
    assert service.metrics()["sluice_flags_stale"] == 1
    fleet.restart("redis-1")
    service.wait_for_health("fresh again", stale=False, server="redis-1")
    assert marks(service) == {}


def test_a_server_that_hangs_is_left_within_seconds(fleet, flags):
    flip(fleet, "1")
    service = flags(fleet)
    fleet.pause("redis-2")
    try:
        started = time.monotonic()
        service.wait_for_health("another is read", server="redis-3")
        assert time.monotonic() - started < 8
        flip(fleet, "0")
        service.wait_for_value("key1", False)
    finally:
        fleet.resume("redis-2")
    service.wait_for_health("the nearest is read again", server="redis-2")
    assert service.value("key1") is False


def test_a_replica_cut_off_from_its_master_is_left_and_its_old_data_never_shown(fleet, flags):
    flip(fleet, "1")
    service = flags(fleet, **STALE)
    # It goes on answering, and gets nothing new.
    fleet.call("redis-2", "CONFIG", "SET", "masterauth", "wrong")
    fleet.call("redis-1", "CLIENT", "KILL", "TYPE", "replica")
    wait_for(lambda: fleet.info("redis-2")["master_link_status"] == "down", 10, "redis-2 is cut off")
    flip(fleet, "0")
    service.wait_for_health("another is read", server="redis-3")
    service.wait_for_value("key1", False)
    assert fleet.call("redis-2", "GET", "key1") == "1"
    for _ in range(50):
        assert service.value("key1") is False
    assert service.health()["servers"]["redis-2"]["behind_seconds"] > 1


def test_a_lone_replica_that_lost_its_master_is_marked_stale(fleet, flags):
    flip(fleet, "1")
    service = flags(fleet, nearest=("redis-2",), **STALE)
    assert marks(service) == {}
    fleet.kill("redis-1")
    wait_for(lambda: marks(service).get("stale"), PATIENCE, "answers are stale")
    assert service.value("key1") is True
    assert service.health()["server"] == "redis-2"
    # One that starts now knows from the replica for how long.
    other = flags(fleet, nearest=("redis-2",), **STALE)
    assert other.value("key1") is True
    assert marks(other)["ageSeconds"] >= 2
    fleet.restart("redis-1")
    service.wait_for_health("fresh again", stale=False)


def promote(fleet, name, term):
    """As flags.promote does it, as far as readers can tell."""
    fleet.call(name, "REPLICAOF", "NO", "ONE")
    fleet.call(name, "SET", "sluice:term", str(term))


def test_after_a_promotion_the_old_master_is_not_believed(fleet, flags):
    flip(fleet, "1")
    service = flags(fleet, nearest=("redis-1", "redis-2", "redis-3"))
    assert service.health()["server"] == "redis-1"
    promote(fleet, "redis-2", 1)
    fleet.call("redis-3", "REPLICAOF", fleet.hosts["redis-2"], str(fleet.port))
    service.wait_for_health("the new master is read", server="redis-2", term=1)
    # The old one takes a write that nobody should see.
    flip(fleet, "0")
    flip(fleet, "1", "key2", server="redis-2")
    service.wait_for_value("key2", True)
    for _ in range(50):
        assert service.value("key1") is True
    fleet.call("redis-1", "REPLICAOF", fleet.hosts["redis-2"], str(fleet.port))
    service.wait_for_health("the nearest is a replica of the new one", server="redis-1")
    assert service.value("key1") is True
    assert service.health()["stale"] is False


def test_when_only_the_old_master_is_left_memory_is_better(fleet, flags):
    flip(fleet, "1")
    service = flags(fleet, nearest=("redis-2", "redis-1"), **STALE)
    promote(fleet, "redis-2", 7)
    service.wait_for_health("the term is known", term=7)
    fleet.kill("redis-2")
    flip(fleet, "0")
    wait_for(lambda: marks(service).get("stale"), PATIENCE, "answers are stale")
    assert service.value("key1") is True
    assert service.health()["server"] is None


def test_a_replica_that_gets_a_whole_new_copy_is_read_again(fleet, flags):
    flip(fleet, "1")
    service = flags(fleet, nearest=("redis-2",))
    # redis-3 has a history of its own, and redis-2 is told to take all of it.
    fleet.call("redis-3", "REPLICAOF", "NO", "ONE")
    flip(fleet, "0", server="redis-3")
    flip(fleet, "1", "new", server="redis-3")
    fleet.call("redis-2", "REPLICAOF", fleet.hosts["redis-3"], str(fleet.port))
    service.wait_for_value("new", True)
    assert service.value("key1") is False


def test_keys_that_vanish_all_at_once_are_noticed(fleet, flags):
    flip(fleet, "1")
    service = flags(fleet)
    fleet.call("redis-1", "FLUSHALL")
    service.wait_for_value("key1", "FLAG_NOT_FOUND")
    assert service.health()["flags"] == 0


def test_it_starts_without_redis_and_finds_it_later(fleet, flags):
    for name in fleet.hosts:
        fleet.kill(name)
    service = flags(fleet)
    answer = service.ask("GET", "/health")
    assert (answer.status, answer.json["status"]) == (503, "no data")
    assert answer.json["servers"]["redis-1"]["error"]
    assert service.value("key1") == "FLAG_NOT_FOUND"
    assert service.bulk().status == 500
    fleet.restart("redis-1")
    flip(fleet, "1")
    service.wait_for_value("key1", True)
    assert service.ask("GET", "/health").status == 200


def test_a_restart_without_redis_knows_the_last_flags_and_for_how_long(fleet, flags):
    flip(fleet, "1")
    fleet.call("redis-1", "SET", "sluice:flag:key1", json.dumps({"owner": "me"}))
    service = flags(fleet, **STALE)
    assert service.stop() == 0
    for name in fleet.hosts:
        fleet.kill(name)
    time.sleep(1)
    service.start()
    assert service.value("key1") is True
    wait_for(lambda: marks(service).get("stale"), PATIENCE, "answers are stale")
    assert service.health()["status"] == "stale"
    # Also after a death at any moment.
    service.stop(signal.SIGKILL)
    service.start()
    assert service.value("key1") is True
    assert marks(service)["ageSeconds"] >= 2


def test_a_snapshot_that_is_torn_is_left_out(fleet, flags):
    service = flags(fleet, start=False)
    for name in fleet.hosts:
        fleet.kill(name)
    service.state_dir.mkdir()
    (service.state_dir / "snapshot.json").write_text('{"flags": {"key1": ["1", nu')
    service.start()
    assert service.ask("GET", "/health").status == 503
    assert "snapshot.json: " in service.said()
    assert "Traceback" not in service.said()


def test_a_snapshot_from_the_future_is_no_younger_than_now(fleet, flags):
    """The clock was set back since it was written."""
    service = flags(fleet, start=False, **STALE)
    for name in fleet.hosts:
        fleet.kill(name)
    service.state_dir.mkdir()
    row = {"confirmed_at": time.time() + 86_400, "flags": {"key1": ["1", None]}}
    (service.state_dir / "snapshot.json").write_text(json.dumps(row))
    service.start()
    assert service.value("key1") is True
    wait_for(lambda: marks(service).get("stale"), PATIENCE, "answers are stale")


def test_a_disk_that_takes_no_snapshot_is_told_and_harms_nobody(fleet, flags):
    service = flags(fleet, start=False)
    (service.state_dir / "snapshot.new").mkdir(parents=True)
    service.start()
    flip(fleet, "1")
    service.wait_for_value("key1", True)
    wait_for(lambda: service.health()["errors"].get("snapshot"), PATIENCE, "the error is told")
    assert service.metrics()["sluice_flags_snapshot_failing"] == 1


def test_a_wrong_password_is_one_clear_line_that_does_not_show_it(fleet, flags):
    service = flags(fleet, start=False)
    service.password_file.write_text("wrong-password-of-the-tests")
    service.start()
    error = service.health()["servers"]["redis-2"]["error"]
    assert error.startswith("refuses the log-in: WRONGPASS")
    assert "wrong-password-of-the-tests" not in service.said() + json.dumps(service.health())
    assert "Traceback" not in service.said()
    assert service.said().count("redis redis-2") == 1
    # Another one is read at the next try.
    service.password_file.write_text("not-a-secret-reader")
    service.wait_for_health("it reads", server="redis-2")


def test_a_user_that_may_not_subscribe_or_list_is_told(fleet, flags):
    for name in fleet.hosts:
        fleet.call(name, "ACL", "SETUSER", "reader", "resetchannels")
    service = flags(fleet)
    wait_for(lambda: "NOPERM" in service.said(), PATIENCE, "the refusal is told")
    assert "Traceback" not in service.said()
    for name in fleet.hosts:
        fleet.call(name, "ACL", "SETUSER", "reader", "allchannels")
    service.wait_for_health("it reads", server="redis-2")


def test_a_server_that_refuses_to_read_turns_no_flag_off(fleet, flags):
    """As one does that loads its data anew; here its user may not any more."""
    flip(fleet, "1")
    service = flags(fleet, **STALE)
    assert service.value("key1") is True
    for name in fleet.hosts:
        fleet.call(name, "ACL", "SETUSER", "reader", "resetkeys", "%R~sluice:term")
    flip(fleet, "0")
    wait_for(lambda: marks(service).get("stale"), PATIENCE, "answers are stale")
    assert service.value("key1") is True
    assert "refuses to read: NOPERM" in service.said()
    for name in fleet.hosts:
        fleet.call(name, "ACL", "SETUSER", "reader", "%R~*")
    service.wait_for_value("key1", False)
    service.wait_for_health("fresh again", stale=False)


def test_the_canary_counts_until_its_key_runs_out_with_or_without_redis(fleet, flags):
    fleet.call("redis-1", "SET", "sluice:flag:key1", json.dumps({"rules": {"release": "checkbox"}}))
    flip(fleet, "1")
    service = flags(fleet)
    assert service.value("key1") is False
    fleet.call("redis-1", "SET", "sluice:canary:checkbox", "30", "PX", "60000")
    service.wait_for_value("key1", True)
    assert service.health()["serving"] == ["checkbox"]
    fleet.call("redis-1", "SET", "sluice:alert:checkbox", "slow")
    service.wait_for_value("key1", False)
    fleet.call("redis-1", "DEL", "sluice:alert:checkbox")
    service.wait_for_value("key1", True)
    fleet.call("redis-1", "DEL", "sluice:canary:checkbox")
    service.wait_for_value("key1", False)
    fleet.call("redis-1", "SET", "sluice:canary:checkbox", "30", "PX", "3000")
    service.wait_for_value("key1", True)
    for name in fleet.hosts:
        fleet.kill(name)
    service.wait_for_value("key1", False, 10)


def test_a_canary_without_weight_or_with_nonsense_does_not_serve(fleet, flags):
    fleet.call("redis-1", "SET", "sluice:flag:key1", json.dumps({"rules": {"release": "checkbox"}}))
    flip(fleet, "1")
    service = flags(fleet)
    for weight in ("0", "-1", "nan", "much", ""):
        fleet.call("redis-1", "SET", "sluice:canary:checkbox", weight, "EX", "30")
        flip(fleet, "1", "after")
        service.wait_for_value("after", True)
        assert service.value("key1") is False, weight
        fleet.call("redis-1", "DEL", "after")
        service.wait_for_value("after", "FLAG_NOT_FOUND")


def test_a_flood_of_changes_costs_no_memory_and_no_connection_and_ends_right(fleet, flags):
    """
    100,000 changes of 350 flags, as fast as Redis takes them; a million were tried the same way.

    Not to disk: here it is not Redis that is tried.
    """
    for name in fleet.hosts:
        fleet.call(name, "CONFIG", "SET", "appendonly", "no")
    service = flags(fleet, nearest=("redis-2",))
    words = ["-h", fleet.hosts["redis-1"], "-p", str(fleet.port), "--user", "admin", "-a", password("admin")]
    flood = ["redis-benchmark", *words, "-n", "20000", "-P", "32", "-r", "350", "-q", "SET"]
    sizes = []
    for _ in range(5):
        subprocess.run(
            [*flood, "flag__rand_int__", "__rand_int__"], check=True, capture_output=True, timeout=120
        )
        assert service.evaluate("flag000000000001").status in (200, 404)
        sizes.append(service.memory_kb())
    flip(fleet, "1")
    service.wait_for_value("key1", True)
    assert sizes[-1] - sizes[0] < 4_000, sizes
    assert service.metrics()['sluice_flags_redis_connects_total{server="redis-2"}'] == 1
    other = flags(fleet, nearest=("redis-1",))
    assert service.health()["version"] == other.health()["version"]
