"""The judge of the soak: what it excuses, and that nothing else passes."""

import time

import pytest

from tests.soak.asking import Asked, Want
from tests.soak.judge import Ended, Judge
from tests.soak.records import Logged
from tests.soak.wire import Answer


class Log:
    """An access log of one line."""

    def __init__(self, **line):
        self.lines = {"one": Logged("stable-1", **{"status": 200, "bytes": 0, "ms": 1.0, **line})}

    def read(self):
        return


def asked(**changes):
    """A GET from 10 to 11 that the balancer answered with 502."""
    usual = {
        "id": "one", "kind": "keep-alive", "method": "GET", "port": 5000, "began": 10.0, "repeatable": True,
        "ended": 11.0, "status": 502, "problem": "status 502",
        "text": "502 Bad Gateway: the backend closed the connection",
    }  # fmt: skip
    return Asked(**{**usual, **changes})


def judged(*requests, log=None, ended=(), lost=None):
    judge = Judge(list(requests), log or Log(status=502))
    judge.ended, judge.lost_lines = list(ended), lost or {}
    judge.look(finally_=True)
    return judge


KILLED = Ended("stable-1", 10.5, 10.6)


def test_failure_without_a_cause_is_a_violation():
    assert "failed without an excuse" in judged(asked()).violations[0]


def test_repeatable_request_has_no_excuse_in_a_killed_backend():
    assert judged(asked(), ended=[KILLED]).violations


def test_post_under_way_to_a_killed_backend_is_excused():
    judge = judged(asked(method="POST", repeatable=False), ended=[KILLED])
    assert (judge.violations, judge.excused) == ([], {"unrepeatable": 1})


@pytest.mark.parametrize(
    ("change", "ended"),
    [
        ({"began": 10.9}, KILLED),
        ({"ended": 10.4}, KILLED),
        ({"text": "502 Bad Gateway: no connection to the backend"}, KILLED),
        ({}, Ended("stable-2", 10.5, 10.6)),
    ],
    ids=["begun after the end", "ended before", "never sent", "another backend"],
)
def test_post_is_excused_by_nothing_less(change, ended):
    assert judged(asked(method="POST", repeatable=False, **change), ended=[ended]).violations


def test_answer_that_a_killed_backend_had_begun_is_excused_only_if_the_client_saw_it_broken():
    cut = {"status": 200, "problem": "ConnectionResetError: "}
    assert judged(asked(**cut), log=Log(), ended=[KILLED]).excused == {"cut answer": 1}
    passed_off = {"status": 200, "problem": "another body than the backend's: 5 bytes of 10"}
    assert judged(asked(**passed_off), log=Log(), ended=[KILLED]).violations


def test_connection_of_a_killed_worker_is_excused_and_no_other():
    reset = {"status": 0, "problem": "ConnectionResetError: "}
    assert judged(asked(**reset), lost={5000: 10.5}).excused == {"worker killed": 1}
    assert judged(asked(**reset), lost={5001: 10.5}).violations
    assert judged(asked(**reset), lost={5000: 12.0}).violations


def test_request_behind_another_shares_its_verdict():
    first = asked(method="POST", repeatable=False)
    second = asked(id="two", behind=first)
    assert judged(first, second, ended=[KILLED]).violations == []
    assert len(judged(first, second).violations) == 2


def test_request_begun_after_an_alert_that_the_canary_served_is_a_violation():
    judge = Judge([], Log())
    entry = judge.forbid({"canary-1"}, "alert: it had returned")
    for began in (entry.since - 1, entry.since + 0.001):
        judge.asked.append(asked(began=began, problem="", backend="canary-1"))
    judge.look(finally_=True)
    assert len(judge.violations) == 1


def test_request_that_reaches_a_drained_backend_is_a_violation():
    judge = Judge([], Log())
    entry = judge.forbid({"stable-1"}, "drained: it had returned")
    judge.arrived("stable-1", entry.since + 0.1, "GET", "on its way")
    assert judge.violations == []
    judge.arrived("stable-1", entry.since + 1.0, "GET", "late")
    entry.until = time.monotonic()
    judge.arrived("stable-1", entry.until + 1.0, "GET", "restored")
    assert len(judge.violations) == 1


def test_post_that_reached_two_backends_is_a_violation():
    judge = Judge([], Log())
    for name in ("stable-1", "stable-2"):
        judge.arrived(name, 1.0, "GET", "a")
        judge.arrived(name, 1.0, "PUT", "empty")
        judge.arrived(name, 1.0, "POST", "b")
    assert judge.violations == ["POST b was sent to stable-1 and to stable-2"]


def test_wrong_body_in_either_direction_is_a_problem():
    want = Want("POST", body=b"mine", size=3)
    good = {"x-id": want.id, "x-body": f"4 {'0' * 64}"}
    assert "got another body" in want.problem(Answer(200, good))
    get = Want("GET", size=3)
    told = {"x-id": get.id, "x-body": "0 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
    assert "another body than" in get.problem(Answer(200, told, size=2, checksum="x"))
