"""Failed attempts of a worker: what is counted, what is told to the supervisor, and what the monitor sees."""

import asyncio

import pytest

from balancer.counters import Counters
from balancer.monitor import counted
from balancer.outcomes import CONNECT, CUT_SHORT, NO_ANSWER, TELL_SECONDS, Outcomes
from balancer.routes import Backend, Route
from balancer.workers import add_counters


class Worker:
    """The outcomes of one worker, and the messages that it sent."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.metrics, self.messages = Counters(), []
        self.outcomes = Outcomes(self.loop, self.metrics)
        self.outcomes.attach(self.messages.append)
        self.route = Route("shop", lambda: 0.0)
        self.backend = Backend("canary-1", "canary", "10.0.0.1", 80)

    def fail(self, reason=CONNECT, said="no connection", goes_on=False):
        self.outcomes.failed(self.route, self.backend, reason, said, goes_on)

    def end(self, status=200):
        self.outcomes.ended(self.route, self.backend, status)

    def told(self):
        """What was told in one message each since the last call."""
        self.loop.run_until_complete(asyncio.sleep(3 * TELL_SECONDS))
        messages, self.messages[:] = [one["backends"] for one in self.messages], []
        return messages


@pytest.fixture
def worker():
    made = Worker()
    yield made
    made.loop.close()


def test_failures_in_a_row_are_told_in_one_message_with_the_last_reason(worker):
    for said in ("one", "two", "three"):
        worker.fail(said=said)
    assert worker.told() == [[["shop", "canary", "canary-1", 3, "three"]]]
    worker.fail(said="four")
    assert worker.told() == [[["shop", "canary", "canary-1", 4, "four"]]]


def test_the_first_good_answer_after_them_is_news_and_the_next_is_not(worker):
    worker.fail()
    worker.end()
    assert worker.told() == [[["shop", "canary", "canary-1", 0, ""]]]
    worker.end()
    worker.end(500)
    assert worker.told() == []


def test_a_backend_on_probation_is_watched_though_this_worker_saw_it_fail_never(worker):
    worker.backend.watched = True
    worker.end()
    assert worker.told() == [[["shop", "canary", "canary-1", 0, ""]]]


@pytest.mark.parametrize(
    ("status", "fails"), [(502, True), (503, True), (504, True), (500, False), (501, False)]
)
def test_what_a_gateway_says_counts_only_if_told_so(worker, status, fails):
    worker.end(status)
    assert worker.told() == []
    worker.route.gateway_errors = True
    worker.end(status)
    assert worker.told() == ([[["shop", "canary", "canary-1", 1, f"status {status}"]]] if fails else [])


def test_without_a_supervisor_nothing_is_told_and_all_is_counted(worker):
    lonely = Outcomes(worker.loop, worker.metrics)
    lonely.failed(worker.route, worker.backend, CONNECT, "no connection")
    assert worker.told() == []
    assert worker.metrics.dump()["failures"] == {"shop canary canary-1 connect": 1}


def test_the_monitor_sees_a_request_that_went_on_as_the_canarys_failure(worker):
    worker.metrics.finished("shop", "canary", "canary-1", 200, 0.1)
    worker.fail(NO_ANSWER, goes_on=True)
    worker.metrics.finished("shop", "stable", "stable-1", 200, 0.1)
    # This one was answered with 502, and is counted by that.
    worker.fail(NO_ANSWER)
    worker.metrics.finished("shop", "canary", "canary-1", 502, 0.1)
    found = counted(add_counters({}, worker.metrics.dump()), "shop")
    assert (found["canary"].requests, found["canary"].failed) == (3, 2)
    assert (found["stable"].requests, found["stable"].failed) == (1, 0)
    # A failure that took no time makes no answer look faster.
    assert found["canary"].mean_ms == pytest.approx(100)


def test_the_monitor_sees_an_answer_that_broke_off_as_a_failure_once(worker):
    worker.fail(CUT_SHORT)
    worker.metrics.finished("shop", "canary", "canary-1", 200, 0.1)
    canary = counted(worker.metrics.dump(), "shop")["canary"]
    assert (canary.requests, canary.failed) == (1, 1)


def test_a_good_answer_is_told_though_a_failure_follows_it_at_once(worker):
    worker.fail(said="before")
    worker.told()
    worker.end()
    worker.fail(said="after")
    good, bad = ["shop", "canary", "canary-1", 0, ""], ["shop", "canary", "canary-1", 1, "after"]
    assert worker.told() == [[good], [bad]]
