"""The id of a service's latest release, and which machines learn it."""

import importlib.util
import json
from pathlib import Path

import pytest
import sluice_balancer_config
import sluice_ledger
from sluice_errors import ConfigError

REPO = Path(__file__).resolve().parents[3]
NODEGROUPS = {"balancer": "lb-*", "checkbox_stable": "checkbox-*", "checkbox_canary": "canary-*"}
STABLE = {"checkbox": {"stable": {"checkbox-1": "10.0.0.1"}}}


@pytest.fixture
def ledger(tmp_path):
    return sluice_ledger.Ledger(str(tmp_path / "ledger.db"))


@pytest.fixture
def pillar_of(tmp_path):
    """What the external pillar gives a minion."""
    service = {
        "stable": "N@checkbox_stable",
        "canary": "N@checkbox_canary",
        "state": "checkbox",
        "source": "git://192.0.2.1/checkbox",
        "health_path": "/health",
        "port": 80,
        "probe": {},
    }
    settings = {
        "ledger": str(tmp_path / "ledger.db"),
        "redis": {},
        "alert_token": "not-a-secret",
        "alert_port": 9902,
        "balancers": "N@balancer",
        "services": {"checkbox": service},
    }
    (tmp_path / "release.json").write_text(json.dumps(settings))
    spec = importlib.util.spec_from_file_location("ledger_pillar", REPO / "_pillar/ledger.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.__opts__ = {"nodegroups": NODEGROUPS}
    return lambda minion_id: module.ext_pillar(minion_id, {}, str(tmp_path / "release.json"))


def test_the_latest_release_is_the_one_begun_last_open_or_ended(ledger):
    assert sluice_ledger.latest(ledger.path, "checkbox") is None
    release = ledger.begin("checkbox", "v2", "me")
    ledger.begin("itrust", "v1", "me")
    assert sluice_ledger.latest(ledger.path, "checkbox") == release.id
    ledger.end(release, "aborted", "stop")
    assert sluice_ledger.latest(ledger.path, "checkbox") == release.id
    assert sluice_ledger.latest(ledger.path, "checkbox") < ledger.begin("checkbox", "v3", "me").id


def test_without_a_ledger_there_is_no_release_and_none_is_made(tmp_path):
    assert sluice_ledger.latest(str(tmp_path / "none.db"), "checkbox") is None
    assert not (tmp_path / "none.db").exists()


def test_balancers_learn_the_id_and_hosts_the_versions(ledger, pillar_of):
    assert pillar_of("lb-1") == {"release": {"checkbox": {"id": None}}}
    ledger.begin("checkbox", "v2", "me")
    assert pillar_of("lb-1") == {"release": {"checkbox": {"id": 1}}}
    assert pillar_of("canary-1") == {"release": {"checkbox": {"canary": {"version": "v2"}}}}
    assert pillar_of("redis-1") == {}


def built(affinity, releases):
    settings = {
        "workers": 1,
        "admin_listen": "127.0.0.1:1",
        "admin_token_file": "/a",
        "alert_listen": "127.0.0.1:2",
        "alert_tokens_file": "/b",
        "host_tokens_file": "/h",
        "affinity_secret_file": "/etc/sluice/affinity.secret",
        "state_dir": "/c",
        "access_log": "/d",
        "services": {
            "checkbox": {
                "listen": "0.0.0.0:80",
                "backend_port": 80,
                "tracks": {"stable": "*"},
                "affinity": affinity,
            }
        },
    }
    found = sluice_balancer_config.build(settings, {"checkbox": {"stable": 100}}, STABLE, releases)
    return found["services"]["checkbox"].get("affinity")


@pytest.mark.parametrize(
    ("releases", "release"),
    [
        ({"checkbox": {"id": 12}}, "12"),
        ({"checkbox": {"id": None}}, "0"),
        ({}, "0"),
        ({"checkbox": None}, "0"),
    ],
)
def test_affinity_is_for_the_release_of_the_ledger(releases, release):
    assert built({"kind": "cookie", "max_age_seconds": 600}, releases) == {
        "kind": "cookie",
        "max_age_seconds": 600,
        "secret_file": "/etc/sluice/affinity.secret",
        "release": release,
    }


def test_without_affinity_in_pillar_there_is_none():
    assert built({}, {}) is None
    assert built(None, {}) is None


@pytest.mark.parametrize(
    ("affinity", "said"),
    [
        ({"release": "7"}, "checkbox:affinity:release is not for pillar to say"),
        ({"secret_file": "/x"}, "checkbox:affinity:secret_file is not for pillar to say"),
        ("cookie", "checkbox:affinity is 'cookie': want kind and the like"),
    ],
)
def test_what_pillar_cannot_say_is_refused(affinity, said):
    with pytest.raises(ConfigError, match=said):
        built(affinity, {})
