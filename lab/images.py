"""The machine image: Debian, Salt and everything the states install, built once and kept.

Three layers under the lab's cache, each named after a hash of what it is made from, so a changed recipe
makes a new one and an interrupted build leaves nothing that looks finished:

* `base-HASH`: debootstrap of Debian 12,
* `wheels-HASH`: Python wheels of the lock files, built on this computer,
* `image-HASH`: the base with Salt in `/opt/salt` and the packages of the states downloaded.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab import cgroups, disks, files, host, pids
from lab.process import run, step
from lab.settings import CHECKOUT, Lab

BASE_PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "libpam-systemd", "iproute2", "procps", "git", "ca-certificates",
    "gpg", "python3", "python3-venv", "python3-apt", "curl", "less", "vim-tiny",
)
# What the states install, downloaded beforehand so that a highstate needs no network for it.
STATE_PACKAGES = (
    "nodejs", "npm", "nginx-light", "redis-server", "redis-tools", "redis-sentinel", "tomcat10",
    "libmariadb-java", "tomcat-jakartaee-migration", "mariadb-server", "default-jdk-headless", "maven",
)
LOCKS = ("salt.lock", "balancer.lock", "mongodb-lab.lock")
BUILD_TOOLS = ("pip", "setuptools", "wheel")
SALT_COMMANDS = (
    "salt", "salt-call", "salt-cloud", "salt-key", "salt-master", "salt-minion", "salt-run", "salt-api",
)
# An image has 1.0 GB: besides those in use, this many recent ones of each kind are kept.
KEPT = 2
# What builds an image runs in this control group, so that nothing of an interrupted build goes on.
GROUP = "sluice-lab-build"

UNIT = """\
[Unit]
Description=The Salt {what}
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
NotifyAccess=all
LimitNOFILE=100000
KillMode={kill_mode}
TimeoutStopSec=10
ExecStart=/usr/local/bin/salt-{what}
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Layers:
    """Where the layers of today's recipe are, or will be once they are built."""

    base: Path
    wheels: Path
    image: Path


def layers(lab: Lab) -> Layers:
    """The places of the layers, by the hashes of what they are made from."""
    base = place(lab, "base", [*host.debian_sources(), *BASE_PACKAGES])
    wheels = place(lab, "wheels", [(CHECKOUT / "requirements" / lock).read_text() for lock in LOCKS])
    return Layers(base, wheels, place(lab, "image", [base.name, wheels.name, Path(__file__).read_text()]))


def place(lab: Lab, kind: str, recipe: list[str]) -> Path:
    return lab.cache / f"{kind}-{hashlib.sha256(chr(10).join(recipe).encode()).hexdigest()[:12]}"


def ensure_image(lab: Lab) -> Path:
    """The root directory of the lab's image, built now if the cache does not have it."""
    wanted = layers(lab)
    files.make_private(lab.cache)
    with files.locked("images"):
        end_interrupted_build(lab)
        make(wanted.image, lambda target: build_image(target, wanted))
        cgroups.remove(GROUP)
        prune(lab)
    return wanted.image


def make(done: Path, build: Callable[[Path], None]) -> None:
    """Build a layer that is not there beside its place, and rename it when it is whole."""
    if not done.exists():
        target = done.with_name(done.name + ".building")
        build(target)
        target.rename(done)
    os.utime(done)


def end_interrupted_build(lab: Lab) -> None:
    """Remove what an `up` that was cut off left of a build: its processes, mounts and directories."""
    pids.end(lambda: [one for one in map(pids.process, cgroups.pids(GROUP)) if one], "an interrupted build")
    cgroups.remove(GROUP)
    for leftover in lab.cache.glob("*.building"):
        disks.discard(leftover)


def prune(lab: Lab) -> None:
    """Delete the images that no lab uses, but for the most recent ones."""
    used = set()
    for path in lab.state_root.glob("*/image"):
        with suppress(FileNotFoundError):  # that lab has just been removed
            used.add(Path(path.read_text()).name)
    for kind in ("base", "wheels", "image"):
        newest = sorted(lab.cache.glob(f"{kind}-*"), key=lambda path: -path.stat().st_mtime)
        for old in newest[KEPT:]:
            if old.name not in used:
                disks.discard(old)


def work(words: list[str | Path], timeout: float = 900) -> None:
    """Run a command of a build, in the build's control group."""
    plain = [str(word) for word in words]
    run(cgroups.joined(GROUP, plain), timeout=timeout, title=" ".join(plain))


