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
# A git host starts a build by the job's URL; in curl's own input, so that no argument shows the token.
HOOK = """\
#!/bin/sh
while read -r _ _ ref; do
  test "$ref" = refs/heads/main || continue
  curl --silent --show-error --fail --max-time 10 --request POST --output /dev/null --config - <<END &&
url = "http://{address}:8080/job/{application}/build?token={token}"
END
  echo "the build of {application} was asked for"
done
"""
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
            text = HOOK.format(address=machine.address, application=application, token=TRIGGER_TOKEN)
            files.write(repository / "hooks/post-receive", text, 0o755)
