"""release.json: what is read, what is refused, and that secrets do not show."""

import json

import pytest
import sluice_config
from sluice_config import Tls
from sluice_errors import ConfigError, RefusedError

GOOD = {
    "ledger": "/var/lib/sluice/ledger.db",
    "redis": {
        "servers": [
            {"id": "redis-1", "host": "10.0.0.1", "port": 6379},
            {"id": "redis-2", "host": "10.0.0.2", "port": 6379},
        ],
        "username": "release",
        "password": "hunter2",
        "users": {"admin": "hunter3", "writer": ""},
    },
    "alert_token": "swordfish",
    "alert_port": 9902,
    "balancers": "N@balancer",
    "services": {
        "checkbox": {
            "stable": "N@checkbox_stable",
            "canary": "N@checkbox_canary",
            "state": "checkbox",
            "source": "git://10.0.0.2/checkbox",
            "health_path": "/health",
            "port": 80,
        }
    },
}


def with_redis(**values):
    return GOOD | {"redis": GOOD["redis"] | values}


def load(tmp_path, settings):
    path = tmp_path / "release.json"
    path.write_text(settings if isinstance(settings, str) else json.dumps(settings))
    return sluice_config.load(str(path))


def test_settings_are_read_with_defaults(tmp_path):
    settings = load(tmp_path, GOOD)
    assert settings.services["checkbox"].probe.count == 60
    assert settings.services["checkbox"].needs == ()


def test_secrets_do_not_show_when_printed(tmp_path):
    shown = repr(load(tmp_path, GOOD))
    assert "hunter" not in shown and "swordfish" not in shown


def test_redis_servers_are_in_the_order_of_the_file_with_one_log_in(tmp_path):
    redis = load(tmp_path, GOOD).redis
    assert [(one.id, one.host, one.username, one.password) for one in redis.servers] == [
        ("redis-1", "10.0.0.1", "release", "hunter2"),
        ("redis-2", "10.0.0.2", "release", "hunter2"),
    ]
    assert (redis.ha, redis.sentinel_port) == ("none", 26379)
    assert {(one.username, one.password) for one in redis.user("admin").servers} == {("admin", "hunter3")}
    assert "hunter" not in repr(redis.user("admin"))


@pytest.mark.parametrize("name", ["writer", "nobody"])
def test_log_in_without_a_password_names_the_pillar_key(tmp_path, name):
    with pytest.raises(ConfigError, match=f"redis:users:{name}:password"):
        load(tmp_path, GOOD).redis.user(name)


def test_tls_of_the_redis_servers_checks_names_unless_told_otherwise(tmp_path):
    tls = {"enabled": True, "ca": "/ca.pem"}
    assert load(tmp_path, with_redis(tls=tls)).redis.servers[0].tls == Tls("/ca.pem")
    loose = load(tmp_path, with_redis(tls=tls | {"check_hostname": False})).redis.servers[1].tls
    assert loose == Tls("/ca.pem", check_hostname=False)
    assert load(tmp_path, with_redis(tls={"enabled": False, "ca": "/ca.pem"})).redis.servers[0].tls is None


def test_pillar_gives_the_same_servers():
    pillar = {
        "servers": {"redis-1": "10.0.0.1", "redis-2": "10.0.0.2"},
        "port": 6380,
        "users": {"reader": {"password": "hunter2"}},
    }
    found = sluice_config.redis_of_pillar(pillar, "reader")
    assert [(one.name, one.username) for one in found.servers] == [
        ("redis-1 (10.0.0.1:6380)", "reader"),
        ("redis-2 (10.0.0.2:6380)", "reader"),
    ]
    tls = {"enabled": True, "ca": "/ca.pem", "cert": "of the servers", "key": "of the servers"}
    assert sluice_config.redis_of_pillar(pillar | {"tls": tls}, "reader").servers[0].tls == Tls("/ca.pem")
    with pytest.raises(ConfigError, match="redis:users:writer:password"):
        sluice_config.redis_of_pillar(pillar, "writer")
    for bad in ({}, {"servers": ["redis-1"]}, pillar | {"users": {"reader": "x"}}, pillar | {"port": 0}):
        with pytest.raises(ConfigError, match="pillar redis"):
            sluice_config.redis_of_pillar(bad, "reader")


