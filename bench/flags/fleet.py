"""A Redis master with two replicas, and flag services that read them; all on loopback, each ended by pid."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import redis

from bench.balancer.contenders import tool
from bench.balancer.errors import BenchError
from bench.balancer.processes import START_SECONDS, Program, free_ports, start, wait_until_ready
from bench.flags.flagset import NAMES, sluice_document
from bench.machine import CHECKOUT

TOKEN = "benchmark-token-without-any-meaning"
# As salt/redis has them: changes of keys are told, and writes are on disk before anybody hears of them.
SETTINGS = {
    "appendonly": "yes",
    "maxmemory-policy": "noeviction",
    "notify-keyspace-events": "Kg$x",
    "save": "",
}
# When Redis waits for its disk: never for longer than a second, as salt/redis has it; or before each answer.
SYNCS = ("everysec", "always")
# Seconds for a change to be seen everywhere; far more than it takes.
PATIENCE = 10.0


@dataclass(frozen=True)
class Fleet:
    """The ports of the servers, the master's first."""

    ports: tuple[int, ...]
    folder: Path

    @property
    def master(self) -> redis.Redis:
        return redis.Redis(port=self.ports[0])

    def fill(self) -> None:
        """All flags, at 1, and wait until the replicas have them."""
        with self.master.pipeline() as pipe:
            for name in NAMES:
                pipe.set(name, "1")
                if document := sluice_document(name):
                    pipe.set(f"sluice:flag:{name}", json.dumps(document))
            pipe.execute()
            if int(self.master.wait(len(self.ports) - 1, int(PATIENCE * 1000))) < len(self.ports) - 1:
                raise BenchError("redis: the replicas did not take the flags")


def start_fleet(
    running: contextlib.ExitStack, folder: Path, cores: list[int], replicas: int = 2, sync: str = SYNCS[0]
) -> Fleet:
    """Servers that answer and replicate; they end with `running`. `sync` is one of SYNCS."""
    ports = tuple(free_ports(replicas + 1))
    for number, port in enumerate(ports):
        place = folder / f"redis-{number + 1}"
        place.mkdir()
        words = [tool("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(place)]
        for name, value in (*SETTINGS.items(), ("appendfsync", sync)):
            words += [f"--{name}", value]
        if number:
            words += ["--replicaof", "127.0.0.1", str(ports[0])]
        program = start(place.name, words, cores, folder / f"{place.name}.txt", cwd=folder)
        running.callback(program.stop)
    fleet = Fleet(ports, folder)
    wait_until_linked(fleet)
    fleet.fill()
    return fleet


def wait_until_linked(fleet: Fleet) -> None:
    """Return when every replica has its master's data."""
    deadline = time.monotonic() + START_SECONDS
    while not is_linked(fleet):
        if time.monotonic() > deadline:
            raise BenchError(f"redis: no master with its replicas within {START_SECONDS:.0f} s")
        time.sleep(0.05)


def is_linked(fleet: Fleet) -> bool:
    try:
        links = [redis.Redis(port=port).info("replication") for port in fleet.ports]
    except redis.RedisError:
        return False
    return all(link.get("master_link_status") == "up" for link in links[1:])


def start_service(
    running: contextlib.ExitStack, fleet: Fleet, nearest: int, cores: list[int]
) -> tuple[int, Program]:
    """A flag service that reads the server with this number first; its port, and its process."""
    (port,) = free_ports(1)
    folder = fleet.folder / f"service-{nearest}"
    folder.mkdir()
    ports = [fleet.ports[nearest], *(one for one in fleet.ports[::-1] if one != fleet.ports[nearest])]
    settings = {
        "listen": f"127.0.0.1:{port}",
        "tokens_file": str(folder / "tokens.json"),
        "state_dir": str(folder / "state"),
        "access_log": str(folder / "access.log"),
        "redis": {"servers": [{"id": f"redis-{one}", "host": "127.0.0.1", "port": one} for one in ports]},
    }
    (folder / "tokens.json").write_text(json.dumps({"bench": TOKEN}))
    (folder / "tokens.json").chmod(0o600)
    (folder / "flags.json").write_text(json.dumps(settings))
    words = [sys.executable, "-m", "flags", "--config", str(folder / "flags.json")]
    env = {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / '_utils'}"}
    said = folder / "said.txt"
    program = start(f"flag service {nearest}", words, cores, said, cwd=CHECKOUT, env={**os.environ, **env})
    running.callback(program.stop)
    wait_until_ready(program, port, "/health")
    return port, program
