"""What is measured: the cases, their rounds, and on which cores. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Load = Literal["keep-alive", "new"]

BODIES = {"160B": 160, "10kB": 10_000, "1MB": 1_000_000}
LOADS: tuple[Load, ...] = ("keep-alive", "new")


@dataclass(frozen=True)
class Case:
    """One kind of load."""

    load: Load
    body: str
    connections: int
    workers: int

    @property
    def title(self) -> str:
        size = f"{self.body[:-2]} {self.body[-2:]}" if self.body.endswith(("kB", "MB")) else "160 B"
        load = "keep-alive" if self.load == "keep-alive" else "a new connection each"
        workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        connections = "1 connection" if self.connections == 1 else f"{self.connections} connections"
        return f"{size}, {load}, {connections}, {workers}"


# The case that the goals are about.
GOAL_CASE = Case("keep-alive", "160B", 64, 1)


@dataclass(frozen=True)
class Plan:
    """The cases in the order they run, each with so many rounds of so many seconds."""

    cases: tuple[Case, ...]
    rounds: int
    seconds: int
    # No round begins after this.
    limit_seconds: float

    def estimate(self, contenders: int) -> float:
        """How long the rounds take, in seconds, with a warm-up for every start of a contender."""
        starts = len({case.workers for case in self.cases})
        return contenders * (len(self.cases) * self.rounds * (self.seconds + 0.15) + starts * 1.5)


QUICK = Plan((GOAL_CASE,), rounds=3, seconds=1, limit_seconds=55)


def full() -> Plan:
    """Every value of every axis, but not their whole product, which would take an hour."""
    cases = [Case("keep-alive", body, n, 1) for body in BODIES for n in (1, 64, 512)]
    cases += [Case("new", "160B", n, 1) for n in (1, 64, 512)]
    cases += [Case("keep-alive", "160B", n, 2) for n in (64, 512)]
    cases += [Case("new", "160B", 64, 2)]
    cases.sort(key=lambda case: (case.workers, case != GOAL_CASE))
    return Plan(tuple(cases), rounds=3, seconds=2, limit_seconds=14 * 60)


def cores(workers: int, available: Sequence[int]) -> tuple[list[int], list[int]]:
    """
    The cores of a proxy, and those of the load and the backends.

    They are kept apart as long as there is a core left for the load; if not, both get all of them.
    """
    if len(available) > workers:
        return list(available[:workers]), list(available[workers:])
    return list(available), list(available)
