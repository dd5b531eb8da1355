"""The proxies, each set up as an operator would have it: access log, health checks, numbers to look at."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.balancer.errors import BenchError

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]


@dataclass(frozen=True)
class Place:
    """Where one proxy runs: its folder, ports, backends and number of workers."""

    folder: Path
    port: int
    admin: int
    stable: int
    canary: int
    workers: int
    # What was fetched for node and Caddy.
    tools: Path

    @property
    def log(self) -> Path:
        return self.folder / "access.log"

    def write(self, template: str) -> Path:
        """A file of `conf/` with its @WORDS@ filled in."""
        path = self.folder / template
        path.write_text(fill((HERE / "conf" / template).read_text(), self.words()))
        return path

    def words(self) -> dict[str, object]:
        return {
            "FOLDER": self.folder,
            "LOG": self.log,
            "PORT": self.port,
            "ADMIN": self.admin,
            "STABLE": self.stable,
            "CANARY": self.canary,
            "WORKERS": self.workers,
            **me(),
        }


@dataclass(frozen=True)
class Launch:
    """How a proxy is started."""

    argv: list[str]
    env: dict[str, str] | None = None
    # True if it logs to its standard output.
    logs_to_output: bool = False


@dataclass(frozen=True)
class Contender:
    """A proxy that takes part."""

    name: str
    title: str
    launch: Callable[[Place], Launch]
    # Where its numbers are, on its admin port.
    metrics: str = "/metrics"
    # With several workers a cluster has no common page of numbers without more code.
    cluster: bool = False
    # A variant, which takes part in the case of the goals only.
    variant: bool = False


def compiled_tree() -> Path:
    """The balancer as its wheel has it, with the compiled part; built if a source changed."""
    words = [sys.executable, str(CHECKOUT / "scripts/build-balancer")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(done.stderr.strip() or "scripts/build-balancer failed")
    return Path(done.stdout.strip())


def sluice(place: Place, affinity: bool = False, compiled: bool = True) -> Launch:
    config = place.write("sluice.json")
    (place.folder / "state").mkdir()
    token = place.folder / "token"
    token.write_text("benchmark-token-without-meaning\n")
    token.chmod(0o600)
    if affinity:
        told = json.loads(config.read_text())
        secret = place.folder / "secret"
        secret.write_text("benchmark-secret-without-any-meaning\n")
        secret.chmod(0o600)
        told["services"]["bench"]["affinity"] = {
            "kind": "cookie",
            "secret_file": str(secret),
            "release": "bench",
        }
        config.write_text(json.dumps(told))
    # Not the package in the current directory, which is the checkout.
    env = {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(compiled_tree() if compiled else CHECKOUT)}
    return Launch([sys.executable, "-m", "balancer", "--config", str(config)], env=env)


def haproxy(place: Place) -> Launch:
    return Launch([tool("haproxy"), "-db", "-f", str(place.write("haproxy.cfg"))], logs_to_output=True)


def nginx(place: Place) -> Launch:
    return Launch([tool("nginx"), "-p", str(place.folder), "-c", str(place.write("nginx.conf"))])


def caddy(place: Place) -> Launch:
    argv = [str(place.tools / "caddy"), "run", "--adapter", "caddyfile", "--config"]
    env = {name: str(place.folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    return Launch([*argv, str(place.write("Caddyfile"))], env={**env, "GOMAXPROCS": str(place.workers)})


def node(mode: str) -> Callable[[Place], Launch]:
    def launch(place: Place) -> Launch:
        numbers = (place.port, place.admin, place.stable, place.canary, place.workers)
        script = place.tools / "node" / "proxy.js"
        return Launch([tool("node"), str(script), *map(str, numbers), str(place.log), mode])

    return launch


def tornado(place: Place) -> Launch:
    numbers = (place.port, place.admin, place.stable, place.canary, place.workers)
    return Launch([sys.executable, "-m", "bench.balancer.tornado_proxy", *map(str, numbers), str(place.log)])


CONTENDERS = {
    one.name: one
    for one in (
        Contender("sluice", "**Sluice**", sluice),
        Contender("sluice-pure", "Sluice, pure Python", partial(sluice, compiled=False), variant=True),
        Contender("sluice-affinity", "Sluice, with affinity", partial(sluice, affinity=True), variant=True),
        Contender("haproxy", "HAProxy", haproxy),
        Contender("nginx", "nginx", nginx),
        Contender("caddy", "Caddy", caddy),
        Contender("node-keep-alive", "http-proxy, keep-alive agent", node("keep-alive"), cluster=True),
        Contender("node", "http-proxy as usually used", node("usual"), cluster=True),
        Contender("tornado", "Tornado AsyncHTTPClient", tornado),
    )
}
# The load straight at the backend: what is left of latency without a proxy.
DIRECT = "direct"
TITLES = {**{name: one.title for name, one in CONTENDERS.items()}, DIRECT: "(no proxy)"}

PACKAGES = {"haproxy": "haproxy", "nginx": "nginx-light", "wrk": "wrk", "node": "nodejs", "npm": "npm"}


def tool(name: str) -> str:
    """The path of a program; BenchError with its package if it is not installed."""
    # Servers live where only root's PATH looks.
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise BenchError(f"{name}: not installed; run `sudo make bench`, or apt-get install {PACKAGES[name]}")
    return found


def fill(template: str, words: dict[str, object]) -> str:
    """Put the words in the place of their @NAMES@."""
    for name, value in words.items():
        template = template.replace(f"@{name}@", str(value))
    return template


def me() -> dict[str, object]:
    """Who runs this: nginx would drop root's rights, and with them its files here."""
    return {"USER": pwd.getpwuid(os.getuid()).pw_name, "GROUP": grp.getgrgid(os.getgid()).gr_name}
