"""One benchmark: backends and proxies run, rounds go round, everything ends with it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.balancer.contenders import CHECKOUT, CONTENDERS, DIRECT, HERE, Place, fill, me, tool
from bench.balancer.errors import BenchError
from bench.balancer.plan import BODIES, GOAL_CASE, Case, Plan, cores
from bench.balancer.processes import Program, answers, free_ports, start, wait_until_ready
from bench.balancer.results import Loaded, Round, make_round, parse_wrk

# wrk's own time, and what a saturated proxy needs to let go of 512 connections.
WRK_GRACE_SECONDS = 20


def say(text: str) -> None:
    """One line of progress on standard error."""
    print(text, file=sys.stderr, flush=True)


@dataclass
class Runner:
    """A proxy that runs, or the backend without one."""

    name: str
    port: int
    program: Program | None
    log: Path | None = None


@dataclass
class Session:
    """What one run of the benchmark has and finds."""

    plan: Plan
    names: Sequence[str]
    tools: Path
    rounds: dict[Case, dict[str, list[Round]]] = field(default_factory=dict)
    # What a reader of the table should know.
    notes: list[str] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Measure every case of the plan, as far as its time goes."""
        began = time.monotonic()
        late = f"the time was up after {self.plan.limit_seconds / 60:.1f} minutes: not all was measured"

        def in_time() -> bool:
            if time.monotonic() - began < self.plan.limit_seconds:
                return True
            if late not in self.notes:
                self.notes.append(late)
            return False

        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(scratch(None)))
            memory = Path("/dev/shm")
            bodies = Path(stack.enter_context(scratch(memory if memory.is_dir() else None)))
            for workers in dict.fromkeys(case.workers for case in self.plan.cases):
                mine = [case for case in self.plan.cases if case.workers == workers]
                with contextlib.ExitStack() as running:
                    runners = self._start_all(running, folder / str(workers), bodies, workers)
                    for case in mine:
                        self._measure(case, runners, in_time)

    def _start_all(
        self, running: contextlib.ExitStack, folder: Path, bodies: Path, workers: int
    ) -> list[Runner]:
        """The backends and every proxy, each answering; they end with `running`."""
        ours, others = cores(workers, sorted(os.sched_getaffinity(0)))
        self._tell_cores(workers, ours, others)
        folder.mkdir()
        stable, canary = start_backend(running, folder, bodies, others)
        runners = []
        for name in self.names:
            if name == DIRECT:
                runners.append(Runner(DIRECT, stable, None))
                continue
            port, admin = free_ports(2)
            place = Place(folder / name, port, admin, stable, canary, workers, self.tools)
            place.folder.mkdir()
            runners.append(start_contender(running, place, name, ours))
        for runner in runners:
            # A first second to grow pools and caches, thrown away.
            self._round(Case("keep-alive", "160B", 64, workers), runner, others, seconds=1)
        return runners

    def _tell_cores(self, workers: int, ours: Sequence[int], others: Sequence[int]) -> None:
        where = f"proxies on core {numbers(ours)}, backends and load on core {numbers(others)}"
        if set(ours) & set(others):
            where += ", which they share: there requests/s and latency say little"
        note = f"{workers} worker(s): {where}"
        say(f"-> {note}")
        self.notes.append(f"{note}.")

    def _measure(self, case: Case, runners: list[Runner], in_time: Callable[[], bool]) -> None:
        """The rounds of one case, one of each proxy in turn."""
        _, others = cores(case.workers, sorted(os.sched_getaffinity(0)))
        for number in range(self.plan.rounds):
            if not in_time():
                return
            say(f"   {case.title}: round {number + 1} of {self.plan.rounds}")
            self.loads.append(os.getloadavg()[0])
            for runner in runners:
                if case != GOAL_CASE and runner.name != DIRECT and CONTENDERS[runner.name].variant:
                    continue
                one = self._round(case, runner, others, self.plan.seconds)
                self.rounds.setdefault(case, {}).setdefault(runner.name, []).append(one)

    def _round(self, case: Case, runner: Runner, others: Sequence[int], seconds: int) -> Round:
        """Load one proxy for a moment, with its CPU time before and after."""
        program = runner.program
        if program is None:
            return make_round(load(case, runner.port, others, seconds), None, None)
        before = program.cpu_seconds()
        loaded = load(case, runner.port, others, seconds)
        used = program.cpu_seconds() - before
        self._check_log(runner)
        return make_round(loaded, used, program.rss_bytes())

    def _check_log(self, runner: Runner) -> None:
        """The log was written; empty it, or a long run fills the disk."""
        if runner.log is None:
            return
        note = f"{runner.name}: its access log stayed empty"
        if not runner.log.exists() or runner.log.stat().st_size == 0:
            if note not in self.notes:
                self.notes.append(note)
        else:
            os.truncate(runner.log, 0)


