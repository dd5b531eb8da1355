"""The master's door as pillar has it."""

import hashlib

import pytest

USERS = {"jenkins": {"password": "a-long-password-of-jenkins"}}


def low(machine, environment="lab", **extra):
    """The states of the master, by id."""
    pillar = {"salt_api": {"users": USERS} | extra.pop("salt_api", {})}
    chunks = machine("master", environment, **extra).modules["state.show_low_sls"]("master", pillar=pillar)
    assert all(isinstance(chunk, dict) for chunk in chunks), chunks
    return {chunk["__id__"]: chunk for chunk in chunks}


def test_users_are_written_as_hashes_for_root_alone_and_have_no_rights_in_salt(machine):
    found = low(machine)
    lines = found["master-api-users"]["contents"]
    assert f"jenkins:{hashlib.sha256(USERS['jenkins']['password'].encode()).hexdigest()}" in lines
    assert (found["master-api-users"]["mode"], found["master-api-users"]["show_changes"]) == ("0600", False)
    told = found["master-api-config"]["dataset"]
    assert told["external_auth"]["file"]["jenkins"] == []
    assert told["external_auth"]["file"]["^hashtype"] == "sha256"
    assert USERS["jenkins"]["password"] not in str(found)


def test_door_of_the_lab_is_plain_and_that_of_production_has_a_certificate(machine):
    plain = low(machine)["master-api-config"]["dataset"]["release_hook"]
    assert plain == {"host": "0.0.0.0", "port": 8000, "users": ["jenkins"]}
    secret = low(machine, "prod")["master-api-config"]["dataset"]["release_hook"]
    assert (secret["ssl_crt"], secret["ssl_key"]) == ("/etc/salt/pki/api.crt", "/etc/salt/pki/api.key")


@pytest.mark.parametrize("given", [{}, {"ssl_crt": "/x.crt"}, {"ssl_key": "/x.key"}])
def test_door_without_a_certificate_is_refused_before_anything_is_touched(machine, given):
    found = low(machine, salt_api={"plain_http": False, "ssl_crt": "", "ssl_key": ""} | given)
    refused = found["master-api-tls"]
    assert (refused["state"], refused["failhard"]) == ("refuse", True)
    assert "want ssl_crt and ssl_key" in refused["name"]


def test_master_without_users_has_no_door(machine):
    found = low(machine, salt_api={"users": None})
    assert not [name for name in found if name.startswith("master-api")]


def test_salt_of_packages_brings_the_unit_and_salt_from_pip_gets_one(machine):
    pip = low(machine)
    assert "master-api-unit" in pip and "master-api-package" not in pip
    packaged = low(machine, extra_grains={"pythonexecutable": "/opt/saltstack/salt/bin/python3.10"})
    assert "master-api-package" in packaged and "master-api-unit" not in packaged
