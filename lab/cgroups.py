"""
Control groups: one for each machine, so that machines do not share units and every process is accounted for.

Without one of their own, machines started from the same shell share `system.slice`: systemd in one of them
meets processes it cannot see, and stopping a service leaves its children behind. The group also proves whose
a process is, however its parent died.
"""

from __future__ import annotations

from collections.abc import Iterator
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


def joined(group: str, words: list[str]) -> list[str]:
    """The words that run a command inside a group, which is made if need be."""
    for folder in folders(group):
        folder.mkdir(parents=True, exist_ok=True)
    files = [str(folder / "cgroup.procs") for folder in folders(group)]
    return ["/bin/sh", "-c", JOIN, "join", *files, "--", *words]


def pids(group: str, root: Path = ROOT) -> set[int]:
    """Every process of a group and of the groups below it."""
    return {pid for folder in folders(group, root) for pid in pids_below(folder)}


def pids_below(folder: Path) -> Iterator[int]:
    for procs in folder.glob("**/cgroup.procs"):
        try:
            yield from map(int, procs.read_text().split())
        except OSError:  # removed while we looked
            continue


def remove(group: str, root: Path = ROOT) -> None:
    """Remove a group without processes, with the groups below it; whatever is busy stays."""
    for folder in folders(group, root):
        for below in sorted((path for path in folder.glob("**/") if path.exists()), reverse=True):
            try:
                below.rmdir()
            except OSError:
                continue
