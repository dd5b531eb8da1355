"""What a promotion does and when it is refused, decided from what servers say."""

import pytest
from sluice_config import RedisServer
from sluice_errors import RefusedError
from sluice_redis_choice import decide
from sluice_redis_roles import Role

ONE, TWO, THREE = (RedisServer(f"10.0.0.{n}", 6379, "admin", "hunter2", id=f"redis-{n}") for n in (1, 2, 3))
IDS = ("a" * 40,)


def master(server, term=1, offset=100, replicas=("10.0.0.2:6379", "10.0.0.3:6379")):
    synced = tuple((name, offset) for name in replicas)
    return Role(server, role="master", term=term, offset=offset, replication_ids=IDS, replicas=synced)


def replica(server, of="10.0.0.1:6379", linked=False, **kwargs):
    known = {"term": 1, "offset": 100, "silent_seconds": 3, "replication_ids": IDS} | kwargs
    return Role(server, role="replica", follows=of, linked=linked, **known)


def dead(server):
    return Role(server, f"redis {server.name} does not answer (timed out)")


def refusal(target, found, force=False):
    with pytest.raises(RefusedError) as caught:
        decide(target, found, force)
    return str(caught.value)


def test_replica_in_sync_is_handed_over_to():
    plan = decide(TWO, [master(ONE), replica(TWO, linked=True), replica(THREE, linked=True)], False)
    assert (plan.target, plan.was.server, plan.term, plan.lost, plan.is_there) == (TWO, ONE, 2, (), False)


def test_dead_third_server_does_not_keep_a_living_master_from_handing_over():
    assert decide(TWO, [master(ONE), replica(TWO, linked=True), dead(THREE)], False).term == 2


def test_the_master_itself_is_kept_and_the_term_as_well():
    plan = decide(ONE, [master(ONE), replica(TWO, linked=True), replica(THREE, linked=True)], False)
    assert plan.is_there and plan.term == 0


def test_with_a_silent_server_the_term_of_the_master_is_raised():
    assert decide(ONE, [master(ONE), replica(TWO, linked=True), dead(THREE)], False).term == 2


def test_master_of_an_older_term_is_set_right_with_the_newer_one():
    plan = decide(TWO, [master(ONE), master(TWO, term=2), replica(THREE, "10.0.0.2:6379", True)], False)
    assert plan.is_there and plan.term == 0


@pytest.mark.parametrize(
    ("mine", "why"),
    [
        (replica(TWO), "not in sync with redis-1"),
        (replica(TWO, "10.0.0.9:6379", True), "does not follow redis-1"),
        (master(TWO, term=0), "does not follow redis-1"),
    ],
)
@pytest.mark.parametrize("force", [True, False])
def test_while_the_master_lives_only_its_replica_in_sync_is_promoted(mine, why, force):
    said = refusal(TWO, [master(ONE), mine, replica(THREE, linked=True)], force)
    assert why in said and "salt-run flags.promote redis-1" in said


def test_replica_that_the_master_has_under_another_address_is_refused():
    found = [master(ONE, replicas=("192.168.0.2:6379",)), replica(TWO, linked=True)]
    assert "knows no replica at 10.0.0.2:6379 (it has: 192.168.0.2:6379)" in refusal(TWO, found)


def test_replica_takes_over_when_only_the_master_is_silent():
    plan = decide(TWO, [dead(ONE), replica(TWO), replica(THREE)], False)
    assert (plan.was, plan.term, plan.lost) == (None, 2, ())


DOUBTS = {
    "another has more": ([dead(ONE), replica(TWO), replica(THREE, offset=150)], "redis-3 has more: 50 bytes"),
    "another is silent": (
        [dead(ONE), replica(TWO), dead(THREE)],
        "redis-3 may know more and does not answer",
    ),
    "its master lives": (
        [dead(ONE), replica(TWO, linked=True), replica(THREE)],
        "redis-2 heard of its master 10.0.0.1:6379 3 s ago, so that may live",
    ),
    "never in sync": (
        [dead(ONE), replica(TWO, silent_seconds=-1), replica(THREE)],
        "redis-2 was never in sync",
    ),
    "another term": (
        [dead(ONE), replica(TWO), replica(THREE, term=2)],
        "redis-3 knows term 2, redis-2 only 1",
    ),
    "another origin": (
        [dead(ONE), replica(TWO), replica(THREE, replication_ids=("b" * 40,))],
        "redis-3 holds data of another origin",
    ),
    "two masters": ([master(ONE), master(TWO), replica(THREE)], "redis-1 is a master of term 1"),
}


@pytest.mark.parametrize(("found", "why"), DOUBTS.values(), ids=DOUBTS)
def test_doubt_is_a_refusal_and_with_force_what_may_be_lost(found, why):
    said = refusal(TWO, found)
    assert why in said and "salt-run flags.promote redis-2 force=True" in said and "hunter2" not in said
    plan = decide(TWO, found, True)
    assert len(plan.lost) == 1 and why in plan.lost[0] and why in plan.line()
    assert plan.term == max(one.term for one in found) + 1


def test_replica_that_has_followed_a_later_master_is_no_doubt_if_it_knows_no_more():
    """redis-2 was the master for a while: redis-3 still has the identity from before."""
    found = [dead(ONE), replica(TWO, replication_ids=("b" * 40, *IDS)), replica(THREE)]
    assert decide(TWO, found, False).lost == ()


def test_master_left_over_from_an_older_term_is_no_doubt():
    found = [master(ONE), dead(TWO), replica(THREE, "10.0.0.2:6379", term=2)]
    assert decide(THREE, found, False).term == 3


def test_master_left_over_is_not_promoted_over_those_that_know_better():
    found = [master(ONE), dead(TWO), replica(THREE, "10.0.0.2:6379", term=2)]
    said = refusal(ONE, found)
    assert "redis-2 may know more" in said and "redis-3 knows term 2" in said


@pytest.mark.parametrize("force", [True, False])
def test_server_that_does_not_answer_cannot_be_promoted(force):
    assert "timed out" in refusal(TWO, [master(ONE), dead(TWO), replica(THREE, linked=True)], force)
