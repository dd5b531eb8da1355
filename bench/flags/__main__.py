"""`python -m bench.flags`: measure Sluice's flags beside other engines and servers."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from bench.balancer import results as balancer_results
from bench.balancer.contenders import tool
from bench.balancer.errors import BenchError
from bench.balancer.plan import cores
from bench.balancer.session import numbers, say, scratch
from bench.flags import changes, evaluation, propagation, serving, tools
from bench.flags.fleet import SYNCS, start_fleet, start_service
from bench.flags.results import Found, goals, report, told
from bench.machine import CHECKOUT, ended, machine, neighbours, said

BUILD = CHECKOUT / "build"
PARTS = ("evaluation", "propagation", "serving", "memory")


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int
    # Of processor time for each engine and flag in a round; of load for each server and kind of request.
    engine_seconds: float
    load_seconds: int
    flips: int
    changes: int


FULL = Plan(rounds=5, engine_seconds=1.0, load_seconds=3, flips=2_000, changes=1_000_000)
QUICK = Plan(rounds=3, engine_seconds=0.3, load_seconds=1, flips=300, changes=50_000)


@dataclass
class Session:
    """What one run has and finds."""

    plan: Plan
    tools: Path
    python: Path | str = sys.executable
    peers: bool = False
    node: bool = False
    found: Found = field(default_factory=Found)
    notes: list[str] = field(default_factory=list)

    def prepare(self) -> None:
        """Fetch the peers; without them only Sluice is measured, and the output says so."""
        self.tools.mkdir(parents=True, exist_ok=True)
        for name in ("redis-server", "wrk"):
            tool(name)
        try:
            say("-> the peers in Python, from their lock file")
            self.python = tools.fetch_peers(self.tools)
            self.peers = True
        except BenchError as error:
            self._missing("Peers in Python", error)
        try:
            say("-> flagd's engine in node, from its lock file")
            tools.fetch_flagd_core(self.tools)
            self.node = True
        except BenchError as error:
            self._missing("flagd's engine in node", error)

    def _missing(self, who: str, error: BenchError) -> None:
        self.notes.append(f"{who}: left out, could not be fetched.")
        say(f"   {error}")

    def evaluation(self) -> None:
        names = list(evaluation.ENGINES) if self.peers else ["sluice"]
        found = evaluation.measure(self.python, names, self.plan.rounds, self.plan.engine_seconds)
        self.found.evaluation = {name: evaluation.median(rounds) for name, rounds in found.items()}

    def propagation(self) -> None:
        everywhere = sorted(os.sched_getaffinity(0))
        for sync in SYNCS:
            say(f"   propagation: {self.plan.flips} flips, appendfsync {sync}")
            with contextlib.ExitStack() as running:
                folder = Path(running.enter_context(scratch(None)))
                fleet = start_fleet(running, folder, everywhere, sync=sync)
                services = [start_service(running, fleet, nearest, everywhere)[0] for nearest in (1, 2)]
                self.found.propagation[sync] = propagation.measure(fleet, services, self.plan.flips).told()

    def serving(self) -> None:
        ours, others = cores(1, sorted(os.sched_getaffinity(0)))
        self.notes.append(f"OFREP: servers on core {numbers(ours)}, load on core {numbers(others)}.")
        with contextlib.ExitStack() as running:
            folder = Path(running.enter_context(scratch(None)))
            fleet = start_fleet(running, folder, others, replicas=1)
            setting = serving.Setting(running, folder, ours, fleet, self.tools, self.python)
            names = [
                "sluice",
                *(["flagd-core"] if self.node else []),
                *(["fast-feature"] if self.peers else []),
            ]
            servers = [serving.SERVERS[name](setting) for name in names]
            found = serving.measure(servers, self.plan.rounds, self.plan.load_seconds, others)
        self.found.serving = {
            mode: {name: balancer_results.median(rounds) for name, rounds in by_name.items()}
            for mode, by_name in found.items()
        }

    def memory(self) -> None:
        everywhere = sorted(os.sched_getaffinity(0))
        with contextlib.ExitStack() as running:
            folder = Path(running.enter_context(scratch(None)))
            fleet = start_fleet(running, folder, everywhere, replicas=1)
            port, program = start_service(running, fleet, 1, everywhere)
            self.found.memory = changes.measure(fleet, port, program, self.plan.changes)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m bench.flags",
        description="Measure Sluice's flags beside flagd, GrowthBook, Unleash and fast-feature on this "
        "machine: Markdown on standard output, and build/bench-flags.json. "
        "See docs/explanation/how-fast-flags-are.md.",
    )
    made.add_argument("--quick", action="store_true", help="less of everything: a minute or two")
    made.add_argument(
        "--only", choices=PARTS, action="append", help="this part only; may be given more than once"
    )
    return made


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    return ended(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Measure what the options ask for, and tell it."""
    session = Session(QUICK if options.quick else FULL, BUILD / "bench-flags")
    session.notes += neighbours(os.getloadavg()[0], len(os.sched_getaffinity(0)))
    session.prepare()
    for part in options.only or PARTS:
        getattr(session, part)()
    finish(session)


def finish(session: Session) -> None:
    """Print the Markdown, write the JSON."""
    about = machine() | tools.versions() | {"node": said(["node", "--version"])}
    about["redis"] = said(["redis-server", "--version"]).partition(" sha=")[0]
    made = goals(session.found)
    notes = [
        f"{about['cores']} cores, {about['cpu']}, Linux {about['kernel']}, Python {about['python']}, "
        f"{about['redis']}, commit {about['commit']}, {about['at']}.",
        ", ".join(f"{name} {version}" for name, version in tools.versions().items())
        + f", node {about['node']}.",
        f"Medians of {session.plan.rounds} rounds in turns.",
        *session.notes,
    ]
    content = {"machine": about, "notes": session.notes, **told(session.found, made)}
    (BUILD / "bench-flags.json").write_text(json.dumps(content, indent=1) + "\n")
    print(report(session.found, notes, made))
    say("   written: build/bench-flags.json")


if __name__ == "__main__":
    sys.exit(main())
