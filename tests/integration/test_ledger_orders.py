"""What an operator orders of the ledger and reads from it, at the command line."""

import json

import pytest
import sluice_ledger
from test_orders import shell


@pytest.fixture
def ledger(world):
    return sluice_ledger.Ledger(str(world.ledger))


def said(done, retcode=0):
    assert done.returncode == retcode, done
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout


def test_canary_is_promoted_shown_and_in_the_history(world, salt_run, ledger):
    assert salt_run.run("state.orchestrate", "canary").returncode == 0
    assert "checkbox: stable is to run v2" in said(shell(salt_run, "release.promote", "checkbox"))
    on_host = salt_run.run("pillar.show_pillar", "checkbox-1").data
    assert on_host["release"] == {
        "checkbox": {"stable": {"version": "v2"}, "canary": {"version": "v2"}},
    }
    text = said(shell(salt_run, "release.history", "checkbox", "limit=1"))
    assert "canary  v2  done" in text and "promoted to stable by root" in text
    assert "release 1 of checkbox: canary, v2, done" in said(shell(salt_run, "release.show", "1"))
    rows = json.loads(said(shell(salt_run, "release.history", "--out=json")))
    assert [(row["id"], row["state"]) for row in rows] == [(1, "done")]
    shown = json.loads(said(shell(salt_run, "release.show", "1", "--out=json")))
    assert "admit" in [step["name"] for step in shown["steps"]]
    assert "no canary serves" in said(shell(salt_run, "release.promote", "checkbox"), 1)


def test_alert_stands_in_the_way_of_a_promotion(world, salt_run, ledger):
    ledger.serve(ledger.begin("checkbox", "v2", "root"))
    world.redis.call("SET", "sluice:alert:checkbox", "x")
    assert "An alert stands for checkbox" in said(shell(salt_run, "release.promote", "checkbox"), 1)
    assert ledger.last_release("checkbox").state == "serving"


def test_pinned_service_is_rolled_by_nobody_and_the_ledger_says_so(world, salt_run, ledger):
    text = said(shell(salt_run, "release.pin", "checkbox", "v1", "reason=exam week"))
    assert "checkbox is pinned to v1 by root" in text
    assert "PINNED   checkbox is pinned to v1" in said(shell(salt_run, "release.status", "checkbox"))
    pillar = json.dumps({"service": "checkbox", "version": "v2"})
    text = said(shell(salt_run, "state.orchestrate", "rolling", f"pillar={pillar}"), 1)
    assert "checkbox is pinned to v1 by root" in text and "exam week" in text
    refused = ledger.history("checkbox")[0]
    assert (refused.state, refused.version) == ("refused", "v2")
    assert "exam week" in refused.reason
    assert "not pinned any more" in said(shell(salt_run, "release.unpin", "checkbox"))


def test_ledger_is_copied_while_it_is_in_use(world, salt_run, ledger, tmp_path):
    ledger.serve(ledger.begin("checkbox", "v2", "root"))
    assert "read back and sound" in said(shell(salt_run, "release.backup", f"directory={tmp_path}", "keep=1"))
    (copy,) = tmp_path.glob("ledger-*.db")
    assert sluice_ledger.Ledger(str(copy)).last_release("checkbox").version == "v2"


@pytest.mark.parametrize(
    "words, why",
    [
        (["show", "x;id"], "'x;id' is not the id of a release"),
        (["pin", "checkbox", "$(id)"], "'$(id)' is not a version"),
        (["backup", "keep=0"], "keep 0 is not a number of copies"),
    ],
    ids=lambda words: words[0] if isinstance(words, list) else "",
)
def test_bad_input_is_one_line_and_an_exit_code(world, salt_run, words, why):
    assert why in said(shell(salt_run, f"release.{words[0]}", *words[1:]), 1)
