"""The git server of the lab: the applications' repositories on the machine git-1."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from lab import disks, files
from lab.errors import LabError
from lab.process import run
from lab.settings import CHECKOUT, Lab

SERVER = "git-1"
APPLICATIONS = ("checkbox", "itrust")
# A push begins a release of these.
PUSHED = ("itrust",)
BUILDER = "jenkins-1"
# The same as in pillar/lab/secrets/jenkins.sls.
TRIGGER_TOKEN = "lab-fake-jenkins-trigger"
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
    root = disks.root(lab, SERVER)
    for application in APPLICATIONS:
        script = CHECKOUT / "tests/apps" / application / "make_repo.py"
        if not script.is_file():
            raise LabError(f"{script}: not there; it makes the repository that {SERVER} serves")
        target = root / "srv/git" / f"{application}.git"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        run([sys.executable, script, target])
        if application in PUSHED:
            run(["git", "-C", target, "config", "daemon.receivepack", "true"])
            write_hook(lab, application, target)
    files.write(root / "etc/systemd/system/git-daemon.service", UNIT)
    files.link(
        root / "etc/systemd/system/multi-user.target.wants/git-daemon.service",
        "/etc/systemd/system/git-daemon.service",
    )


def write_hook(lab: Lab, application: str, repository: Path) -> None:
    """Have a push of `main` built, where the lab has the machine that builds."""
    for machine in lab.machines:
        if machine.id == BUILDER:
            token = repository.with_name(f"{application}.token")
            trigger = f"http://{machine.address}:8080/job/{application}/build"
            for name, value in {"trigger": trigger, "tokenFile": f"/srv/git/{token.name}"}.items():
                run(["git", "-C", repository, "config", f"sluice.{name}", value])
            files.write(token, TRIGGER_TOKEN, 0o600)
            files.write(
                repository / "hooks/post-receive", (CHECKOUT / "scripts/post-receive").read_text(), 0o755
            )
