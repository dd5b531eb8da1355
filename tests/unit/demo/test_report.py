"""What the demo says of its own run."""

import json

import pytest

from lab.demo import report

GOOD = {
    "requests": 30204,
    "failed": 0,
    "seconds": 101.2,
    "canary_share_before": 30.02,
    "canary_share_target": 30.0,
    "share_requests": 5200,
    "alert": {
        "event": {"to_zero_ms": 46.5, "rounds_ms": [46.5, 8.3]},
        "redis": {"to_zero_ms": 16.5, "rounds_ms": [0.0, 16.5]},
        "http": {"to_zero_ms": 5.3, "rounds_ms": [5.3, 3.1]},
    },
    "canary_requests_after_zero": 0,
    "ratio_edit_to_effect_ms": 2437,
    "setup_seconds": 196.0,
    "failures": [],
}


def test_run_that_kept_every_promise_has_no_problem():
    assert report.problems(GOOD) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"failed": 2, "failures": ["wrong body"]}, "2 of 30204 requests failed: ['wrong body']"),
        ({"canary_share_before": 33.1}, "3.1 points off"),
        ({"canary_share_before": 26.9}, "3.1 points off"),
        ({"share_requests": 4999}, "over 4999 requests (want 5000)"),
        ({"canary_requests_after_zero": 1}, "1 canary requests after an alert was in force"),
    ],
)
def test_promise_that_was_not_kept_is_named_with_its_figure(change, told):
    [problem] = report.problems(GOOD | change)
    assert told in problem


def test_every_problem_is_told():
    assert len(report.problems(GOOD | {"failed": 1, "canary_requests_after_zero": 3})) == 2


def test_table_has_every_figure():
    table = report.table(GOOD)
    for figure in ("30204", "30.02", "46.5", "16.5", "5.3", "2437", "196 s"):
        assert figure in table


def test_result_is_written_as_json(tmp_path):
    path = tmp_path / "build" / "demo.json"
    report.write(GOOD, path)
    assert json.loads(path.read_text()) == GOOD
