"""From a request at a real salt-api through a real reactor to the runner, the ledger and a roll."""

import json

import pytest
import salt.utils.event
from push_support import PASSWORD, ask, log_in, push_of, wait_for

from tests.support.forges import SECRETS, proof


def newest(ledger, **wanted):
    """The latest release with these values, or None."""
    for one in ledger.history("itrust"):
        if all(getattr(one, key) == value for key, value in wanted.items()):
            return one
    return None


@pytest.fixture
def bus(master):
    with salt.utils.event.get_master_event(
        dict(master.config), master.config["sock_dir"], listen=True
    ) as found:
        yield found


@pytest.mark.parametrize(
    ("forge", "commit"), [("github", "a" * 40), ("gitlab", "b" * 40), ("gitea", "c" * 40)]
)
def test_push_at_the_door_starts_a_build(api, servers, forge, commit):
    body = push_of(commit)
    assert ask(f"{api.url}/hook/release/itrust/pushed/{forge}", body, proof(forge, body))[0] == 200
    cause = f"push {commit[:12]} by {forge} codertocat"
    wait_for(lambda: cause in servers.jenkins.causes, what="the trigger")


def test_push_of_another_branch_is_refused_in_the_ledger(api, ledger):
    body = push_of("d" * 40, ref="refs/heads/other$(reboot)")
    assert ask(f"{api.url}/hook/release/itrust/pushed/github", body, proof("github", body))[0] == 200
    row = wait_for(lambda: newest(ledger, version="d" * 12), what="the refusal")
    assert row.state == "refused" and "pushes 'other$(reboot)' (want the branch main)" in row.reason


def test_build_that_is_reported_is_rolled_by_a_job_of_its_own(api, token, servers, ledger):
    report = servers.publish(b"built in the test of the chain", commit="e" * 40)
    assert ask(f"{api.url}/hook/release/itrust/built", report, {"X-Auth-Token": token})[0] == 200
    # The orchestration was really started: it finds no host, and says so where the build waited.
    row = wait_for(lambda: newest(ledger, version=report["version"], state="refused"), what="the roll's word")
    assert "was refused, nothing was changed" in row.reason
    assert ledger.artifact("itrust", report["version"]).sha256 == report["sha256"]


def test_failed_build_is_refused_in_the_ledger(api, token, ledger):
    told = {
        "version": "",
        "commit": "f" * 40,
        "branch": "main",
        "result": "FAILURE",
        "build_url": "http://j/1/",
    }
    assert ask(f"{api.url}/hook/release/itrust/built", told, {"X-Auth-Token": token})[0] == 200
    row = wait_for(lambda: newest(ledger, version="f" * 12), what="the refusal")
    assert (row.state, row.who) == ("refused", "jenkins") and "see http://j/1/" in row.reason


def test_event_that_a_minion_could_fire_does_nothing(api, bus, master, servers, ledger):
    report = servers.publish(b"never built", commit="9" * 40)
    forged = {"body": json.dumps(report), "post": report, "headers": {"X-Auth-Token": "x"}}
    order = {"service": "itrust", "kind": "built", "by": "jenkins", "digest": "", "body": json.dumps(report)}
    for data in forged, {"order": json.dumps(order), "seal": "0" * 64}:
        bus.fire_event(data, "salt/netapi/hook/release/itrust/built")
    log = api.logs[0]
    wait_for(lambda: "no seal of the master's own door" in log.read_text(errors="replace"), what="the log")
    wait_for(lambda: "its seal is not that" in log.read_text(errors="replace"), what="the log")
    assert ledger.artifact("itrust", report["version"]) is None
    assert newest(ledger, version=report["version"]) is None


def test_event_of_the_door_holds_no_secret(api, bus, token):
    body = push_of("8" * 40)
    sent = proof("gitlab", body) | {"X-Auth-Token": token}
    ask(f"{api.url}/hook/release/itrust/pushed/gitlab", body, sent)
    event = bus.get_event(wait=15, tag="salt/netapi/hook", full=True)
    text = json.dumps(event)
    assert event["tag"] == "salt/netapi/hook/release/itrust/pushed/gitlab" and "8" * 40 in text
    assert token not in text and not [secret for secret in SECRETS.values() if secret in text]


def test_report_is_not_taken_while_the_settings_cannot_be_read_and_may_come_again(api, token, settings):
    text = settings.read_text()
    settings.write_text("{")
    try:
        status, _, said = ask(f"{api.url}/hook/release/itrust/built", {}, {"X-Auth-Token": token})
    finally:
        settings.write_text(text)
    assert status == 503 and b"Send it again" in said


def test_report_is_not_taken_while_the_master_is_down_and_may_come_again(door_without_a_master, servers):
    door = door_without_a_master
    token = json.loads(log_in(door, "jenkins", PASSWORD)[2])["return"][0]["token"]
    report = servers.publish(b"while the master was away", commit="7" * 40)
    place, sent = f"{door.url}/hook/release/itrust/built", {"X-Auth-Token": token}
    status, _, said = ask(place, report, sent, context=door.context)
    assert status == 503 and b"Send it again" in said


def test_door_with_a_certificate_is_open_by_https_alone(door_without_a_master):
    door = door_without_a_master
    assert log_in(door, "jenkins", PASSWORD)[0] == 200
    plain = door.url.replace("https:", "http:")
    try:
        status = ask(f"{plain}/login", {"username": "jenkins", "password": PASSWORD, "eauth": "file"})[0]
    except OSError:
        status = None
    assert status in (None, 400)


def test_seal_is_the_masters_alone(api, token, settings):
    ask(f"{api.url}/hook/release/itrust/built", {"result": "FAILURE"}, {"X-Auth-Token": token})
    key = settings.with_name("hook.key")
    assert key.stat().st_mode & 0o777 == 0o600 and len(key.read_bytes()) == 32


def test_build_that_is_reported_by_hand_is_checked_and_its_refusal_told(master, api, servers, ledger):
    report = servers.publish(b"by hand", commit="6a" * 20)
    words = {key: report[key] for key in ("url", "commit")} | {"sha256": "f" * 64}
    told = master.salt_run_cli(timeout=60).run("release.report", "itrust", report["version"], **words)
    assert told.returncode == 1 and "the report said ffffffffffff" in told.stdout + told.stderr
    assert "Traceback" not in told.stdout + told.stderr
    assert newest(ledger, version=report["version"]).state == "refused"
