"""The checkout on the master machine: a copy of this working tree at /srv/sluice."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from lab import disks, files, identity
from lab.errors import LabError
from lab.settings import CHECKOUT, Lab, read_fleet

ADDRESSES = "pillar/lab/addresses.sls"


def push(lab: Lab, source: Path = CHECKOUT) -> int:
    """
    Make /srv/sluice on the master equal to the tree, without what git ignores.

    Files that differ are replaced one by one, each in one rename, and files that are not in the tree are
    removed: what was edited on the master is gone, and a master that is running never finds the tree missing.

    Returns how many files changed.
    """
    place = disks.root(lab, identity.MASTER).resolve() / "srv/sluice"
    if not place.parent.exists():
        raise LabError(f"no master in lab '{lab.name}'; start the lab with `lab up` (or `make lab-up`)")
    if place.resolve() != place:
        raise LabError(f"{place} is a link to {place.resolve()}; remove it on the master")
    wanted = tree(source)
    # First what is not wanted: a stray link in place of a directory would lead the copies elsewhere.
    changed = clear(place, {*wanted, ADDRESSES})
    changed += sum(copy(source / name, place / name) for name in wanted if name != ADDRESSES)
    return changed + put(place / ADDRESSES, addresses(lab))


def tree(source: Path) -> list[str]:
    """The files git tracks or would track, as far as they are there."""
    # The tree may belong to the user behind sudo; git would refuse to read it otherwise.
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={source}", "-C", str(source), "ls-files",
         "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True, check=False,
    )
    if listed.returncode != 0:
        raise LabError(f"{source}: not a git checkout: {listed.stderr.decode(errors='replace').strip()}")
    names = sorted(set(filter(None, os.fsdecode(listed.stdout).split("\0"))))
    return [name for name in names if (source / name).is_symlink() or (source / name).is_file()]


def copy(source: Path, target: Path) -> bool:
    """Make one file or symlink equal to another; True if it was not."""
    if not source.exists() and not source.is_symlink():  # gone since the tree was listed
        return False
    if source.is_symlink():
        pointed = os.readlink(source)
        if target.is_symlink() and os.readlink(target) == pointed:
            return False
        files.link(target, pointed)
        return True
    mode = 0o755 if source.stat().st_mode & 0o100 else 0o644
    return put(target, source.read_bytes(), mode)


def put(target: Path, content: str | bytes, mode: int = 0o644) -> bool:
    """Write a file if it differs; True if it did."""
    data = content.encode() if isinstance(content, str) else content
    same = (not target.is_symlink() and target.is_file() and target.stat().st_mode & 0o777 == mode
            and target.read_bytes() == data)
    if not same:
        files.write(target, data, mode)
    return not same


def clear(place: Path, wanted: set[str]) -> int:
    """Remove what is not wanted, and directories that are empty then; returns how many files went."""
    gone = 0
    for folder, folders, names in os.walk(place, topdown=False):
        here = Path(folder)
        for name in [*names, *(one for one in folders if (here / one).is_symlink())]:
            if str((here / name).relative_to(place)) not in wanted:
                (here / name).unlink()
                # Byte code that Python wrote beside the modules is no edit of the tree.
                gone += "__pycache__" not in here.parts
        if not any(here.iterdir()):
            here.rmdir()
    return gone


def addresses(lab: Lab) -> str:
    """pillar/lab/addresses.sls for this lab's network: of all machines, also those the lab lacks."""
    machines = read_fleet(lab.network)
    pillar = {
        "lab": {
            "network": str(lab.network),
            "host": lab.host_address,
            "addresses": {machine.id: machine.address for machine in machines},
        }
    }
    note = "# The lab writes this file for its own network when it copies the checkout to the master.\n"
    return note + json.dumps(pillar, indent=2) + "\n"
