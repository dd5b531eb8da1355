"""python_env: real environments, from wheels that lie in a directory."""

import base64
import hashlib
import subprocess
import sys
import zipfile

import pytest


def wheel(folder, name, version="1", says="hello"):
    """A wheel with one module of the same name; its path."""
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"SAYS = {says!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [f"{file},sha256={digest(text)},{len(text)}" for file, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,"]) + "\n"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


def digest(text):
    raw = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def loaded(machine_of_module):
    return machine_of_module("lb-1")


@pytest.fixture
def env(loaded, tmp_path, monkeypatch):
    """env(): apply python_env.installed for a lock file with one library, and a wheel of our own."""
    library = wheel(tmp_path / "index", "libr")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"libr==1 --hash=sha256:{hashlib.sha256(library.read_bytes()).hexdigest()}\n")
    wheel(tmp_path / "site/wheel", "ours")
    # Environments that borrow pip: unpacking it takes most of the time that one costs.
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nexec {sys.executable} "$1" "$2" --without-pip --system-site-packages "$3"\n'
    )
    python.chmod(0o755)
    site = tmp_path / "site"

    def apply(test=False):
        told = {"name": f"{site}/venv", "lock": str(lock), "wheels": f"{site}/wheel", "python": str(python)}
        return loaded.apply("python_env.installed", test=test, **told)

    apply.lock, apply.folder = lock, site
    return apply


def says(env, module):
    words = [env.folder / "venv/bin/python", "-c", f"import {module}; print({module}.SAYS)"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_environment_is_made_once_and_anew_when_a_wheel_changes(env):
    foretold = env(test=True)
    assert foretold["result"] is None
    assert not (env.folder / "venv").exists()
    made = env()
    assert made["result"] is True, made["comment"]
    assert made["changes"] == foretold["changes"]
    assert set(made["changes"]) == {str(env.lock), str(env.folder / "wheel/ours-1-py3-none-any.whl")}
    assert (says(env, "libr"), says(env, "ours")) == ("hello", "hello")
    for test in (True, False):
        assert env(test=test) | {"comment": ""} == {
            "name": str(env.folder / "venv"),
            "changes": {},
            "result": True,
            "comment": "",
        }
    wheel(env.folder / "wheel", "ours", says="new")
    assert env(test=True)["result"] is None
    assert says(env, "ours") == "hello"
    assert list(env()["changes"]) == [str(env.folder / "wheel/ours-1-py3-none-any.whl")]
    assert says(env, "ours") == "new"
    assert sorted(path.name for path in env.folder.iterdir()) == ["venv", "wheel"]
    # One that lost its Python is no environment.
    (env.folder / "venv/bin/python").unlink()
    assert env(test=True)["result"] is None


def test_of_two_wheels_the_one_that_fits_best_is_installed(env):
    fits = f"cp{sys.version_info[0]}{sys.version_info[1]}-none-any"
    for tag, says_ in ((fits, "fits"), ("cp39-cp39-plan9_vax", "does not")):
        made = wheel(env.folder / tag, "ours", says=says_)
        made.rename(env.folder / "wheel" / f"ours-1-{tag}.whl")
        (env.folder / tag).rmdir()
    assert env()["result"] is True
    assert says(env, "ours") == "fits"


def test_installation_that_fails_leaves_the_environment_as_it_was(env):
    assert env()["result"] is True
    env.lock.write_text("libr==1 --hash=sha256:" + "0" * 64 + "\n")
    ret = env()
    assert ret["result"] is False
    assert ret["changes"] == {}
    assert "requirements.lock could not be installed (code 1)" in ret["comment"]
    assert "Nothing was changed" in ret["comment"]
    assert says(env, "libr") == "hello"
    assert not (env.folder / ".building-venv").exists()


@pytest.mark.parametrize("gone", ["lock", "wheel"])
def test_what_is_not_there_is_told(env, gone):
    if gone == "lock":
        env.lock.unlink()
    else:
        for path in (env.folder / "wheel").iterdir():
            path.unlink()
    assert env(test=True)["result"] is None
    ret = env()
    assert ret["result"] is False
    assert str(env.lock if gone == "lock" else env.folder / "wheel") in ret["comment"]
    assert not (env.folder / "venv").exists()
