"""From what was measured to tables and goals. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.balancer.results import Goal, Round, number, ratio
from bench.flags.changes import Grown
from bench.flags.evaluation import ENGINES, Costs
from bench.flags.fleet import SYNCS
from bench.flags.serving import MODES, TITLES

# What is asked of the flags; the first is the one that an application meets most.
GOALS = {
    "p99 from SET to the changed HTTP answer, 2 replicas, ms": (10.0, False),
    "an on/off flag in process, µs": (1.0, False),
    "a percentage and two conditions in process, µs": (8.0, False),
    "evaluations a second over OFREP on one core, a request each": (8_000.0, True),
    "evaluations a second over OFREP on one core, all 350 in a request": (8_000.0, True),
    # The allocator gives back what it has in pages, when it can.
    "resident memory of the service after the changes / before": (1.02, False),
}


@dataclass
class Found:
    """All that was measured; empty where it was not."""

    evaluation: dict[str, Costs] = field(default_factory=dict)
    # p50, p99 and max in milliseconds, by Redis's appendfsync and who was told.
    propagation: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    # By kind of request and server.
    serving: dict[str, dict[str, Round]] = field(default_factory=dict)
    memory: Grown | None = None


def goals(found: Found) -> list[Goal]:
    """What was asked for, beside what it is."""
    sluice = found.evaluation.get("sluice")
    values = [
        found.propagation[SYNCS[0]]["service"]["p99"] if found.propagation else None,
        sluice.on_off_us if sluice else None,
        sluice.ruled_us if sluice else None,
        *(per_core(found.serving[mode]["sluice"], mode) if found.serving else None for mode in MODES),
        found.memory.ratio if found.memory else None,
    ]
    return [
        Goal(what, value, limit, at_least)
        for (what, (limit, at_least)), value in zip(GOALS.items(), values, strict=True)
    ]


def per_core(one: Round, mode: str) -> float | None:
    """Evaluations in a second of a server's processor time: what it does with a core of its own."""
    return MODES[mode] * 1e6 / one.cpu_us_per_request if one.cpu_us_per_request else None


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; all columns but the first are numbers."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def evaluation_table(measured: Mapping[str, Costs]) -> list[str]:
    """The cheapest first."""
    ours = measured.get("sluice")
    rows = [
        [
            ENGINES[name],
            number(one.on_off_us, 2),
            number(ratio(one.on_off_us, ours.on_off_us if ours else None), 1),
            number(one.ruled_us, 2),
            number(ratio(one.ruled_us, ours.ruled_us if ours else None), 1),
        ]
        for name, one in sorted(measured.items(), key=lambda item: item[1].ruled_us)
    ]
    return table(["engine", "on/off µs", "× Sluice", "percentage and two conditions µs", "× Sluice"], rows)


def propagation_table(measured: Mapping[str, Mapping[str, float]]) -> list[str]:
    titles = {
        "subscriber": "a raw subscriber at a replica hears of it (the floor)",
        "service": "**Sluice**, the flag service at a replica answers otherwise",
        "added": "of that after the subscriber of the same replica",
    }
    rows = [
        [titles[name], *(number(one[key], 2) for key in ("p50", "p99", "max"))]
        for name, one in measured.items()
    ]
    return table(["from SET at the master until", "p50 ms", "p99 ms", "max ms"], rows)


def serving_table(measured: Mapping[str, Round], mode: str) -> list[str]:
    """The cheapest first."""

    def cost(name: str) -> float:
        return measured[name].cpu_us_per_request or float("inf")

    ours = measured["sluice"].cpu_us_per_request if "sluice" in measured else None
    rows = []
    for name in sorted(measured, key=cost):
        one, core = measured[name], per_core(measured[name], mode)
        rows.append(
            [
                TITLES[name],
                number(one.cpu_us_per_request, 1),
                number(ratio(one.cpu_us_per_request, ours), 2),
                "-" if core is None else f"{core:,.0f}",
                f"{one.requests_per_second:,.0f}",
                *(f"{us / 1000:.2f}" for us in (one.p50_us, one.p99_us)),
                number(None if one.rss_bytes is None else one.rss_bytes / 1e6, 0),
                f"{one.failed:.0f}",
            ]
        )
    head = ["server", "CPU µs / request", "× Sluice", "evaluations / s of a core", "requests/s"]
    return table([*head, "p50 ms", "p99 ms", "RSS MB", "failed"], rows)


def memory_line(grown: Grown) -> str:
    return (
        f"{grown.changes:,} changes of 350 flags, one in twenty of a document, the rest of a value, "
        f"{grown.changes_per_second:,.0f} a second: the service had {grown.before_bytes / 1e6:.1f} MB before "
        f"and {grown.after_bytes / 1e6:.1f} MB after."
    )


def report(found: Found, notes: Sequence[str], made: Sequence[Goal]) -> str:
    """The whole Markdown."""
    lines = ["# Flags beside other engines and servers", "", *(f"{note}  " for note in notes)]
    if found.evaluation:
        lines += ["", "## Evaluation in process", "", *evaluation_table(found.evaluation)]
    for sync, delays in found.propagation.items():
        lines += ["", f"## Propagation, appendfsync {sync}", "", *propagation_table(delays)]
    for mode, measured in found.serving.items():
        kind = "one flag in a request" if mode == "single" else "all 350 flags in a request"
        lines += ["", f"## OFREP, {kind}", "", *serving_table(measured, mode)]
    if found.memory:
        lines += ["", "## Memory", "", memory_line(found.memory)]
    return "\n".join([*lines, "", "## Goals", "", *(goal.line() for goal in made)])


def told(found: Found, made: Sequence[Goal]) -> dict[str, Any]:
    """As JSON."""
    return {**asdict(found), "goals": [asdict(goal) | {"kept": goal.kept} for goal in made]}
