"""The story of the demo of rolling updates, step by step, with users on the balancer all the while."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from lab import fleet, machines
from lab.demo_rolling.rolls import Rolls, changed
from lab.demo_rolling.users import Users
from lab.process import say, step, wait_until
from lab.settings import Lab

PORT = 8080
# A first version is built with an empty Maven repository and reaches hosts that are not warm yet.
FIRST_SECONDS = 600
BUILD_SECONDS = 180
ROLL_SECONDS = 600
# So many hosts are done when the master dies: in the middle.
DONE_BEFORE_DEATH = 2
# Nobody may be logged out by the loss of a host: every user comes by a few times meanwhile.
LOST_SECONDS = 20
# Without the drain, so that it is as bare as a batch can be; nobody is on it then.
BARE = {"itrust": {"balanced": False}}


class Story:
    """One run of the demo in a lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.rolls = Rolls(lab)
        self.users = Users(lab.machine("lb-1").address, PORT, lab.network)
        self.result: dict[str, Any] = {}
        self._ended = threading.Event()

    def run(self) -> dict[str, Any]:
        """Everything, in order. Raises LabError if a step cannot be done."""
        fleet.up(self.lab)
        fleet.highstate(self.lab)
        self._first_version()
        self.users.start()
        threading.Thread(target=self._live_line, daemon=True).start()
        try:
            wait_until(lambda: len(self.users.seen) > 2 * self.users.count, "users at work", 60)
            self._update()
            self._bad_version()
            self._master_dies()
            self._host_dies()
        finally:
            self._ended.set()
            self.users.stop()
        with step("every acknowledged write read back"):
            lost = self.users.lost()
        self._bare_batch()
        return self._totals(len(lost))

    def _live_line(self) -> None:
        """What runs where, every two seconds."""
        while not self._ended.wait(2.0):
            runs = "  ".join(
                f"{host} {name[:22] or 'nothing'}" for host, name in self.rolls.running().items()
            )
            say(f"   [{len(self.users.seen):5d} requests, {len(self.users.failed())} failed]  {runs}")

    def _salt(self, *words: str, timeout: float = 120) -> str:
        return machines.check_in(self.lab, "master", list(words), timeout=timeout)

    def _first_version(self) -> None:
        with step("the first version, by a push"):
            self.rolls.push("v1")
            self.rolls.wait_for_end(0, FIRST_SECONDS, "done")

    def _update(self) -> None:
        """Push a change; it is built and rolled."""
        last, pushed = self.rolls.last(), time.monotonic()
        with step("a change is pushed, built and rolled"):
            self.rolls.push("v2")
            self.rolls.wait_for_start(last, BUILD_SECONDS)
            begun = time.monotonic()
            row = self.rolls.wait_for_end(last, ROLL_SECONDS, "done")
        done = time.monotonic()
        self.result |= {
            "hosts": len(self.rolls.updated(row.version)),
            "push_to_last_host_seconds": round(done - pushed, 1),
            "roll_seconds": round(done - begun, 1),
        }

    def _bad_version(self) -> None:
        """Push a version whose log-in page answers 500."""
        last, before, starts = self.rolls.last(), self.rolls.running(), self.rolls.starts()
        with step("a version that fails its health check is pushed"):
            self.rolls.push("v3-bad")
            row = self.rolls.wait_for_end(last, BUILD_SECONDS + ROLL_SECONDS, "stopped")
        say(f"   stopped: {row.reason}")
        self.result["bad_version"] = {
            "hosts_touched": len(changed(starts, self.rolls.starts())),
            "reverted": self.rolls.running() == before,
        }

    def _master_dies(self) -> None:
        """Cut the master's power in the middle of a roll, boot it, and carry on."""
        last = self.rolls.last()
        with step(f"a third change is pushed, and the master killed after {DONE_BEFORE_DEATH} hosts"):
            self.rolls.push("v4")
            row = self.rolls.wait_for_start(last, BUILD_SECONDS)

            def in_the_middle() -> bool:
                return len(self.rolls.updated(row.version)) >= DONE_BEFORE_DEATH

            wait_until(
                in_the_middle, f"{DONE_BEFORE_DEATH} hosts with {row.version}", ROLL_SECONDS, pause=0.1
            )
            machines.stop(self.lab, "master", at_once=True)
        with step("the master boots"):
            machines.start(self.lab, "master")
            machines.wait_for_boot(self.lab, "master")
            wait_until(self._all_answer, "every minion answers", fleet.ANSWER_SECONDS, pause=0.5)
        before, starts = set(self.rolls.updated(row.version)), self.rolls.starts()
        began = time.monotonic()
        with step("salt-run release.resume itrust"):
            self._salt("salt-run", "release.resume", "itrust", timeout=ROLL_SECONDS)
            self.rolls.wait_for_end(last, ROLL_SECONDS, "done")
        again = before & set(changed(starts, self.rolls.starts()))
        self.result["resume"] = {
            "hosts_repeated": len(again),
            "seconds": round(time.monotonic() - began, 1),
        }

    def _all_answer(self) -> bool:
        return fleet.ping(self.lab) >= set(fleet.ids(self.lab))

    def _host_dies(self) -> None:
        """Cut the power of a host; its users stay logged in elsewhere."""
        host = self.rolls.hosts[-1]
        with step(f"{host} loses its power"):
            machines.stop(self.lab, host, at_once=True)
            seen = len(self.users.seen)
            enough = 3 * self.users.count
            wait_until(lambda: len(self.users.seen) > seen + enough, "every user again", LOST_SECONDS)
        with step(f"{host} boots"):
            machines.start(self.lab, host)
            machines.wait_for_boot(self.lab, host)
            wait_until(self._all_answer, "every minion answers", fleet.ANSWER_SECONDS, pause=0.5)

    def _bare_batch(self) -> None:
        """The last update again by a bare `salt -b 1`: nobody drained, as nobody is on it."""
        first = self.rolls.artifact(self.rolls.rows()[0].version)
        with step("back to the first version, all at once"):
            self._bare_apply("--timeout=300", pillar=BARE | {"release": {"itrust": {"stable": first}}})
        with step("the same update by a bare `salt -b 1`"):
            began = time.monotonic()
            self._bare_apply("-b", "1", pillar=BARE)
            self.result["bare_batch_seconds"] = round(time.monotonic() - began, 1)

    def _bare_apply(self, *options: str, pillar: dict[str, Any]) -> None:
        words = ["-N", "itrust", "state.apply", "itrust", f"pillar={json.dumps(pillar)}"]
        self._salt("salt", *options, *words, timeout=ROLL_SECONDS)

    def _totals(self, lost: int) -> dict[str, Any]:
        failures = self.users.failed()
        for failure in failures[:20]:
            say(f"   failed: {failure.what}: {failure.problem}")
        said = self.result
        return {
            "hosts": said["hosts"],
            "requests": len(self.users.seen),
            "failed": len(failures),
            "lost_writes": lost,
            "logged_out_users": self.users.logged_out,
            **{
                key: said[key]
                for key in (
                    "push_to_last_host_seconds",
                    "roll_seconds",
                    "bare_batch_seconds",
                    "bad_version",
                    "resume",
                )
            },
        }
