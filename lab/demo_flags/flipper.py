"""Flips the flag through the prober, and keeps what it measured."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field

from lab.demo.doors import OPERATOR_PASSWORD
from lab.demo_flags.judge import Flip, shown
from lab.demo_flags.servers import PORT, Servers
from lab.errors import LabError
from lab.load import Answer
from lab.settings import CHECKOUT

FLAG = "key1"
APPLICATION_PORT = 3002
# Between two flips: enough for answers that were begun after the bound of a wrong one.
PAUSE_SECONDS = 0.1


@dataclass
class Flipper:
    """
    Sets `key1` by turns, and measures.

    hosts
        Application host to address.
    """

    hosts: dict[str, str]
    servers: Servers
    flips: list[Flip] = field(default_factory=list)
    # Of every flip and host: milliseconds from the SET's start, and from its OK, to the changed answer.
    took: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    # Host to source to how many answers.
    sources: dict[str, dict[str, int]] = field(default_factory=dict)

    def start(self, value: str) -> None:
        """Begin, with what the flag is now."""
        self.flips = [Flip(value, 0.0, 0.0)]
        self.took = {id_: [] for id_ in self.hosts}
        self.sources = {id_: {} for id_ in self.hosts}
        self._prober: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-m", "lab.demo_flags.prober"],
            cwd=CHECKOUT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        hosts = {id_: [address, APPLICATION_PORT] for id_, address in self.hosts.items()}
        self._tell({"hosts": hosts, "username": "operator", "password": OPERATOR_PASSWORD})

    def _tell(self, what: object) -> None:
        assert self._prober.stdin is not None
        self._prober.stdin.write(json.dumps(what) + "\n")
        self._prober.stdin.flush()

    def flip(self, times: int = 1) -> None:
        """Flip it so many times at the master. Raises LabError if a flip is not answered or not seen."""
        assert self._prober.stdout is not None
        master = self.servers.must_have_master()
        for _ in range(times):
            value = "0" if self.flips[-1].value == "1" else "1"
            self._tell({"server": [self.servers.hosts[master], PORT], "name": FLAG, "value": value})
            told = json.loads(self._prober.stdout.readline() or '{"error": "the prober ended"}')
            if told["error"]:
                raise LabError(f"SET {FLAG} {value} at {master}: {told['error']}")
            self._keep(Flip(value, told["started"], told["acked"]), told["hosts"])
            time.sleep(PAUSE_SECONDS)

    def _keep(self, flip: Flip, hosts: dict[str, list[tuple[float, float, str, str]]]) -> None:
        self.flips.append(flip)
        for id_, answers in hosts.items():
            for begun, ended, what, source in answers:
                self.answers.append(Answer(begun, ended, "", None, what))
                self.sources[id_][source] = self.sources[id_].get(source, 0) + 1
            _, ended, what, _ = answers[-1]
            if what != shown(flip.value):
                raise LabError(f"{id_} does not show {FLAG} = {flip.value} within 5 s of the SET")
            self.took[id_].append((1000 * (ended - flip.started), 1000 * (ended - flip.acked)))

    def close(self) -> None:
        self._prober.kill()
        self._prober.communicate()
