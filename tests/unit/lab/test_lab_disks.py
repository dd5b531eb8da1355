"""Mount points are found whatever their names, and nothing beside a directory is taken for one below it."""

import pytest

from lab import disks
from lab.errors import LabError


def test_escaped_names_are_read():
    assert disks.unescape(r"/a\040b\011c\134d") == "/a b\tc\\d"


def test_directory_without_mounts_has_none(tmp_path):
    assert disks.mount_points(tmp_path) == []


def test_mounts_are_told_deepest_first_and_neighbours_are_not(tmp_path, monkeypatch):
    here = tmp_path / "lab"
    points = [here, here / "a/b/c", here / "a", tmp_path / "lab2", tmp_path]
    lines = "".join(f"1 2 0:3 / {point} rw - overlay overlay rw\n" for point in points)
    monkeypatch.setattr(disks.Path, "read_text", lambda self: lines)
    assert disks.mount_points(here) == [here / "a/b/c", here / "a", here]


def test_discard_of_nothing_is_fine(tmp_path):
    disks.discard(tmp_path / "absent")


def test_discard_takes_the_whole_directory(tmp_path):
    (tmp_path / "d/e").mkdir(parents=True)
    disks.discard(tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_disk_of_a_lab_that_was_never_made_says_what_to_run(lab):
    with pytest.raises(LabError, match="there is no lab 'paper' here; run `lab up`"):
        disks.mount(lab, "master")


def test_disk_whose_image_is_gone_says_what_to_run(lab):
    lab.state.mkdir(parents=True)
    (lab.state / "image").write_text(str(lab.cache / "image-gone"))
    with pytest.raises(LabError, match="image of lab 'paper' is gone; run `lab down`, then `lab up`"):
        disks.mount(lab, "master")


def test_no_two_machines_share_a_mount_option(lab):
    options = [disks.upper_option(lab, machine.id) for machine in lab.machines]
    assert len(set(options)) == len(options)
