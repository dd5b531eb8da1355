"""Good enough or not; and why a state run failed."""

import sluice_probe
import sluice_states
from sluice_config import Probe
from sluice_fleet import Answer, one_line

GOOD = {"requests": 60, "errors": 0, "p95_ms": 20.0, "failures": [], "versions": ["v2"]}


def test_good_canary_has_no_problem():
    assert sluice_probe.problem(GOOD, Probe(version_header="X-Version"), "v2") is None


def test_one_error_is_too_many_by_default():
    why = sluice_probe.problem(GOOD | {"errors": 1, "failures": ["GET /getPic: 500"]}, Probe(), "v2")
    assert why == "1 of 60 probe requests failed (1.7%, want at most 0.0%): GET /getPic: 500"


def test_errors_up_to_the_limit_are_good_enough():
    assert sluice_probe.problem(GOOD | {"errors": 6}, Probe(max_error_ratio=0.1), "v2") is None
    assert sluice_probe.problem(GOOD | {"errors": 7}, Probe(max_error_ratio=0.1), "v2")


def test_slow_canary_is_a_problem():
    assert "want at most 250 ms" in sluice_probe.problem(GOOD | {"p95_ms": 250.1}, Probe(), "v2")


def test_too_little_evidence_is_a_problem():
    assert "only 0 of 60" in sluice_probe.problem({}, Probe(), "v2")


def test_other_version_is_a_problem_where_it_can_be_told():
    wanted = Probe(version_header="X-Version")
    assert "answers as version v1" in sluice_probe.problem(GOOD | {"versions": ["v1"]}, wanted, "v2")
    assert "v1, v2" in sluice_probe.problem(GOOD | {"versions": ["v1", "v2"]}, wanted, "v2")
    assert "unknown" in sluice_probe.problem(GOOD | {"versions": []}, wanted, "v2")
    assert sluice_probe.problem(GOOD | {"versions": ["v1"]}, Probe(), "v2") is None


def test_failure_names_the_first_cause_and_not_who_waited():
    states = {
        "b": {
            "__id__": "unit",
            "result": False,
            "comment": "One or more requisite failed: x",
            "__run_num__": 2,
        },
        "a": {"__id__": "build", "result": False, "comment": "npm ci failed\nERR! 404", "__run_num__": 1},
        "c": {"__id__": "fine", "result": True, "comment": "", "__run_num__": 0},
    }
    assert sluice_states.failure(states) == "build: npm ci failed ERR! 404"


def test_failure_shows_the_end_of_what_a_command_said():
    states = {
        "a": {
            "__id__": "build",
            "result": False,
            "comment": "Command failed",
            "changes": {"stderr": "no disk"},
        }
    }
    assert sluice_states.failure(states) == "build: Command failed (no disk)"


def test_states_that_succeeded_did_not_fail():
    assert sluice_states.failure({"a": {"result": True}}) is None
    assert sluice_states.refusal(Answer({"a": {"result": True}})) is None


def test_states_that_did_not_render_say_so():
    assert sluice_states.failure(["Pillar failed to render"]) == "Pillar failed to render"
    refused = Answer(["Pillar failed to render"], error="['Pillar failed to render']")
    assert sluice_states.refusal(refused) == "Pillar failed to render"


def test_silent_minion_is_a_refusal():
    assert sluice_states.refusal(Answer(error="no answer within 5 s")) == "no answer within 5 s"


def test_error_of_a_minion_is_one_line_without_a_traceback():
    assert one_line("Traceback (most recent call last):\n  File x\nValueError: bad") == "ValueError: bad"
    assert one_line("ERROR: balancer\nrefuses") == "balancer refuses"
    assert len(one_line("x" * 10_000)) < 410
