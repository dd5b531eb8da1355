"""Who is to be the master, from what the servers say."""

import pytest
from sluice_config import RedisServer, RedisServers
from sluice_redis_roles import Role
from sluice_redis_sentinel import NoMaster
from sluice_redis_standing import Undecided, best, first, now

SERVERS = {
    id_: RedisServer(f"10.0.0.{number}", 6379, id=id_) for number, id_ in enumerate(("a", "b", "c"), 1)
}
DECLARED = RedisServers(tuple(SERVERS.values()))


def master(id_, keys=0, term=0, replicas=()):
    return Role(
        SERVERS[id_], role="master", term=term, reply=keys, replicas=tuple((one, 1) for one in replicas)
    )


def replica(id_, of, keys=0, term=0, linked=True, offset=0):
    follows = f"{SERVERS[of].host}:6379"
    return Role(
        SERVERS[id_], role="replica", follows=follows, linked=linked, reply=keys, term=term, offset=offset
    )


def dead(id_, why="does not answer"):
    return Role(SERVERS[id_], error=f"redis {id_} {why}")


def test_the_highest_term_wins_over_replicas_and_data():
    assert best([master("a", 9, 1, ["x"]), master("b", 0, 2)]).server.id == "b"


def test_of_one_term_the_one_that_is_followed_wins():
    assert best([master("a", 9), master("b", 1, replicas=["10.0.0.3:6379"])]).server.id == "b"


def test_of_one_term_and_none_followed_the_one_with_data_wins():
    assert best([master("a"), master("b", 1)]).server.id == "b"


def test_two_with_data_are_not_told_apart():
    with pytest.raises(Undecided, match="Choose one: salt-run flags.promote a"):
        best([master("a", 1), master("b", 1)])


def test_a_term_that_only_a_replica_knows_makes_no_stale_master_the_true_one():
    assert best([master("a", 9, 1), replica("b", "c", 9, 2)]) is None


@pytest.mark.parametrize("id_", ["a", "b", "c"])
def test_fresh_masters_follow_the_first_one_also_when_some_do_already(id_):
    said = {"a": replica("a", "b"), "b": master("b"), "c": master("c")}
    others = [role for other, role in said.items() if other != id_]
    standing = now(said[id_], others, DECLARED, "b")
    assert standing.follows == (None if id_ == "b" else SERVERS["b"])


def test_nobody_is_followed_while_the_true_master_is_dead():
    with pytest.raises(NoMaster):
        now(master("a", 9, 1), [replica("b", "c", 9, 2, linked=False), dead("c")], DECLARED, "a")


def test_a_new_server_follows_what_lives_and_else_what_pillar_says():
    assert first([master("b", 1), dead("c")], DECLARED, "a", "a").follows == SERVERS["b"]
    assert first([dead("b"), dead("c")], DECLARED, "a", "a").follows is None
    assert first([dead("b"), dead("c")], DECLARED, "a", "b").follows == SERVERS["b"]


def test_a_new_server_never_empties_replicas_that_wait_for_it():
    waiting = [replica("b", "a", 5, linked=False, offset=10), replica("c", "a", 5, linked=False, offset=20)]
    with pytest.raises(Undecided, match="salt-run flags.promote c"):
        first(waiting, DECLARED, "a", "a")


def test_a_new_server_follows_the_dead_master_of_replicas_with_data():
    assert first([replica("b", "c", 5, linked=False), dead("c")], DECLARED, "a", "a").follows == SERVERS["c"]


def test_a_new_server_does_not_guess_past_one_that_refuses_it():
    with pytest.raises(Undecided, match="salt b state.apply redis"):
        first([dead("b", "refuses AUTH: WRONGPASS"), dead("c")], DECLARED, "a", "a")
