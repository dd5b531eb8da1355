"""What is published, and what of it a balancer installs: with the page, and compiled where that fits."""

import os
import shutil
import subprocess
import sys

import pytest
from running import ROOT

PUBLISH = ROOT / "salt/master/files/publish-balancer"
SETUP = "import setuptools; setuptools.setup()"


def copied(directory):
    for name in ("pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, directory)
    (directory / "requirements").mkdir()
    shutil.copy(ROOT / "requirements/build.lock", directory / "requirements")
    skipped = shutil.ignore_patterns("__pycache__")
    for name in ("balancer", "flags", "_utils"):
        shutil.copytree(ROOT / name, directory / name, ignore=skipped)
    return directory


def test_the_page_is_installed_with_the_package(tmp_path):
    words = [sys.executable, "-c", SETUP, "-q", "build_py", "--build-lib", "built"]
    subprocess.run(words, cwd=copied(tmp_path), check=True, capture_output=True, timeout=120)
    for path in (ROOT / "balancer/page").iterdir():
        assert (tmp_path / "built/balancer/page" / path.name).read_bytes() == path.read_bytes()


def test_a_change_of_the_page_is_a_change_of_what_is_published(tmp_path):
    copied(tmp_path)

    def total():
        words = [str(PUBLISH), "--sources", str(tmp_path)]
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout

    before = total()
    assert total() == before
    with open(tmp_path / "balancer/page/page.css", "a") as style:
        style.write("/* more */\n")
    assert total() != before


def publish(directory, **environment):
    """Publish the balancer of this checkout; what the script said, and the wheels."""
    words = [str(PUBLISH), sys.executable, str(ROOT), str(directory / "published")]
    settings = {**os.environ, "SLUICE_WHEELS": str(directory / "wheels"), **environment}
    said = subprocess.run(words, check=True, capture_output=True, text=True, timeout=300, env=settings).stdout
    return said, sorted(path.name for path in (directory / "published/wheel").iterdir())


def test_without_headers_the_pure_wheel_is_published_and_a_line_says_why(tmp_path):
    said, wheels = publish(tmp_path, SLUICE_PYTHON="/nowhere/python3")
    assert wheels == ["sluice_balancer-0.1.0-py3-none-any.whl"]
    (line,) = said.splitlines()
    assert line.startswith("publish-balancer: without the compiled part: ")
    words = [str(PUBLISH), "--check", str(ROOT), str(tmp_path / "published")]
    assert subprocess.run(words, timeout=60).returncode == 0


@pytest.mark.skipif(
    "SLUICE_TREE" not in os.environ, reason="nothing was compiled; run with SLUICE_COMPILED=1"
)
@pytest.mark.parametrize("fits", [True, False])
def test_a_machine_installs_the_compiled_wheel_if_it_fits(tmp_path, fits):
    """The command is that of salt/balancer/init.sls."""
    total = subprocess.run(
        [str(PUBLISH), "--sources", str(ROOT)], check=True, capture_output=True, text=True
    ).stdout
    ready = tmp_path / "wheels" / total.strip()
    ready.mkdir(parents=True)
    (made,) = (ROOT / "build/compiled/work/dist").glob("*.whl")
    shutil.copy(made, ready / (made.name if fits else made.name.replace("cp311", "cp39")))
    said, wheels = publish(tmp_path)
    assert said == ""
    assert len(wheels) == 2
    install = ["--quiet", "--no-deps", "--no-index", "--find-links", str(tmp_path / "published/wheel")]
    words = [
        sys.executable,
        "-m",
        "pip",
        "install",
        *install,
        "--target",
        str(tmp_path / "lib"),
        "sluice-balancer",
    ]
    subprocess.run(words, check=True, timeout=120)
    words = [sys.executable, "-c", "from balancer import heads; print(heads.COMPILED)"]
    told = subprocess.run(words, cwd=tmp_path / "lib", check=True, capture_output=True, text=True)
    assert told.stdout.strip() == str(fits)
