"""The last ten minutes of every track, for charts. Pure: it is given counters and the time."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from typing import Any

from balancer.counters import BUCKETS
from balancer.hosts import NONE
from balancer.monitor import Rows, quantile_ms
from balancer.services import Service

SAMPLE_SECONDS = 2.0
# Ten minutes: a release is watched for about that long. What is older is in Prometheus.
SAMPLES = 300
# A sum of rows: requests, those with 5xx, seconds, counts of the buckets.
WIDTH = 3 + 1 + len(BUCKETS)
# Of each point; a value that cannot be known is None. Errors are a share, times in milliseconds.
FIELDS = ("rate", "errors", "p50", "p99")

Point = tuple[float | None, ...]
GAP: Point = (None,) * len(FIELDS)
Sums = dict[tuple[str, str], list[float]]


class History:
    """
    A ring of samples for each track of each service.

    Memory: 300 points of four numbers a track, about 60 kB; so 12 MB for a hundred services.
    """

    def __init__(self) -> None:
        # The number of the next sample; each track's ring ends with the sample before it.
        self.next = 0
        self._rings: dict[tuple[str, str], deque[Point]] = {}
        self._last: Sums = {}
        self._at: float | None = None

    def take(self, now: float, services: Collection[Service], rows: Rows) -> None:
        """
        Take in the counters of now (`counters.dump()["requests"]`, summed over the workers), if it is time
        for a sample. Called more often than that.
        """
        # A little early rather than a whole call late.
        if self._at is not None and now - self._at < SAMPLE_SECONDS * 0.9:
            return
        sums = summed(rows)
        wanted = [(s.name, track) for s in services for track in (*s.tracks, NONE)]
        for who in self._rings.keys() - set(wanted):
            del self._rings[who]
        if self._at is not None:
            for who in wanted:
                ring = self._rings.setdefault(who, deque(maxlen=SAMPLES))
                ring.append(point(self._last.get(who, EMPTY), sums.get(who, EMPTY), now - self._at))
            self.next += 1
        self._last, self._at = sums, now

    def told(self, since: int) -> dict[str, Any]:
        """
        The samples after number `since`: by service and track, a list for each of FIELDS. The last value of
        each list is that of sample `next` - 1; a track that is younger has shorter lists.
        """
        wanted = max(self.next - 1 - since, 0)
        services: dict[str, dict[str, dict[str, list[float | None]]]] = {}
        for (service, track), ring in self._rings.items():
            points = list(ring)[-wanted:] if wanted else []
            columns = {name: [one[n] for one in points] for n, name in enumerate(FIELDS)}
            services.setdefault(service, {})[track] = columns
        return {"seconds": SAMPLE_SECONDS, "samples": SAMPLES, "next": self.next, "services": services}


EMPTY: Sequence[float] = (0.0,) * WIDTH


def summed(rows: Rows) -> Sums:
    """The rows by service and track, over backends and classes of status."""
    sums: Sums = {}
    for key, row in rows.items():
        service, track, _, code = key.split(" ")
        before = sums.setdefault((service, track), [0.0] * WIDTH)
        before[0] += row[0]
        before[1] += row[0] if code == "5xx" else 0.0
        for at, value in enumerate(row[1:], 2):
            before[at] += value
    return sums


def point(before: Sequence[float], after: Sequence[float], seconds: float) -> Point:
    """What happened between two sums; a gap if something was counted that is gone now, with a worker."""
    if any(new < old for old, new in zip(before, after, strict=True)):
        return GAP
    requests = after[0] - before[0]
    if not requests:
        return (0.0, None, None, None)
    counts = [new - old for old, new in zip(before[3:], after[3:], strict=True)]
    errors = (after[1] - before[1]) / requests
    p50, p99 = (round(quantile_ms(counts, share), 2) for share in (0.5, 0.99))
    return (round(requests / seconds, 2), round(errors, 5), p50, p99)
