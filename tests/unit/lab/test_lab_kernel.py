"""Kernel settings are raised, never lowered, and put back by the last lab."""

import json

import pytest

from lab import kernel
from lab.errors import LabError

LEAST = {"net/forward": 1, "fs/instances": 4096}


@pytest.fixture
def system(tmp_path):
    for name, value in {"net/forward": 0, "fs/instances": 128}.items():
        (tmp_path / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys" / name).write_text(f"{value}\n")
    return tmp_path / "sys"


def values(system):
    return {name: kernel.read(system, name) for name in LEAST}


def test_what_is_too_low_is_raised_and_put_back(lab, system):
    kernel.prepare(lab, system, LEAST)
    assert values(system) == LEAST
    kernel.restore(lab, system, LEAST)
    assert values(system) == {"net/forward": 0, "fs/instances": 128}
    assert not kernel.record(lab).exists()


def test_what_is_high_enough_is_left_alone(lab, system):
    (system / "fs/instances").write_text("8192")
    kernel.prepare(lab, system, LEAST)
    assert values(system) == {"net/forward": 1, "fs/instances": 8192}
    kernel.restore(lab, system, LEAST)
    assert values(system) == {"net/forward": 0, "fs/instances": 8192}


def test_second_lab_does_not_forget_what_was_before_the_first(lab, system):
    kernel.prepare(lab, system, LEAST)
    kernel.prepare(lab, system, LEAST)
    kernel.restore(lab, system, LEAST)
    assert values(system) == {"net/forward": 0, "fs/instances": 128}


def test_what_was_lowered_since_is_raised_and_the_first_value_is_kept(lab, system):
    kernel.prepare(lab, system, LEAST)
    (system / "fs/instances").write_text("64")
    kernel.prepare(lab, system, LEAST)
    kernel.restore(lab, system, LEAST)
    assert values(system) == {"net/forward": 0, "fs/instances": 128}


def test_what_somebody_has_set_since_is_not_put_back(lab, system):
    kernel.prepare(lab, system, LEAST)
    (system / "fs/instances").write_text("9999")
    kernel.restore(lab, system, LEAST)
    assert values(system) == {"net/forward": 0, "fs/instances": 9999}


def test_restore_without_a_record_changes_nothing(lab, system):
    kernel.restore(lab, system, LEAST)
    assert values(system) == {"net/forward": 0, "fs/instances": 128}


@pytest.mark.parametrize("content", ["", "[]", "5", '{"net/forward": null}', '{"net/forward": "x"}'])
def test_corrupt_record_is_told(lab, content):
    lab.state_root.mkdir()
    kernel.record(lab).write_text(content)
    with pytest.raises(LabError, match="kernel.json.*remove the file"):
        kernel.kept(lab)


def test_record_is_a_plain_list_of_what_was(lab, system):
    kernel.prepare(lab, system, LEAST)
    assert json.loads(kernel.record(lab).read_text()) == {"net/forward": 0, "fs/instances": 128}
