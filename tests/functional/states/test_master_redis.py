"""The Redis servers in the settings of the release side, made from the pillar `redis`."""

import pytest
import sluice_config

AUTHORITY = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"


def low(one):
    return {chunk["__id__"]: chunk for chunk in one.modules["state.show_lowstate"]()}


def redis_of(one):
    return low(one)["master-release-settings"]["dataset"]["redis"]


def test_release_side_knows_every_redis_server_and_three_log_ins(machine):
    told = redis_of(machine("master"))
    found = sluice_config.redis_servers(told)
    assert [one.name for one in found.servers] == [
        "redis-1 (10.57.0.12:6379)",
        "redis-2 (10.57.0.14:6379)",
        "redis-3 (10.57.0.15:6379)",
    ]
    assert {one.username for one in found.servers} == {"release"} and found.servers[0].tls is None
    assert sorted(told["users"]) == ["admin", "release", "writer"]


@pytest.mark.parametrize("authority", [AUTHORITY, "/etc/ssl/ca.pem"], ids=["text", "path"])
def test_tls_of_the_servers_needs_their_authority_and_nothing_of_theirs(machine, authority):
    tls = {"enabled": True, "ca": authority, "cert": "of the server", "key": "of the server"}
    found = sluice_config.redis_servers(
        redis_of(machine("master", extra_pillar={"redis": {"tls": tls, "ha": "sentinel"}}))
    )
    assert found.servers[0].tls == sluice_config.Tls(authority) and found.ha == "sentinel"


def test_names_in_certificates_are_not_checked_only_if_pillar_says_so(machine):
    tls = {"enabled": True, "ca": "/etc/ssl/ca.pem", "check_hostname": False}
    found = sluice_config.redis_servers(redis_of(machine("master", extra_pillar={"redis": {"tls": tls}})))
    assert found.servers[0].tls.check_hostname is False


def test_pillar_of_the_one_redis_of_before_is_refused_and_told_where_its_keys_went(machine):
    one = machine("master", extra_pillar={"release_settings": {"redis": {"host": "10.0.0.1"}}})
    refused = low(one)["master-pillar"]
    assert (refused["state"], refused["failhard"]) == ("refuse", True)
    assert "redis:servers" in refused["name"] and "redis:users:release:password" in refused["name"]
