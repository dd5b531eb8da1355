"""Files are put in place whole, links are never followed, and locks end with their process."""

import os
import signal
import stat
import subprocess
import sys
import threading

import pytest

from lab import files

HOLD = """
import sys, time
from pathlib import Path
from lab import files
with files.locked("x", Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_write_makes_the_directories_and_sets_the_mode(tmp_path):
    files.write(tmp_path / "a/b/c", "text", 0o400)
    assert (tmp_path / "a/b/c").read_text() == "text"
    assert stat.S_IMODE((tmp_path / "a/b/c").stat().st_mode) == 0o400


def test_mode_does_not_depend_on_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        files.write(tmp_path / "f", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o644


def test_write_replaces_a_symlink_and_leaves_its_target_alone(tmp_path):
    (tmp_path / "outside").write_text("safe")
    (tmp_path / "f").symlink_to(tmp_path / "outside")
    files.write(tmp_path / "f", "new")
    assert (tmp_path / "outside").read_text() == "safe"
    assert not (tmp_path / "f").is_symlink()
    assert (tmp_path / "f").read_text() == "new"


def test_write_does_not_follow_a_symlink_under_its_temporary_name(tmp_path):
    (tmp_path / "outside").write_text("safe")
    (tmp_path / ".f.new").symlink_to(tmp_path / "outside")
    files.write(tmp_path / "f", "new")
    assert (tmp_path / "outside").read_text() == "safe"
    assert (tmp_path / "f").read_text() == "new"


def test_write_goes_on_after_one_that_was_cut_off(tmp_path):
    (tmp_path / ".f.new").write_text("half")
    files.write(tmp_path / "f", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").read_text() == "whole"


def test_open_reader_keeps_the_old_file(tmp_path):
    files.write(tmp_path / "f", "old")
    with open(tmp_path / "f") as reader:
        files.write(tmp_path / "f", "new")
        assert reader.read() == "old"


def test_link_replaces_file_and_link(tmp_path):
    (tmp_path / "f").write_text("x")
    files.link(tmp_path / "f", "one")
    files.link(tmp_path / "f", "two")
    assert os.readlink(tmp_path / "f") == "two"


def test_private_directory_is_closed_again(tmp_path):
    (tmp_path / "d").mkdir(mode=0o755)
    files.make_private(tmp_path / "d")
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o700


def test_lock_that_is_free_is_taken(tmp_path):
    with files.locked_if_free("x", tmp_path / "new") as held:
        assert held


def test_lock_of_another_process_is_not_free(tmp_path, holder):
    with files.locked_if_free("x", tmp_path) as held:
        assert not held
    with files.locked_if_free("y", tmp_path) as held:
        assert held


def test_waiting_names_the_holder_and_ends_when_it_is_killed(tmp_path, holder, capsys):
    entered = threading.Event()

    def enter():
        with files.locked("x", tmp_path):
            entered.set()

    thread = threading.Thread(target=enter)
    thread.start()
    assert not entered.wait(0.1)
    holder.send_signal(signal.SIGKILL)
    thread.join(10)
    assert entered.is_set()
    assert f"waiting for another lab command (pid {holder.pid})" in capsys.readouterr().err


def test_lock_is_released_after_an_error(tmp_path):
    with pytest.raises(KeyError), files.locked("x", tmp_path):
        raise KeyError
    with files.locked_if_free("x", tmp_path) as held:
        assert held
