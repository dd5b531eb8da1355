"""What the lab needs of the computer, checked before anything is changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lab.errors import LabError
from lab.settings import Lab

TOOLS = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "nft": "nftables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "git": "git",
    "openssl": "openssl",
}
# Image 1.5 GB, wheels and base 0.8 GB, seven machines of at most 0.7 GB each.
DISK_BYTES = 8 * 1000**3


def check(lab: Lab) -> None:
    """Raise LabError naming everything that is missing, with the command that installs it."""
    problems = [*missing_root(), *missing_tools(), *missing_kernel(), *missing_disk(lab)]
    if problems:
        raise LabError("the lab cannot run here:\n" + "\n".join(f"  * {problem}" for problem in problems))


def missing_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["it needs root: run it with sudo"]


def missing_tools() -> list[str]:
    packages = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if not packages:
        return []
    return [f"missing Debian packages: run `apt-get install {' '.join(sorted(packages))}` (or `make deps`)"]


def missing_kernel() -> list[str]:
    problems = []
    if "overlay" not in Path("/proc/filesystems").read_text():
        problems.append("the kernel has no overlay file system: run `modprobe overlay`")
    if not Path("/proc/self/ns/pid").exists():
        problems.append("the kernel has no pid namespaces")
    if not Path("/sys/fs/cgroup").exists():
        problems.append("no cgroup file system on /sys/fs/cgroup")
    return problems


def missing_disk(lab: Lab) -> list[str]:
    place = next(path for path in (lab.cache, *lab.cache.parents) if path.exists())
    free = shutil.disk_usage(place).free
    if free >= DISK_BYTES:
        return []
    return [f"{place}: {free / 1e9:.1f} GB free, the lab needs {DISK_BYTES / 1e9:.0f} GB"]
