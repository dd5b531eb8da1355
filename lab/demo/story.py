"""The story of the demo, step by step, with users on the balancer all the while."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Any

from lab import fleet, machines
from lab.demo.doors import EventDoor, RedisDoor, http_door
from lab.errors import LabError
from lab.load import Load
from lab.process import say, step, wait_until
from lab.settings import Lab

RATE = 300.0
CANARY_VERSION = "v2"
ROUNDS = 5
SHARE_REQUESTS = 5200
# After a knock: by then the last canary answer must have come, and for so long none may follow.
SETTLE_SECONDS = 1.0
WATCH_SECONDS = 2.0
TRAFFIC = "/srv/sluice/pillar/lab/traffic.sls"


class Story:
    """One run of the demo in a lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.load = Load(lab.machine("lb-1").address, 80, RATE, lab.network)
        self.result: dict[str, Any] = {}
        self._ended = threading.Event()
        self._begun = 0.0

    def run(self) -> dict[str, Any]:
        """Everything, in order. Raises LabError if a step cannot be done."""
        started = time.monotonic()
        fleet.up(self.lab)
        fleet.highstate(self.lab)
        self.result["setup_seconds"] = round(time.monotonic() - started, 1)
        self._begun = time.monotonic()
        self.load.start()
        threading.Thread(target=self._live_line, daemon=True).start()
        try:
            self._ship()
            self._measure_share()
            self._alerts()
            self._edit_ratio()
        finally:
            self._ended.set()
            self.load.stop()
        return self._totals()

    def _live_line(self) -> None:
        """Who answers what share, once a second."""
        while not self._ended.wait(1.0):
            shares = "  ".join(f"{version} {share:5.1f} %" for version, share in self.load.shares().items())
            say(f"   [{len(self.load.answers):6d} requests, {len(self.load.failed())} failed]  {shares}")

    def _salt(self, *words: str, timeout: float = 120) -> str:
        return machines.check_in(self.lab, "master", list(words), timeout=timeout)

    def _ship(self) -> None:
        wait_until(lambda: len(self.load.answers) > RATE, "the first answers", 30)
        with step(f"salt-run state.orchestrate canary ({CANARY_VERSION})"):
            self._salt("salt-run", "state.orchestrate", "canary", timeout=300)

    def _measure_share(self) -> None:
        target = self._declared()
        self._canary_serves()
        since = len(self.load.answers)
        with step(f"share over {SHARE_REQUESTS} requests"):
            wait_until(lambda: len(self.load.answers) >= since + SHARE_REQUESTS, "the requests", 120)
        window = self.load.answers[since : since + SHARE_REQUESTS]
        canary = sum(answer.version == CANARY_VERSION for answer in window)
        self.result |= {
            "canary_share_before": round(100 * canary / len(window), 2),
            "canary_share_target": target,
            "share_requests": len(window),
        }

    def _declared(self) -> float:
        """The canary's weight as the balancer was given it."""
        said = machines.check_in(self.lab, "lb-1", ["curl", "-sf", "http://127.0.0.1:9901/metrics"])
        found = re.search(r'sluice_weight_declared_percent\{service="checkbox",track="canary"\} (\S+)', said)
        if not found:
            raise LabError("lb-1 shows no declared weight of checkbox's canary")
        return float(found.group(1))

    def _canary_serves(self) -> None:
        def serves() -> bool:
            return CANARY_VERSION in self.load.shares()

        wait_until(serves, "the canary to serve", 20)

    def _alerts(self) -> None:
        """Every door, several times, with the alert cleared between."""
        events, by_hand = EventDoor(self.lab), RedisDoor(self.lab)
        doors: dict[str, Callable[[], float]] = {
            "event": events.knock,
            "redis": by_hand.knock,
            "http": lambda: http_door(self.lab),
        }
        self.result |= {"alert": {}, "canary_requests_after_zero": 0}
        try:
            for name, knock in doors.items():
                with step(f"alert by {name}, {ROUNDS} times"):
                    rounds = [self._one_alert(knock) for _ in range(ROUNDS)]
                self.result["alert"][name] = {"to_zero_ms": max(rounds), "rounds_ms": rounds}
        finally:
            events.close()

    def _one_alert(self, knock: Callable[[], float]) -> float:
        """Milliseconds from a knock to the last canary answer; then none may follow."""
        self._canary_serves()
        knocked = knock()
        time.sleep(max(0.0, knocked + SETTLE_SECONDS + WATCH_SECONDS - time.time()))
        settled = knocked + SETTLE_SECONDS
        zero = self.load.last(CANARY_VERSION, knocked, settled) or knocked
        self.result["canary_requests_after_zero"] += self.load.begun(CANARY_VERSION, zero, time.time())
        self._salt("salt-run", "release.clear", "checkbox")
        return round((zero - knocked) * 1000, 1)

    def _edit_ratio(self) -> None:
        """Save another ratio, see it in force, and put the old one back."""
        self._canary_serves()
        before = self._declared()
        wanted = 40.0 if before != 40.0 else 30.0
        with step(f"ratio edit to {wanted:g} %"):
            self.result["ratio_edit_to_effect_ms"] = round(self._save_ratio(wanted) * 1000)
        with step(f"ratio edit back to {before:g} %"):
            self._save_ratio(before)

    def _save_ratio(self, canary: float) -> float:
        """Seconds from the save until the balancer declares it."""
        text = f"traffic:\n  checkbox:\n    stable: {100 - canary:g}\n    canary: {canary:g}\n"
        machines.check_in(self.lab, "master", ["tee", TRAFFIC], input=text)
        saved = time.monotonic()
        wait_until(lambda: self._declared() == canary, "the new ratio at the balancer", 30, pause=0.02)
        return time.monotonic() - saved

    def _totals(self) -> dict[str, Any]:
        failures = self.load.failed()
        return {
            "requests": len(self.load.answers),
            "failed": len(failures),
            "seconds": round(time.monotonic() - self._begun, 1),
            **self.result,
            "failures": [failure.problem for failure in failures[:20]],
        }
