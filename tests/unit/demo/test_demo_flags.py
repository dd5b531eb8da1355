"""What the demo of flags counts as wrong, what it says of its run, and its clock against a real server."""

import http.server
import json
import subprocess
import sys
import threading

import pytest

from lab.demo_flags import report
from lab.demo_flags.judge import LATE_SECONDS, Flip, kind, shown, wrong
from lab.load import PNG, Answer
from lab.process import wait_until
from tests.support.ports import free_port

# On from the beginning, off at 10 s, on at 20 s; each SET took 4 ms.
FLIPS = [Flip("1", 0.0, 0.0), Flip("0", 10.0, 10.004), Flip("1", 20.0, 20.004)]
LATE = 10.004 + LATE_SECONDS


@pytest.mark.parametrize(
    ("begun", "ended", "what", "is_wrong"),
    [
        (5.0, 5.1, "picture", False),
        (5.0, 5.1, "NULL", True),
        # Under way while the SET was: both are right.
        (9.9, 10.001, "NULL", False),
        (9.9, 10.001, "picture", False),
        (10.003, 10.004, "NULL", False),
        # Within the bound of the OK the old one may still come, however long the answer takes.
        (LATE - 0.001, 15.0, "picture", False),
        (LATE - 0.001, 15.0, "NULL", False),
        (LATE + 0.001, 15.0, "picture", True),
        (LATE + 0.001, 15.0, "NULL", False),
        # An answer that saw the whole of it.
        (9.0, 21.0, "NULL", False),
        (25.0, 25.1, "NULL", True),
        (25.0, 25.1, "", True),
    ],
)
def test_answer_is_wrong_if_it_was_begun_late_and_shows_what_was_before(begun, ended, what, is_wrong):
    answer = Answer(begun, ended, "v1", None, what)
    assert wrong([answer], FLIPS) == ([answer] if is_wrong else [])


def test_request_that_failed_is_no_wrong_answer():
    assert wrong([Answer(5.0, 5.1, "", "no answer", "")], FLIPS) == []


def test_picture_and_null_are_told_from_everything_else():
    assert [kind(PNG + b"x"), kind(b"NULL"), kind(b""), kind(b"NULL\n")] == ["picture", "NULL", "", ""]
    assert [shown("1"), shown("0"), shown("")] == ["picture", "NULL", "NULL"]


def test_percentiles_are_of_the_nearest_rank():
    told = report.percentiles([(float(n), n / 10) for n in range(1, 201)])
    assert told["from_start"] == {"p50": 100.0, "p99": 198.0, "max": 200.0}
    assert told["from_ok"]["p99"] == 19.8


TIMES = {"p50": 3.0, "p99": 9.0, "max": 12.0}
BOTH = {"from_start": TIMES, "from_ok": TIMES}
HOST = {
    "shown": {"NULL": 4, "picture": 5},
    "shows_last": "picture",
    "sources": {"redis-2": 9},
    "propagation_ms": BOTH,
}
GOOD = {
    "flips": 200,
    "wrong_answers": 0,
    "propagation_ms": TIMES,
    "replica_write_refused": True,
    "failover_ms": 4000,
    "reads_failed": 0,
    "lost_writes": 0,
    "reads": 9,
    "writes": 5,
    "hosts": {"checkbox-1": HOST},
    "phases": {"all is well": BOTH},
    "healed_ms": 300,
    "late_seconds": LATE_SECONDS,
    "setup_seconds": 60.0,
    "examples": [],
}


def test_run_that_kept_every_promise_has_no_problem():
    assert report.problems(GOOD) == []


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("wrong_answers", 1, "1 answers showed neither"),
        ("reads_failed", 2, "2 requests got no answer"),
        ("lost_writes", 3, "3 acknowledged writes are gone"),
        ("replica_write_refused", False, "a write on a replica was not refused"),
        ("flips", 199, "199 flips (want 200)"),
    ],
)
def test_promise_that_was_not_kept_is_told(key, value, said):
    assert any(said in problem for problem in report.problems(GOOD | {key: value}))


def test_table_shows_every_readers_picture():
    text = report.table(GOOD)
    assert "checkbox-1" in text
    assert "shows picture; NULL 4, picture 5; by redis-2 9" in text


class Application:
    """Shows the flag as a Redis-like server of one key has it, `late` answers after it was set."""

    def __init__(self, late):
        self.value, self.asked, self.late = "1", 0, late
        self.set_at = None

    def page(self):
        self.asked += 1
        is_new = self.set_at is not None and self.asked > self.set_at + self.late
        return shown(self.value if is_new else "1")


@pytest.fixture
def application():
    """A web server and a Redis that takes AUTH and SET, on loopback."""
    state = Application(late=3)

    class Page(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = b"NULL" if state.page() == "NULL" else PNG
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Flag-Source", "redis-2")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield state, server.server_port
    server.shutdown()
    server.server_close()


def test_prober_times_a_flip_until_every_host_shows_it(application, tmp_path):
    state, port = application
    redis_port = free_port()
    redis = subprocess.Popen(
        ["redis-server", "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--dir", tmp_path],
        stdout=subprocess.DEVNULL,
    )
    words = [sys.executable, "-m", "lab.demo_flags.prober"]
    prober = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(what):
        prober.stdin.write(json.dumps(what) + "\n")
        prober.stdin.flush()

    try:
        ask({"hosts": {"a": ["127.0.0.1", port]}, "username": "default", "password": ""})
        _until_redis_answers(redis_port)
        state.value, state.set_at = "0", 0
        ask({"server": ["127.0.0.1", redis_port], "name": "key1", "value": "0"})
        told = json.loads(prober.stdout.readline())
        assert told["error"] is None
        answers = told["hosts"]["a"]
        assert [what for _, _, what, _ in answers] == ["picture"] * 3 + ["NULL"]
        assert told["started"] <= told["acked"]
        assert all(begun < ended for begun, ended, *_ in answers)
        assert {source for *_, source in answers} == {"redis-2"}
        redis.kill()
        redis.wait(20)
        ask({"server": ["127.0.0.1", redis_port], "name": "key1", "value": "1"})
        assert "Error" in json.loads(prober.stdout.readline())["error"]
    finally:
        prober.kill()
        prober.communicate()
        redis.kill()
        redis.wait(20)


def _until_redis_answers(port):
    words = ["redis-cli", "-p", str(port), "ping"]
    wait_until(lambda: subprocess.run(words, capture_output=True).stdout == b"PONG\n", "redis", 20, 0.05)
