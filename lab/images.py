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
from pathlib import Path

from lab import host
from lab.process import run, step
from lab.settings import CHECKOUT, Lab

BASE_PACKAGES = (
    "systemd systemd-sysv dbus libpam-systemd iproute2 procps git ca-certificates gpg "
    "python3 python3-venv python3-apt curl less"
).split()
# What the states install, downloaded beforehand so that a highstate needs no network for it.
STATE_PACKAGES = "nodejs npm nginx-light redis-server redis-tools".split()
LOCKS = ("salt.lock", "balancer.lock", "mongodb-lab.lock")
BUILD_TOOLS = ("pip", "setuptools", "wheel")
SALT_COMMANDS = "salt salt-call salt-cloud salt-key salt-master salt-minion salt-run salt-api".split()

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


def ensure_image(lab: Lab) -> Path:
    """The root directory of the lab's image, built now if the cache does not have it."""
    base_recipe = "\n".join([*host.debian_sources(), *BASE_PACKAGES])
    wheels_recipe = "\n".join((CHECKOUT / "requirements" / lock).read_text() for lock in LOCKS)
    base = cached(lab, "base", base_recipe, lambda target: build_base(target))
    wheels = cached(lab, "wheels", wheels_recipe, lambda target: build_wheels(target))
    recipe = "\n".join([base.name, wheels.name, *STATE_PACKAGES, UNIT, Path(__file__).read_text()])
    return cached(lab, "image", recipe, lambda target: build_image(target, base, wheels))


def cached(lab: Lab, kind: str, recipe: str, build: Callable[[Path], None]) -> Path:
    """The directory made from a recipe; built beside its place and renamed when whole."""
    done = lab.cache / f"{kind}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    if done.exists():
        return done
    lab.cache.mkdir(parents=True, exist_ok=True)
    for leftover in lab.cache.glob(f"{kind}-*.building"):
        shutil.rmtree(leftover)
    target = done.with_name(done.name + ".building")
    build(target)
    target.rename(done)
    return done


def build_base(target: Path) -> None:
    """debootstrap from the archive this computer itself uses."""
    mirror = host.debian_sources()[0].split()[1]
    with step("debootstrap of Debian 12 (about a minute, once)"):
        packages = ",".join(BASE_PACKAGES)
        run(
            ["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", target, mirror],
            timeout=900,
        )


def build_wheels(target: Path) -> None:
    """Wheels of every lock file, checked against the locks' hashes."""
    target.mkdir()
    with step("wheels of Salt, the balancer and the lab's database (about two minutes, once)"):
        for lock in LOCKS:
            requirements = CHECKOUT / "requirements" / lock
            pip = ["/usr/bin/python3", "-m", "pip", "-q", "wheel", "--wheel-dir", target]
            run(venv_pip(target, [*pip[1:], "--require-hashes", "-r", requirements]), timeout=900)
            pinned = [line for line in map(pinned_name, requirements.read_text().splitlines()) if line]
            (target / lock.replace(".lock", ".txt")).write_text("\n".join(pinned) + "\n")
        run(venv_pip(target, ["-m", "pip", "-q", "wheel", "--wheel-dir", target, *BUILD_TOOLS]), timeout=300)
    shutil.rmtree(target / ".venv")


def venv_pip(target: Path, words: list[str | Path]) -> list[str | Path]:
    """Debian's python in an environment of its own: wheels for the machines' python, not another one."""
    venv = target / ".venv"
    if not venv.exists():
        run(["/usr/bin/python3", "-m", "venv", venv])
    return [venv / "bin" / "python", *words]


def pinned_name(line: str) -> str | None:
    """`name==version` of a lock line that pins a package."""
    found = re.match(r"([A-Za-z0-9._\[\]-]+==[^ \\]+)", line)
    return found.group(1) if found else None


def build_image(target: Path, base: Path, wheels: Path) -> None:
    """The base plus Salt, the wheels and the downloaded packages."""
    with step("machine image with Salt (about two minutes, once)"):
        run(["cp", "-a", base, target], timeout=300)
        shutil.copytree(wheels, target / "opt" / "wheelhouse")
        host.inherit(target)
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
    run(
        ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--as-pid2", "--pipe",
         "--resolv-conf=copy-host", "-D", root, "--", "/bin/sh", "-c", command],
        timeout=900,
    )


def add_salt_commands(root: Path) -> None:
    """Wrappers on the PATH and units that nobody has enabled."""
    for command in SALT_COMMANDS:
        (root / "usr/local/bin" / command).symlink_to(f"/opt/salt/bin/{command}")
    for what, kill_mode in (("master", "mixed"), ("minion", "process")):
        unit = root / f"etc/systemd/system/salt-{what}.service"
        unit.write_text(UNIT.format(what=what, kill_mode=kill_mode))
        (root / f"etc/salt/{what}.d").mkdir(parents=True)
        (root / "etc/salt" / what).write_text("")


def forget_identity(root: Path) -> None:
    """An image knows no name, no machine id and no keys; and nothing in it waits for a console."""
    (root / "etc/machine-id").write_text("")
    (root / "etc/hostname").unlink(missing_ok=True)
    units = root / "etc/systemd/system"
    for unit in ("console-getty.service", "systemd-resolved.service", "apt-daily.timer",
                 "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer"):
        link = units / unit
        if not link.is_symlink():
            link.symlink_to("/dev/null")
    wants = units / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    os.symlink("/lib/systemd/system/systemd-networkd.service", wants / "systemd-networkd.service")
