"""The compiled wheel is made once for a state of the sources; a lab without a compiler goes without it."""

import contextlib

import pytest

from lab import compiled, disks, identity
from lab.errors import LabError


@pytest.fixture
def built(monkeypatch):
    """What was asked of the script, which is not run."""
    asked = []

    def run(words, timeout=0):
        asked.append(words[1])
        if words[1] == "--compile":
            words[3].mkdir()
            (words[3] / "ours.whl").write_bytes(b"wheel")
        return "abc\n"

    monkeypatch.setattr(compiled, "run", run)
    # A lab of this computer may be building just now.
    monkeypatch.setattr(compiled.files, "locked", lambda name: contextlib.nullcontext())
    return asked


def wheels(lab):
    folder = disks.root(lab, identity.MASTER) / compiled.WHEELS / "abc"
    return [path.name for path in folder.glob("*")]


def test_the_wheel_is_built_once_and_put_on_the_master(lab, built):
    disks.root(lab, identity.MASTER).mkdir(parents=True)
    for _ in range(2):
        compiled.push(lab)
    assert built == ["--sources", "--compile", "--sources"]
    assert wheels(lab) == ["ours.whl"]


def test_without_a_compiler_the_lab_goes_on_and_says_so(lab, built, monkeypatch, capsys):
    def fails(lab, source, total):
        raise LabError("publish-balancer: no C compiler (gcc)")

    monkeypatch.setattr(compiled, "ready", fails)
    compiled.push(lab)
    assert wheels(lab) == []
    assert "without its compiled part: publish-balancer: no C compiler" in capsys.readouterr().err
