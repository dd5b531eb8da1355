"""
Make the stand-in's git repository: `python3 make_repo.py DEST.git`.

Tags: v1 and v2 (good), v2-bad (slow, every fifth answer an error), v2-broken (its npm ci fails). The commits
are the same whenever and wherever they are made.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
VERSIONS = {
    "v1": {"version": "v1", "error_every": 0, "delay_ms": 0},
    "v2": {"version": "v2", "error_every": 0, "delay_ms": 0},
    "v2-bad": {"version": "v2-bad", "error_every": 5, "delay_ms": 400},
    "v2-broken": {"version": "v2-broken", "error_every": 0, "delay_ms": 0},
}
WHO = {"NAME": "Lab", "EMAIL": "lab@example.invalid", "DATE": "2026-01-01T00:00:00Z"}


def main(target: str) -> None:
    """Build the repository beside its place and put it there whole."""
    destination = Path(target)
    with tempfile.TemporaryDirectory(dir=destination.parent) as scratch:
        work = Path(scratch) / "work"
        for part in ("server-side", "public_html"):
            shutil.copytree(HERE / part, work / part, ignore=shutil.ignore_patterns("node_modules"))
        git(work, "init", "--quiet", "--initial-branch=main")
        for tag, build in VERSIONS.items():
            commit(work, tag, build)
        git(work, "reset", "--quiet", "--hard", "v2")
        git(work, "clone", "--quiet", "--bare", ".", str(Path(scratch) / "bare"))
        (Path(scratch) / "bare").rename(destination)


def commit(work: Path, tag: str, build: dict[str, object]) -> None:
    """One tagged version on top of the others."""
    site = work / "server-side/site"
    (site / "version.json").write_text(json.dumps(build, indent=2) + "\n")
    manifest = json.loads((site / "package.json").read_text())
    if tag == "v2-broken":
        # The lock file does not know it: npm ci refuses.
        manifest["dependencies"]["left-pad"] = "1.3.0"
    (site / "package.json").write_text(json.dumps(manifest, indent=2) + "\n")
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message", f"checkbox {tag}")
    git(work, "tag", tag)


def git(work: Path, *words: str) -> None:
    """Run git with a fixed identity and no settings of this computer."""
    who = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in WHO.items()}
    env = {**os.environ, **who, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(["git", "-C", str(work), *words], check=True, env=env)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: make_repo.py DEST.git")
    main(sys.argv[1])
