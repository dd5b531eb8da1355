"""Commands that fail say why; waits have an end; steps tell that they are still at work."""

import os
import time

import pytest

from lab import process
from lab.errors import LabError


def test_run_returns_what_was_printed():
    assert process.run(["sh", "-c", "echo out; echo err >&2"]) == "out\n"


def test_run_hands_over_input_and_adds_to_the_environment():
    said = process.run(["sh", "-c", 'cat; echo "$EXTRA $PATH"'], input="in ", env={"EXTRA": "x"})
    assert said == f"in x {os.environ['PATH']}\n"


def test_failed_command_tells_its_code_and_its_last_lines():
    with pytest.raises(LabError, match="exit code 3") as caught:
        process.run(["sh", "-c", "seq 100; echo why >&2; exit 3"])
    lines = str(caught.value).splitlines()
    assert lines[-1] == "    why"
    assert len(lines) == 16


def test_failed_command_is_called_by_its_title():
    with pytest.raises(LabError, match="^the build: exit code 1"):
        process.run(["false"], title="the build")
    with pytest.raises(LabError, match="^the build: no end after 0 s"):
        process.run(["sleep", "60"], title="the build", timeout=0.1)


def test_missing_command_says_what_to_do():
    with pytest.raises(LabError, match="no-such-tool: not installed; run `sudo make deps`"):
        process.run(["no-such-tool"])


def test_command_that_does_not_end_is_given_up():
    with pytest.raises(LabError, match="sleep 60: no end after 0 s"):
        process.run(["sleep", "60"], timeout=0.1)


def test_output_that_is_no_text_is_no_error():
    assert process.run(["printf", r"\377"]) == "\ufffd"


def test_tail_indents_the_last_lines():
    assert process.tail("a\nb\nc\n", 2) == "    b\n    c"
    assert process.tail("") == ""


def test_wait_ends_when_it_is_so():
    answers = iter([False, False, True])
    process.wait_until(lambda: next(answers), "third time", 10, pause=0.001)
    assert list(answers) == []


def test_wait_that_is_in_vain_names_what_it_waited_for():
    with pytest.raises(LabError, match="the moon: not so after 0 s"):
        process.wait_until(lambda: False, "the moon", 0.02, pause=0.001)


def test_error_while_waiting_ends_the_wait():
    def ready():
        raise LabError("broken")

    with pytest.raises(LabError, match="broken"):
        process.wait_until(ready, "anything", 60)


def test_step_says_beginning_and_end(capsys):
    with process.step("work"):
        pass
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "-> work ..."
    assert said[1].startswith("   work: done in 0.")


def test_failed_step_says_so_and_keeps_the_error(capsys):
    with pytest.raises(LabError, match="broken"), process.step("work"):
        raise LabError("broken")
    assert "work: failed after" in capsys.readouterr().err


def test_long_step_shows_that_it_is_at_work(capsys, monkeypatch):
    monkeypatch.setattr(process, "HEARTBEAT_SECONDS", 0.01)
    said = ""
    deadline = time.monotonic() + 10
    with process.step("work"):
        while "work: still at it after" not in said and time.monotonic() < deadline:
            said += capsys.readouterr().err
            time.sleep(0.005)
    assert "work: still at it after" in said
