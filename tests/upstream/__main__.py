"""
`python -m tests.upstream GIT_URL [--jenkins-war URL --jenkins-sha256 HASH] [--keep]`

Build the real iTrust, install it on five hosts, log users in through the balancer, and roll a changed build
under them: the states of this project, with only pillar pointing at its repository. 0 if no request failed.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from lab import fleet, machines
from lab.demo_rolling.rolls import Rolls
from lab.errors import LabError
from lab.process import say, step, wait_until
from tests.support import labs
from tests.upstream.source import Source
from tests.upstream.users import Users

PORT = 8080
RESULT = Path("build/test-upstream.json")
# With an empty Maven repository; a repeated build takes a third.
FIRST_SECONDS = 1200
AGAIN_SECONDS = 900
CHANGE = "changed by the test of the real application"
# FAKE, and of the form that a real Jenkins wants.
ADMIN = {"user": "sluice", "password": "lab-fake-jenkins-password", "token": "11" + "fa4e" * 8}


class Upstream:
    """One run in a lab."""

    def __init__(self, lab, source, war):
        self.lab, self.source, self.war = lab, source, war
        self.rolls = Rolls(lab)
        self.users = Users(lab.machine("lb-1").address, PORT)

    def run(self):
        """Everything, in order; the figures. LabError if a step cannot be done."""
        fleet.up(self.lab)
        self._point()
        fleet.highstate(self.lab)
        first = self._rolled("the application is built and installed", FIRST_SECONDS)
        self.users.start()
        try:
            wait_until(self._at_work, "users at work", 120)
            self.source.change(CHANGE)
            changed = self._rolled("a changed build is rolled under users", AGAIN_SECONDS)
            self._see_change()
        finally:
            self.users.stop()
        return {
            "hosts": len(self.rolls.hosts),
            "first_push_to_last_host_seconds": first,
            "push_to_last_host_seconds": changed,
            "log_ins": self.users.log_ins,
            "pages": self.users.pages,
            "failed": len(self.users.failed),
            "logged_out_users": self.users.logged_out,
        }

    def _at_work(self):
        if self.users.failed and not self.users.log_ins:
            raise LabError(f"nobody can log in: {self.users.failed[0]}")
        return self.users.log_ins >= self.users.count

    def _point(self):
        """Pillar tells how this application is built, and which Jenkins builds it."""
        self._replace("jenkins.sls", "  job:\n", f"  job:\n{indented(self.source.job(), 4)}")
        if self.war:
            url, digest = self.war
            told = f"  war_url: {json.dumps(url)}\n  war_sha256: {json.dumps(digest)}\n"
            self._replace("jenkins.sls", "  provider: stand_in\n", f"  provider: war\n  junit: false\n{told}")
            self._replace("jenkins.sls", "  junit: true\n", "")
            admin = f"  admin: {json.dumps(ADMIN)}\n"
            self._replace("secrets/jenkins.sls", "  admin: {token: lab-fake-jenkins-admin}\n", admin)

    def _replace(self, name, old, new):
        """Change a file of the pillar on the master; LabError if it is not as it was."""
        path = f"/srv/sluice/pillar/lab/{name}"
        text = machines.check_in(self.lab, "master", ["cat", path])
        if new not in text:
            if old not in text:
                raise LabError(f"{path} has no line {old.strip()!r} to change")
            machines.check_in(self.lab, "master", ["tee", path], input=text.replace(old, new, 1))

    def _rolled(self, title, seconds):
        """Push, and wait until it runs on every host; how many seconds it took."""
        last, began = self.rolls.last(), time.monotonic()
        with step(title):
            self.source.push(self.lab.machine("git-1").address)
            row = self.rolls.wait_for_end(last, seconds, "done")
        updated = self.rolls.updated(row.version)
        if updated != self.rolls.hosts:
            raise LabError(f"{row.version} runs on {updated} (want {self.rolls.hosts})")
        return round(time.monotonic() - began, 1)

    def _see_change(self):
        """Every host gives the changed page."""
        for host in self.rolls.hosts:
            page = f"http://{self.lab.machine(host).address}:{PORT}/iTrust/login.jsp"
            text = machines.check_in(self.lab, "lb-1", ["curl", "-sf", page])
            if CHANGE not in text:
                raise LabError(f"{page} does not have the change {CHANGE!r}")


def indented(value, columns):
    """A dict as lines of YAML below a key."""
    return "".join(f"{' ' * columns}{key}: {json.dumps(told)}\n" for key, told in value.items())


def arguments():
    parser = argparse.ArgumentParser(prog="python -m tests.upstream", description=__doc__)
    parser.add_argument("git_url", help="a repository with the real iTrust, whole and not shallow")
    parser.add_argument("--jenkins-war", metavar="URL", help="a real Jenkins (default: the lab's stand-in)")
    parser.add_argument("--jenkins-sha256", metavar="HASH", help="of that WAR")
    parser.add_argument("--keep", action="store_true", help="leave the lab up")
    given = parser.parse_args()
    if bool(given.jenkins_war) != bool(given.jenkins_sha256):
        parser.error("--jenkins-war and --jenkins-sha256 go together")
    return given


def main():
    given = arguments()
    if os.geteuid() != 0:
        sys.exit("tests.upstream: needs root for the lab's machines; run it with sudo")
    lab = labs.settings_of("upstream", "upbr", "itrust")
    war = (given.jenkins_war, given.jenkins_sha256) if given.jenkins_war else None
    with tempfile.TemporaryDirectory() as scratch:
        try:
            upstream = Upstream(lab, Source(given.git_url, Path(scratch) / "source"), war)
            told = upstream.run()
        except (LabError, OSError) as error:
            sys.exit(f"tests.upstream: {error}")
        finally:
            if not given.keep:
                fleet.down(lab)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(told, indent=2) + "\n")
    for name, value in told.items():
        say(f"{name:>34}  {value}")
    for line in upstream.users.failed[:10]:
        say(f"FAILED  {line}")
    return 1 if told["failed"] or told["logged_out_users"] else 0


if __name__ == "__main__":
    sys.exit(main())
