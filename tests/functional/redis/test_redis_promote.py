"""Promotions among real servers: with a master that lives, that is gone, refused, forced, interrupted."""

import contextlib
import threading
import time
from dataclasses import replace

import pytest
import sluice_redis_failover
import sluice_redis_handover
from sluice_errors import RefusedError
from sluice_redis import Redis, RedisError
from sluice_redis_failover import PromotionError, plan, promote
from sluice_redis_roles import TERM_KEY, address
from sluice_redis_servers import find_master, roles

from tests.support.redis_fleet import RedisFleet, password, wait_for


def promoted(fleet, id_, **kwargs):
    return promote(fleet.declared("admin"), id_, **kwargs)


def refused(fleet, id_, **kwargs):
    before = [(one.role, one.follows, one.term) for one in roles(fleet.declared("admin"))]
    with pytest.raises(RefusedError) as caught:
        promoted(fleet, id_, **kwargs)
    assert [(one.role, one.follows, one.term) for one in roles(fleet.declared("admin"))] == before
    said = str(caught.value)
    assert "\n" not in said and password("admin") not in said
    return said


def unlinked(fleet, id_="redis-1"):
    """The master dies, and the replicas have noticed it."""
    fleet.kill(id_)
    wait_for(
        lambda: not any(one.linked for one in roles(fleet.declared("admin"))), 10, "replicas that noticed"
    )


def conf(fleet, id_):
    return fleet.servers[id_].config.read_text()


def follows(fleet, master):
    return f"replicaof {fleet.hosts[master]} {fleet.port}"


class Writers:
    """Write numbered keys at whatever is the master; a write counts as done when a replica has it, too."""

    def __init__(self, fleet, count=3):
        self.servers, self.done, self.failed, self.gaps = fleet.declared("admin"), set(), 0, []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.write, args=(number,)) for number in range(count)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_for(lambda: len(self.done) > 30, what="writes")
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def write(self, writer):
        number, last = 0, time.monotonic()
        while not self.stopping.is_set():
            with contextlib.suppress(RedisError), Redis(find_master(self.servers), 8.0) as redis:
                while not self.stopping.is_set():
                    key = f"key-{writer}-{number}"
                    redis.call("SET", key, "1")
                    if redis.call("WAIT", "1", "1000") >= 1:
                        self.done.add(key)
                        self.gaps.append(time.monotonic() - last)
                        last = time.monotonic()
                    number += 1
            self.failed += 1

    def missing_at(self, fleet, id_):
        with Redis(fleet.server(id_), 10.0) as redis:
            return {key for key in self.done if redis.call("EXISTS", key) == 0}


def test_living_master_hands_over_without_losing_an_acknowledged_write(fleet):
    with Writers(fleet) as writers:
        before = len(writers.done)
        done = promoted(fleet, "redis-2")
        wait_for(lambda: len(writers.done) > before + 60, what="writes after the promotion")
    assert (done.master, done.was, done.term, done.changed) == ("redis-2", "redis-1", 1, True)
    assert done.followers == ("redis-1", "redis-3") and done.silent == {} and done.lost == ()
    fleet.wait_linked("redis-2")
    for id_ in fleet.servers:
        fleet.call("redis-2", "WAIT", "2", "2000", timeout=3)
        assert writers.missing_at(fleet, id_) == set()
    print(f"\n{len(writers.done)} writes, none lost; the longest took {max(writers.gaps) * 1000:.0f} ms")


def test_promotion_outlives_a_restart_of_every_server(fleet):
    promoted(fleet, "redis-3")
    assert follows(fleet, "redis-3") in conf(fleet, "redis-1") and follows(fleet, "redis-3") in conf(
        fleet, "redis-2"
    )
    assert "replicaof" not in conf(fleet, "redis-3")
    for id_ in fleet.servers:
        fleet.kill(id_)
    for id_ in fleet.servers:
        fleet.restart(id_)
    fleet.wait_linked("redis-3")
    assert find_master(fleet.declared()).id == "redis-3"


def test_promotion_forth_and_back_raises_the_term_each_time(fleet):
    assert promoted(fleet, "redis-2").term == 1
    assert promoted(fleet, "redis-1").term == 2
    fleet.wait_linked("redis-1")
    assert fleet.call("redis-3", "GET", TERM_KEY) == "2"


