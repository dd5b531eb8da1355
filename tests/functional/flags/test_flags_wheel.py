"""The flag service in the wheel: with the engine's files, and nothing of the checkout needed."""

import ast
import subprocess
import sys
import tomllib
import zipfile

from tests.support.flag_service import ROOT

PUBLISH = ROOT / "salt/master/files/publish-balancer"
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def needed():
    """The modules of `_utils` that the flag service imports, with what those import."""
    found, waiting = set(), [*(ROOT / "flags").glob("*.py")]
    while waiting:
        for node in ast.walk(ast.parse(waiting.pop().read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                path = ROOT / "_utils" / f"{name}.py"
                if path.exists() and name not in found:
                    found.add(name)
                    waiting.append(path)
    return found


def test_the_wheel_has_the_modules_that_the_service_imports_and_no_others():
    assert sorted(needed()) == SETTINGS["py-modules"]


def test_the_service_runs_from_the_wheel_alone(tmp_path):
    words = [str(PUBLISH), sys.executable, str(ROOT), str(tmp_path / "published")]
    environment = {
        "PATH": "/usr/bin:/bin",
        "SLUICE_PYTHON": "/nowhere/python3",
        "SLUICE_WHEELS": str(tmp_path),
    }
    subprocess.run(words, check=True, capture_output=True, timeout=300, env=environment)
    (wheel,) = (tmp_path / "published/wheel").glob("*.whl")
    with zipfile.ZipFile(wheel) as made:
        names = set(made.namelist())
        made.extractall(tmp_path / "lib")
    modules = {f"{name}.py" for name in SETTINGS["py-modules"]}
    assert {name for name in names if "/" not in name} == modules
    for name in modules:
        assert (tmp_path / "lib" / name).read_bytes() == (ROOT / "_utils" / name).read_bytes()
    words = [sys.executable, "-m", "flags", "--version"]
    done = subprocess.run(words, cwd=tmp_path / "lib", capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_change_of_the_engine_is_a_change_of_what_is_published(tmp_path):
    for name in ("pyproject.toml", "setup.py", "requirements", "balancer", "flags", "_utils"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "_utils").unlink()
    (tmp_path / "_utils").mkdir()
    for name in SETTINGS["py-modules"]:
        (tmp_path / "_utils" / f"{name}.py").write_text((ROOT / "_utils" / f"{name}.py").read_text())

    def total():
        words = [str(PUBLISH), "--sources", str(tmp_path)]
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout

    before = total()
    with open(tmp_path / "_utils/sluice_flag_evaluate.py", "a") as file:
        file.write("# more\n")
    assert total() != before
