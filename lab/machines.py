"""Machines: booted by systemd-nspawn, known by pid and start time, entered with nsenter."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from lab import cgroups, disks, files, network, pids
from lab.disks import home, root
from lab.errors import LabError
from lab.pids import Process
from lab.process import run, tail, wait_until
from lab.settings import Lab

BOOT_SECONDS = 90
# An orderly shutdown takes 1 to 10 s; after this the machine is cut off.
STOP_SECONDS = 30
# systemd(1): SIGRTMIN+3 makes an init halt its machine.
HALT = signal.SIGRTMIN + 3
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def group(lab: Lab, machine_id: str) -> str:
    """The machine's control group."""
    return f"{lab.group}/{machine_id}"


def full_name(lab: Lab, machine_id: str) -> str:
    """The machine's name on this computer."""
    return f"{lab.name}-{machine_id}"


def start(lab: Lab, machine_id: str) -> None:
    """Boot a machine that is not running; returns before it is up (see `wait_for_boot`)."""
    lab.machine(machine_id)
    if leader(lab, machine_id):
        return
    cut_off(lab, machine_id)
    disks.mount(lab, machine_id)
    # setsid --fork: the machine is nobody's child, and lives on when this process ends.
    words = ["setsid", "--fork", "systemd-nspawn", "--boot", "--quiet", "--register=no", "--keep-unit",
             "--link-journal=no", "--resolv-conf=off", "--console=pipe", f"--network-bridge={lab.bridge}",
             "-M", full_name(lab, machine_id), "-D", str(root(lab, machine_id))]
    with open(console(lab, machine_id), "wb") as output:
        subprocess.run(
            cgroups.joined(group(lab, machine_id), words),
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False,
        )


def console(lab: Lab, machine_id: str) -> Path:
    """What the machine wrote to its console since it was started."""
    return home(lab, machine_id) / "console.log"


def wait_for_boot(lab: Lab, machine_id: str) -> None:
    """Wait until the machine's systemd has started everything; LabError with its console otherwise."""
    def booted() -> bool:
        if leader(lab, machine_id) is None:
            if not remains(lab, machine_id):
                raise LabError(f"{machine_id} ended while it booted")
            return False
        # Not with --wait: that one misses the end of the boot when it is asked early, and waits for ever.
        said = exec_in(lab, machine_id, ["systemctl", "is-system-running"], timeout=20).stdout.strip()
        return said in ("running", "degraded")

    try:
        wait_until(booted, f"{machine_id} booted", BOOT_SECONDS, pause=0.2)
    except LabError as error:
        said = tail(console(lab, machine_id).read_text(errors="replace"))
        raise LabError(f"{error}; its console ends with:\n{said}") from error


def stop(lab: Lab, machine_id: str, *, at_once: bool = False) -> None:
    """
    Stop a machine and wait until it is gone; its disk stays.

    at_once (bool)
        Cut the power instead of shutting down in order. Default False.
    """
    lab.machine(machine_id)
    init = leader(lab, machine_id)
    if init and not at_once:
        parts = remains(lab, machine_id)
        for one in parts:
            if one.pid == init:
                pids.send(one, HALT)
        deadline = time.monotonic() + STOP_SECONDS
        while any(map(pids.alive, parts)) and time.monotonic() < deadline:
            time.sleep(0.05)
    cut_off(lab, machine_id)


def cut_off(lab: Lab, machine_id: str) -> None:
    """End whatever there is of a machine, also of one that the fleet no longer has."""
    pids.end(lambda: remains(lab, machine_id), machine_id)
    forget(lab, machine_id)


def restart(lab: Lab, machine_id: str) -> None:
    """Shut a machine down, boot it, and wait until it is up."""
    stop(lab, machine_id)
    start(lab, machine_id)
    wait_for_boot(lab, machine_id)


def forget(lab: Lab, machine_id: str) -> None:
    """Remove what the processes of a stopped machine leave behind: record, control group, cable."""
    (home(lab, machine_id) / "pid").unlink(missing_ok=True)
    cgroups.remove(group(lab, machine_id))
    network.unplug(full_name(lab, machine_id))
    propagated = Path("/run/systemd/nspawn/propagate", full_name(lab, machine_id))
    if propagated.is_dir() and not any(propagated.iterdir()):
        propagated.rmdir()


