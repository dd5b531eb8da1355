"""iTrust: what pillar says becomes of it."""

import json
import threading

import pytest
import sluice_sql
import sluice_sql_schema
from sluice_sql import Server

from lab.process import wait_until
from tests.functional.apps.itrust_machine import MariaDB

SHA256 = "0123456789ab" + "0" * 52
ARTIFACT = {"version": "v1", "url": "http://192.0.2.1/v1.war", "sha256": SHA256}


def low_of(one, sls="itrust"):
    low = one.modules["state.show_low_sls"](sls, pillar=one.opts["pillar_override"])
    assert all(isinstance(chunk, dict) for chunk in low), low
    return {chunk["__id__"]: chunk for chunk in low}


def told(artifact, **more):
    return {"itrust": {"artifact": artifact, "balancers": {"lb-1": "10.57.0.11"}} | more}


def test_without_a_version_nothing_is_run_and_nothing_fails(machine):
    low = low_of(machine("itrust-2"))
    assert low["itrust-version"]["fun"] == "nop"
    assert "itrust-application" not in low


def test_the_schema_comes_after_the_artifact_and_before_the_update(machine):
    one = machine("itrust-2", extra_pillar=told(ARTIFACT))
    low = low_of(one)
    assert {"artifact": "itrust-unpacked"} in low["itrust-schema"]["require"]
    assert {"webapp": "itrust-application"} in low["itrust-schema"]["require_in"]
    assert low["itrust-application"]["release"] == "v1-0123456789ab"
    assert low["itrust-application"]["balancers"] == {"lb-1": "10.57.0.11"}


@pytest.mark.parametrize("environment", ["lab", "prod"])
def test_no_secret_stands_in_an_argument(machine, environment):
    words = {"password": "hidden-one", "schema_password": "hidden-two", "host": "192.0.2.9"}
    low = low_of(machine("itrust-2", environment, extra_pillar=told(ARTIFACT, db=words)))
    assert "itrust-application" in low
    chunks = {name: chunk for name, chunk in low.items() if name.startswith(("itrust", "tomcat"))}
    assert "hidden-" not in json.dumps(chunks)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": "../v1"}, "is no name of letters"),
        ({"version": 1.1}, "is no name of letters"),
        ({"version": "v1\n"}, "is no name of letters"),
        ({"sha256": "abc"}, "has no artifact"),
        ({"sha256": None}, "has no artifact"),
        ({"url": None}, "has no artifact"),
    ],
)
def test_a_hostile_artifact_is_refused_and_nothing_is_fetched(machine, change, said):
    low = low_of(machine("itrust-2", extra_pillar=told(ARTIFACT | change)))
    assert said in low["itrust-version"]["name"]
    assert not {"itrust-artifact", "itrust-application"} & set(low)


def test_a_host_behind_no_balancer_is_not_drained(machine):
    low = low_of(machine("itrust-2", extra_pillar=told(ARTIFACT, balanced=False)))
    assert low["itrust-application"]["balancers"] is None


@pytest.mark.parametrize(("memory", "heap"), [(256, 256), (2000, 1000), (64000, 4096)])
def test_the_heap_is_half_the_memory_within_limits(machine, memory, heap):
    pillar = told(ARTIFACT) | {"tomcat": {"heap_megabytes": 0}}
    low = low_of(machine("itrust-2", extra_pillar=pillar, extra_grains={"mem_total": memory}))
    sizes = [one["context"]["tomcat"]["heap_megabytes"] for one in low["itrust-application"]["files"][:3]]
    assert sizes == [heap] * 3


def test_the_users_of_the_database_have_rights_beside_their_passwords_in_pillar(machine):
    access = low_of(machine("itrust-1"), "mariadb")["mariadb-access"]
    assert access["rights"]["itrust"] == {"grants": ["SELECT", "INSERT", "UPDATE", "DELETE"], "also": []}
    assert "ALTER" in access["rights"]["itrust_schema"]["grants"]
    assert access["rights"]["itrust_schema"]["also"] == ["itrust_rehearsal"]
    assert "lab-fake" not in json.dumps(access)


@pytest.fixture
def maria(tmp_path):
    server = MariaDB(tmp_path / "mariadb")
    yield server
    server.end()


def test_a_host_waits_for_another_one_that_is_at_the_schema(machine, maria, tmp_path):
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql/MANIFEST").write_text("one.sql\n")
    (tmp_path / "sql/one.sql").write_text("CREATE TABLE one(a int);\n")
    one = machine("itrust-2", extra_pillar={"db": {"word": "lab-fake-db"}})
    root = Server(socket=str(maria.socket))
    row = "INSERT INTO sluice_schema VALUES ('bootstrap', '', 'applying', 'itrust-1', now())"
    maria.tell(f"{sluice_sql_schema._MAKE}; {row}")
    waiting = threading.Event()

    def other():
        with sluice_sql.locked(root, f"{sluice_sql_schema.LOCK}.itrust", 10):
            waiting.set()
            asked = "SELECT count(*) FROM information_schema.processlist WHERE state = 'User lock'"
            wait_until(lambda: maria.tell(asked) == ["1"], "the host that waits", 20)
            maria.tell("UPDATE sluice_schema SET state = 'applied'")

    thread = threading.Thread(target=other)
    thread.start()
    waiting.wait(20)
    told = {"host": "127.0.0.1", "port": maria.port, "user": "itrust", "password": "db:word"}
    ret = one.apply("sql_schema.applied", name="itrust", source=str(tmp_path / "sql"), **told)
    thread.join(30)
    assert (ret["result"], ret["changes"]) == (True, {}), ret


def test_users_come_to_the_server_with_the_rights_of_the_defaults_and_the_passwords_of_pillar(
    machine, maria, tmp_path
):
    one = machine("itrust-1")
    chunk = low_of(one, "mariadb")["mariadb-access"] | {"socket": str(maria.socket), "clients": ["127.0.0.1"]}
    chunk = {key: value for key, value in chunk.items() if key != "require"}
    tried = one.call(chunk, test=True)
    ret = one.call(chunk)
    assert (tried["result"], ret["result"]) == (None, True), (tried, ret)
    assert set(tried["changes"]) == set(ret["changes"])
    assert "lab-fake" not in json.dumps([tried, ret])
    assert one.call(chunk)["changes"] == {}
    rights = maria.tell("SHOW GRANTS FOR itrust@'127.0.0.1'")[1:]
    assert rights == ["GRANT SELECT, INSERT, UPDATE, DELETE ON `itrust`.* TO `itrust`@`127.0.0.1`"]
    for user in ("itrust", "itrust_schema"):
        password = one.pillar["mariadb"]["users"][user]["password"]
        assert "grants" not in one.pillar["mariadb"]["users"][user]
        server = Server(host="127.0.0.1", port=maria.port, user=user, password=password)
        assert sluice_sql.run(server, "SELECT current_user()") == [[f"{user}@127.0.0.1"]]
