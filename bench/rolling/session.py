"""One run of the benchmark in a lab of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.rolling import ansible
from bench.rolling.results import HOSTS, Found
from lab import fleet, machines
from lab.demo_rolling.rolls import Rolls
from lab.errors import LabError
from lab.process import say, step
from lab.settings import Lab

# A first version is built with an empty Maven repository and reaches hosts that are not warm yet.
FIRST_SECONDS = 900
ROLL_SECONDS = 900
# Nobody is drained, so that it is as bare as a batch can be.
BARE = '{"itrust": {"balanced": false}}'
# Read and not asked of the runner: what the benchmark changes is the hosts, not the ledger.
ARTIFACT = """\
import json, sqlite3, sys
ledger = sqlite3.connect("file:/var/lib/sluice/ledger.db?mode=ro", uri=True, timeout=5)
row = ledger.execute(
    "SELECT url, sha256 FROM artifacts WHERE service = 'itrust' AND version = ?", sys.argv[1:])
print(json.dumps(row.fetchone()))
"""


class Session:
    """A lab with two versions of iTrust, updated from one to the other in each of the ways."""

    def __init__(self, lab: Lab, tools: Path, rounds: int) -> None:
        self.lab, self.tools, self.rounds = lab, tools, rounds
        self.rolls = Rolls(lab)
        self.found = Found()
        self.versions: list[str] = []

    def run(self) -> Found:
        """Everything, in order. Raises LabError if a step cannot be done."""
        programs = ansible.fetch_ansible(self.tools)
        fleet.up(self.lab)
        fleet.highstate(self.lab)
        if len(self.rolls.hosts) != HOSTS:
            raise LabError(f"the lab has {len(self.rolls.hosts)} hosts of iTrust (want {HOSTS})")
        for tag in ("v1", "v2"):
            last = self.rolls.last()
            with step(f"{tag} is pushed, built and rolled"):
                self.rolls.push(tag)
                self.versions.append(self.rolls.wait_for_end(last, FIRST_SECONDS, "done").version)
        ansible.open_ssh(self.lab, self.rolls.hosts, self.tools)
        who = ansible.inventory(self.lab, self.rolls.hosts, self.tools)
        for _ in range(self.rounds):
            self._ours()
            self._ansible(programs, who)
            self._bare()
            self.found.draining.append(self._timed("drained and restored", self._drain_all))
        self._quiet()
        return self.found

    @property
    def now(self) -> str:
        """The version that the ledger has, which the last roll was to."""
        return self.versions[-1]

    def _ours(self) -> None:
        """A roll to the other version, which is the ledger's from then on."""
        self.versions.reverse()
        order = json.dumps({"service": "itrust", "version": self.now})
        words = ["salt-run", "state.orchestrate", "rolling", f"pillar={order}"]
        self._roll("sluice", lambda: self._salt(*words), self.now)

    def _ansible(self, programs: Path, who: dict[str, object]) -> None:
        """The same update there and back: Ansible to the other version, then all at once to the ledger's."""
        other = self.versions[0]
        url, sha256 = json.loads(self._salt("python3", "-c", ARTIFACT, other))
        artifact = {"artifact_url": url, "artifact_sha256": sha256, "release_name": f"{other}-{sha256[:12]}"}
        self._roll("ansible", lambda: ansible.play(programs, self.tools, who, artifact), other)
        self._all_at_once()

    def _bare(self) -> None:
        apply = ["-N", "itrust", "state.apply", "itrust", f"pillar={BARE}"]
        self._salt("salt-run", "release.pin", "itrust", self.versions[0], "the benchmark")
        try:
            self._roll("bare", lambda: self._salt("salt", "-b", "1", *apply), self.versions[0])
        finally:
            # A service stays at what it was pinned to; the ledger is to name the version of the last roll.
            self._salt("salt-run", "release.pin", "itrust", self.now, "the benchmark")
            self._salt("salt-run", "release.unpin", "itrust")
        self._all_at_once()

    def _roll(self, way: str, update: Callable[[], object], version: str) -> None:
        """Time an update, and see that it was one."""
        starts = self.rolls.starts()
        self.found.rolls[way].append(self._timed(way, update))
        same = [host for host, start in self.rolls.starts().items() if starts[host] == start]
        wrong = set(self.rolls.hosts) - set(self.rolls.updated(version))
        if same or wrong:
            raise LabError(f"{way}: not restarted {same}, not on {version} {sorted(wrong)}")

    def _all_at_once(self) -> None:
        apply = ["-N", "itrust", "state.apply", "itrust", f"pillar={BARE}"]
        self._salt("salt", "--timeout=300", *apply)
        if self.rolls.updated(self.now) != self.rolls.hosts:
            raise LabError(f"the hosts do not come back to {self.now}")

    def _drain_all(self) -> None:
        """Every host drained and restored by its own token, as the state does, with nothing in between."""
        for host in self.rolls.hosts:
            for what in ("drained", "in_service"):
                said = {"lb-1": self.lab.machine("lb-1").address}
                words = ["salt-call", "--retcode-passthrough", "state.single", f"balancer.{what}"]
                more = [f"name={host}", "service=itrust", f"balancers={json.dumps(said)}"]
                machines.check_in(self.lab, host, [*words, *more])

    def _quiet(self) -> None:
        """A plan and a highstate while nothing is to be done. LabError if something was."""
        # The last bare batch took the hosts off the balancers; from here on they are on them again.
        self._salt("salt", "-b", "1", "-N", "itrust", "state.apply")
        starts = self.rolls.starts()
        plan = partial(self._salt, "salt-run", "release.plan", "itrust")
        self.found.plan += [self._timed("plan", plan) for _ in range(self.rounds)]
        for host in self.rolls.hosts:
            apply = partial(self._salt, "salt", "--timeout=120", host, "state.apply")
            self.found.highstate.append(self._timed(f"highstate of {host}", apply))
        if self.rolls.starts() != starts:
            raise LabError("a highstate with nothing to do started a Tomcat anew")

    def _salt(self, *words: str) -> str:
        return machines.check_in(self.lab, "master", list(words), timeout=ROLL_SECONDS)

    @staticmethod
    def _timed(what: str, work: Callable[[], object]) -> float:
        began = time.monotonic()
        work()
        seconds = time.monotonic() - began
        say(f"   {what}: {seconds:.1f} s")
        return seconds