def test_promoting_the_master_changes_nothing(fleet):
    done = promoted(fleet, "redis-1")
    assert (done.changed, done.term, done.followers) == (False, 0, ("redis-2", "redis-3"))
    assert "was the master already" in done.line()


def test_progress_is_told_step_by_step_and_shows_no_password(fleet):
    told = []
    promoted(fleet, "redis-2", tell=told.append)
    text = "\n".join(told)
    assert "redis-1 (" in told[0] and "would hand over to redis-2" in told[0]
    assert "hands over" in text and "redis-3 (" in text and "term is raised to 1" in text
    assert "not-a-secret" not in text


def test_plan_tells_what_would_be_done_and_does_nothing(fleet):
    assert "would hand over to redis-2" in plan(fleet.declared("admin"), "redis-2").line()
    fleet.wait_linked("redis-1")


def test_replica_takes_over_from_a_dead_master(fleet):
    fleet.call("redis-1", "SET", "key1", "1")
    assert fleet.call("redis-1", "WAIT", "2", "2000", timeout=3) == 2
    unlinked(fleet)
    done = promoted(fleet, "redis-2")
    assert (done.master, done.was, done.term, done.followers) == ("redis-2", "", 1, ("redis-3",))
    assert "refused" in done.silent["redis-1"] and "is not to be written to" in done.line()
    fleet.wait_linked("redis-2")
    assert fleet.call("redis-3", "GET", "key1") == "1"


def test_dead_master_under_load_loses_no_acknowledged_write(fleet):
    """The one with more is promoted: the other is refused."""
    with Writers(fleet) as writers:
        unlinked(fleet)
        found = roles(fleet.declared("admin"))
        best, other = sorted(found[1:], key=lambda one: one.offset, reverse=True)
        if best.offset > other.offset:
            assert f"{best.server.id} has more" in refused(fleet, other.server.id)
        before = len(writers.done)
        promoted(fleet, best.server.id)
        wait_for(lambda: len(writers.done) > before + 60, what="writes after the promotion")
    assert writers.missing_at(fleet, best.server.id) == set()


def test_old_master_that_returns_is_ignored_and_becomes_a_replica(fleet):
    unlinked(fleet)
    promoted(fleet, "redis-2")
    fleet.call("redis-2", "SET", "key1", "new")
    fleet.restart("redis-1")
    assert fleet.info("redis-1")["role"] == "master"
    assert {find_master(fleet.declared()).id for _ in range(10)} == {"redis-2"}
    fleet.call("redis-1", "SET", "key1", "by somebody who did not ask")
    done = promoted(fleet, "redis-2")
    assert (done.changed, done.term, done.followers) == (False, 1, ("redis-1", "redis-3"))
    fleet.wait_linked("redis-2")
    assert fleet.call("redis-1", "GET", "key1") == "new"


def test_silent_server_that_might_be_a_master_loses_by_a_higher_term(fleet):
    """Promoting the master again while one is silent: whatever it says when it is back, it is older."""
    fleet.kill("redis-3")
    assert promoted(fleet, "redis-1").term == 1


def test_replica_with_less_is_refused_and_the_better_one_is_named(fleet):
    fleet.pause("redis-3")
    for number in range(50):
        fleet.call("redis-1", "SET", f"key{number}", "1")
    assert fleet.call("redis-1", "WAIT", "1", "2000", timeout=3) == 1
    fleet.kill("redis-1")
    fleet.resume("redis-3")
    # What was under way to redis-3 is lost with a machine that dies, but not on loopback: so it is told here.
    wait_for(
        lambda: not any(one.linked for one in roles(fleet.declared("admin"))), 10, "replicas that noticed"
    )
    found = {one.server.id: one for one in roles(fleet.declared("admin"))}
    behind = replace(found["redis-3"], offset=found["redis-2"].offset - 100)
    with pytest.raises(RefusedError, match=r"redis-2 has more: 100 bytes.*force=True"):
        sluice_redis_failover.decide(behind.server, [found["redis-1"], found["redis-2"], behind], False)
    assert promoted(fleet, "redis-2").followers == ("redis-3",)