def remains(lab: Lab, machine_id: str) -> list[Process]:
    """
    All processes that are provably this machine's: by control group, root directory or root mount.

    Its init comes first: that one takes everything in its pid namespace with it.
    """
    found = cgroups.pids(group(lab, machine_id))
    found.update(pid for pid in pids.everyone()
                 if is_nspawn(lab, machine_id, pid) or is_init(lab, machine_id, pid))
    return sorted(filter(None, map(pids.process, found)), key=lambda one: not pids.is_init(one.pid))


def is_init(lab: Lab, machine_id: str, pid: int) -> bool:
    """True for a namespace's first process whose root is this machine's disk."""
    option = disks.upper_option(lab, machine_id)
    return pids.is_init(pid) and option in pids.root_options(pid).split(",")


def is_nspawn(lab: Lab, machine_id: str, pid: int) -> bool:
    """True for a systemd-nspawn whose -D is this machine's root."""
    words = pids.command(pid)
    return words[:1] != [] and words[0].endswith("systemd-nspawn") and str(root(lab, machine_id)) in words


def leader(lab: Lab, machine_id: str) -> int | None:
    """
    The host's pid of the machine's init, None while it is not running.

    It is kept in the lab's state with its start time, and looked for when that process is gone.
    """
    record = home(lab, machine_id) / "pid"
    known = pids.parse(record.read_text()) if record.exists() else None
    if known and pids.alive(known):
        return known.pid
    for pid in pids.everyone():
        if is_init(lab, machine_id, pid):
            found = pids.process(pid)
            if found:
                files.write(record, f"{found}\n")
                return pid
    return None


def running(lab: Lab, machine_id: str) -> int:
    """The host's pid of the machine's init; LabError while it is not running."""
    pid = leader(lab, machine_id)
    if pid is None:
        raise LabError(f"{machine_id} is not running in lab '{lab.name}'; run `lab up` (or `make lab-up`)")
    return pid


def enter(lab: Lab, machine_id: str, argv: Sequence[str]) -> list[str]:
    """The words that run a command inside the machine; to be run with `environment()`."""
    lab.machine(machine_id)
    return ["nsenter", "--target", str(running(lab, machine_id)), "--mount", "--uts", "--ipc", "--net",
            "--pid", "--root", "--wd", "--", *argv]


def environment(lab: Lab, machine_id: str) -> dict[str, str]:
    """The environment of a command inside the machine: nothing of this process's but the terminal."""
    given = root(lab, machine_id) / "etc/environment"
    pairs = [line.partition("=") for line in given.read_text().splitlines()] if given.is_file() else []
    return {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "TERM": os.environ.get("TERM", "dumb"),
            **{key: value.strip('"') for key, _, value in pairs}}


def exec_in(
    lab: Lab, machine_id: str, argv: Sequence[str], *, input: str | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """
    Run a command as root inside a machine.

    input (str)
        What it reads; without it an empty input, so that no command waits for the lab's own terminal.
    timeout (float, seconds)
        LabError when the command takes longer; it is ended inside the machine too. Default 120.

    Returns the finished process with its exit code, output and errors. Raises LabError if the machine
    is unknown or not running.
    """
    began = time.monotonic()
    limited = ["timeout", "--kill-after=5", f"{timeout:.3f}", *argv]
    try:
        done = subprocess.run(
            enter(lab, machine_id, limited), input=input or "", capture_output=True, text=True,
            errors="replace", timeout=timeout + 15, check=False, env=environment(lab, machine_id),
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{machine_id}: {' '.join(argv)}: no end after {timeout:.0f} s") from error
    if done.returncode in (124, 137) and time.monotonic() - began >= timeout:
        raise LabError(f"{machine_id}: {' '.join(argv)}: no end after {timeout:.0f} s")
    return done


def in_network(lab: Lab, machine_id: str, argv: Sequence[str], *, input: str | None = None) -> None:
    """
    Run a command of this computer on a machine's network: what it makes there is gone with the machine.

    Raises LabError if the machine does not run or the command fails.
    """
    run(["nsenter", "--target", str(running(lab, machine_id)), "--net", "--", *argv], input=input)


def check_in(
    lab: Lab, machine_id: str, argv: Sequence[str], *, input: str | None = None, timeout: float = 120
) -> str:
    """Like `exec_in`, but a failed command is a LabError; returns what the command printed."""
    done = exec_in(lab, machine_id, argv, input=input, timeout=timeout)
    if done.returncode != 0:
        said = tail(done.stdout + done.stderr, 40)
        raise LabError(f"{machine_id}: {' '.join(argv)}: exit code {done.returncode}\n{said}")
    return done.stdout
