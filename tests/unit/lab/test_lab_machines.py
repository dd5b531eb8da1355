"""A machine's processes are recognised by proof, and commands for machines that do not run end in words."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab import disks, files, fleet, machines, pids
from lab.errors import LabError
from lab.process import wait_until

REPO = Path(__file__).resolve().parents[3]


@pytest.fixture
def sleeper():
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def record(lab, text):
    files.write(disks.home(lab, "lb-1") / "pid", text)


def test_recorded_init_is_trusted_while_it_is_that_very_process(lab, sleeper):
    record(lab, f"{pids.process(sleeper.pid)}\n")
    assert machines.leader(lab, "lb-1") == sleeper.pid


@pytest.mark.parametrize("started", ["1@boot", "", "x y z"])
def test_record_of_another_process_with_that_pid_is_not_trusted(lab, sleeper, started):
    record(lab, f"{sleeper.pid} {started}\n")
    assert machines.leader(lab, "lb-1") is None


def test_machine_that_never_was_has_no_processes(lab):
    assert machines.leader(lab, "lb-1") is None
    assert machines.remains(lab, "lb-1") == []


def test_nspawn_of_this_machine_is_known_by_its_root_directory(lab, tmp_path):
    (tmp_path / "systemd-nspawn").symlink_to("/bin/sh")
    words = [str(tmp_path / "systemd-nspawn"), "-c", "sleep 60 & wait", "-D", str(disks.root(lab, "lb-1"))]
    process = subprocess.Popen(words, process_group=0)
    try:
        wait_until(lambda: machines.is_nspawn(lab, "lb-1", process.pid), "its words", 10, pause=0.01)
        assert not machines.is_nspawn(lab, "lb-2", process.pid)
        assert [one.pid for one in machines.remains(lab, "lb-1")] == [process.pid]
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def test_other_program_that_names_the_root_directory_is_not_the_machine(lab):
    process = subprocess.Popen(["sh", "-c", "sleep 60 & wait", "-D", str(disks.root(lab, "lb-1"))],
                               process_group=0)
    try:
        wait_until(lambda: pids.command(process.pid)[:1] == ["sh"], "its words", 10, pause=0.01)
        assert not machines.is_nspawn(lab, "lb-1", process.pid)
    finally:
        os.killpg(process.pid, 9)
        process.wait()


@pytest.mark.parametrize(
    "command", [machines.start, machines.stop, machines.restart,
                lambda lab, machine: machines.exec_in(lab, machine, ["true"]),
                lambda lab, machine: fleet.log_words(lab, machine, 5, [])],
)
def test_unknown_machine_is_told_with_the_known_ones(lab, command):
    with pytest.raises(LabError, match="no machine '../evil' in lab 'paper'; it has master"):
        command(lab, "../evil")


def test_command_on_a_machine_that_is_down_says_what_to_run(lab):
    with pytest.raises(LabError, match="lb-1 is not running in lab 'paper'; run `lab up`"):
        machines.exec_in(lab, "lb-1", ["true"])


def test_command_gets_the_machines_environment_and_not_this_ones(lab, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THIS_COMPUTER", "x")
    monkeypatch.setenv("TERM", "vt100")
    etc = disks.root(lab, "lb-1") / "etc/environment"
    files.write(etc, 'https_proxy="http://p:1"\nPIP_INDEX_URL="https://x/?a=b"\n')
    found = machines.environment(lab, "lb-1")
    assert found["https_proxy"] == "http://p:1"
    assert found["PIP_INDEX_URL"] == "https://x/?a=b"
    assert found["TERM"] == "vt100"
    assert "SECRET_OF_THIS_COMPUTER" not in found


def test_log_of_a_machine_that_is_down_comes_from_its_disk(lab, monkeypatch):
    monkeypatch.setattr(fleet.shutil, "which", lambda tool: tool)
    journal = disks.home(lab, "lb-1") / "upper/var/log/journal"
    journal.mkdir(parents=True)
    assert fleet.log_words(lab, "lb-1", 5, ["--unit=x"]) == [
        "journalctl", "--no-pager", "-n", "5", "--unit=x", "--directory", str(journal),
    ]


def test_log_of_a_machine_that_never_booted_is_its_console(lab):
    files.write(machines.console(lab, "lb-1"), "panic\n")
    assert fleet.log_words(lab, "lb-1", 5, ["--unit=x"]) == [
        "tail", "-n", "5", str(machines.console(lab, "lb-1")),
    ]


def test_log_of_a_machine_that_was_never_started_says_what_to_run(lab):
    with pytest.raises(LabError, match="lb-1 of lab 'paper' was never started; run `lab up`"):
        fleet.log_words(lab, "lb-1", 5, [])


def test_each_tells_every_error_at_once():
    done = []

    def do(machine_id):
        done.append(machine_id)
        if machine_id != "b":
            raise LabError(f"{machine_id} is broken")

    with pytest.raises(LabError) as caught:
        fleet.each(["a", "b", "c"], do)
    assert sorted(str(caught.value).splitlines()) == ["a is broken", "c is broken"]
    assert sorted(done) == ["a", "b", "c"]


def test_each_lets_an_unforeseen_error_through():
    def do(machine_id):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fleet.each(["a"], do)


def test_each_of_nothing_is_fine():
    fleet.each([], lambda machine_id: None)


def test_interrupted_each_does_not_wait_for_its_work():
    script = ("import time; from lab import fleet;"
              "fleet.each(['a'], lambda one: (print('at work', flush=True), time.sleep(600)))")
    process = subprocess.Popen([sys.executable, "-c", script], cwd=REPO, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout.readline() == "at work\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == -signal.SIGINT
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_failure_of_one_part_of_down_is_told_and_not_raised(lab):
    def part(lab):
        raise OSError(28, "No space left on device")

    assert fleet.failure(part, lab) == "[Errno 28] No space left on device"
    assert fleet.failure(lambda lab: None, lab) is None


def test_lab_that_never_was_has_no_leftovers(lab):
    assert fleet.leftovers(lab) == []


def test_leftover_directory_is_told(lab):
    lab.state.mkdir(parents=True)
    assert fleet.leftovers(lab) == [f"directory {lab.state}"]


def test_status_of_a_lab_that_never_was_is_all_stopped(lab):
    rows = fleet.status(lab)
    assert [row["id"] for row in rows] == [machine.id for machine in lab.machines]
    assert {row["state"] for row in rows} == {"stopped"}


def test_machines_that_left_the_fleet_file_are_still_removed(lab):
    (lab.state / "machines/old-1/upper").mkdir(parents=True)
    assert "old-1" in fleet.made_ids(lab)
    assert set(fleet.ids(lab)) < fleet.made_ids(lab)