def test_silent_replica_is_a_reason_to_refuse_unless_forced(fleet):
    unlinked(fleet)
    fleet.kill("redis-3")
    said = refused(fleet, "redis-2")
    assert "redis-3 may know more" in said and "salt-run flags.promote redis-2 force=True" in said
    done = promoted(fleet, "redis-2", force=True)
    assert done.master == "redis-2" and any("redis-3 may know more" in one for one in done.lost)
    assert "What may be lost" in done.line()


def test_replica_that_never_was_in_sync_is_refused(fleet):
    unlinked(fleet)
    fleet.kill("redis-2")
    fleet.restart("redis-2")
    assert "never in sync" in refused(fleet, "redis-2")


def test_hanging_master_is_not_taken_for_a_dead_one_without_force(fleet, monkeypatch):
    """The replicas' links are up: it may well go on for others."""
    monkeypatch.setattr(sluice_redis_failover, "ASK_SECONDS", 0.5)
    fleet.pause("redis-1")
    try:
        assert "so that may live" in refused(fleet, "redis-2")
        assert promoted(fleet, "redis-2", force=True).term == 1
    finally:
        fleet.resume("redis-1")
    assert find_master(fleet.declared()).id == "redis-2"
    assert promoted(fleet, "redis-2").followers == ("redis-1", "redis-3")
    fleet.wait_linked("redis-2")


def test_server_that_does_not_answer_is_refused_even_with_force(fleet):
    fleet.kill("redis-2")
    for force in (False, True):
        assert "redis-2 cannot be promoted" in refused(fleet, "redis-2", force=force)


@pytest.mark.parametrize("id_", ["redis-9", "", None, 7, "redis-2\n", ["redis-2"], "../redis-2"])
def test_unknown_server_is_refused_with_the_known_ones(lasting, id_):
    with pytest.raises(RefusedError, match="declared in redis:servers: redis-1, redis-2, redis-3"):
        promote(lasting.declared("admin"), id_)


def test_replica_of_another_master_is_not_handed_over_to(fleet):
    fleet.call("redis-3", "REPLICAOF", fleet.hosts["redis-2"], str(fleet.port))
    wait_for(lambda: roles(fleet.declared("admin"))[2].linked)
    said = refused(fleet, "redis-3", force=True)
    assert "does not follow redis-1" in said and "salt-run flags.promote redis-1" in said
    promoted(fleet, "redis-1")
    fleet.wait_linked("redis-1")
    assert promoted(fleet, "redis-3").changed


def test_two_masters_of_the_same_term_need_force_and_end_as_one(fleet):
    fleet.call("redis-2", "REPLICAOF", "NO", "ONE")
    assert "redis-1 is a master of term 0" in refused(fleet, "redis-2")
    done = promoted(fleet, "redis-2", force=True)
    assert done.term == 1
    fleet.wait_linked("redis-2")
    assert any("redis-1 is a master of term 0" in one for one in done.lost)


@pytest.mark.parametrize("step", ["_point", "_raise_term", "_keep", "_wait_for_followers"])
@pytest.mark.parametrize("is_alive", [True, False], ids=["living", "dead"])
def test_interrupted_promotion_says_how_to_go_on_and_is_finished_by_the_next(
    tmp_path, monkeypatch, step, is_alive
):
    with RedisFleet(tmp_path / "redis") as fleet:
        if not is_alive:
            unlinked(fleet)

        def fails(*_):
            raise RedisError("the network is gone")

        with monkeypatch.context() as patched:
            patched.setattr(sluice_redis_failover, step, fails)
            with pytest.raises(
                PromotionError, match=r"not finished: the network is gone.*As it stands: .*redis-2"
            ) as caught:
                promoted(fleet, "redis-2")
        assert "salt-run flags.promote redis-2" in str(caught.value)
        masters = [one for one in roles(fleet.declared("admin")) if one.is_master]
        assert [one.server.id for one in masters] == ["redis-2"]
        done = promoted(fleet, "redis-2")
        assert done.master == "redis-2"
        fleet.wait_linked("redis-2")
        assert "replicaof" not in conf(fleet, "redis-2") and follows(fleet, "redis-2") in conf(
            fleet, "redis-3"
        )
        if not is_alive:
            assert done.term >= 1
            fleet.restart("redis-1")
            assert find_master(fleet.declared()).id == "redis-2"


