"""Real processes: what they use, and their end."""

import os
import signal
import subprocess
import sys

import pytest

from bench.balancer.errors import BenchError
from bench.balancer.processes import alive, answers, family, free_ports, start, usage, wait_until_ready
from lab.process import wait_until

# A parent with a child that does not hear SIGTERM; both say when they are there.
STUBBORN = """
import os, signal, time
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open("child", "w").close()
    time.sleep(60)
time.sleep(60)
"""
SERVER = """
import http.server
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response({status})
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", {port}), Answer).serve_forever()
"""


@pytest.fixture
def run(tmp_path):
    """Starts Python programs and stops those that a test left."""
    started = []

    def begin(code):
        cores = sorted(os.sched_getaffinity(0))
        program = start("it", [sys.executable, "-c", code], cores[:1], tmp_path / "said", cwd=tmp_path)
        started.append(program)
        return program

    yield begin
    for program in started:
        program.stop()


def test_the_whole_family_ends_even_a_child_that_does_not_listen(run, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.balancer.processes.STOP_SECONDS", 0.3)
    program = run(STUBBORN)
    wait_until((tmp_path / "child").exists, "the child", 10, pause=0.01)
    everyone = program.look()
    assert len(everyone) == 2
    program.stop()
    assert alive(everyone) == []


def test_a_process_that_is_gone_is_an_error_and_not_a_cheap_request(run, tmp_path):
    program = run(STUBBORN)
    wait_until((tmp_path / "child").exists, "the child", 10, pause=0.01)
    child = max(program.look(), key=lambda pid: pid != program.process.pid)
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: child not in family(program.process.pid), "its end", 10, pause=0.01)
    with pytest.raises(BenchError, match=rf"it: process \[{child}\] ended"):
        program.cpu_seconds()


def test_cpu_time_grows_with_work_and_memory_with_what_is_held():
    busy = "x = bytearray(50_000_000)\nprint(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            before = usage(process.pid)[0]
            wait_until(lambda: usage(process.pid)[0] >= before + 0.05, "CPU time", 20, pause=0.01)
            assert usage(process.pid)[1] > 50_000_000
        finally:
            process.kill()


def test_a_program_runs_on_the_cores_it_was_given(run):
    program = run("import time; time.sleep(60)")
    assert os.sched_getaffinity(program.process.pid) == {min(os.sched_getaffinity(0))}


def test_a_program_that_answers_is_ready(run):
    port = free_ports(1)[0]
    program = run(SERVER.format(port=port, status=200))
    wait_until_ready(program, port, "/")
    assert list(program.pids) == [program.process.pid]


def test_an_answer_other_than_200_is_none(run):
    port = free_ports(1)[0]
    program = run(SERVER.format(port=port, status=503))
    wait_until(lambda: b"GET" in program.said.read_bytes() or answers(port, "/"), "an answer", 10, pause=0.05)
    assert not answers(port, "/")


def test_a_program_that_ends_at_once_is_quoted(run):
    program = run("raise SystemExit('the file is bad')")
    with pytest.raises(BenchError, match="ended at its start; it said:\nthe file is bad"):
        wait_until_ready(program, free_ports(1)[0], "/")


def test_free_ports_differ():
    assert len(set(free_ports(20))) == 20


def test_an_ended_process_is_not_alive():
    process = subprocess.Popen([sys.executable, "-c", ""])
    pids = family(process.pid)
    process.wait(10)
    assert alive(pids) == []
