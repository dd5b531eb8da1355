"""A change under a folder is seen once, when it has settled, whatever the files are like."""

import importlib.util
import os
from pathlib import Path

import pytest
import sluice_tree

REPO = Path(__file__).resolve().parents[3]


def load_engine():
    spec = importlib.util.spec_from_file_location("pillar_watch", REPO / "_engines/pillar_watch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "pillar"
    (folder / "lab").mkdir(parents=True)
    (folder / "lab/traffic.sls").write_text("traffic: {}")
    return folder


@pytest.fixture
def watch(root, tmp_path):
    found = load_engine().Watch(str(root), tmp_path / "memory")
    assert [found.look() for _ in range(3)] == [False] * 3  # the first start ever tells nothing
    return found


def test_edit_is_told_once_after_it_settled(watch, root):
    (root / "lab/traffic.sls").write_text("traffic: {a: 1}")
    assert [watch.look() for _ in range(4)] == [False, True, False, False]


def test_file_that_is_still_being_written_is_not_told(watch, root):
    told = []
    for size in range(4):
        (root / "lab/traffic.sls").write_text("x" * size)
        told.append(watch.look())
    assert told == [False] * 4
    assert watch.look() is True


def test_saving_the_same_content_again_is_no_change(watch, root):
    (root / "lab/traffic.sls").write_text("traffic: {}")
    os.utime(root / "lab/traffic.sls", (1, 1))
    assert [watch.look() for _ in range(3)] == [False] * 3


def test_edit_made_while_the_master_was_down_is_told_at_the_start(watch, root):
    (root / "lab/traffic.sls").write_text("traffic: {a: 1}")
    restarted = load_engine().Watch(str(root), watch.memory)
    assert [restarted.look() for _ in range(3)] == [False, True, False]


def test_editors_files_are_not_looked_at(root):
    before = sluice_tree.fingerprint(str(root))
    for name in (".traffic.sls.swp", "traffic.sls~", "#traffic.sls#", "x.tmp"):
        (root / "lab" / name).write_text("x")
    assert sluice_tree.fingerprint(str(root)) == before


def test_files_that_cannot_be_read_are_no_error(root):
    (root / "loop").symlink_to("loop")
    (root / "broken").symlink_to("/nowhere")
    os.mkfifo(root / "pipe")
    sluice_tree.fingerprint(str(root))


def test_moving_content_to_another_file_is_a_change(root):
    before = sluice_tree.fingerprint(str(root))
    (root / "lab/traffic.sls").rename(root / "lab/trafic.sls")
    assert sluice_tree.fingerprint(str(root)) != before


def test_folder_that_is_gone_for_a_while_is_no_change(watch, root):
    root.rename(root.with_name("away"))
    assert [watch.look() for _ in range(3)] == [False] * 3
    root.with_name("away").rename(root)
    assert [watch.look() for _ in range(3)] == [False] * 3
