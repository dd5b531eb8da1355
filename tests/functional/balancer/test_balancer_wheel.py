"""What is installed on a balancer has the page in it, and a change of the page is published."""

import shutil
import subprocess
import sys

from running import ROOT

SETUP = "import setuptools; setuptools.setup()"


def copied(directory):
    shutil.copy(ROOT / "pyproject.toml", directory)
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "balancer", directory / "balancer", ignore=skipped)
    return directory


def test_the_page_is_installed_with_the_package(tmp_path):
    words = [sys.executable, "-c", SETUP, "-q", "build_py", "--build-lib", "built"]
    subprocess.run(words, cwd=copied(tmp_path), check=True, capture_output=True, timeout=120)
    for path in (ROOT / "balancer/page").iterdir():
        assert (tmp_path / "built/balancer/page" / path.name).read_bytes() == path.read_bytes()


def test_a_change_of_the_page_is_a_change_of_what_is_published(tmp_path):
    copied(tmp_path)
    script = (ROOT / "salt/master/files/publish-balancer").read_text()
    # Its sum of the sources, without building anything.
    said = script.partition("if [")[0] + 'echo "$sources"\n'

    def total():
        words = ["sh", "-c", said, "publish-balancer", "--check", str(tmp_path), str(tmp_path)]
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout

    before = total()
    assert total() == before
    with open(tmp_path / "balancer/page/page.css", "a") as style:
        style.write("/* more */\n")
    assert total() != before
