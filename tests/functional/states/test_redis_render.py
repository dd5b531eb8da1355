"""salt/redis as it renders: with Sentinel and without, with TLS, with Valkey, and what is refused."""

import json

import pytest
from salt.utils.templates import render_jinja_tmpl

from tests.support.certificates import Authority


def low(machine, environment="lab", sls="redis", **told):
    one = machine("redis-2", environment, extra_pillar={"redis": told})
    found = one.modules["state.show_low_sls"](sls, pillar=one.opts["pillar_override"])
    assert all(isinstance(chunk, dict) for chunk in found), found
    return sorted(found, key=lambda chunk: chunk["order"])


def ids(chunks):
    return [chunk["__id__"] for chunk in chunks]


@pytest.fixture
def pems(tmp_path):
    authority = Authority(tmp_path)
    cert, key = authority.pair("redis")
    return {"enabled": True, "ca": authority.path.read_text(), "cert": cert.decode(), "key": key.decode()}


def test_sentinel_stands_beside_a_server_only_if_pillar_says_so(machine):
    with_it, without = ids(low(machine, ha="sentinel")), ids(low(machine))
    assert {"redis-sentinel-users", "redis-sentinel-config", "redis-sentinel-service"} <= set(with_it)
    assert with_it.index("redis-role") < with_it.index("redis-sentinel-config")
    assert [one for one in without if "sentinel" in one] == ["redis-no-sentinel-config"]


def test_a_word_for_ha_that_is_none_stops_no_sentinel(machine):
    assert not [one for one in ids(low(machine, ha="sentinle")) if "sentinel" in one]


def test_no_state_is_given_a_password(machine):
    for told in ({}, {"ha": "sentinel"}):
        assert "lab-fake" not in json.dumps(low(machine, **told))


def test_tls_files_of_pillar_are_named_after_their_content_and_never_shown(machine, pems):
    chunks = {chunk["__id__"]: chunk for chunk in low(machine, tls=pems, ha="sentinel")}
    made = {kind: chunks[f"redis-tls-{kind}"] for kind in ("ca", "cert", "key")}
    for kind, chunk in made.items():
        assert chunk["contents"] == pems[kind]
        assert (chunk["show_changes"], chunk["mode"]) == (False, "0640")
    assert chunks["redis-config"]["place"]["tls"] == {kind: chunk["name"] for kind, chunk in made.items()}
    assert pems["key"] not in json.dumps([chunks["redis-config"], chunks["redis-users"]])
    # Files of before go only when nobody reads them any more.
    wanted = [next(iter(one.items())) for one in chunks["redis-tls-cleaned"]["require"]]
    assert ("redis_server", "redis-config") in wanted
    assert chunks["redis-tls-cleaned"]["order"] > chunks["redis-config"]["order"]
    renewed = {chunk["__id__"]: chunk for chunk in low(machine, tls=pems | {"cert": pems["ca"]})}
    assert renewed["redis-tls-cert"]["name"] != made["cert"]["name"]
    assert renewed["redis-tls-key"]["name"] == made["key"]["name"]


def test_tls_files_of_the_machine_are_used_where_they_are(machine):
    paths = {kind: f"/etc/ssl/{kind}.pem" for kind in ("ca", "cert", "key")}
    chunks = low(machine, tls={"enabled": True, **paths})
    assert not [one for one in ids(chunks) if "tls" in one]
    (config,) = [chunk for chunk in chunks if chunk["__id__"] == "redis-config"]
    assert config["place"]["tls"] == paths


def test_tls_without_its_files_is_refused_before_anything_is_touched(machine):
    first = low(machine, tls={"enabled": True, "ca": "/etc/ssl/ca.pem"})[0]
    assert (first["fun"], first["failhard"]) == ("because", True)
    assert "pillar redis:tls:cert, redis:tls:key are empty" in first["name"]


def test_valkey_has_its_own_package_unit_user_and_places(machine):
    chunks = {chunk["__id__"]: chunk for chunk in low(machine, provider="valkey", ha="sentinel")}
    assert chunks["redis-package"]["name"] == "valkey-server"
    assert (chunks["redis-config"]["unit"], chunks["redis-config"]["user"]) == ("valkey-server", "valkey")
    assert chunks["redis-sentinel-config"]["unit"] == "valkey-sentinel"
    places = [str(value) for value in chunks["redis-config"]["place"].values() if isinstance(value, str)]
    assert all("valkey" in one for one in places), places


def test_a_provider_that_there_is_not_is_refused(machine):
    first = low(machine, provider="memcached")[0]
    assert first["name"].startswith("redis:provider is memcached; want redis or valkey")


@pytest.mark.parametrize(
    ("offered", "package"),
    [
        ("redis-server:\n  Installed: (none)\n  Candidate: 5:7.0.15\n", "redis-server"),
        ("valkey-server:\n  Installed: (none)\n  Candidate: 8.1.1\n", "valkey-server"),
        ("redis-server:\n  Candidate: (none)\nvalkey-server:\n  Candidate: 8.1.1\n", "valkey-server"),
        ("redis-server:\n  Candidate: 8.0\nvalkey-server:\n  Candidate: 8.1.1\n", "redis-server"),
        ("", "redis-server"),
    ],
)
def test_what_the_package_manager_offers_is_installed_and_redis_first(machine, offered, package):
    one = machine("redis-2")
    salt = {
        "pillar.get": one.modules["pillar.get"],
        "file.file_exists": lambda path: False,
        "cmd.run_stdout": lambda *words, **how: offered,
    }
    text = '{%- from "redis/map.jinja" import files with context %}{{ files.package }}'
    context = {"salt": salt, "opts": one.opts, "saltenv": "base", "sls": "redis"}
    assert render_jinja_tmpl(text, context) == package
