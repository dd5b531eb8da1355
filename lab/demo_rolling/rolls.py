"""What a roll does to the machines, seen from outside: pushes, the ledger's rows, what each host runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from lab import disks, machines, repositories
from lab.errors import LabError
from lab.process import wait_until
from lab.settings import Lab

WORK = "/srv/developer/itrust"
CURRENT = "srv/itrust/current"
# Read and not asked of the runner, so that a look costs the master a few milliseconds and no Salt process.
OPENED = """\
import json, os, sqlite3, sys
path = "/var/lib/sluice/ledger.db"
if not os.path.exists(path):
    # Nothing was released yet.
    sys.exit(print("[]"))
ledger = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
"""
LOOK = f"""{OPENED}
rows = ledger.execute(
    "SELECT id, version, state, reason FROM releases WHERE service = 'itrust' AND id > ? ORDER BY id",
    (int(sys.argv[1]),)).fetchall()
hosts = "SELECT host, state FROM hosts WHERE release_id = ?"
print(json.dumps([[*row, dict(ledger.execute(hosts, row[:1]).fetchall())] for row in rows]))
"""
LOOK_AT_ARTIFACTS = f"""{OPENED}
ledger.row_factory = sqlite3.Row
query = "SELECT version, url, sha256 FROM artifacts WHERE service = 'itrust' AND version = ?"
print(json.dumps([dict(row) for row in ledger.execute(query, sys.argv[1:])]))
"""
OPEN = ("queued", "running")
# Milliseconds, but for a computer with many labs.
LOOK_SECONDS = 30


@dataclass(frozen=True)
class Row:
    """One release of the ledger."""

    id: int
    version: str
    state: str
    reason: str
    # What each of its hosts is; empty for one that was not begun.
    hosts: dict[str, str]

    def are(self, state: str) -> list[str]:
        """Its hosts that are `pending`, `updating`, `verified`, `failed`, `reverted` or `skipped`."""
        return sorted(host for host, found in self.hosts.items() if found == state)


class Rolls:
    """The fleet of iTrust in a lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.hosts = [machine.id for machine in lab.machines if machine.id.startswith("itrust-")]

    def push(self, tag: str) -> None:
        """Push a tag's commit to the branch that is built, as a developer does. LabError if it is refused."""
        place = f"git://127.0.0.1/itrust {WORK}"
        script = f"test -d {WORK} || git clone --quiet {place}; git -C {WORK} push --quiet origin {tag}:main"
        machines.check_in(self.lab, repositories.SERVER, ["sh", "-ec", script])

    def rows(self, after: int = 0) -> list[Row]:
        """The releases with a higher id, oldest first. LabError if the ledger cannot be read."""
        return [Row(*row) for row in self._look(LOOK, str(after))]

    def artifact(self, version: str) -> dict[str, str]:
        """The `version`, `url` and `sha256` of what was built. LabError if the ledger does not know it."""
        found = self._look(LOOK_AT_ARTIFACTS, version)
        if not found:
            raise LabError(f"the ledger knows no artifact of itrust {version}")
        return dict(found[0])

    def last(self) -> int:
        """The id of the newest release, 0 if there is none."""
        return max((row.id for row in self.rows()), default=0)

    def wait_for_end(self, after: int, seconds: float, wanted: str) -> Row:
        """The first release after that id, once it has ended. LabError if it is not `wanted` by then."""

        def ended() -> bool:
            rows = self.rows(after)
            return bool(rows) and rows[0].state not in OPEN

        wait_until(ended, f"the end of the roll after release {after}", seconds, pause=0.5)
        row = self.rows(after)[0]
        wait_until(lambda: self.rows(after)[0].state == wanted, f"{row} ends {wanted}", 1)
        return row

    def wait_for_start(self, after: int, seconds: float) -> Row:
        """The first release after that id, once it runs."""

        def runs() -> bool:
            rows = self.rows(after)
            return bool(rows) and rows[0].state != "queued"

        wait_until(runs, f"a roll after release {after}", seconds, pause=0.2)
        return self.rows(after)[0]

    def wait_for_hosts(self, after: int, state: str, count: int, seconds: float) -> Row:
        """The first release after that id, once so many of its hosts are in a state."""

        def there_are() -> bool:
            rows = self.rows(after)
            return bool(rows) and len(rows[0].are(state)) >= count

        wait_until(there_are, f"{count} hosts {state} in the roll after release {after}", seconds, pause=0.2)
        return self.rows(after)[0]

    def running(self) -> dict[str, str]:
        """What each host runs: `<version>-<hash>`, empty for nothing. Read from their disks."""
        return {host: self._current(host) for host in self.hosts}

    def updated(self, version: str) -> list[str]:
        """The hosts that run a version."""
        return [host for host, name in self.running().items() if name.startswith(f"{version}-")]

    def starts(self) -> dict[str, str]:
        """Of each host which start of its Tomcat this is: another one after every restart."""
        show = ["systemctl", "show", "tomcat10", "--property=InvocationID", "--value"]
        return {host: machines.check_in(self.lab, host, show).strip() for host in self.hosts}

    def _look(self, script: str, word: str) -> Any:
        return json.loads(
            machines.check_in(self.lab, "master", ["python3", "-c", script, word], timeout=LOOK_SECONDS)
        )

    def _current(self, host: str) -> str:
        link = disks.root(self.lab, host) / CURRENT
        try:
            return link.readlink().name
        except OSError:
            return ""


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """The hosts of which two looks differ."""
    return [host for host in before if before[host] != after.get(host)]
