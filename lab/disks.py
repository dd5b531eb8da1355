"""A machine's disk: its own layer over the image, mounted while the lab is up."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from lab.errors import LabError
from lab.process import run
from lab.settings import Lab


def home(lab: Lab, machine_id: str) -> Path:
    return lab.state / "machines" / machine_id


def root(lab: Lab, machine_id: str) -> Path:
    """The machine's root directory, as the host sees it while it is mounted."""
    return home(lab, machine_id) / "root"


def mount(lab: Lab, machine_id: str) -> None:
    """Mount the machine's own layer over the lab's image."""
    if not (lab.state / "image").exists():
        raise LabError(f"there is no lab '{lab.name}' here; run `lab up` (or `make lab-up`)")
    image = Path((lab.state / "image").read_text())
    if not image.is_dir():
        raise LabError(f"{image}: the image of lab '{lab.name}' is gone; run `lab down`, then `lab up`")
    here = home(lab, machine_id)
    for part in ("upper", "work", "root"):
        (here / part).mkdir(parents=True, exist_ok=True)
    if os.path.ismount(here / "root"):
        return
    options = f"lowerdir={image},{upper_option(lab, machine_id)},workdir={here / 'work'}"
    run(["mount", "-t", "overlay", "overlay", "-o", options, here / "root"])


def upper_option(lab: Lab, machine_id: str) -> str:
    """The mount option that only this machine's root file system has."""
    return f"upperdir={home(lab, machine_id) / 'upper'}"


def discard(below: Path) -> None:
    """Unmount and delete a directory, whatever is mounted in it."""
    unmount(below)
    if below.exists():
        shutil.rmtree(below)


def unmount(below: Path) -> None:
    """Unmount all at and below a directory, the deepest first."""
    for point in mount_points(below):
        run(["umount", "--lazy", point])


def mount_points(below: Path) -> list[Path]:
    """What is mounted at and below a directory, the deepest and latest first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [Path(unescape(line.split()[4])) for line in reversed(lines)]
    return sorted((p for p in points if p == below or below in p.parents), key=lambda p: -len(p.parts))


def unescape(text: str) -> str:
    r"""mountinfo writes space, tab, newline and backslash as \040, \011, \012 and \134."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), text)
