"""Door four: the canary's errors and times beside stable's, and when they are reason enough for an alert.

Pure: it is given counters and the time. See docs/howto/watch-a-canary.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from balancer.counters import BUCKETS
from balancer.outcomes import CUT_SHORT
from balancer.services import MonitorLimits, Service

OFF = "off"
NO_DATA = "no data"
OK = "ok"
BROKEN = "broken"
ALERT = "alert"
STATES = (OFF, NO_DATA, OK, BROKEN, ALERT)

# A quantile that a few slow answers among many do not move.
QUANTILE = 0.95
# Above the noise of subtracting two ratios (0.13 - 0.11 > 0.02), and below one request in a million.
EPSILON = 1e-9

# `counters.dump()["requests"]`, and all of `counters.dump()`, summed over the workers.
Rows = Mapping[str, Sequence[float]]
Counters = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Counted:
    """
    What a track was given: how many requests, how many of them failed, and in how many seconds together it
    answered. An attempt that failed is one of them, though another backend then answered its request.
    """

    requests: float = 0.0
    failed: float = 0.0
    seconds: float = 0.0
    buckets: tuple[float, ...] = (0.0,) * (1 + len(BUCKETS))

    def plus(self, row: Sequence[float], failed: bool) -> Counted:
        """With a row of `counters.Counters` added."""
        return Counted(
            self.requests + row[0],
            self.failed + (row[0] if failed else 0.0),
            self.seconds + row[1],
            tuple(a + b for a, b in zip(self.buckets, row[2:], strict=True)),
        )

    def with_failures(self, passed_on: float, cut_short: float) -> Counted:
        """
        With what no status tells of: attempts whose request was given to another backend, and answers that
        broke off after a good status.
        """
        failed = self.failed + passed_on + cut_short
        return replace(self, requests=self.requests + passed_on, failed=failed)

    def minus(self, earlier: Counted) -> Counted:
        """What came since."""
        return Counted(
            self.requests - earlier.requests,
            self.failed - earlier.failed,
            self.seconds - earlier.seconds,
            tuple(a - b for a, b in zip(self.buckets, earlier.buckets, strict=True)),
        )

    def has_less_than(self, earlier: Counted) -> bool:
        """True if something was counted that is gone now."""
        return (
            self.requests < earlier.requests
            or self.failed < earlier.failed
            or any(now < before for now, before in zip(self.buckets, earlier.buckets, strict=True))
        )

    @property
    def error_ratio(self) -> float:
        return self.failed / self.requests if self.requests else 0.0

    @property
    def mean_ms(self) -> float:
        answered = sum(self.buckets)
        return 1000 * self.seconds / answered if answered else 0.0

    @property
    def p95_ms(self) -> float:
        """The time within which 95 % were answered."""
        return quantile_ms(self.buckets, QUANTILE)

    @property
    def short(self) -> str:
        return f"{self.failed:.0f} of {self.requests:.0f} ({100 * self.error_ratio:.1f}%)"

    def __str__(self) -> str:
        return f"{self.failed:.0f} of {self.requests:.0f} requests failed ({100 * self.error_ratio:.1f}%)"


def quantile_ms(counts: Sequence[float], quantile: float) -> float:
    """
    The time within which this share was answered, taken to be spread evenly in their bucket, as
    histogram_quantile of Prometheus does; in the last bucket, which has no end, its beginning.
    """
    rank, below, low = quantile * sum(counts), 0.0, 0.0
    for high, count in zip(BUCKETS, counts, strict=False):
        if count and below + count >= rank:
            return 1000 * (low + (high - low) * (rank - below) / count)
        below, low = below + count, high
    return 1000 * low if sum(counts) else 0.0


@dataclass(frozen=True)
class Finding:
    """One of STATES, and the numbers behind it in one line."""

    state: str
    said: str


NOBODY: Mapping[str, str] = MappingProxyType({})
UNWATCHED = Finding(OFF, "no limits are set")
NOTHING_YET = Finding(NO_DATA, "nothing was counted yet")


def counted(counters: Counters, service: str) -> dict[str, Counted]:
    """The counters of a service by track, over backends and classes of status."""
    tracks = {"stable": Counted(), "canary": Counted()}
    for key, row in counters.get("requests", {}).items():
        of, track, _, code = key.split(" ")
        if of == service and track in tracks:
            tracks[track] = tracks[track].plus(row, failed=code == "5xx")
    for key, count in counters.get("passed_on", {}).items():
        of, track, _ = key.split(" ")
        if of == service and track in tracks:
            tracks[track] = tracks[track].with_failures(count, 0)
    for key, count in counters.get("failures", {}).items():
        of, track, _, reason = key.split(" ")
        if of == service and track in tracks and reason == CUT_SHORT:
            tracks[track] = tracks[track].with_failures(0, count)
    return tracks


def judge(limits: MonitorLimits, canary: Counted, stable: Counted, seconds: float) -> Finding:
    """
    What the requests of the last `seconds` say: `broken` if a limit is, `ok` only if every limit that is
    set could be judged, else `no data`. A value right at its limit is within it.
    """
    within = f"in {seconds:.0f} s"
    if canary.requests < limits.min_requests:
        return _too_few("canary", canary, limits, within)
    compared = stable.requests >= limits.min_requests
    baseline = stable if compared else None
    broken = [*_failing(limits, canary, baseline, within), *_slower(limits, canary, baseline, within)]
    if broken:
        return Finding(BROKEN, "; ".join(broken))
    compares = limits.max_error_ratio_over_stable is not None or limits.max_latency_ratio is not None
    if compares and not compared:
        return _too_few("stable", stable, limits, within)
    p95 = f"p95 {canary.p95_ms:.0f} and {stable.p95_ms:.0f} ms"
    return Finding(OK, f"canary {canary}, stable {stable.short} {within}; {p95}")


def _too_few(track: str, found: Counted, limits: MonitorLimits, within: str) -> Finding:
    want = f"want {limits.min_requests} to judge"
    return Finding(NO_DATA, f"{track} answered {found.requests:.0f} requests {within}, {want}")


def _failing(limits: MonitorLimits, canary: Counted, stable: Counted | None, within: str) -> list[str]:
    """The first limit on errors that is broken."""
    more = limits.max_error_ratio_over_stable
    if stable is not None and more is not None and canary.error_ratio - stable.error_ratio > more + EPSILON:
        want = f"want at most {100 * more:.1f} points more"
        return [f"canary {canary}, stable {stable.short} {within}, {want}"]
    most = limits.max_error_ratio
    if most is not None and canary.error_ratio > most:
        return [f"canary {canary} {within}, want at most {100 * most:.1f}%"]
    return []


def _slower(limits: MonitorLimits, canary: Counted, stable: Counted | None, within: str) -> list[str]:
    """
    The limit on time, if it is broken: by the 95th percentile, which a single slow answer does not move,
    and by the mean as well, for the percentile is only as exact as the buckets are narrow.
    """
    most = limits.max_latency_ratio
    if most is None or stable is None or canary.p95_ms <= limits.min_latency_ms:
        return []
    pairs = ((canary.p95_ms, stable.p95_ms), (canary.mean_ms, stable.mean_ms))
    if any(slow <= most * normal for slow, normal in pairs):
        return []
    p95, mean = (f"{slow:.0f} ms to stable's {normal:.0f} ms" for slow, normal in pairs)
    return [f"canary p95 {p95}, mean {mean} {within}, want at most {most:g} times as much"]


class Watch:
    """The sliding window of one service."""

    def __init__(self) -> None:
        self.finding = NOTHING_YET
        self._looks: deque[tuple[float, dict[str, Counted]]] = deque()
        self._broken = 0

    def look(self, limits: MonitorLimits, now: float, tracks: dict[str, Counted]) -> bool:
        """Take in the counters of now; True if a limit has been broken for as many looks as it takes."""
        if self._looks and any(tracks[track].has_less_than(self._looks[-1][1][track]) for track in tracks):
            # What a worker had counted went with it: nothing before can be compared with what comes.
            self._looks.clear()
        self._looks.append((now, tracks))
        while len(self._looks) > 1 and self._looks[1][0] <= now - limits.window_seconds:
            self._looks.popleft()
        began, base = self._looks[0]
        canary, stable = (tracks[track].minus(base[track]) for track in ("canary", "stable"))
        self.finding = judge(limits, canary, stable, now - began)
        # Missing data is no sign of health: what was broken stays so until there are numbers.
        if self.finding.state == OK:
            self._broken = 0
        elif self.finding.state == BROKEN:
            self._broken += 1
        return self._broken >= limits.looks and self.finding.state == BROKEN


class Monitor:
    """Looks at every service that has limits."""

    def __init__(self) -> None:
        self._watches: dict[str, Watch] = {}

    def look(
        self,
        services: Collection[Service],
        alerted: Collection[str],
        counters: Counters,
        now: float,
        given_up: Mapping[str, str] = NOBODY,
    ) -> list[tuple[str, str]]:
        """
        Take in the counters of now, and of which services the canary gets no requests any more because it
        failed them again and again, with the words for it; the services whose alert is to be raised, each
        with the reason.
        """
        bad = []
        for service in services:
            if service.monitor is None or service.name in alerted:
                self.start_anew(service.name)
                continue
            watch = self._watches.setdefault(service.name, Watch())
            if service.name in given_up:
                # It will not be asked as often as it takes to judge it by its answers.
                watch.finding = Finding(BROKEN, given_up[service.name])
                bad.append((service.name, watch.finding.said))
            elif watch.look(service.monitor, now, counted(counters, service.name)):
                bad.append((service.name, watch.finding.said))
        return bad

    def start_anew(self, service: str) -> None:
        """Forget what was counted: an alert stands, or was cleared just now."""
        self._watches.pop(service, None)

    def finding(self, service: Service, alerted: bool) -> Finding:
        """What the last look found."""
        if service.monitor is None:
            return UNWATCHED
        if alerted:
            return Finding(ALERT, "an alert stands; nothing is judged until it is cleared")
        watch = self._watches.get(service.name)
        return watch.finding if watch else NOTHING_YET
