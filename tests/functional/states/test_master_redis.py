"""The Redis servers in the settings of the release side, made from the pillar `redis`."""

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


def test_certificate_in_pillar_becomes_a_file_that_the_settings_name(machine):
    one = machine(
        "master", extra_pillar={"redis": {"tls": {"enabled": True, "ca": AUTHORITY}, "ha": "sentinel"}}
    )
    found = sluice_config.redis_servers(redis_of(one))
    assert found.servers[0].tls == sluice_config.Tls("/etc/sluice/redis-ca.pem") and found.ha == "sentinel"
    assert low(one)["master-redis-authority"]["contents"] == AUTHORITY


def test_path_of_a_certificate_in_pillar_is_taken_as_it_is(machine):
    tls = {"enabled": True, "ca": "/etc/ssl/ca.pem", "check_hostname": False}
    one = machine("master", extra_pillar={"redis": {"tls": tls}})
    assert sluice_config.redis_servers(redis_of(one)).servers[0].tls == sluice_config.Tls(
        "/etc/ssl/ca.pem", check_hostname=False
    )
    assert "master-redis-authority" not in low(one)


def test_pillar_of_the_one_redis_of_before_is_refused_and_told_where_its_keys_went(machine):
    one = machine("master", extra_pillar={"release_settings": {"redis": {"host": "10.0.0.1"}}})
    refused = low(one)["master-pillar"]
    assert (refused["state"], refused["failhard"]) == ("refuse", True)
    assert "redis:servers" in refused["name"] and "redis:users:release:password" in refused["name"]
