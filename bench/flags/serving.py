"""Evaluations over OFREP: the flag service beside other servers, each on one core."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.balancer.contenders import tool
from bench.balancer.processes import Program, free_ports, start, wait_until_ready
from bench.balancer.results import Round, make_round
from bench.balancer.session import run_wrk, say
from bench.flags.flagset import COUNT, flagd_flags
from bench.flags.fleet import TOKEN, Fleet, start_service
from bench.machine import CHECKOUT

HERE = Path(__file__).parent
CONNECTIONS = 32
TITLES = {
    "sluice": "**Sluice**, flag service",
    "flagd-core": "flagd's engine in node, with its `http`",
    "fast-feature": "fast-feature on uvicorn",
}
# How many evaluations a request is.
MODES = {"single": 1, "bulk": COUNT}


@dataclass(frozen=True)
class Server:
    """One that answers OFREP."""

    name: str
    port: int
    program: Program
    log: Path


@dataclass(frozen=True)
class Setting:
    """What servers are started with."""

    running: contextlib.ExitStack
    folder: Path
    cores: list[int]
    fleet: Fleet
    # Where the peers are.
    tools: Path
    python: Path | str


def sluice(setting: Setting) -> Server:
    port, program = start_service(setting.running, setting.fleet, 1, setting.cores)
    return Server("sluice", port, program, setting.fleet.folder / "service-1" / "access.log")


def flagd_core(setting: Setting) -> Server:
    """flagd's own server is not in any package index at hand; its engine in JavaScript is."""
    flags = setting.folder / "flagd.json"
    flags.write_text(json.dumps(flagd_flags()))
    (port,) = free_ports(1)
    log = setting.folder / "flagd-core.log"
    words = [tool("node"), "server.js", str(port), str(flags), str(log), TOKEN]
    return _started(setting, "flagd-core", port, words, log, setting.tools / "node", "/health")


def fast_feature(setting: Setting) -> Server:
    (port,) = free_ports(1)
    log = setting.folder / "fast-feature.log"
    words = [str(setting.python), "-m", "uvicorn", "bench.flags.fastfeature:app", "--port", str(port)]
    return _started(setting, "fast-feature", port, words, log, CHECKOUT, "/openapi.json")


SERVERS: dict[str, Callable[[Setting], Server]] = {
    "sluice": sluice,
    "flagd-core": flagd_core,
    "fast-feature": fast_feature,
}


def _started(
    setting: Setting, name: str, port: int, words: list[str], log: Path, cwd: Path, ready: str
) -> Server:
    program = start(name, words, setting.cores, setting.folder / f"{name}.txt", cwd=cwd, output=log)
    setting.running.callback(program.stop)
    wait_until_ready(program, port, ready)
    return Server(name, port, program, log)


def measure(
    servers: list[Server], rounds: int, seconds: int, cores: list[int]
) -> dict[str, dict[str, list[Round]]]:
    """The rounds of every server, by kind of request; the load comes from these cores."""
    found: dict[str, dict[str, list[Round]]] = {mode: {one.name: [] for one in servers} for mode in MODES}
    for mode, by_name in found.items():
        for server in servers:
            # A first second to grow pools and caches, thrown away.
            load(server, mode, 1, cores)
        for number in range(rounds):
            say(f"   OFREP, {mode}: round {number + 1} of {rounds}")
            for server in servers:
                by_name[server.name].append(load(server, mode, seconds, cores))
    return found


def load(server: Server, mode: str, seconds: int, cores: list[int]) -> Round:
    """Load one server for a moment, with its processor time before and after."""
    url = f"http://127.0.0.1:{server.port}"
    words = ["-s", str(HERE / "evaluate.lua"), url, "--", mode, str(COUNT), TOKEN]
    before = server.program.cpu_seconds()
    loaded = run_wrk(words, CONNECTIONS, cores, seconds)
    return make_round(loaded, server.program.cpu_seconds() - before, server.program.rss_bytes())
