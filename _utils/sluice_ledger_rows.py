"""What the ledger tells: releases, their hosts, artifacts, pins and versions."""

import os
from dataclasses import dataclass
from pathlib import Path

from sluice_errors import RefusedError

# What a host of a roll is: its turn has not come; its state is at work; it runs the version and was seen to;
# its update failed; it was given the version before again; it was left out.
HOST_STATES = ("pending", "updating", "verified", "failed", "reverted", "skipped")
# Those of them that are to run the new version.
TAKEN = ("updating", "verified")


@dataclass(frozen=True)
class Release:
    """One row of `releases`."""

    id: int
    service: str
    version: str
    previous: str | None
    state: str
    reason: str
    who: str
    started_at: str
    ended_at: str | None
    pid: int | None
    pid_started: str | None
    # `canary` or `rolling`, and the track it is about.
    kind: str = "canary"
    track: str = "canary"
    # What asked for it: `push 1a2b3c4`, `operator root`, `undo of 7`.
    trigger: str = ""

    @property
    def held_elsewhere(self) -> bool:
        """True if a living process other than this one is working on the release."""
        return self.pid not in (None, os.getpid()) and started(self.pid) == self.pid_started is not None

    @property
    def held_here(self) -> bool:
        """True if this very process is working on the release."""
        return self.pid == os.getpid() and started(self.pid) == self.pid_started


@dataclass(frozen=True)
class HostRow:
    """One host of a roll."""

    host: str
    # Counted from 1.
    batch: int
    state: str
    # The version it was to run before; None if it had none.
    before: str | None
    note: str
    at: str


@dataclass(frozen=True)
class Artifact:
    """What a build made of a commit, and where it is."""

    service: str
    version: str
    url: str
    # 64 small hexadecimal digits.
    sha256: str
    commit_id: str = ""
    built_by: str = ""
    at: str = ""


@dataclass(frozen=True)
class Version:
    """What a host is to run; `url` and `sha256` are there for versions that are artifacts."""

    version: str
    url: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Pin:
    """A version that a service stays at, whatever is built."""

    service: str
    version: str
    who: str
    reason: str
    at: str

    def refuse(self, version: str) -> None:
        """RefusedError if `version` is another one."""
        if version != self.version:
            raise RefusedError(
                f"{self.service} is pinned to {self.version} by {self.who} since {self.at} "
                f"({self.reason or 'no reason given'}). To have {version}: salt-run release.unpin "
                f"{self.service}"
            )


def started(pid: int | None) -> str | None:
    """When process `pid` started, in clock ticks since boot (proc(5), field 22); None if it is gone."""
    try:
        # The second field is the name in parentheses and may hold anything: count after the last one.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
