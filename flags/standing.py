"""How good a server's data is, and which server to read. Pure: no clock of its own, no connection."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flags.resp import RedisError

# A replica that has all that any server had this long ago is not behind: writes take a while to arrive.
LAG_SECONDS = 1.0
# A master says something to its replicas this often at least (repl-ping-replica-period).
PING_SECONDS = 10.0
MASTER = "master"


@dataclass(frozen=True)
class Report:
    """What a server said of itself."""

    role: str
    # Raised at each promotion; of several masters the one with the highest is it.
    term: int
    # The history of writes that its offset counts.
    replid: str
    offset: int
    # Seconds since a replica lost its master; 0 while it has one, infinite if it never had.
    down_seconds: float
    # Seconds since its master said anything.
    quiet_seconds: float


def report(info: bytes, term: bytes | None) -> Report:
    """The report in an answer to `INFO replication` and one to `GET sluice:term`. Raises RedisError."""
    rows = dict(row.partition(":")[::2] for row in info.decode(errors="replace").splitlines())
    try:
        is_master = rows["role"] == MASTER
        return Report(
            role=rows["role"],
            term=int(term or 0),
            replid=rows["master_replid"],
            offset=int(rows["master_repl_offset" if is_master else "slave_repl_offset"]),
            down_seconds=0.0 if is_master else _down(rows),
            quiet_seconds=0.0 if is_master else max(0.0, float(rows.get("master_last_io_seconds_ago", 0))),
        )
    except (KeyError, ValueError) as error:
        raise RedisError(f"its report has no good {error}") from error


def _down(rows: dict[str, str]) -> float:
    if rows["master_link_status"] == "up":
        return 0.0
    since = float(rows.get("master_link_down_since_seconds", -1))
    return since if since >= 0 else math.inf


class Heights:
    """The highest offset that any server reported, by history of writes."""

    def __init__(self) -> None:
        # Rising offsets with the time of each; those that no answer needs any more are dropped.
        self._seen: dict[str, deque[tuple[float, int]]] = {}

    def note(self, replid: str, offset: int, now: float) -> None:
        if replid not in self._seen and len(self._seen) > 8:
            # A history ends with each promotion.
            self._seen.clear()
        rows = self._seen.setdefault(replid, deque())
        if not rows or offset > rows[-1][1]:
            rows.append((now, offset))
        while len(rows) > 1 and rows[1][0] <= now - LAG_SECONDS:
            rows.popleft()

    def reached(self, replid: str, now: float) -> int:
        """What a server that is not behind must have."""
        rows = self._seen.get(replid)
        return rows[0][1] if rows and rows[0][0] <= now - LAG_SECONDS else 0

    def latest(self, replid: str) -> int:
        """The highest of all."""
        rows = self._seen.get(replid)
        return rows[-1][1] if rows else 0


class Standing:
    """What is known of one server."""

    def __init__(self) -> None:
        self.told: Report | None = None
        # Until when its data are known to be those of the master, on the caller's clock.
        self.good_at = -math.inf

    def take(self, told: Report, heights: Heights, top_term: int, now: float, patience: float) -> None:
        """A report came; `patience` is how long a master may be silent beyond its pings."""
        self.told = told
        is_current = (
            told.term >= top_term
            and not told.down_seconds
            and told.quiet_seconds <= PING_SECONDS + patience
            and (told.role == MASTER or told.offset >= heights.reached(told.replid, now))
        )
        if is_current:
            self.good_at = now
        elif told.term >= top_term:
            silent = told.down_seconds or max(0.0, told.quiet_seconds - PING_SECONDS)
            # Behind by its offset alone: good until when it was last seen not to be.
            self.good_at = max(self.good_at, now - silent) if silent else self.good_at
        heights.note(told.replid, told.offset, now)

    def is_fresh(self, top_term: int, now: float, stale_seconds: float) -> bool:
        """True if its data may be called those of now."""
        return self.told is not None and self.told.term >= top_term and now - self.good_at <= stale_seconds


def choose(
    answering: Sequence[tuple[str, Standing]],
    current: str | None,
    top_term: int,
    confirmed_at: float,
    now: float,
    stale_seconds: float,
) -> str | None:
    """
    The server to read, of those that answer, the nearest first; None to go on with what is in memory.

    `confirmed_at` says until when the memory is known to be right, minus infinity if nothing is in it. A
    server whose term is over is never read: what is in memory is newer.
    """
    fresh = [name for name, standing in answering if standing.is_fresh(top_term, now, stale_seconds)]
    if fresh:
        return fresh[0]
    rest = [(name, s) for name, s in answering if s.told is not None and s.told.term >= top_term]
    if current in [name for name, _ in rest]:
        return current
    # Nobody is up to date. Only what is newer than the memory is worth reading.
    newer = [pair for pair in rest if pair[1].good_at > confirmed_at or confirmed_at == -math.inf]
    return _best(newer)


def _best(rows: Iterable[tuple[str, Standing]]) -> str | None:
    best = max(rows, key=lambda pair: pair[1].good_at, default=None)
    return best[0] if best is not None else None
