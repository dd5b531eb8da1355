"""What may stand in pillar about whose pushes count."""

import json

import pytest
import sluice_config
import sluice_hook_config
from sluice_errors import ConfigError
from sluice_hook_config import PushSettings

URL = "http://10.57.0.16:8080/job/itrust/build"
SECRET = "not-a-secret-but-long"


def test_service_without_push_takes_no_webhook():
    assert sluice_hook_config.read({}) == PushSettings()


def test_secrets_and_trigger_are_read():
    found = sluice_hook_config.read({"github": SECRET, "gitea": "", "trigger": {"url": URL, "token": "t"}})
    assert (dict(found.secrets), found.trigger_url, found.trigger_token) == ({"github": SECRET}, URL, "t")


def test_settings_that_are_printed_show_no_secret():
    found = sluice_hook_config.read({"github": SECRET, "trigger": {"url": URL, "token": "the-token"}})
    assert SECRET not in repr(found) and "the-token" not in repr(found)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"bitbucket": SECRET}, "push: bitbucket is not a key"),
        ({"github": "short", "trigger": {"url": URL}}, "push:github .want a secret of 16"),
        ({"github": 7, "trigger": {"url": URL}}, "push:github"),
        ({"github": SECRET}, "push:trigger:url is empty"),
        ({"trigger": {"url": "ftp://x/"}}, "push:trigger:url"),
        ({"trigger": {"url": "http://user:pw@x/job"}}, "push:trigger:url"),
        ({"trigger": {"url": URL + "?token=x"}}, "push:trigger:url"),
    ],
)
def test_wrong_setting_is_told_by_its_key_without_its_value(raw, reason):
    with pytest.raises(ValueError, match=reason) as error:
        sluice_hook_config.read(raw)
    assert SECRET not in str(error.value) and "short" not in str(error.value) and "pw" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["main; reboot", "$(id)", "-rf", "a b", "../x", "a..b", "`id`", "x|y", "", 7]
)
def test_branch_with_shell_metacharacters_is_one_clear_refusal(name, tmp_path):
    with pytest.raises(ValueError, match="want letters, digits"):
        sluice_hook_config.branch(name)
    service = {
        "stable": "N@itrust",
        "state": "itrust",
        "health_path": "/",
        "port": 8080,
        "branch": name or ";",
    }
    raw = {
        "ledger": "",
        "redis": {},
        "alert_token": "",
        "alert_port": 1,
        "balancers": "",
        "services": {"a": service},
    }
    (tmp_path / "release.json").write_text(json.dumps(raw))
    with pytest.raises(ConfigError, match="branch .* .want letters, digits"):
        sluice_config.load(str(tmp_path / "release.json"))


@pytest.mark.parametrize("name", ["main", "release/2.x", "feature_1-a"])
def test_plain_branch_is_taken(name):
    assert sluice_hook_config.branch(name) == name
