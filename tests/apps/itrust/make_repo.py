"""
Make the stand-in's git repository: `python3 make_repo.py DEST.git`.

One line of tagged commits, each as an ordinary push would bring it: v0 (where `main` stands), v1, v2, v3-bad
(its log-in page answers 500), v4, v5-never (does not start), v6 (changes the schema), v7-red (a test of it
fails), v8. The commits are the same whenever and wherever they are made.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
# What each version says of itself, where it is not what all say.
VERSIONS: dict[str, dict[str, str]] = {
    "v0": {},
    "v1": {},
    "v2": {},
    "v3-bad": {"healthy": "false"},
    "v4": {},
    "v5-never": {"starts": "false"},
    "v6": {},
    "v7-red": {"tests": "fail"},
    "v8": {},
}
COMMON = {"start_seconds": "3", "starts": "true", "healthy": "true"}
# The schema change of v6; every later version has it too.
CHANGE = "v6", "sql/changes/0001-colour-of-notes.sql", "ALTER TABLE Notes ADD COLUMN colour varchar(20);\n"
WHO = {"NAME": "Lab", "EMAIL": "lab@example.invalid"}


def main(target: str) -> None:
    """Build the repository beside its place and put it there whole."""
    destination = Path(target)
    with tempfile.TemporaryDirectory(dir=destination.parent) as scratch:
        work = Path(scratch) / "work"
        shutil.copytree(HERE / "iTrust", work / "iTrust", ignore=shutil.ignore_patterns("target"))
        git(work, 0, "init", "--quiet", "--initial-branch=main")
        for hour, tag in enumerate(VERSIONS):
            commit(work, hour, tag)
        git(work, 0, "reset", "--quiet", "--hard", "v0")
        git(work, 0, "clone", "--quiet", "--bare", ".", str(Path(scratch) / "bare"))
        (Path(scratch) / "bare").rename(destination)


def commit(work: Path, hour: int, tag: str) -> None:
    """One tagged version on top of the others, an hour after the one before."""
    told = {"version": tag, **COMMON, **VERSIONS[tag]}
    lines = [f"{key}={value}\n" for key, value in told.items()]
    (work / "iTrust/WebRoot/WEB-INF/version.properties").write_text("".join(lines))
    if tag == CHANGE[0]:
        file = work / "iTrust" / CHANGE[1]
        file.parent.mkdir()
        file.write_text(CHANGE[2])
    git(work, hour, "add", "--all")
    git(work, hour, "commit", "--quiet", "--message", f"iTrust {tag}")
    git(work, hour, "tag", tag)


def git(work: Path, hour: int, *words: str) -> None:
    """Run git with a fixed identity and hour, and no settings of this computer."""
    who = {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in {**WHO, "DATE": f"2026-01-01T{hour:02d}:00:00Z"}.items()
    }
    env = {**os.environ, **who, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(["git", "-C", str(work), *words], check=True, env=env)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: make_repo.py DEST.git")
    main(sys.argv[1])
