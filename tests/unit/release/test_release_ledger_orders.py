"""What operators order of the ledger and read from it: pins, promotions, copies, the history."""

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import sluice_ledger
import sluice_ledger_orders
import sluice_ledger_show
import sluice_ready
import sluice_roll_orders
from sluice_errors import RefusedError, ReleaseError
from sluice_ledger import Artifact
from sluice_service import ServiceView

ALERT = {"reason": "too slow", "by": "canary-1", "at": "noon", "door": "http"}


@pytest.fixture
def view(settings, fleet, pillar, monkeypatch):
    monkeypatch.setattr(sluice_ready, "check_redis", lambda view: None)
    return ServiceView(settings, "checkbox", fleet, pillar)


def serving(view, version="v2"):
    release = view.ledger.begin("checkbox", version, "root")
    view.ledger.serve(release)
    return release


def rolled(view, version):
    release = view.ledger.begin_roll("checkbox", version, "root", "operator root", [("checkbox-1", 1)])
    view.ledger.set_host(release, "checkbox-1", "verified", "quick")
    view.ledger.finish(release)
    return release


def versions(view):
    return sluice_ledger.versions(view.ledger.path, "checkbox")


def test_pin_and_its_end_are_told(view):
    rolled(view, "v1")
    said = sluice_ledger_orders.pin(view, "v2", "root", " exam week ")
    assert said.startswith("checkbox is pinned to v2 by root since 20") and ": exam week. Hosts that" in said
    assert versions(view) == {"stable": "v2"}
    assert sluice_ledger_orders.unpin(view) == (
        "checkbox is not pinned any more; it stays at v2 until a roll"
    )
    assert sluice_ledger_orders.unpin(view) == "checkbox was not pinned"


@pytest.mark.parametrize("version", [None, "", "--upload-pack=x", "../v2", "v2\n", 2, True, "v" * 65])
def test_pin_to_what_is_no_version_is_refused(view, version):
    with pytest.raises(RefusedError, match="is not a version|Name the version"):
        sluice_ledger_orders.pin(view, version, "root")
    assert view.ledger.pinned("checkbox") is None


@pytest.mark.parametrize("reason", ["two\nlines", "\x1b[31mred", "x" * 201, 7, None])
def test_pin_with_a_reason_that_is_no_line_is_refused(view, reason):
    with pytest.raises(RefusedError, match="no printable line of at most 200 characters"):
        sluice_ledger_orders.pin(view, "v2", "root", reason)
    assert view.ledger.pinned("checkbox") is None


def test_pin_of_a_service_that_is_built_needs_an_artifact(view):
    view.service = replace(view.service, artifacts="http://builds/")
    with pytest.raises(RefusedError, match="v2 has no artifact in the ledger"):
        sluice_ledger_orders.pin(view, "v2", "root")
    view.ledger.add_artifact(Artifact("checkbox", "v2", "http://builds/v2", "a" * 64))
    assert "pinned to v2" in sluice_ledger_orders.pin(view, "v2", "root")


def test_roll_that_a_pin_is_in_the_way_of_is_refused_in_the_ledger(view):
    sluice_ledger_orders.pin(view, "v1", "root", "exam week")
    sluice_roll_orders.refused(view, "v2", "bob", "checkbox is pinned to v1")
    found = view.ledger.history("checkbox")[0]
    assert (found.state, found.version, found.trigger, found.reason) == (
        "refused", "v2", "operator bob", "checkbox is pinned to v1",
    )  # fmt: skip


@pytest.mark.parametrize("given", ["v1", "../x", None])
def test_ledger_has_no_row_of_a_roll_that_no_pin_was_in_the_way_of(view, given):
    sluice_ledger_orders.pin(view, "v1", "root", "exam week")
    sluice_roll_orders.refused(view, given, "bob", "a balancer is silent")
    assert view.ledger.history("checkbox") == []


def test_promotion_makes_the_canarys_version_that_of_stable(view):
    serving(view)
    assert sluice_ledger_orders.promote(view, "root") == (
        "checkbox: stable is to run v2. Hosts take it up at their next state run, one at a time: "
        "salt -b 1 -C 'N@checkbox_stable' state.apply"
    )
    assert versions(view) == {"stable": "v2", "canary": "v2"}


def test_promotion_with_an_alert_or_a_silent_balancer_is_refused(view, fleet):
    serving(view)
    fleet.alerts["lb-2"] = ALERT
    with pytest.raises(ReleaseError, match=r"An alert stands for checkbox at lb-2 .*too slow"):
        sluice_ledger_orders.promote(view, "root")
    fleet.alerts["lb-2"], fleet.silent = None, {"lb-1"}
    with pytest.raises(ReleaseError, match="lb-1: .*no answer within 5 s"):
        sluice_ledger_orders.promote(view, "root")
    assert versions(view) == {"canary": "v2"}
    assert view.ledger.open_release("checkbox", "canary").state == "serving"


def test_promotion_while_redis_is_silent_is_refused(view, monkeypatch):
    monkeypatch.undo()
    serving(view)
    with pytest.raises(ReleaseError, match="redis-1"):
        sluice_ledger_orders.promote(view, "root")
    assert versions(view) == {"canary": "v2"}


