"""The master's checkout becomes equal to the tree: files, links, modes, and nothing else."""

import os
import subprocess

import pytest

from lab import checkout, disks
from lab.errors import LabError


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    for name, text in {"a.sls": "a", "salt/b.sls": "b", "_modules/m.py": "m", ".gitignore": "*.log\n",
                       "x.log": "no", "pillar/lab/addresses.sls": "the tree's own"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "salt/_modules").symlink_to("../_modules")
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o755)
    subprocess.run(["git", "init", "-q", folder], check=True)
    subprocess.run(["git", "-C", folder, "add", "a.sls", "salt"], check=True)
    return folder


@pytest.fixture
def master(lab):
    """The master's root directory."""
    root = disks.root(lab, "master")
    (root / "srv").mkdir(parents=True)
    return root


def test_tree_is_what_git_tracks_or_would_track(source):
    (source / "salt/b.sls").unlink()
    assert checkout.tree(source) == [
        ".gitignore", "_modules/m.py", "a.sls", "pillar/lab/addresses.sls", "run", "salt/_modules",
    ]


def test_directory_that_is_no_checkout_is_told(tmp_path):
    with pytest.raises(LabError, match="not a git checkout"):
        checkout.tree(tmp_path)


def test_push_makes_the_master_equal_to_the_tree(lab, source, master):
    assert checkout.push(lab, source) == 7
    place = master / "srv/sluice"
    assert (place / "salt/b.sls").read_text() == "b"
    assert os.readlink(place / "salt/_modules") == "../_modules"
    assert (place / "run").stat().st_mode & 0o777 == 0o755
    assert (place / "a.sls").stat().st_mode & 0o777 == 0o644
    assert not (place / "x.log").exists()
    assert not (place / ".git").exists()


def test_second_push_changes_nothing(lab, source, master):
    checkout.push(lab, source)
    before = (master / "srv/sluice/a.sls").stat().st_ino
    assert checkout.push(lab, source) == 0
    assert (master / "srv/sluice/a.sls").stat().st_ino == before


def test_addresses_are_the_labs_and_not_the_trees(lab, source, master):
    checkout.push(lab, source)
    text = (master / "srv/sluice" / checkout.ADDRESSES).read_text()
    assert '"network": "10.99.0.0/24"' in text
    assert '"master": "10.99.0.10"' in text
    assert "own" not in text.splitlines()[-1]


def test_edit_on_the_master_is_undone_and_counted(lab, source, master):
    checkout.push(lab, source)
    (master / "srv/sluice/a.sls").write_text("edited")
    (master / "srv/sluice/run").chmod(0o644)
    (master / "srv/sluice/stray").write_text("x")
    assert checkout.push(lab, source) == 3
    assert (master / "srv/sluice/a.sls").read_text() == "a"
    assert (master / "srv/sluice/run").stat().st_mode & 0o100
    assert not (master / "srv/sluice/stray").exists()


def test_file_that_left_the_tree_goes_with_its_empty_directories(lab, source, master):
    (source / "deep/er").mkdir(parents=True)
    (source / "deep/er/f").write_text("x")
    checkout.push(lab, source)
    (source / "deep/er/f").unlink()
    assert checkout.push(lab, source) == 1
    assert not (master / "srv/sluice/deep").exists()


def test_byte_code_goes_uncounted(lab, source, master):
    checkout.push(lab, source)
    cache = master / "srv/sluice/_modules/__pycache__"
    cache.mkdir()
    (cache / "m.pyc").write_text("x")
    assert checkout.push(lab, source) == 0
    assert not cache.exists()


def test_link_is_changed_where_it_points_and_its_target_is_left_alone(lab, source, master):
    checkout.push(lab, source)
    (source / "salt/_modules").unlink()
    (source / "salt/_modules").symlink_to("../other")
    assert checkout.push(lab, source) == 1
    assert os.readlink(master / "srv/sluice/salt/_modules") == "../other"


def test_file_becomes_directory_and_directory_becomes_file(lab, source, master):
    (source / "one").write_text("file")
    (source / "two").mkdir()
    (source / "two/f").write_text("x")
    checkout.push(lab, source)
    (source / "one").unlink()
    (source / "one").mkdir()
    (source / "one/f").write_text("x")
    (source / "two/f").unlink()
    (source / "two").rmdir()
    (source / "two").write_text("file")
    checkout.push(lab, source)
    assert (master / "srv/sluice/one/f").read_text() == "x"
    assert (master / "srv/sluice/two").read_text() == "file"


def test_link_to_an_equal_file_is_no_equal_file(lab, source, master, tmp_path):
    checkout.push(lab, source)
    (tmp_path / "twin").write_text("a")
    (tmp_path / "twin").chmod(0o644)
    (master / "srv/sluice/a.sls").unlink()
    (master / "srv/sluice/a.sls").symlink_to(tmp_path / "twin")
    assert checkout.push(lab, source) == 1
    assert not (master / "srv/sluice/a.sls").is_symlink()


def test_link_in_place_of_a_directory_never_leads_out_of_the_checkout(lab, source, master, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "b.sls").write_text("b")
    checkout.push(lab, source)
    salt = master / "srv/sluice/salt"
    (salt / "b.sls").unlink()
    (salt / "_modules").unlink()
    salt.rmdir()
    salt.symlink_to(outside)
    checkout.push(lab, source)
    assert not salt.is_symlink()
    assert (salt / "b.sls").read_text() == "b"
    assert [path.name for path in outside.iterdir()] == ["b.sls"]


def test_link_in_place_of_the_checkout_is_refused(lab, source, master, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/precious").write_text("x")
    (master / "srv/sluice").symlink_to(tmp_path / "outside")
    with pytest.raises(LabError, match="is a link to .*remove it on the master"):
        checkout.push(lab, source)
    assert (tmp_path / "outside/precious").exists()


def test_push_without_a_master_says_what_to_run(lab, source):
    with pytest.raises(LabError, match="no master in lab 'paper'.*lab up"):
        checkout.push(lab, source)


def test_file_that_goes_while_it_is_copied_is_no_change(tmp_path):
    assert not checkout.copy(tmp_path / "gone", tmp_path / "target")
    assert not (tmp_path / "target").exists()
