"""From seconds to a table and goals. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.balancer.results import Goal, number
from bench.flags.results import table

HOSTS = 5
TITLES = {
    "sluice": "**Sluice**, `salt-run state.orchestrate rolling`",
    "ansible": "Ansible, `serial: 1`, drained by the same door",
    "bare": "bare `salt -b 1`, nobody drained",
}


@dataclass
class Found:
    """All that was measured, in seconds; a list has one figure a round, or a host."""

    rolls: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in TITLES})
    # Each of the hosts drained and restored, one after the other, with nothing done in between.
    draining: list[float] = field(default_factory=list)
    plan: list[float] = field(default_factory=list)
    highstate: list[float] = field(default_factory=list)


def median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def allowed(found: Found) -> dict[str, float | None]:
    """How long our roll may take, by what it is compared with; None where that was not measured."""
    ansible, bare = median(found.rolls["ansible"]), median(found.rolls["bare"])
    draining = median(found.draining)
    return {
        "ansible": None if ansible is None else 0.6 * ansible,
        "bare": None if bare is None or draining is None else 1.25 * bare + draining,
    }


def goals(found: Found) -> list[Goal]:
    """What was asked for, beside what it is."""
    ours, limits = median(found.rolls["sluice"]), allowed(found)
    rolls = {
        "a roll of five hosts, at most 0.6 of Ansible's, s": limits["ansible"],
        "a roll of five hosts, at most 1.25 of the bare batch and the draining, s": limits["bare"],
    }
    return [
        *(Goal(what, ours, limit, False) for what, limit in rolls.items() if limit is not None),
        Goal("a plan for five hosts with nothing changed, s", median(found.plan), 5.0, False),
        Goal("a highstate with nothing to do, per host, s", median(found.highstate), 2.5, False),
    ]


def report(found: Found, notes: Sequence[str]) -> str:
    """The whole Markdown."""
    ours = median(found.rolls["sluice"])
    rows = [
        [title, number(of, 1), number(of / ours if of and ours else None, 2)]
        for name, title in TITLES.items()
        if (of := median(found.rolls[name])) is not None
    ]
    lines = ["# A roll of five hosts", "", *(f"{note}  " for note in notes), ""]
    lines += table(["update of the same five hosts by", "seconds", "× Sluice"], rows)
    if (draining := median(found.draining)) is not None:
        lines += ["", f"Draining and restoring the five, with nothing in between: {draining:.1f} s."]
    return "\n".join([*lines, "", "## Goals", "", *(goal.line() for goal in goals(found))])


def told(found: Found) -> dict[str, Any]:
    """As JSON."""
    return {**asdict(found), "goals": [asdict(goal) | {"kept": goal.kept} for goal in goals(found)]}
