"""The story of the demo of flags, step by step, with readers on every application host all the while."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from lab import fleet, machines
from lab.demo_flags import report
from lab.demo_flags.flipper import FLAG, Flipper
from lab.demo_flags.judge import LATE_SECONDS, wrong
from lab.demo_flags.readers import Readers
from lab.demo_flags.servers import Servers
from lab.demo_flags.writer import Writer
from lab.errors import LabError
from lab.process import say, step, wait_until
from lab.settings import Lab

# 200 flips in all: most in peace, the others while something is broken or right after.
CALM, REPLICA_GONE, NEW_MASTER, CUT_OFF, HEALED = 80, 30, 30, 30, 30
# From the death of the master to the first write: somebody has to order the promotion, or Sentinel to agree.
FAILOVER_SECONDS = 60
REDIS_PILLAR = "/srv/sluice/pillar/lab/redis.sls"
TABLE = "sluice_cut"


class Story:
    """
    One run of the demo in a lab.

    sentinel (bool)
        Redis' own Sentinels promote a replica, and nobody orders it. Default False.
    """

    def __init__(self, lab: Lab, sentinel: bool = False) -> None:
        self.lab, self.sentinel = lab, sentinel
        self.servers, self.readers = Servers(lab), Readers(lab)
        self.writer = Writer(self.servers)
        self.flipper = Flipper(self.readers.hosts, self.servers)
        self.result: dict[str, Any] = {"sentinel": sentinel, "phases": {}}
        self._ended = threading.Event()

    def run(self) -> dict[str, Any]:
        """Everything, in order. Raises LabError if a step cannot be done."""
        started = time.monotonic()
        self._boot()
        self.result["setup_seconds"] = round(time.monotonic() - started, 1)
        self.flipper.start(self.servers[self.servers.must_have_master()].get(FLAG) or "0")
        try:
            self.readers.start()
            self.writer.start()
            threading.Thread(target=self._live_line, daemon=True).start()
            self._flip("all is well", CALM)
            self._write_on_replicas()
            self._lose_a_replica()
            self._lose_the_master()
            self._cut_a_replica_off()
        finally:
            self._ended.set()
            self.writer.stop()
            self.readers.stop()
            self.flipper.close()
        return self._totals()

    def _boot(self) -> None:
        fleet.up(self.lab)
        if self.sentinel:
            with step("pillar redis:ha: sentinel"):
                self._in("master", "sed", "-i", "s/^redis:/redis:\\n  ha: sentinel/", REDIS_PILLAR)
        fleet.highstate(self.lab)
        self.servers.wait_linked()

    def _in(self, machine: str, *words: str, timeout: float = 120) -> str:
        return machines.check_in(self.lab, machine, list(words), timeout=timeout)

    def _live_line(self) -> None:
        """What every reader sees, once a second."""
        while not self._ended.wait(1.0):
            shows = "  ".join(f"{id_} {what:<7}" for id_, what in self.readers.shows().items())
            asked = sum(len(self.readers.answers(id_)) for id_ in self.readers.hosts)
            say(
                f"   [{len(self.flipper.flips) - 1:3d} flips, {asked:6d} requests, "
                f"{len(self.readers.failed())} failed, {len(self.writer.acknowledged):5d} writes]  {shows}"
            )

    def _flip(self, phase: str, times: int) -> None:
        with step(f"{times} flips: {phase}"):
            begin = {id_: len(took) for id_, took in self.flipper.took.items()}
            self.flipper.flip(times)
        took = {id_: took[begin[id_] :] for id_, took in self.flipper.took.items()}
        self.result["phases"][phase] = report.percentiles([one for some in took.values() for one in some])

    def _write_on_replicas(self) -> None:
        """A SET by redis-cli, and the module flag.set, on the host of each replica."""
        master, replicas = self.servers.must_have_master(), self.servers.replicas()
        refused = []
        with step("writes tried on replicas"):
            for id_ in replicas:
                try:
                    self.servers[id_].set(FLAG, "0")
                except redis.ReadOnlyError as error:
                    say(f"   SET at {id_}: {error}")
                    refused.append(True)
                words = ["salt", "--out=txt", id_, "flag.set", FLAG, "0"]
                done = machines.exec_in(self.lab, "master", words, timeout=60)
                said = (done.stdout + done.stderr).strip()
                say(f"   salt {id_} flag.set: {said.splitlines()[0] if said else ''}")
                refused.append(done.returncode != 0 and master in said)
        self.result["replica_write_refused"] = len(refused) == 2 * len(replicas) > 0 and all(refused)

    @contextmanager
    def _powered_off(self, id_: str) -> Iterator[None]:
        """A machine without power for a while; afterwards it boots, and its states are applied."""
        machines.stop(self.lab, id_, at_once=True)
        yield
        with step(f"{id_} is switched on again"):
            machines.start(self.lab, id_)
            machines.wait_for_boot(self.lab, id_)
            self._wait_for_minion(id_)
            self._in("master", "salt", "--timeout=120", id_, "state.apply", "redis", timeout=240)
            self.servers.wait_linked()

    def _wait_for_minion(self, id_: str) -> None:
        wait_until(lambda: id_ in fleet.ping(self.lab), f"{id_} answers the master", fleet.ANSWER_SECONDS)

    def _lose_a_replica(self) -> None:
        id_ = self._nearest_replica()
        say(f"-> the power of {id_} is cut: a replica that readers believe")
        with self._powered_off(id_):
            self._flip(f"replica {id_} dead", REPLICA_GONE)

    def _nearest_replica(self) -> str:
        """The replica by whose word most of the last answers were given."""
        replicas = self.servers.replicas()
        heard = {id_: sum(one.get(id_, 0) for one in self.flipper.sources.values()) for id_ in replicas}
        return max(replicas, key=lambda id_: heard[id_])

    def _lose_the_master(self) -> None:
        master = self.servers.must_have_master()
        say(f"-> the power of {master} is cut: the master")
        died = time.time()
        with self._powered_off(master):
            gone = time.time()
            if not self.sentinel:
                chosen = self.servers.replicas()[0]
                with step(f"salt-run flags.promote {chosen}"):
                    say(self._in("master", "salt-run", "flags.promote", chosen, timeout=FAILOVER_SECONDS))
            with step("the first write that is acknowledged"):
                wait_until(lambda: self.writer.first_after(gone) < math.inf, "it", FAILOVER_SECONDS, 0.02)
            self.result["failover_ms"] = round(1000 * (self.writer.first_after(gone) - died))
            say(f"   {self.servers.must_have_master()} takes writes {self.result['failover_ms']} ms after")
            self._flip(f"{master} dead, {self.servers.must_have_master()} promoted", NEW_MASTER)
        if self.servers.must_have_master() == master:
            raise LabError(f"{master} came back and is the master again: a highstate has undone the failover")

    def _cut_a_replica_off(self) -> None:
        """Between a replica and its master nothing passes; the replica's readers still reach it."""
        id_, master = self._nearest_replica(), self.servers.must_have_master()
        say(f"-> nothing passes between {id_} and {master} any more; readers still reach both")
        rule = f"ip saddr {self.servers.hosts[master]} drop"
        chain = f"chain input {{ type filter hook input priority -10; {rule}; }}"
        self._cut(id_, f"table ip {TABLE} {{ {chain}; }}\n")
        try:
            self._flip(f"replica {id_} cut off", CUT_OFF)
        finally:
            self._cut(id_, f"delete table ip {TABLE}\n")
        healed = time.monotonic()
        with step(f"{id_} catches up"):
            self.servers.wait_linked()
        self.result["healed_ms"] = round(1000 * (time.monotonic() - healed))
        self._flip("all is well again", HEALED)

    def _cut(self, id_: str, rules: str) -> None:
        machines.in_network(self.lab, id_, ["nft", "-f", "-"], input=rules)

    def _totals(self) -> dict[str, Any]:
        read = [answer for id_ in self.readers.hosts for answer in self.readers.answers(id_)]
        answers = [*self.flipper.answers, *read]
        bad, failed, lost = wrong(answers, self.flipper.flips), self.readers.failed(), self.writer.lost()
        self.writer.clean()
        took = self.flipper.took
        return {
            "flips": len(self.flipper.flips) - 1,
            "wrong_answers": len(bad),
            "propagation_ms": report.percentiles(sum(took.values(), []))["from_start"],
            "replica_write_refused": self.result["replica_write_refused"],
            "failover_ms": self.result["failover_ms"],
            "reads_failed": len(failed),
            "lost_writes": len(lost),
            "reads": len(answers),
            "writes": len(self.writer.acknowledged),
            "hosts": {id_: self._host(id_) for id_ in self.readers.hosts},
            **self.result,
            "late_seconds": LATE_SECONDS,
            "examples": [*failed[:5], *map(str, bad[:5]), *lost[:5]],
        }

    def _host(self, id_: str) -> dict[str, Any]:
        """A reader's picture: what it showed how often, by whose word, and how fast a flip came to it."""
        kinds = [answer.kind for answer in self.readers.answers(id_)]
        return {
            "shown": {what: kinds.count(what) for what in sorted(set(kinds))},
            "shows_last": self.readers.shows()[id_],
            "sources": self.flipper.sources[id_],
            "propagation_ms": report.percentiles(self.flipper.took[id_]),
        }
