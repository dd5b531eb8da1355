"""Layers are named after what they are made from, appear only when whole, and go when nobody needs them."""

import os

import pytest

from lab import images
from lab.errors import LabError


@pytest.mark.parametrize(
    "line,name",
    [
        ("salt==3008.3 \\", "salt==3008.3"),
        ("redis[hiredis]==5.2.0", "redis[hiredis]==5.2.0"),
        ("ruamel.yaml==0.18 ; python_version > '3'", "ruamel.yaml==0.18"),
        ("    --hash=sha256:00", None),
        ("    # via salt", None),
        ("# comment==1", None),
        ("-r other.lock", None),
        ("", None),
    ],
)
def test_lock_line_pins_a_package_or_nothing(line, name):
    assert images.pinned_name(line) == name


def test_every_lock_of_the_repository_pins_something():
    for lock in images.LOCKS:
        lines = (images.CHECKOUT / "requirements" / lock).read_text().splitlines()
        assert any(map(images.pinned_name, lines))


def test_place_follows_the_recipe_and_only_it(lab):
    one = images.place(lab, "base", ["a", "b"])
    assert one.parent == lab.cache
    assert one.name.startswith("base-")
    assert images.place(lab, "base", ["a", "b"]) == one
    assert images.place(lab, "base", ["b", "a"]) != one
    assert images.place(lab, "base", ["a", "b", "c"]) != one


def test_layer_is_made_once(lab):
    lab.cache.mkdir()
    built = []

    def build(target):
        built.append(target)
        target.mkdir()

    images.make(lab.cache / "base-1", build)
    images.make(lab.cache / "base-1", build)
    assert built == [lab.cache / "base-1.building"]
    assert [path.name for path in lab.cache.iterdir()] == ["base-1"]


def test_layer_whose_build_failed_is_not_there(lab):
    lab.cache.mkdir()

    def build(target):
        target.mkdir()
        raise LabError("no network")

    with pytest.raises(LabError, match="no network"):
        images.make(lab.cache / "base-1", build)
    assert not (lab.cache / "base-1").exists()


def test_used_layer_counts_as_recent(lab):
    (lab.cache / "base-1").mkdir(parents=True)
    os.utime(lab.cache / "base-1", (1, 1))
    images.make(lab.cache / "base-1", lambda target: None)
    assert (lab.cache / "base-1").stat().st_mtime > 1


def test_leavings_of_an_interrupted_build_are_removed(lab, monkeypatch):
    monkeypatch.setattr(images, "GROUP", "sluice-lab-build-unit-test")
    (lab.cache / "image-1.building/etc").mkdir(parents=True)
    (lab.cache / "image-1").mkdir()
    images.end_interrupted_build(lab)
    assert [path.name for path in lab.cache.iterdir()] == ["image-1"]


def age(lab, kind, count):
    for number in range(count):
        place = lab.cache / f"{kind}-{number}"
        place.mkdir(parents=True)
        os.utime(place, (1000 + number, 1000 + number))


def test_prune_keeps_the_recent_and_the_used(lab):
    for kind in ("base", "wheels", "image"):
        age(lab, kind, 4)
    (lab.state_root / "other").mkdir(parents=True)
    (lab.state_root / "other/image").write_text(str(lab.cache / "image-0"))
    images.prune(lab)
    assert sorted(path.name for path in lab.cache.iterdir()) == [
        "base-2", "base-3", "image-0", "image-2", "image-3", "wheels-2", "wheels-3",
    ]


def test_prune_bears_a_lab_that_goes_meanwhile(lab):
    age(lab, "image", 3)
    (lab.state_root / "going").mkdir(parents=True)
    (lab.state_root / "going/image").symlink_to("gone")
    images.prune(lab)
    assert not (lab.cache / "image-0").exists()


def test_image_knows_no_identity(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hostname").write_text("builder\n")
    images.forget_identity(tmp_path)
    assert (tmp_path / "etc/machine-id").read_text() == ""
    assert not (tmp_path / "etc/hostname").exists()


def test_image_has_salt_on_its_path_and_starts_none_of_it(tmp_path):
    images.add_salt_commands(tmp_path)
    assert os.readlink(tmp_path / "usr/local/bin/salt-call") == "/opt/salt/bin/salt-call"
    assert "ExecStart=/usr/local/bin/salt-minion" in (
        tmp_path / "etc/systemd/system/salt-minion.service"
    ).read_text()
    assert not list(tmp_path.glob("etc/systemd/system/*.wants/salt-*"))
