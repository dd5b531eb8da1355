"""The git server of the lab: the applications' repositories on the machine git-1."""

from __future__ import annotations

import shutil
import sys

from lab import machines
from lab.process import run
from lab.settings import CHECKOUT, Lab

SERVER = "git-1"
APPLICATIONS = ("checkbox",)
UNIT = """\
[Unit]
Description=Git repositories of the lab's applications

[Service]
ExecStart=/usr/bin/git daemon --export-all --reuseaddr --base-path=/srv/git /srv/git
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""


def write(lab: Lab) -> None:
    """Build each application's repository from tests/apps and install the unit that serves it."""
    root = machines.root(lab, SERVER)
    for application in APPLICATIONS:
        target = root / "srv/git" / f"{application}.git"
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        run([sys.executable, CHECKOUT / "tests/apps" / application / "make_repo.py", target])
    unit = root / "etc/systemd/system/git-daemon.service"
    unit.write_text(UNIT)
    wants = root / "etc/systemd/system/multi-user.target.wants/git-daemon.service"
    wants.parent.mkdir(parents=True, exist_ok=True)
    wants.unlink(missing_ok=True)
    wants.symlink_to("/etc/systemd/system/git-daemon.service")