def start_backend(
    running: contextlib.ExitStack, folder: Path, bodies: Path, cores: Sequence[int]
) -> tuple[int, int]:
    """An nginx with fixed bodies; its two ports."""
    stable, canary = free_ports(2)
    for name, size in BODIES.items():
        (bodies / name).write_bytes(b"x" * size)
    words = {"FOLDER": folder, "BODIES": bodies, "STABLE": stable, "CANARY": canary, **me()}
    config = folder / "backend.conf"
    config.write_text(fill((HERE / "conf" / "backend.conf").read_text(), {**words, "SMALL": "x" * 160}))
    argv = [tool("nginx"), "-p", str(folder), "-c", str(config)]
    program = start("backend", argv, cores, folder / "backend.txt", cwd=folder)
    running.callback(program.stop)
    for port in (stable, canary):
        wait_until_ready(program, port, "/160B")
    return stable, canary


def start_contender(running: contextlib.ExitStack, place: Place, name: str, cores: Sequence[int]) -> Runner:
    """A proxy that answers, logs and shows its numbers; it ends with `running`."""
    contender = CONTENDERS[name]
    launch = contender.launch(place)
    output = place.log if launch.logs_to_output else None
    said = place.folder / "said.txt"
    program = start(name, launch.argv, cores, said, cwd=CHECKOUT, output=output, env=launch.env)
    running.callback(program.stop)
    wait_until_ready(program, place.port, "/160B")
    shown = place.workers == 1 or not contender.cluster
    if shown and not answers(place.admin, contender.metrics):
        raise BenchError(f"{name}: no numbers at {contender.metrics} of its admin port")
    return Runner(name, place.port, program, place.log)


def load(case: Case, port: int, cores: Sequence[int], seconds: int) -> Loaded:
    """Ask for one body over and over."""
    words = ["-s", str(HERE / "wrk.lua"), *(["-H", "Connection: close"] if case.load == "new" else [])]
    words.append(f"http://127.0.0.1:{port}/{case.body}")
    return run_wrk(words, case.connections, cores, seconds)


def run_wrk(words: Sequence[str], connections: int, cores: Sequence[int], seconds: int) -> Loaded:
    """Have wrk ask on so many connections; `words` are its script, the URL and what the script is told."""
    threads = min(len(cores), connections, 2)
    argv = ["taskset", "-c", numbers(cores), tool("wrk"), f"-t{threads}", f"-c{connections}"]
    argv += [f"-d{seconds}s", "--timeout", "10s", *words]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=seconds + WRK_GRACE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"wrk: no end after {seconds + WRK_GRACE_SECONDS} s: {' '.join(argv)}") from error
    return parse_wrk(done.stdout + done.stderr)


@contextlib.contextmanager
def scratch(parent: Path | None) -> Iterator[str]:
    """A folder that is gone afterwards, whatever still lies in it."""
    path = tempfile.mkdtemp(prefix="sluice-bench-", dir=parent)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def numbers(cores: Sequence[int]) -> str:
    return ",".join(map(str, cores))