def build_base(target: Path) -> None:
    """debootstrap from the archive this computer itself uses."""
    mirror = host.debian_sources()[0].split()[1]
    with step("debootstrap of Debian 12 (about a minute, once)"):
        packages = ",".join(BASE_PACKAGES)
        work(["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", target, mirror])


def build_wheels(target: Path) -> None:
    """Wheels of every lock file, checked against the locks' hashes."""
    target.mkdir()
    # Debian's python in an environment of its own: wheels for the machines' python, not another one.
    venv = target / ".venv"
    pip: list[str | Path] = [venv / "bin/python", "-m", "pip", "-q", "wheel", "--wheel-dir", target]
    with step("wheels of Salt, the balancer and the lab's database (about two minutes, once)"):
        work(["/usr/bin/python3", "-m", "venv", venv])
        for lock in LOCKS:
            requirements = CHECKOUT / "requirements" / lock
            work([*pip, "--require-hashes", "-r", requirements])
            pinned = [line for line in map(pinned_name, requirements.read_text().splitlines()) if line]
            files.write(target / lock.replace(".lock", ".txt"), "\n".join(pinned) + "\n")
        work([*pip, *BUILD_TOOLS])
    shutil.rmtree(venv)


def pinned_name(line: str) -> str | None:
    """`name==version` of a lock line that pins a package."""
    found = re.match(r"([A-Za-z0-9._\[\]-]+==[^ \\]+)", line)
    return found.group(1) if found else None


def build_image(target: Path, wanted: Layers) -> None:
    """The base plus Salt, the wheels and the downloaded packages."""
    make(wanted.base, build_base)
    make(wanted.wheels, build_wheels)
    with step("machine image with Salt (about a minute, once)"):
        work(["cp", "-a", wanted.base, target])
        shutil.copytree(wanted.wheels, target / "opt/wheelhouse")
        host.inherited().write(target)
        # Debian's journal outlives a restart; the lab can show it of a machine that is down.
        files.write(target / "etc/systemd/journald.conf.d/lab.conf", "[Journal]\nSystemMaxUse=100M\n")
        # A lab's disks need not outlive a power cut: packages install in a third of the time.
        # What a machine inherits may stand where a package has a settings file of its own: it stays.
        files.write(target / "etc/dpkg/dpkg.cfg.d/lab", "force-unsafe-io\nforce-confold\n")
        # Java makes a bundle of its own from what is linked here: this computer's authorities too.
        inside(target, "update-ca-certificates >/dev/null")
        inside(target, "apt-get -qq update")
        inside(target, "apt-get -qq -y install --download-only --no-install-recommends "
                       + " ".join(STATE_PACKAGES))
        inside(target, "python3 -m venv /opt/salt")
        inside(target, "/opt/salt/bin/pip -q install --no-index --find-links /opt/wheelhouse "
                       "-r /opt/wheelhouse/salt.txt pip setuptools wheel")
        inside(target, "/opt/salt/bin/python -m compileall -q /opt/salt/lib || true")
        add_salt_commands(target)
        forget_identity(target)


def inside(root: Path, command: str) -> None:
    """Run a shell command in an image that is being built, with this computer's network."""
    work(["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--as-pid2", "--pipe",
          "--resolv-conf=copy-host", "-D", root, "--", "/bin/sh", "-c", command])


def add_salt_commands(root: Path) -> None:
    """Wrappers on the PATH and units that nobody has enabled."""
    for command in SALT_COMMANDS:
        files.link(root / "usr/local/bin" / command, f"/opt/salt/bin/{command}")
    for what, kill_mode in (("master", "mixed"), ("minion", "process")):
        unit = UNIT.format(what=what, kill_mode=kill_mode)
        files.write(root / f"etc/systemd/system/salt-{what}.service", unit)
        (root / f"etc/salt/{what}.d").mkdir(parents=True)
        files.write(root / "etc/salt" / what, "")


def forget_identity(root: Path) -> None:
    """An image knows no name, no machine id and no keys; and nothing in it waits for a console."""
    files.write(root / "etc/machine-id", "")
    (root / "etc/hostname").unlink(missing_ok=True)
    units = root / "etc/systemd/system"
    for unit in ("console-getty.service", "systemd-resolved.service", "apt-daily.timer",
                 "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer"):
        files.link(units / unit, "/dev/null")
    files.link(units / "multi-user.target.wants/systemd-networkd.service",
               "/lib/systemd/system/systemd-networkd.service")
