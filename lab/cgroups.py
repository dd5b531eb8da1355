"""
Control groups: one for each machine, so that machines do not share units and every process is accounted for.

Without one of their own, machines started from the same shell share `system.slice`: systemd in one of them
meets processes it cannot see, and stopping a service leaves its children behind. The group also proves whose
a process is, however its parent died.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
# Run by /bin/sh: join the groups whose cgroup.procs files come before `--`, then become what follows.
JOIN = 'while [ "$1" != -- ]; do echo $$ >"$1" || exit 1; shift; done; shift; exec "$@"'


def hierarchies(root: Path = ROOT) -> list[Path]:
    """The trees in which systemd keeps its units: one with cgroup v2, one or two with v1 and hybrid."""
    if (root / "cgroup.controllers").exists():
        return [root]
    return [tree for tree in (root / "systemd", root / "unified") if (tree / "cgroup.procs").exists()]


def folders(group: str, root: Path = ROOT) -> list[Path]:
    """The directories of a group, one in each hierarchy."""
    return [tree / group for tree in hierarchies(root)]


def joined(group: str, words: list[str], root: Path = ROOT) -> list[str]:
    """The words that run a command inside a group, which is made if need be."""
    for folder in folders(group, root):
        folder.mkdir(parents=True, exist_ok=True)
    files = [str(folder / "cgroup.procs") for folder in folders(group, root)]
    return ["/bin/sh", "-c", JOIN, "join", *files, "--", *words]


def pids(group: str, root: Path = ROOT) -> set[int]:
    """Every process of a group and of the groups below it."""
    return {pid for folder in folders(group, root) for pid in pids_below(folder)}


def pids_below(folder: Path) -> Iterator[int]:
    for place, _, _ in os.walk(folder):
        try:
            yield from map(int, Path(place, "cgroup.procs").read_text().split())
        except OSError:  # removed while we looked
            continue


def remove(group: str, root: Path = ROOT) -> None:
    """Remove a group without processes, with the groups below it; whatever is busy stays."""
    for folder in folders(group, root):
        for place, _, _ in os.walk(folder, topdown=False):
            with suppress(OSError):
                os.rmdir(place)


def exists(group: str, root: Path = ROOT) -> bool:
    return any(folder.exists() for folder in folders(group, root))
