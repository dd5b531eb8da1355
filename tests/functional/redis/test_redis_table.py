"""The table of servers, as data and as text."""

import sluice_redis_table
from sluice_redis_roles import TERM_KEY
from sluice_redis_servers import roles

from tests.support.redis_fleet import password, wait_for


def rows(fleet):
    return sluice_redis_table.rows(fleet.declared())


def text(fleet):
    return sluice_redis_table.text(rows(fleet)[0])


def test_every_server_is_told_with_role_term_lag_and_version(lasting):
    lasting.call("redis-1", "SET", TERM_KEY, "4")
    wait_for(lambda: all(one.term == 4 for one in roles(lasting.declared())))
    told, problem = rows(lasting)
    assert problem == "" and list(told) == ["redis-1", "redis-2", "redis-3"]
    master, replica = told["redis-1"], told["redis-2"]
    assert master | {"offset": 0, "version": ""} == {
        "address": f"{lasting.hosts['redis-1']}:{lasting.port}", "reachable": True, "error": None,
        "role": "master", "term": 4, "offset": 0, "behind_bytes": None, "follows": None, "link": None,
        "silent_seconds": None, "version": "",
    }  # fmt: skip
    assert (replica["role"], replica["follows"], replica["link"], replica["term"]) == (
        "replica",
        "redis-1",
        "up",
        4,
    )
    assert replica["behind_bytes"] >= 0 and 0 <= replica["silent_seconds"] < 30
    assert master["version"].split(" ")[0] in ("redis", "valkey") and master["version"][-1].isdigit()


def test_text_is_one_line_for_each_server(lasting):
    said = text(lasting).splitlines()
    assert said[0].split() == ["server", "address", "role", "term", "offset", "behind", "link", "version"]
    assert "up, to redis-1" in said[2] and len(said) == 4
    assert password("release") not in text(lasting)


def test_stale_master_and_dead_server_are_told_as_such(fleet):
    fleet.call("redis-2", "REPLICAOF", "NO", "ONE")
    fleet.call("redis-2", "SET", TERM_KEY, "1")
    fleet.kill("redis-3")
    told, problem = rows(fleet)
    assert (told["redis-1"]["role"], told["redis-2"]["role"], problem) == ("stale master", "master", "")
    assert (told["redis-3"]["reachable"], told["redis-3"]["role"]) == (False, None)
    said = text(fleet)
    assert "no answer" in said and "redis-3: redis redis-3" in said and "refused" in said


def test_without_a_master_the_problem_is_told_and_the_replicas_as_well(fleet):
    fleet.kill("redis-1")
    wait_for(lambda: rows(fleet)[0]["redis-2"]["link"] == "down")
    told, problem = rows(fleet)
    assert "There is no Redis master" in problem
    assert told["redis-2"]["follows"] == "redis-1" and told["redis-2"]["behind_bytes"] is None
