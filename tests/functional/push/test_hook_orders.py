"""What becomes of a push and of a build: with a real ledger, a trigger and a server of artifacts."""

import json
import sqlite3
from types import SimpleNamespace

import pytest
import sluice_config
import sluice_hook_orders
import sluice_roll_orders
from push_support import COMMIT, push_of
from sluice_errors import RefusedError
from sluice_ledger import Ledger
from sluice_webhook import Order
from sluice_webhook_push import gist


@pytest.fixture
def view(settings, tmp_path, monkeypatch):
    """The service, with a ledger of its own; `begun` is what was told to begin."""
    service = sluice_config.load(str(settings)).services["itrust"]
    found = SimpleNamespace(
        name="itrust", service=service, ledger=Ledger(str(tmp_path / "ledger.db")), begun=[]
    )

    def begin(view):
        queued = view.ledger.queued(view.name)
        view.begun.append(queued.version)
        return queued.version

    monkeypatch.setattr(sluice_roll_orders, "begin_queued", begin)
    return found


def pushed(view, body, digest="d"):
    return sluice_hook_orders.pushed(
        Order("itrust", "github", "github", digest, gist(body)), view.service, view.ledger
    )


def built(view, report):
    return sluice_hook_orders.built(Order("itrust", "built", "jenkins", "d", json.dumps(report)), view)


def refused(view, reason, function, *args):
    """The only row of the ledger is the refusal with its reason, which the caller was told as well."""
    with pytest.raises(RefusedError, match=reason) as told:
        function(view, *args)
    row = view.ledger.history("itrust")[0]
    assert row.state == "refused" and row.reason in str(told.value) and not view.begun
    assert view.ledger.queued("itrust") is None
    return row


def test_push_starts_a_build_whose_cause_is_the_push(view, servers):
    before = len(servers.jenkins.causes)
    assert "pushed by github codertocat" in pushed(view, push_of())
    assert servers.jenkins.causes[before:] == [f"push {COMMIT[:12]} by github codertocat"]
    assert view.ledger.history("itrust") == []


def test_replayed_push_starts_nothing(view, servers):
    pushed(view, push_of())
    before = len(servers.jenkins.causes)
    row = refused(view, "came before, at 20", pushed, push_of())
    assert (row.version, row.who, row.trigger) == (COMMIT[:12], "github codertocat", f"push {COMMIT[:7]}")
    assert servers.jenkins.causes[before:] == []


def test_push_of_another_branch_starts_nothing_and_the_ledger_says_why(view, servers):
    before = len(servers.jenkins.causes)
    refused(view, "pushes 'x; reboot' .want the branch main", pushed, push_of(ref="refs/heads/x; reboot"))
    assert servers.jenkins.causes[before:] == []


def test_push_that_the_build_server_refused_may_come_again(view, servers):
    servers.jenkins.token = "another"
    try:
        row = refused(view, "answered 403 .want 201.: compare push:trigger:token", pushed, push_of())
        assert "not-a-secret" not in row.reason
    finally:
        servers.jenkins.token = view.service.push.trigger_token
    assert "was asked for" in pushed(view, push_of())


def test_push_while_the_build_server_is_down_is_refused_with_its_address(view, monkeypatch):
    gone = view.service.push.__class__(view.service.push.secrets, "http://127.0.0.1:9/job/itrust/build", "t")
    object.__setattr__(view.service, "push", gone)
    refused(view, "http://127.0.0.1:9 does not answer", pushed, push_of())


def test_good_build_is_written_down_queued_and_begun(view, servers):
    report = servers.publish(b"war of a good build")
    assert "is rolled now" in built(view, report)
    artifact = view.ledger.artifact("itrust", report["version"])
    assert (artifact.url, artifact.sha256, artifact.commit_id) == (report["url"], report["sha256"], COMMIT)
    queued = view.ledger.queued("itrust")
    assert (queued.version, queued.who, queued.trigger) == (
        report["version"],
        "jenkins",
        f"push {COMMIT[:7]}",
    )
    assert view.begun == [report["version"]]


def test_newer_build_supersedes_the_one_that_waits(view, servers):
    old, new = servers.publish(b"old"), servers.publish(b"new", commit="b" * 40, date="20261125080000")
    built(view, old)
    built(view, new)
    assert [(one.version, one.state) for one in view.ledger.history("itrust")] == [
        (new["version"], "queued"), (old["version"], "superseded"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"result": "FAILURE"}, "ended with 'FAILURE'"),
        ({"branch": "other"}, "built from 'other'"),
        ({"sha256": "0" * 64}, "has the sha256 .* the report said 000000000000"),
        ({"sha256": "nothing"}, "want 64 digits"),
        ({"url": "http://127.0.0.1:9/x.war"}, "want below http://127.0.0.1"),
        ({"version": "v2"}, "want yyyymmddHHMMSS-commit"),
    ],
)
def test_build_that_is_not_what_it_says_is_not_rolled(view, servers, changes, reason):
    refused(view, reason, built, servers.publish(b"a war") | changes)
    assert view.ledger.artifacts("itrust") == []


def test_build_whose_artifact_is_not_there_is_not_rolled(view, servers):
    report = servers.publish(b"a war")
    refused(view, "404 .want 200", built, report | {"url": report["url"] + "x"})


def test_build_reported_twice_is_rolled_once(view, servers):
    report = servers.publish(b"a war")
    built(view, report)
    release = view.ledger.begin_roll("itrust", report["version"], "root", "", [("itrust-1", 1)])
    view.ledger.finish(release)
    view.begun.clear()
    refused(view, f"reported before: release {release.id} of it is done", built, report)


def test_version_that_was_built_again_with_another_hash_is_refused(view, servers):
    built(view, servers.publish(b"first"))
    view.begun.clear()
    with pytest.raises(RefusedError, match="a version never changes"):
        built(view, servers.publish(b"second"))
    assert view.ledger.history("itrust")[0].state == "refused" and not view.begun


def test_pinned_service_takes_no_build_until_it_is_unpinned(view, servers):
    view.ledger.pin("itrust", "20260101000000-aaaaaaaaaa", "root", "hotfix")
    report = servers.publish(b"a war")
    refused(view, "pinned to 20260101000000-aaaaaaaaaa by root", built, report)
    view.ledger.unpin("itrust")
    assert "is rolled now" in built(view, report)


def test_refused_build_may_be_reported_again(view, servers):
    report = servers.publish(b"a war")
    refused(view, "want 200", built, report | {"url": report["url"] + "x"})
    assert "is rolled now" in built(view, report)


def test_report_by_hand_is_checked_as_any_other(view, servers):
    report = servers.publish(b"a war")
    told = {key: report[key] for key in ("version", "url", "sha256", "commit")}
    order = sluice_hook_orders.by_hand(view.service, told | {"sha256": "0" * 64}, "root")
    with pytest.raises(RefusedError, match="the report said"):
        sluice_hook_orders.built(order, view)
    assert "is rolled now" in sluice_hook_orders.built(
        sluice_hook_orders.by_hand(view.service, told, "root"), view
    )


def test_ledger_holds_no_secret(view, servers):
    pushed(view, push_of())
    built(view, servers.publish(b"a war"))
    db = sqlite3.connect(view.ledger.path)
    text = "\n".join(db.iterdump())
    db.close()
    assert COMMIT in text and "not-a-secret" not in text
