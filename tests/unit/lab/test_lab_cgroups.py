"""Groups in a tree on paper: the same files as the kernel's, without its magic."""

import os
import subprocess

import pytest

from lab import cgroups


@pytest.fixture
def hybrid(tmp_path):
    """As under systemd's hybrid mode: named hierarchy and unified one side by side."""
    for tree in ("systemd", "unified"):
        (tmp_path / tree).mkdir()
        (tmp_path / tree / "cgroup.procs").touch()
    return tmp_path


@pytest.fixture
def unified(tmp_path):
    (tmp_path / "cgroup.controllers").touch()
    return tmp_path


def test_hybrid_has_two_hierarchies(hybrid):
    assert cgroups.hierarchies(hybrid) == [hybrid / "systemd", hybrid / "unified"]


def test_v2_has_one(unified):
    assert cgroups.hierarchies(unified) == [unified]


def test_empty_directory_has_none(tmp_path):
    assert cgroups.hierarchies(tmp_path) == []


def test_joined_command_enters_the_group_in_every_hierarchy_and_keeps_its_words(hybrid):
    words = cgroups.joined("g/m", ["sh", "-c", 'echo "$$ $1"', "x", "two  words; $HOME"], hybrid)
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    pid = done.stdout.split()[0]
    assert done.stdout == f"{pid} two  words; $HOME\n"
    for tree in ("systemd", "unified"):
        assert (hybrid / tree / "g/m/cgroup.procs").read_text() == f"{pid}\n"


def test_command_does_not_run_outside_its_group(unified):
    words = cgroups.joined("g", ["echo", "ran"], unified)
    (unified / "g/cgroup.procs").mkdir()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""


def test_pids_are_those_of_the_group_and_below_it(hybrid):
    for place, pids in (("systemd/g", "1\n2\n"), ("systemd/g/a/b", "3\n"), ("unified/g", "2\n4\n"),
                        ("systemd/other", "9\n")):
        (hybrid / place).mkdir(parents=True)
        (hybrid / place / "cgroup.procs").write_text(pids)
    assert cgroups.pids("g", hybrid) == {1, 2, 3, 4}
    assert cgroups.pids("nobody", hybrid) == set()


def test_remove_takes_the_groups_below_too_and_leaves_what_is_busy(hybrid):
    (hybrid / "systemd/g/a/b").mkdir(parents=True)
    (hybrid / "unified/g/a").mkdir(parents=True)
    (hybrid / "unified/g/a/busy").touch()
    cgroups.remove("g", hybrid)
    assert not (hybrid / "systemd/g").exists()
    assert (hybrid / "unified/g/a").exists()
    assert cgroups.exists("g", hybrid)
    os.unlink(hybrid / "unified/g/a/busy")
    cgroups.remove("g", hybrid)
    assert not cgroups.exists("g", hybrid)
