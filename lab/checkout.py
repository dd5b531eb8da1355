"""The checkout on the master machine: a copy of this working tree at /srv/sluice."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from lab import machines
from lab.errors import LabError
from lab.settings import CHECKOUT, Lab


def push(lab: Lab) -> None:
    """
    Copy the tree, without what git ignores, to the master; what was there before is replaced in one
    rename, edits made on the master included.
    """
    root = machines.root(lab, "master")
    if not (root / "srv").exists():
        raise LabError(f"no master in lab '{lab.name}'; start the lab with `make lab-up`")
    new, old, place = (root / "srv" / name for name in ("sluice.new", "sluice.old", "sluice"))
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir(parents=True)
    copy_tree(CHECKOUT, new)
    (new / "pillar/lab").mkdir(parents=True, exist_ok=True)
    (new / "pillar/lab/addresses.sls").write_text(addresses(lab))
    if place.exists():
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def copy_tree(source: Path, target: Path) -> None:
    """Copy the files git tracks or would track; symlinks stay symlinks."""
    # The tree may belong to the user behind sudo; git would refuse to read it otherwise.
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={source}", "-C", str(source), "ls-files",
         "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True, check=False,
    )
    if listed.returncode != 0:
        raise LabError(f"{source}: not a git checkout: {listed.stderr.decode(errors='replace').strip()}")
    for name in sorted(set(filter(None, listed.stdout.decode().split("\0")))):
        if (source / name).exists() or (source / name).is_symlink():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name, follow_symlinks=False)


def addresses(lab: Lab) -> str:
    """pillar/lab/addresses.sls for this lab's network."""
    pillar = {
        "lab": {
            "network": str(lab.network),
            "host": lab.host_address,
            "addresses": {machine.id: machine.address for machine in lab.machines},
        }
    }
    return "# Written by the lab for its own network.\n" + json.dumps(pillar, indent=2) + "\n"