@pytest.mark.parametrize(
    "bad",
    [
        "not json",
        "[]",
        {key: value for key, value in GOOD.items() if key != "ledger"},
        GOOD | {"redis": 7},
        with_redis(servers=7),
        with_redis(servers=[{"id": "redis-1", "host": "10.0.0.1"}]),
        with_redis(servers=[{"id": "redis-1", "host": "10.0.0.1", "port": "6379"}]),
        with_redis(servers=[{"id": "redis-1", "host": "10.0.0.1", "port": 65536}]),
        with_redis(servers=[{"id": "redis-1", "host": "10.0.0.1", "port": 6379}] * 2),
        with_redis(ha="maybe"),
        with_redis(tls={"enabled": True}),
        with_redis(sentinel_port=0),
        with_redis(users=["admin"]),
        GOOD | {"alert_port": "many"},
        GOOD | {"services": {"Check/Box": GOOD["services"]["checkbox"]}},
        GOOD | {"services": {"checkbox": GOOD["services"]["checkbox"] | {"probe": {"count": 0}}}},
        GOOD | {"services": {"checkbox": GOOD["services"]["checkbox"] | {"needs": ["mongodb"]}}},
    ],
)
def test_settings_that_are_wrong_name_the_file(tmp_path, bad):
    with pytest.raises(ConfigError, match="release.json"):
        load(tmp_path, bad)


def test_missing_settings_name_the_next_step(tmp_path):
    with pytest.raises(ConfigError, match="Apply the master state"):
        sluice_config.load(str(tmp_path / "none.json"))


@pytest.mark.parametrize("name", ["chessbox", "", None, 7, "checkbox\n", ["checkbox"]])
def test_unknown_service_lists_the_known_ones(tmp_path, name):
    with pytest.raises(RefusedError, match="known services: checkbox"):
        load(tmp_path, GOOD).service(name)


@pytest.mark.parametrize("version", ["v2", "1.2.3", "feature_x-7"])
def test_names_of_tags_and_branches_are_versions(version):
    assert sluice_config.checked_version(version) == version


@pytest.mark.parametrize(
    "version", ["--upload-pack=x", "v2\n", "../v2", "a..b", "", None, 2, "v" * 65, "a b"]
)
def test_anything_else_is_no_version(version):
    with pytest.raises(RefusedError, match="is not a version"):
        sluice_config.checked_version(version)


def test_shown_is_one_short_printable_line():
    assert sluice_config.shown("a\n\x1b[2J" + "b" * 1000).isprintable()
    assert len(sluice_config.shown("b" * 1000)) < 70


ROLLED = {"stable": "N@itrust", "state": "itrust", "health_path": "/iTrust/login.jsp", "port": 8080}


def with_rolled(**values):
    return GOOD | {"services": {"itrust": ROLLED | values}}


def test_service_without_a_canary_has_one_track(tmp_path):
    service = load(tmp_path, with_rolled(roll={"batches": [1, "50%"]})).services["itrust"]
    assert (service.targets, service.source, service.branch) == ({"stable": "N@itrust"}, "", "main")
    assert service.roll.batches == (1, "50%")


def test_service_with_a_canary_needs_a_source(tmp_path):
    with pytest.raises(ConfigError, match="source"):
        load(tmp_path, with_rolled(canary="N@itrust_canary"))


@pytest.mark.parametrize("prefix", ["ftp://a/", "http://10.0.0.1/a", "10.0.0.1/", "http://a/ b/"])
def test_prefix_of_artifacts_that_would_hold_others_is_refused(tmp_path, prefix):
    with pytest.raises(ConfigError, match="artifacts"):
        load(tmp_path, with_rolled(artifacts=prefix))


def test_bad_setting_of_a_roll_names_its_key(tmp_path):
    with pytest.raises(ConfigError, match="roll:batches 0"):
        load(tmp_path, with_rolled(roll={"batches": 0}))
