"""The flag service's state: what it writes is what the service takes, for every machine."""

import json
import subprocess
import sys

import pytest
from states_support import REPO

from flags import config
from tests.support.flag_service import environment

REPLICAS = {"redis-2", "redis-3"}


def low_of(one):
    low = one.modules["state.show_low_sls"]("flags", pillar=one.opts["pillar_override"])
    return {chunk["__id__"]: chunk for chunk in low}


def settings_of(one):
    """The file as the state writes it, taken by the service's own reader."""
    told = low_of(one)["flags-config"]["dataset"]
    return told, config.parse(json.dumps(told).encode())


@pytest.mark.parametrize("minion_id", ["checkbox-1", "checkbox-2", "canary-1"])
def test_the_file_is_one_that_the_service_takes(machine, minion_id):
    _, read = settings_of(machine(minion_id))
    assert str(read.listen) == "0.0.0.0:8016"
    assert read.redis.username == "reader"
    assert {place.host for place in read.redis.servers} == {"10.57.0.12", "10.57.0.14", "10.57.0.15"}


def order(machine, minion_id, **flags):
    _, read = settings_of(machine(minion_id, extra_pillar={"flags": flags}))
    return [place.id for place in read.redis.servers]


def test_the_first_master_is_read_last_and_not_all_hosts_read_the_same_replica(machine):
    orders = {minion_id: order(machine, minion_id) for minion_id in ("checkbox-1", "checkbox-2", "canary-1")}
    for minion_id, ids in orders.items():
        assert (set(ids[:2]), ids[2]) == (REPLICAS, "redis-1"), minion_id
        assert order(machine, minion_id) == ids
    assert {ids[0] for ids in orders.values()} == REPLICAS


def test_what_pillar_calls_near_is_read_first(machine):
    assert order(machine, "checkbox-2", nearest=["redis-1"])[0] == "redis-1"
    assert len(order(machine, "checkbox-2", nearest=["redis-3", "nowhere"])) == 3


def test_a_certificate_of_pillar_becomes_a_file_and_is_shown_to_nobody(machine):
    tls = {"certificate": "CERTIFICATE", "key": "lab-fake-key", "min_version": "1.3"}
    one = machine("checkbox-2", extra_pillar={"flags": {"tls": tls}})
    low = low_of(one)
    told, read = settings_of(one)
    assert "lab-fake-key" not in json.dumps(told)
    assert str(read.tls.key_file) == low["flags-tls-key-file"]["name"]
    assert low["flags-tls-key-file"]["show_changes"] is False
    assert read.tls.min_version == "1.3"


def test_tls_to_redis_is_that_of_the_common_pillar(machine):
    tls = {"enabled": True, "ca": "/etc/ca.pem"}
    one = machine("checkbox-2", extra_pillar={"redis": {"tls": tls}})
    assert str(settings_of(one)[1].redis.tls.ca) == "/etc/ca.pem"
    pem = "-----BEGIN CERTIFICATE-----"
    one = machine("checkbox-2", extra_pillar={"redis": {"tls": tls | {"ca": pem}}})
    assert low_of(one)["flags-redis-ca-file"]["contents"] == pem
    assert str(settings_of(one)[1].redis.tls.ca) == low_of(one)["flags-redis-ca-file"]["name"]
    off = machine("checkbox-2", extra_pillar={"redis": {"tls": tls | {"enabled": False}}})
    assert settings_of(off)[1].redis.tls is None


def test_without_servers_it_is_refused(machine):
    # A machine of no role sees no servers.
    users = {"reader": {"password": "x"}}
    one = machine("git-1", extra_pillar={"flags": {"tokens": {"a": "b"}}, "redis": {"users": users}})
    first = min(low_of(one).values(), key=lambda chunk: chunk["order"])
    assert (first["state"], first["name"].split(";")[0]) == ("refuse", "pillar redis:servers is empty")


def test_a_file_that_the_service_would_refuse_is_not_put_there(tmp_path):
    """The command is the state's check_cmd."""
    (tmp_path / "flags.json").write_text('{"listen": "nowhere"}')
    words = [sys.executable, "-m", "flags", "--check", "--config", str(tmp_path / "flags.json")]
    done = subprocess.run(words, cwd=REPO, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert '$.listen: is "nowhere", want an IP address and a port' in done.stderr
    assert "Traceback" not in done.stderr
