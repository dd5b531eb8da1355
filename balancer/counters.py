"""What one worker counts; plain numbers that travel to the supervisor."""

from __future__ import annotations

from typing import Any

# Upper bounds in seconds; from a cache's answer to the time limit of a stalled request.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
# Second tries may add this much load, and a few are always allowed.
RETRY_RATIO = 0.2
RETRY_FLOOR = 10.0


class Counters:
    """Requests by service, track, backend and class of status; latencies; second tries; refusals."""

    def __init__(self) -> None:
        # key -> [requests, seconds, bucket counts...]
        self.requests: dict[tuple[str, str, str, int], list[float]] = {}
        self.retries: dict[str, int] = {}
        self.refusals: dict[str, int] = {}
        # Copies for a canary, by what became of them.
        self.mirrored: dict[str, int] = {}
        # Attempts that failed, by service, track, backend and reason; and those whose request was given to
        # another backend, so that no answer tells of them.
        self.failures: dict[tuple[str, str, str, str], int] = {}
        self.passed_on: dict[tuple[str, str, str], int] = {}
        # Connections that did not get as far as HTTP, by listener and reason.
        self.away: dict[str, int] = {}
        self.kept: dict[str, int] = {}
        self._budget: dict[str, float] = {}

    def finished(self, service: str, track: str, backend: str, status: int, seconds: float) -> None:
        key = (service, track, backend, status // 100)
        row = self.requests.get(key)
        if row is None:
            row = self.requests[key] = [0.0] * (3 + len(BUCKETS))
        row[0] += 1
        row[1] += seconds
        place = 2
        for bound in BUCKETS:
            if seconds <= bound:
                break
            place += 1
        row[place] += 1
        self._budget[service] = min(self._budget.get(service, RETRY_FLOOR) + RETRY_RATIO, 100.0)

    def may_retry(self, service: str) -> bool:
        return self._budget.get(service, RETRY_FLOOR) >= 1

    def retried(self, service: str, sent: bool = True) -> None:
        """Count a second try; one that was `sent` before is extra load, and costs of the budget."""
        self.retries[service] = self.retries.get(service, 0) + 1
        if sent:
            self._budget[service] = max(self._budget.get(service, RETRY_FLOOR) - 1, 0.0)

    def failed(self, service: str, track: str, backend: str, reason: str, goes_on: bool) -> None:
        """An attempt failed; `goes_on`: its request was given to another backend."""
        key = (service, track, backend, reason)
        self.failures[key] = self.failures.get(key, 0) + 1
        if goes_on:
            who = (service, track, backend)
            self.passed_on[who] = self.passed_on.get(who, 0) + 1

    def refused(self, service: str) -> None:
        self.refusals[service] = self.refusals.get(service, 0) + 1

    def count_mirrored(self, service: str, track: str, backend: str, result: str) -> None:
        key = f"{service} {track} {backend} {result}"
        self.mirrored[key] = self.mirrored.get(key, 0) + 1

    def turned_away(self, reason: str) -> None:
        """A connection more than a limit allows."""
        self.away[reason] = self.away.get(reason, 0) + 1

    def kept_out(self, listener: str, reason: str) -> None:
        key = f"{listener} {reason}"
        self.kept[key] = self.kept.get(key, 0) + 1

    def dump(self) -> dict[str, Any]:
        """The numbers as JSON: keys joined with spaces, which no name contains."""
        return {
            "requests": {
                f"{service} {track} {backend} {kind}xx": row
                for (service, track, backend, kind), row in self.requests.items()
            },
            "retries": self.retries,
            "refusals": self.refusals,
            "mirrored": self.mirrored,
            "failures": {" ".join(key): count for key, count in self.failures.items()},
            "passed_on": {" ".join(key): count for key, count in self.passed_on.items()},
            "kept_out": self.kept,
            "turned_away": self.away,
        }