def test_replica_that_cannot_catch_up_leaves_the_old_master_at_work(fleet, monkeypatch):
    """It answered, and hangs from the moment it is to take over."""

    def hang(text):
        if "hands over" in text:
            fleet.pause("redis-2")
            fleet.call("redis-1", "SET", "key1", "1")

    try:
        with monkeypatch.context() as patched:
            patched.setattr(sluice_redis_handover, "HANDOVER_SECONDS", 0.3)
            patched.setattr(sluice_redis_handover, "ASK_SECONDS", 0.5)
            with pytest.raises(PromotionError, match=r"did not catch up"):
                promoted(fleet, "redis-2", tell=hang)
        assert fleet.call("redis-1", "SET", "key1", "2") == "OK"
        assert fleet.info("redis-1")["role"] == "master"
    finally:
        fleet.resume("redis-2")
    fleet.wait_linked("redis-1")
    assert promoted(fleet, "redis-2").term == 1


def test_server_that_cannot_write_its_file_is_named_and_the_rest_is_done(fleet):
    fleet.servers["redis-1"].config.unlink()
    fleet.servers["redis-1"].config.mkdir()
    with pytest.raises(PromotionError, match=r"redis-1 .*refuses CONFIG"):
        promoted(fleet, "redis-2")
    fleet.wait_linked("redis-2")
    assert follows(fleet, "redis-2") in conf(fleet, "redis-3")
    assert fleet.call("redis-2", "GET", TERM_KEY) == "1"


def test_minimum_of_replicas_does_not_keep_a_promotion_from_its_end(tmp_path):
    options = ("min-replicas-to-write 1", "min-replicas-max-lag 5")
    with RedisFleet(tmp_path / "redis", options=options) as fleet:
        unlinked(fleet)
        assert promoted(fleet, "redis-2").term == 1
        fleet.wait_linked("redis-2")


def test_promotion_speaks_tls(tmp_path):
    with RedisFleet(tmp_path / "redis", tls=True) as fleet:
        assert promoted(fleet, "redis-2").followers == ("redis-1", "redis-3")
        fleet.wait_linked("redis-2")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """Three servers that Sentinels watch, with the limit that salt/redis sets then."""
    options = ("min-replicas-to-write 1", "min-replicas-max-lag 5")
    with RedisFleet(
        tmp_path_factory.mktemp("sentinels"), sentinels=True, down_after_ms=2000, options=options
    ) as made:
        yield made


def test_sentinels_are_made_to_promote_this_replica_and_no_write_is_lost(guarded):
    told = []
    with Writers(guarded) as writers:
        before = len(writers.done)
        done = promoted(guarded, "redis-3", tell=told.append)
        wait_for(lambda: len(writers.done) > before + 60, what="writes after the promotion")
    assert (done.master, done.was, done.changed) == ("redis-3", "redis-1", True)
    assert find_master(guarded.declared()).id == "redis-3"
    guarded.wait_linked("redis-3")
    assert writers.missing_at(guarded, "redis-3") == set()
    for id_ in guarded.servers:
        assert guarded.call(id_, "CONFIG", "GET", "replica-priority") == ["replica-priority", "100"]
    print(f"\n{len(writers.done)} writes, none lost; the longest took {max(writers.gaps) * 1000:.0f} ms")


def test_with_sentinels_the_master_that_is_there_is_kept(guarded):
    master = find_master(guarded.declared()).id
    assert promoted(guarded, master).changed is False


def test_user_without_the_right_changes_nothing_and_is_named(fleet):
    with pytest.raises(PromotionError, match=r"FAILOVER as release: NOPERM"):
        promote(fleet.declared("release"), "redis-2")
    fleet.wait_linked("redis-1")


def test_address_of_a_server_is_as_replicas_name_it(lasting):
    assert roles(lasting.declared())[1].follows == address(lasting.declared().servers[0])


def test_with_sentinels_a_dead_master_is_theirs_to_replace(guarded):
    master = find_master(guarded.declared()).id
    for id_ in guarded.sentinels:
        guarded.sentinel_call(id_, "SENTINEL", "SET", "sluice", "down-after-milliseconds", "600000")
    guarded.servers[master].stop()
    assert "the Sentinels do that by themselves" in refused(guarded, "redis-2", force=True)
    for sentinel in guarded.sentinels.values():
        sentinel.stop()
    assert "name no master together" in refused(guarded, "redis-2", force=True)
