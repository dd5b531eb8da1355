"""From rounds to medians, ratios, goals and a table. Pure."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields

from bench.balancer.errors import BenchError
from bench.balancer.plan import Case


@dataclass(frozen=True)
class Round:
    """What one round of one contender gave; times in microseconds where the name says us."""

    requests: float
    failed: float
    requests_per_second: float
    p50_us: float
    p99_us: float
    p999_us: float
    # None for the load without a proxy.
    cpu_us_per_request: float | None
    # Share of one core that the proxy was busy with, 1.0 for one core.
    cores_used: float | None
    rss_bytes: float | None


@dataclass(frozen=True)
class Loaded:
    """What wrk saw."""

    requests: int
    failed: int
    seconds: float
    p50_us: int
    p99_us: int
    p999_us: int


def parse_wrk(output: str) -> Loaded:
    """The numbers that wrk.lua prints; BenchError if they are not there."""
    line = next((line for line in output.splitlines() if line.startswith('{"requests"')), None)
    if line is None:
        raise BenchError(f"wrk printed no result:\n{output.strip()}")
    said = json.loads(line)
    return Loaded(
        said["requests"], said["failed"], said["microseconds"] / 1e6, said["p50"], said["p99"], said["p999"]
    )


def make_round(loaded: Loaded, cpu_seconds: float | None, rss_bytes: int | None) -> Round:
    """One round, from what wrk saw and what the proxy's processes used meanwhile."""
    per_request = None
    if cpu_seconds is not None and loaded.requests:
        per_request = cpu_seconds * 1e6 / loaded.requests
    return Round(
        loaded.requests,
        loaded.failed,
        loaded.requests / loaded.seconds,
        loaded.p50_us,
        loaded.p99_us,
        loaded.p999_us,
        per_request,
        None if cpu_seconds is None else cpu_seconds / loaded.seconds,
        rss_bytes,
    )


def median(rounds: Iterable[Round]) -> Round:
    """The median of each number; failed requests are summed, for none may hide."""
    rows = [asdict(one) for one in rounds]
    merged: dict[str, float | None] = {}
    for field in fields(Round):
        values = [row[field.name] for row in rows if row[field.name] is not None]
        merged[field.name] = statistics.median(values) if values else None
    merged["failed"] = sum(row["failed"] for row in rows)
    return Round(**merged)  # type: ignore[arg-type]


Results = Mapping[Case, Mapping[str, Round]]


@dataclass(frozen=True)
class Goal:
    """A ratio, and what it should be."""

    what: str
    ratio: float | None
    limit: float
    at_least: bool

    @property
    def kept(self) -> bool | None:
        """None if it was not measured."""
        if self.ratio is None:
            return None
        return self.ratio >= self.limit if self.at_least else self.ratio <= self.limit

    def line(self) -> str:
        wanted = f"{'at least' if self.at_least else 'at most'} {self.limit:g}"
        if self.ratio is None:
            return f"* {self.what}: not measured (goal: {wanted})"
        return f"* {self.what}: {self.ratio:.2f} (goal: {wanted}): {'kept' if self.kept else 'NOT kept'}"


def goals(measured: Mapping[str, Round]) -> list[Goal]:
    """The goals, from the medians of the small keep-alive case at 64 connections."""

    def cpu(name: str) -> float | None:
        return measured[name].cpu_us_per_request if name in measured else None

    def p99(name: str) -> float | None:
        return measured[name].p99_us if name in measured else None

    return [
        Goal(
            "CPU per request, Sluice / HAProxy",
            ratio(cpu("sluice"), cpu("haproxy")),
            1.2,
            at_least=False,
        ),
        Goal(
            "CPU per request, http-proxy as usually used / Sluice",
            ratio(cpu("node"), cpu("sluice")),
            10.0,
            at_least=True,
        ),
        Goal(
            "p99, Sluice / HAProxy",
            ratio(p99("sluice"), p99("haproxy")),
            1.25,
            at_least=False,
        ),
    ]


def ratio(above: float | None, below: float | None) -> float | None:
    """The quotient, or None if either is missing."""
    return above / below if above is not None and below else None


HEAD = (
    "| proxy | CPU µs / request | × HAProxy | requests/s | p50 ms | p99 ms | p99.9 ms | cores busy | RSS MB "
    "| failed |",
    "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
)


def table(measured: Mapping[str, Round], titles: Mapping[str, str]) -> str:
    """A Markdown table of one case, the cheapest proxy first, the load without a proxy last."""

    def cost(name: str) -> float:
        return measured[name].cpu_us_per_request or float("inf")

    haproxy = measured["haproxy"].cpu_us_per_request if "haproxy" in measured else None
    rows = [*HEAD]
    for name in sorted(measured, key=cost):
        one = measured[name]
        to_haproxy = ratio(one.cpu_us_per_request, haproxy)
        cells = [
            titles[name],
            number(one.cpu_us_per_request, 1),
            number(to_haproxy, 2),
            f"{one.requests_per_second:,.0f}",
            *(f"{us / 1000:.2f}" for us in (one.p50_us, one.p99_us, one.p999_us)),
            number(one.cores_used, 2),
            number(None if one.rss_bytes is None else one.rss_bytes / 1e6, 0),
            f"{one.failed:.0f}",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
