"""release.json: what is read, what is refused, and that secrets do not show."""

import json

import pytest
import sluice_config
from sluice_errors import ConfigError, RefusedError

GOOD = {
    "ledger": "/var/lib/sluice/ledger.db",
    "redis": {"host": "10.0.0.1", "port": 6379, "username": "release", "password": "hunter2"},
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
    assert "hunter2" not in shown and "swordfish" not in shown


@pytest.mark.parametrize(
    "bad",
    [
        "not json",
        "[]",
        {key: value for key, value in GOOD.items() if key != "ledger"},
        GOOD | {"redis": 7},
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
