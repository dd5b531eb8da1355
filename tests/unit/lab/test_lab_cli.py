"""Every command has help, its exit code is what it says, and a user never sees a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import cli
from lab.errors import LabError

REPO = Path(__file__).resolve().parents[3]
COMMANDS = ["check", "up", "down", "push", "status", "ssh", "stop", "start", "restart", "logs", "exec"]


@pytest.fixture(autouse=True)
def nobodys_lab(monkeypatch, tmp_path):
    """Without settings of the computer's user; a lab that never was."""
    for name in list(os.environ):
        if name.startswith("SLUICE_LAB_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SLUICE_LAB_NAME", "never-was")
    monkeypatch.setattr(cli.files, "LOCKS", tmp_path / "locks")


@pytest.fixture
def status_does(monkeypatch):
    """Make `lab status` do something else."""
    def replace(do):
        monkeypatch.setitem(cli.COMMANDS, "status", do)
    return replace


def raising(error):
    def do(lab, args):
        raise error
    return do


def test_every_command_of_the_parser_is_there():
    assert sorted(cli.COMMANDS) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main([command, "--help"])
    assert caught.value.code == 0
    assert f"usage: lab {command}" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["fly"], ["exec"], ["logs"], ["logs", "lb-1", "-n", "x"], ["up", "x"]])
def test_wrong_words_end_with_usage_and_code_2(words, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
    assert "usage: lab" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words,message",
    [
        (["exec", "nope", "--", "true"], "no machine 'nope' in lab 'never-was'"),
        (["ssh", "nope"], "no machine 'nope'"),
        (["logs", "nope"], "no machine 'nope'"),
        (["start", "nope"], "no machine 'nope'"),
        (["exec", "lb-1"], "no command"),
        (["exec", "lb-1", "--"], "no command"),
        (["exec", "lb-1", "--", "true"], "lb-1 is not running in lab 'never-was'; run `lab up`"),
        (["logs", "lb-1"], "was never started"),
        (["--name", "", "down"], "lab name ''"),
        (["--name", "Bad", "up"], "lab name 'Bad'"),
        (["--bridge", "x" * 16, "up"], "at most 15"),
        (["--network", "8.8.8.0/24", "up"], "want a private network"),
    ],
)
def test_what_cannot_be_done_is_one_message_and_code_1(words, message, capsys):
    assert cli.main(words) == 1
    said = capsys.readouterr()
    assert said.err.startswith("lab: ")
    assert message in said.err
    assert said.out == ""


def test_status_is_1_while_machines_are_down_and_tells_them(capsys):
    assert cli.main(["status"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "lab 'never-was' on sluice0, 10.57.0.0/24"
    assert out[1].split() == ["master", "10.57.0.10", "stopped", "-"]


def test_status_as_json_has_a_row_per_machine(capsys):
    assert cli.main(["status", "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert rows[0] == {"id": "master", "address": "10.57.0.10", "state": "stopped", "pid": None}
    assert len(rows) == 9


def test_status_is_0_when_all_run(monkeypatch):
    row = {"id": "master", "address": "10.57.0.10", "state": "running", "pid": 7}
    monkeypatch.setattr(cli.fleet, "status", lambda lab: [row])
    assert cli.main(["status"]) == 0


@pytest.mark.parametrize(
    "error,code,message",
    [
        (LabError("what failed"), 1, "lab: what failed\n"),
        (PermissionError(13, "Permission denied", "/run/x"), 1,
         "lab: /run/x: Permission denied; the lab needs root: run it with sudo\n"),
        (OSError(28, "No space left on device", "/var/x"), 1,
         "No space left on device: '/var/x'; `lab up` goes on"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text"), 1, "no text; `lab up` goes on"),
        (KeyboardInterrupt(), 130, "lab: interrupted; `lab up` goes on from here"),
    ],
)
def test_error_is_told_without_a_traceback(status_does, error, code, message, capsys):
    status_does(raising(error))
    assert cli.main(["status"]) == code
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


@pytest.mark.parametrize("words", [["true"], ["--", "true"], ["--", "sh", "-c", "exit 3"], ["ls", "-la"]])
def test_exec_becomes_the_command_as_it_was_given(words, monkeypatch):
    seen = []
    monkeypatch.setattr(cli.machines, "enter", lambda lab, machine, argv: ["enter", machine, *argv])
    monkeypatch.setattr(cli.os, "execvpe", lambda file, argv, env: seen.append((argv, env)))
    cli.main(["exec", "lb-1", *words])
    assert seen[0][0] == ["enter", "lb-1", *[word for word in words if word != "--"]]
    assert "PATH" in seen[0][1]


def test_logs_hand_their_options_to_journalctl(monkeypatch):
    seen = []
    monkeypatch.setattr(cli.fleet, "log_words", lambda *args: seen.append(args[1:]) or ["x"])
    monkeypatch.setattr(cli.os, "execvpe", lambda *args: None)
    cli.main(["logs", "lb-1", "-u", "salt-minion", "-n", "5", "-f"])
    cli.main(["logs", "lb-1"])
    assert seen == [("lb-1", 5, ["--unit=salt-minion", "--follow"]), ("lb-1", 200, [])]


def test_up_applies_the_states_only_when_asked(monkeypatch):
    done = []
    monkeypatch.setattr(cli.fleet, "up", lambda lab: done.append("up"))
    monkeypatch.setattr(cli.fleet, "highstate", lambda lab: done.append("highstate"))
    assert cli.main(["up"]) == 0
    assert cli.main(["up", "--highstate"]) == 0
    assert done == ["up", "up", "highstate"]


def run_lab(*words, **options):
    """The command as a user without the project's Python environment runs it."""
    env = {"PATH": os.environ["PATH"], "SLUICE_LAB_NAME": "never-was", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(["/usr/bin/python3", "-I", "-c", "import sys; sys.path.insert(0, sys.argv.pop(1));"
                           "from lab.cli import main; raise SystemExit(main())", str(REPO), *words],
                          capture_output=True, text=True, env=env, timeout=60, check=False, **options)


def test_commands_need_nothing_but_debians_own_python():
    done = run_lab("status", "--json")
    assert done.returncode == 1
    assert len(json.loads(done.stdout)) == 9
    assert done.stderr == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes somebody else: needs root")
@pytest.mark.parametrize("command", ["up", "down", "check"])
def test_user_who_is_not_root_is_told_to_use_sudo(command, tmp_path):
    done = run_lab(command, user=65534, group=65534)
    assert done.returncode == 1
    assert "run it with sudo" in done.stderr
    assert "Traceback" not in done.stderr


def test_reader_that_has_seen_enough_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "lab", "status"]
    try:
        done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, cwd=REPO, timeout=60,
                              env={"PATH": os.environ["PATH"], "SLUICE_LAB_NAME": "never-was"}, check=False)
    finally:
        os.close(writer)
    assert done.returncode == 1
    assert done.stderr == ""
