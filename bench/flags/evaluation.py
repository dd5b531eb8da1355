"""What an evaluation in process costs: each engine in a process of its own, in turns."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from bench.balancer.errors import BenchError
from bench.balancer.session import say
from bench.flags.flagset import EXPECTED_SHARE
from bench.machine import CHECKOUT

ENGINES = {"sluice": "**Sluice**", "flagd": "flagd", "growth": "GrowthBook", "unleash": "Unleash"}
# A thousand users in a share of 0.3: four standard deviations.
SHARE_TOLERANCE = 0.06
ENGINE_SECONDS = 60


@dataclass(frozen=True)
class Costs:
    """Microseconds of processor time for one evaluation, and the shares of people for whom it was on."""

    on_off_us: float
    ruled_us: float
    on_off_share: float
    ruled_share: float


def measure(python: Path | str, names: list[str], rounds: int, seconds: float) -> dict[str, list[Costs]]:
    """The rounds of each engine; `seconds` of processor time for each of the two flags."""
    found: dict[str, list[Costs]] = {name: [] for name in names}
    for number in range(rounds):
        say(f"   evaluation in process: round {number + 1} of {rounds}")
        for name in names:
            found[name].append(one(python, name, seconds))
    return found


def one(python: Path | str, name: str, seconds: float) -> Costs:
    """One round of one engine."""
    done = subprocess.run(
        [str(python), "-m", f"bench.flags.engines.{name}", str(seconds)],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT / "_utils")},
        capture_output=True,
        text=True,
        timeout=ENGINE_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise BenchError(f"{name}: its engine ended with {done.returncode}:\n{done.stderr.strip()[-1000:]}")
    return checked(name, Costs(**json.loads(done.stdout.splitlines()[-1])))


def checked(name: str, costs: Costs) -> Costs:
    """What was measured, if the engine did what it was asked; a fast wrong answer is none."""
    if costs.on_off_share != 1 or abs(costs.ruled_share - EXPECTED_SHARE) > SHARE_TOLERANCE:
        raise BenchError(
            f"{name}: on for {costs.on_off_share:.0%} and {costs.ruled_share:.0%}, "
            f"want 100% and about {EXPECTED_SHARE:.0%}"
        )
    return costs


def median(rounds: list[Costs]) -> Costs:
    """The median of each number."""
    rows = [asdict(one) for one in rounds]
    return Costs(
        **{field.name: statistics.median(row[field.name] for row in rows) for field in fields(Costs)}
    )
