"""A process is known by pid and start time, and only that very process is ever signalled."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab import pids
from lab.errors import LabError
from lab.pids import Process
from lab.process import wait_until


@pytest.fixture
def child():
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def test_process_is_alive_until_it_ends(child):
    one = pids.process(child.pid)
    assert pids.alive(one)
    child.kill()
    child.wait()
    assert not pids.alive(one)
    assert pids.process(child.pid) is None


def test_zombie_counts_as_ended(child):
    one = pids.process(child.pid)
    os.kill(child.pid, signal.SIGKILL)
    wait_until(lambda: pids.stat_fields(child.pid)[0] == "Z", "a zombie", 10, pause=0.01)
    assert not pids.alive(one)


def test_name_with_spaces_and_brackets_does_not_confuse(tmp_path, child):
    odd = tmp_path / "a) R (b"
    odd.symlink_to("/bin/sleep")
    process = subprocess.Popen([str(odd), "60"])
    try:
        ticks, boot = pids.process(process.pid).started.split("@")
        earlier, same_boot = pids.process(child.pid).started.split("@")
        assert int(ticks) >= int(earlier)
        assert boot == same_boot
    finally:
        process.kill()
        process.wait()


def test_signal_reaches_that_very_process(child):
    pids.send(pids.process(child.pid), signal.SIGTERM)
    assert child.wait(10) == -signal.SIGTERM


def test_process_that_reused_a_pid_is_never_signalled(child):
    now = pids.process(child.pid)
    earlier = Process(child.pid, "1@" + now.started.split("@")[1])
    pids.send(earlier, signal.SIGKILL)
    before_reboot = Process(child.pid, now.started.split("@")[0] + "@another-boot")
    pids.send(before_reboot, signal.SIGKILL)
    pids.send(now, signal.SIGTERM)
    assert child.wait(10) == -signal.SIGTERM


def test_signal_to_a_process_that_is_gone_is_nothing(child):
    one = pids.process(child.pid)
    child.kill()
    child.wait()
    pids.send(one, signal.SIGKILL)


def test_process_survives_being_written_down(child):
    one = pids.process(child.pid)
    assert pids.parse(f"{one}\n") == one


@pytest.mark.parametrize("text", ["", "\n", "12", "x 5@b", "-1 5@b", " "])
def test_anything_else_that_was_written_down_is_none(text):
    assert pids.parse(text) is None


def test_end_goes_on_until_nothing_is_found():
    running = [subprocess.Popen(["sleep", "60"]) for _ in range(3)]
    late = list(running)

    def find():
        # One more comes to light at every look, as from a process that went on starting others.
        if late:
            late.pop()
        return [one for one in map(pids.process, (p.pid for p in running[len(late):])) if one]

    try:
        pids.end(find, "sleepers", 10)
        assert [p.wait(10) for p in running] == [-signal.SIGKILL] * 3
    finally:
        for process in running:
            process.kill()
            process.wait()


def test_end_that_fails_names_what_is_left(child):
    never = Process(child.pid, "1@boot")
    with pytest.raises(LabError, match="the end of the unkillable: not so"):
        pids.end(lambda: [never], "the unkillable", 0.05)


def test_command_line_is_read_and_is_empty_for_nobody(child):
    # The kernel shows it a moment after the program has started.
    wait_until(lambda: pids.command(child.pid)[:2] == ["sleep", "60"], "its words", 10, pause=0.01)
    child.kill()
    child.wait()
    assert pids.command(child.pid) == []


def test_own_process_is_among_everyone_and_is_no_init_of_a_machine():
    assert os.getpid() in set(pids.everyone())
    assert not pids.is_init(os.getpid())
    assert not pids.is_init(1)


def test_root_options_of_nobody_are_empty(child):
    child.kill()
    child.wait()
    assert pids.root_options(child.pid) == ""
    assert not pids.is_init(child.pid)


def test_root_options_are_those_of_the_last_root_mount():
    lines = Path(f"/proc/{os.getpid()}/mountinfo").read_text().splitlines()
    roots = [line.split()[-1] for line in lines if line.split()[4] == "/"]
    assert pids.root_options(os.getpid()) == (roots[-1] if roots else "")


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a pid namespace: needs root")
def test_first_process_of_a_namespace_is_an_init():
    words = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c",
             "import os, time; print(os.getpid(), flush=True); time.sleep(60)"]
    outer = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert outer.stdout.readline() == "1\n"
        inner = int(Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text())
        assert pids.is_init(inner)
        assert not pids.is_init(outer.pid)
    finally:
        outer.kill()
        outer.wait()
        outer.stdout.close()
