"""What the lab needs is asked for in one message that says what to run."""

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from lab import disks, precheck
from lab.errors import LabError

REPO = Path(__file__).resolve().parents[3]
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def all_well(monkeypatch):
    for part in ("root", "tools", "kernel"):
        monkeypatch.setattr(precheck, f"missing_{part}", list)
    for part in ("overlay", "nat", "disk"):
        monkeypatch.setattr(precheck, f"missing_{part}", lambda lab: [])


@pytest.fixture
def free(monkeypatch):
    def set_free(gigabytes):
        monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(0, 0, gigabytes * 1e9))
    return set_free


def test_nothing_missing_is_no_error(lab, all_well):
    precheck.check(lab)


def test_all_that_is_missing_is_told_at_once(lab, all_well, monkeypatch):
    monkeypatch.setattr(precheck, "missing_nat", lambda lab: ["no nat"])
    monkeypatch.setattr(precheck, "missing_disk", lambda lab: ["no disk"])
    with pytest.raises(LabError) as caught:
        precheck.check(lab)
    assert str(caught.value) == "the lab cannot run here:\n  * no nat\n  * no disk"


def test_without_root_the_kernel_is_not_asked(lab, all_well, monkeypatch):
    monkeypatch.setattr(precheck, "missing_root", lambda: ["it needs root: run it with sudo"])
    monkeypatch.setattr(precheck, "missing_nat", lambda lab: pytest.fail("asked"))
    with pytest.raises(LabError, match="needs root: run it with sudo"):
        precheck.check(lab)


def test_root_is_the_effective_user(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert precheck.missing_root() == ["it needs root: run it with sudo"]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert precheck.missing_root() == []


def test_missing_tools_are_told_as_packages_to_install(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda tool: None if tool in ("nft", "nsenter", "setsid") else tool)
    monkeypatch.setattr(precheck, "FILES", {})
    assert precheck.missing_tools() == [
        "missing Debian packages: run `apt-get install nftables util-linux` (or `make deps`)"
    ]


def test_missing_file_is_told_as_a_package(monkeypatch, tmp_path):
    monkeypatch.setattr(precheck, "TOOLS", {})
    monkeypatch.setattr(precheck, "FILES", {str(tmp_path / "absent"): "ca-certificates"})
    assert "apt-get install ca-certificates" in precheck.missing_tools()[0]


def test_make_deps_installs_what_the_check_asks_for():
    listed = (REPO / "lab/packages.txt").read_text().splitlines()
    essential = {"util-linux", "mount"}  # on every Debian
    assert {*precheck.TOOLS.values(), *precheck.FILES.values()} - essential <= set(listed)


def test_kernel_without_a_namespace_is_told(monkeypatch):
    monkeypatch.setattr(precheck, "NAMESPACES", ("pid", "nosuch"))
    assert "the kernel has no nosuch namespaces" in precheck.missing_kernel()


def test_kernel_without_control_groups_is_told(monkeypatch):
    monkeypatch.setattr(precheck.cgroups, "hierarchies", list)
    assert any("mount cgroup2" in problem for problem in precheck.missing_kernel())


def test_full_disk_is_told_with_what_is_needed(lab, free):
    free(7)
    assert precheck.missing_disk(lab)[0].endswith("7.0 GB free, the lab needs 8 GB")
    free(8)
    assert precheck.missing_disk(lab) == []


def test_cached_image_halves_the_need(lab, free):
    (lab.cache / "image-1").mkdir(parents=True)
    free(4)
    assert precheck.missing_disk(lab) == []
    free(3)
    assert "needs 4 GB" in precheck.missing_disk(lab)[0]


def test_machines_that_are_made_need_little_more(lab, free):
    (lab.state / "machines/master/upper").mkdir(parents=True)
    free(1)
    assert precheck.missing_disk(lab) == []
    free(0.4)
    assert "needs 0.5 GB" in precheck.missing_disk(lab)[0]


def test_leavings_of_a_check_that_was_cut_off_are_this_labs_only(lab):
    for name in (".precheck-paper.x/lower", ".precheck-paper2.x", "paper"):
        (lab.state_root / name).mkdir(parents=True)
    precheck.discard(lab)
    assert sorted(path.name for path in lab.state_root.iterdir()) == [".precheck-paper2.x", "paper"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts: needs root")
def test_trial_of_the_overlay_leaves_nothing(lab):
    try:
        precheck.missing_overlay(lab)
        assert disks.mount_points(lab.state_root) == []
        assert list(lab.state_root.iterdir()) == []
    finally:
        disks.discard(lab.state_root)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts: needs root")
def test_file_system_that_cannot_carry_an_overlay_is_told(lab, monkeypatch):
    monkeypatch.setattr(precheck, "trial", lambda lab: "a:b,c")  # what overlay options cannot say
    assert f"no overlay file system can be mounted in {lab.state_root}: " in precheck.missing_overlay(lab)[0]
    assert list(lab.state_root.iterdir()) == []
