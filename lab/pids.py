"""Processes of this computer: told apart by pid and start time, ended only when provably the lab's."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.process import wait_until

PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one with the same pid."""

    pid: int
    started: str  # clock ticks since boot, and the boot's id

    def __str__(self) -> str:
        return f"{self.pid} {self.started}"


def process(pid: int) -> Process | None:
    """The process that has this pid now, None if there is none."""
    fields = stat_fields(pid)
    if fields is None or fields[0] == "Z":
        return None
    # Field 22 of /proc/PID/stat; proc(5). The first one after the name is field 3.
    return Process(pid, f"{fields[19]}@{boot_id()}")


def parse(text: str) -> Process | None:
    """The opposite of str(process); None for anything else."""
    pid, _, started = text.strip().partition(" ")
    return Process(int(pid), started) if pid.isdigit() and started else None


def stat_fields(pid: int) -> list[str] | None:
    try:
        return (PROC / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None


def boot_id() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def alive(one: Process) -> bool:
    """True while that very process runs."""
    return process(one.pid) == one


def send(one: Process, number: int) -> None:
    """Signal that very process; nothing if it is gone. The pid cannot be reused between look and signal."""
    try:
        handle = os.pidfd_open(one.pid)
    except ProcessLookupError:
        return
    try:
        if alive(one):
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def end(find: Callable[[], Sequence[Process]], what: str, timeout: float = 15) -> None:
    """
    Kill what `find()` finds until it finds nothing: one may have started another just before its end.

    Raises LabError naming `what` if something is left after `timeout` seconds.
    """
    def gone() -> bool:
        found = find()
        for one in found:
            send(one, signal.SIGKILL)
        return not found

    wait_until(gone, f"the end of {what}", timeout, pause=0.05)


def everyone() -> Iterator[int]:
    """All pids of this computer."""
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def command(pid: int) -> list[str]:
    """The words of a process's command line."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def is_init(pid: int) -> bool:
    """True if the process is pid 1 of a pid namespace directly below this one."""
    try:
        status = (PROC / str(pid) / "status").read_text()
    except OSError:
        return False
    numbers = next((line for line in status.splitlines() if line.startswith("NSpid:")), "").split()[1:]
    return len(numbers) == 2 and numbers[-1] == "1"


def root_options(pid: int) -> str:
    """The mount options of the file system that a process has as its root."""
    try:
        lines = (PROC / str(pid) / "mountinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split()[-1] for line in reversed(lines) if line.split()[4] == "/"), "")
