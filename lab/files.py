"""Writing files so that a crash leaves the old or the new one, and locks that end with their process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.process import say

LOCKS = Path("/run/sluice-lab")


def write(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """
    Put a file in place whole, in one rename. What stood there is replaced, never followed: a machine's
    symlink must not lead a write out of the machine.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    data = content.encode() if isinstance(content, str) else content
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(data)
    new.chmod(mode)
    new.rename(path)


def link(path: Path, target: str) -> None:
    """Make a symlink, in place of whatever stood there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def make_private(folder: Path) -> None:
    """A directory that only root can enter."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)


@contextmanager
def locked_if_free(name: str, folder: Path = LOCKS) -> Iterator[bool]:
    """Hold the named lock if nobody else does; gives whether it is held."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{name}.lock", "a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


@contextmanager
def locked(name: str, folder: Path = LOCKS) -> Iterator[None]:
    """Hold the named lock; waits while another process of this computer has it, and says so."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{name}.lock", "a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            say(f"waiting for another lab command (pid {handle.read().strip() or 'unknown'}) to end ...")
            fcntl.flock(handle, fcntl.LOCK_EX)
        handle.seek(0)
        handle.truncate()
        handle.write(str(os.getpid()))
        handle.flush()
        yield
