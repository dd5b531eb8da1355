"""Machines: an overlay on the image, booted by systemd-nspawn, known by pid and start time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from lab import cgroups
from lab.errors import LabError
from lab.process import run, wait_until
from lab.settings import Lab

BOOT_SECONDS = 60
# Orderly shutdown of a machine takes 6 to 10 s; after this it is cut off.
STOP_SECONDS = 30
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def home(lab: Lab, machine_id: str) -> Path:
    return lab.state / "machines" / machine_id


def root(lab: Lab, machine_id: str) -> Path:
    """The machine's root directory, as the host sees it while it is mounted."""
    return home(lab, machine_id) / "root"


def group(lab: Lab, machine_id: str) -> str:
    """The machine's control group."""
    return f"sluice-lab.{lab.name}/{machine_id}"


def mount(lab: Lab, machine_id: str, image: Path) -> None:
    """Mount the machine's own layer over the image."""
    here = home(lab, machine_id)
    for part in ("upper", "work", "root"):
        (here / part).mkdir(parents=True, exist_ok=True)
    if os.path.ismount(here / "root"):
        return
    options = f"lowerdir={image},upperdir={here / 'upper'},workdir={here / 'work'}"
    run(["mount", "-t", "overlay", "overlay", "-o", options, here / "root"])


def start(lab: Lab, machine_id: str) -> None:
    """Boot a machine that is not running; returns before it is up (see `wait_for_boot`)."""
    if leader(lab, machine_id):
        return
    mount(lab, machine_id, Path((lab.state / "image").read_text()))
    with open(home(lab, machine_id) / "console.log", "ab") as console:
        words = ["systemd-nspawn", "--boot", "--quiet", "--register=no", "--keep-unit", "--link-journal=no",
             "--resolv-conf=off", "--console=pipe", f"--network-bridge={lab.bridge}",
             "-M", f"{lab.name}-{machine_id}", "-D", str(root(lab, machine_id))]
        subprocess.Popen(
            cgroups.joined(group(lab, machine_id), words),
            stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
        )


def wait_for_boot(lab: Lab, machine_id: str) -> None:
    """Wait until the machine's systemd has started everything; LabError with its console otherwise."""
    def booted() -> bool:
        if not leader(lab, machine_id):
            return False
        said = exec_in(lab, machine_id, ["systemctl", "is-system-running"], timeout=20).stdout.strip()
        return said in ("running", "degraded")

    try:
        wait_until(booted, f"{machine_id} to boot", BOOT_SECONDS, pause=0.2)
    except LabError as error:
        console = (home(lab, machine_id) / "console.log").read_text(errors="replace")
        raise LabError(f"{error}; its console ends with:\n{console[-1500:]}") from error


def stop(lab: Lab, machine_id: str, *, at_once: bool = False) -> None:
    """
    Stop a machine and wait until it is gone; its disk stays.

    at_once (bool)
        Cut the power instead of shutting down in order. Default False.
    """
    pids = list(nspawn_pids(lab, machine_id))
    pid_one = leader(lab, machine_id)
    if at_once and pid_one:
        send(pid_one, signal.SIGKILL)
    for pid in pids:
        send(pid, signal.SIGTERM)
    every = [*pids, *([pid_one] if pid_one else [])]
    try:
        wait_until(lambda: not any(alive(pid) for pid in every), f"{machine_id} to stop", STOP_SECONDS)
    except LabError:
        for pid in every:
            send(pid, signal.SIGKILL)
        wait_until(lambda: not any(alive(pid) for pid in every), f"{machine_id} to be cut off", 10)


def remove(lab: Lab, machine_id: str) -> None:
    """Cut the machine off and remove its disk."""
    stop(lab, machine_id, at_once=True)
    here = home(lab, machine_id)
    for point in mount_points(here):
        run(["umount", "--lazy", point])
    shutil.rmtree(here, ignore_errors=False)


def mount_points(below: Path) -> list[Path]:
    """What is mounted below a directory, the deepest first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [Path(line.split()[4]) for line in lines]
    return sorted((p for p in points if below in p.parents), key=lambda p: -len(p.parts))


def nspawn_pids(lab: Lab, machine_id: str) -> Iterator[int]:
    """The systemd-nspawn processes whose -D is this machine's root: provably this lab's own."""
    wanted = str(root(lab, machine_id)).encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"systemd-nspawn") and wanted in words:
                yield int(entry.name)


def leader(lab: Lab, machine_id: str) -> int | None:
    """
    The host's pid of the machine's init, None while it is not running.

    Found by its root file system, not by its parent: an init outlives a killed systemd-nspawn.
    """
    upper = f"upperdir={home(lab, machine_id) / 'upper'},"
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and is_init(int(entry.name)):
            try:
                mounts = (entry / "mountinfo").read_text().splitlines()
            except OSError:
                continue
            if any(line.split()[4] == "/" and upper in line for line in mounts):
                return int(entry.name)
    return None


def is_init(pid: int) -> bool:
    """True if the process is pid 1 of a pid namespace of its own."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
    return len(numbers) > 1 and numbers[-1] == "1"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def enter(lab: Lab, machine_id: str) -> list[str]:
    """The words that run a command inside the machine, with a clean environment."""
    lab.machine(machine_id)
    pid = leader(lab, machine_id)
    if pid is None:
        raise LabError(f"{machine_id} is not running in lab '{lab.name}'; start the lab with `make lab-up`")
    inherited = [line.replace('"', "") for line in
                 (root(lab, machine_id) / "etc/environment").read_text().splitlines()]
    return ["nsenter", "--target", str(pid), "--mount", "--uts", "--ipc", "--net", "--pid",
            "--root", "--wd", "--", "/usr/bin/env", "-i", f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8",
            f"TERM={os.environ.get('TERM', 'dumb')}", *inherited]


def exec_in(
    lab: Lab, machine_id: str, argv: Sequence[str], *, input: str | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """
    Run a command as root inside a machine.

    timeout (float, seconds)
        LabError when the command takes longer. Default 120.

    Returns the finished process with its exit code, output and errors. Raises LabError if the machine
    is unknown or not running.
    """
    words = [*enter(lab, machine_id), *argv]
    # With nothing to read, an empty input: a command must never wait for the lab's own terminal.
    try:
        return subprocess.run(
            words, input=input or "", capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{machine_id}: {' '.join(argv)}: no end after {timeout:.0f} s") from error


def check_in(
    lab: Lab, machine_id: str, argv: Sequence[str], *, input: str | None = None, timeout: float = 120
) -> str:
    """Like `exec_in`, but a failed command is a LabError; returns what the command printed."""
    done = exec_in(lab, machine_id, argv, input=input, timeout=timeout)
    if done.returncode != 0:
        said = "\n".join("    " + line for line in (done.stdout + done.stderr).strip().splitlines()[-40:])
        raise LabError(f"{machine_id}: {' '.join(argv)}: exit code {done.returncode}\n{said}")
    return done.stdout
