"""What the lab needs of the computer, checked before anything is changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab import cgroups, network
from lab.errors import LabError
from lab.settings import Lab

TOOLS = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "nft": "nftables",
    "ip": "iproute2",
    "mount": "mount",
    "nsenter": "util-linux",
    "setsid": "util-linux",
    "git": "git",
    "openssl": "openssl",
}
FILES = {
    "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
    "/usr/lib/python3.11/ensurepip": "python3-venv",
}
# Image 0.9 GB, wheels and base 0.5 GB, as much again while a new one is built, nine machines of 0.5 GB.
DISK_BYTES = 8 * 1000**3
# What an `up` needs that finds the lab's machines made.
SPARE_BYTES = 500 * 1000**2
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "uts")


def check(lab: Lab) -> None:
    """Raise LabError naming everything that is missing, with the command that installs it."""
    problems = [*missing_root(), *missing_tools()]
    # Without root or tools the rest could not even be asked.
    problems = problems or [*missing_kernel(), *missing_overlay(lab), *missing_nat(lab), *missing_disk(lab)]
    if problems:
        raise LabError("the lab cannot run here:\n" + "\n".join(f"  * {problem}" for problem in problems))


def missing_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["it needs root: run it with sudo"]


def missing_tools() -> list[str]:
    """The Debian packages whose tools are not there, with the command that installs them."""
    packages = {package for tool, package in TOOLS.items() if shutil.which(tool) is None}
    packages |= {package for path, package in FILES.items() if not Path(path).exists()}
    if not packages:
        return []
    return [f"missing Debian packages: run `apt-get install {' '.join(sorted(packages))}` (or `make deps`)"]


def missing_kernel() -> list[str]:
    """Namespaces, control groups, bridges."""
    problems = [f"the kernel has no {kind} namespaces" for kind in NAMESPACES
                if not Path("/proc/self/ns", kind).exists()]
    if not cgroups.hierarchies():
        problems.append("no cgroup tree for systemd under /sys/fs/cgroup: mount cgroup2 there")
    return problems


def missing_overlay(lab: Lab) -> list[str]:
    """Tries an overlay where the machines will have theirs: not every file system can carry one."""
    lab.state_root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=lab.state_root, prefix=trial(lab)) as text:
        here = Path(text)
        for part in ("lower", "upper", "work", "root"):
            (here / part).mkdir()
        options = f"lowerdir={here / 'lower'},upperdir={here / 'upper'},workdir={here / 'work'}"
        # In a mount namespace of its own: the mount goes with the command, whatever ends this process.
        words: list[str | Path] = ["unshare", "--mount", "mount", "-t", "overlay", "overlay", "-o", options,
                                   here / "root"]
        mounted = subprocess.run(words, capture_output=True, text=True, check=False)
    if mounted.returncode == 0:
        return []
    return [f"no overlay file system can be mounted in {lab.state_root}: {mounted.stderr.strip()} "
            "(try `modprobe overlay`; the directory must be on ext4, xfs or btrfs, not on an overlay)"]


def trial(lab: Lab) -> str:
    """How the directories of `missing_overlay` begin."""
    return f".precheck-{lab.name}."


def discard(lab: Lab) -> None:
    """Remove the directories of checks that were cut off."""
    for left in lab.state_root.glob(trial(lab) + "*"):
        shutil.rmtree(left, ignore_errors=True)


def missing_nat(lab: Lab) -> list[str]:
    """Has the kernel check the lab's rules without loading them."""
    tried = subprocess.run(["nft", "--check", "-f", "-"], input=network.rules(lab),
                           capture_output=True, text=True, check=False)
    if tried.returncode == 0:
        return []
    first = (tried.stderr.strip().splitlines() or ["no reason given"])[0]
    return [f"nftables cannot masquerade here: {first} (try `modprobe nf_tables nft_masq`)"]


def missing_disk(lab: Lab) -> list[str]:
    """Room for what is not there yet, in the cache and in the machines' directory."""
    needed = DISK_BYTES // 2 if any(lab.cache.glob("image-*")) else DISK_BYTES
    needed = SPARE_BYTES if any(lab.state.glob("machines/*/upper")) else needed
    for wanted in (lab.cache, lab.state_root):
        place = next(path for path in (wanted, *wanted.parents) if path.exists())
        free = shutil.disk_usage(place).free
        if free < needed:
            return [f"{place}: {free / 1e9:.1f} GB free, the lab needs {needed / 1e9:g} GB"]
    return []