def test_promotion_of_a_service_without_a_canary_is_refused(view):
    view.service = replace(view.service, canary="")
    with pytest.raises(ReleaseError, match="checkbox has no canary"):
        sluice_ledger_orders.promote(view, "root")


def test_copy_is_told_with_its_place_and_size(view, tmp_path):
    said = sluice_ledger_orders.backup(view.ledger, str(tmp_path / "copies"), 3)
    (copy,) = (tmp_path / "copies").iterdir()
    assert said == f"{copy}: {copy.stat().st_size} bytes, read back and sound"
    assert copy.stat().st_mode & 0o777 == 0o600 and copy.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "words, said",
    [({"keep": 0}, "keep 0 is not"), ({"keep": -1}, "keep -1"), ({"keep": "all"}, "keep 'all'"),
     ({"keep": True}, "keep True"), ({"directory": "copies"}, "no.* absolute path"),
     ({"directory": 7}, "not an absolute path")],
)  # fmt: skip
def test_copies_of_a_number_or_to_a_place_that_is_none_are_refused(view, words, said):
    with pytest.raises(RefusedError, match=said):
        sluice_ledger_orders.backup(view.ledger, **words)


def test_history_is_newest_first_and_limited(view, settings):
    rolled(view, "v1")
    serving(view)
    view.ledger.refuse("checkbox", "v3", "jenkins", "push 1a2b3c4", "the build failed")
    rows = sluice_ledger_show.history(settings, "checkbox")
    assert [(row["kind"], row["state"]) for row in rows] == [
        ("rolling", "refused"), ("canary", "serving"), ("rolling", "done"),
    ]  # fmt: skip
    assert [row["id"] for row in sluice_ledger_show.history(settings, limit=1)] == [3]
    lines = sluice_ledger_show.history_text(rows).splitlines()
    assert lines[0].split() == [
        "3", "checkbox", "rolling", "v3", "refused", rows[0]["started_at"], "0", "s", "jenkins,", "push",
        "1a2b3c4",
    ]  # fmt: skip
    assert lines[1] == "      the build failed"
    assert len(lines) == 4 and lines[3].endswith("root")
    assert sluice_ledger_show.history_text([]) == "no release yet"


@pytest.mark.parametrize("limit", [0, -1, 10_001, "all", True, 1.5, None])
def test_history_of_a_number_that_is_none_is_refused(settings, limit):
    with pytest.raises(RefusedError, match=r"is not a number of releases \(want 1 to 10000\)"):
        sluice_ledger_show.history(settings, limit=limit)


@pytest.mark.parametrize("service", ["chessbox", "", 7, ["checkbox"], "' OR 1=1"])
def test_history_of_an_unknown_service_is_refused(settings, service):
    with pytest.raises(RefusedError, match=r"Unknown service .*known services: checkbox"):
        sluice_ledger_show.history(settings, service)


def test_roll_is_shown_with_its_hosts_artifact_and_steps(view):
    view.ledger.add_artifact(Artifact("checkbox", "v2", "http://builds/v2", "a" * 64))
    rolled(view, "v1")
    release = rolled(view, "v2")
    view.ledger.note(release, "abort", "asked by\nbob")
    told = sluice_ledger_show.show(view.ledger, release.id)
    assert told["artifact"]["url"] == "http://builds/v2"
    assert told["hosts"][0]["before"] == "v1"
    text = sluice_ledger_show.show_text(told)
    assert text.splitlines()[0] == f"release {release.id} of checkbox: rolling, v2, done"
    assert "  before   v1" in text and "  by       root\n" in text
    assert f"  sha256   {'a' * 64}" in text
    assert f"  step  abort  {told['steps'][0]['at']}  asked by?bob" in text
    assert f"  host  checkbox-1  batch 1  verified  before v1  {told['hosts'][0]['at']}  quick" in text


def test_roll_whose_process_is_gone_is_told_as_interrupted(view, settings):
    view.ledger.begin_roll("checkbox", "v2", "root", "operator root", [("checkbox-1", 1)])
    assert not sluice_ledger_show.history(settings)[0]["interrupted"]
    with sqlite3.connect(settings.ledger) as db:
        db.execute("UPDATE releases SET pid_started = 'before'")
    db.close()
    rows = sluice_ledger_show.history(settings)
    assert rows[0]["interrupted"] and "running, interrupted" in sluice_ledger_show.history_text(rows)


def test_time_of_an_open_release_runs_and_a_queued_one_takes_none(view):
    release = replace(serving(view), started_at="2026-01-01T00:00:00Z")
    now = datetime(2026, 1, 1, 0, 1, 30, tzinfo=UTC)
    assert sluice_ledger_show.told(release, now)["seconds"] == 90
    assert sluice_ledger_show.told(replace(release, state="queued"), now)["seconds"] is None
    # The clock was set back while it ran.
    assert sluice_ledger_show.told(replace(release, ended_at="2025-12-31T23:00:00Z"))["seconds"] == 0


@pytest.mark.parametrize(
    "seconds, text",
    [(None, "-"), (0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3_660, "1 h 1 min"), (90_000, "1 d 1 h")],
)
def test_time_is_told_in_its_two_largest_units(seconds, text):
    assert sluice_ledger_show.took_text(seconds) == text
