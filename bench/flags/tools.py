"""What is fetched for the benchmark of flags, into build/: the peers in Python, and node's packages."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.balancer.tools import fetch_node, run

HERE = Path(__file__).parent


def fetch_peers(folder: Path) -> Path:
    """The Python that has the peers; its environment is made as its lock file says."""
    wanted = (HERE / "peers.lock").read_bytes()
    venv, done = folder / "venv", folder / "peers-installed.lock"
    python = venv / "bin" / "python"
    if done.exists() and done.read_bytes() == wanted:
        return python
    run([sys.executable, "-m", "venv", "--clear", str(venv)], folder)
    words = ["-m", "pip", "-q", "install", "--require-hashes", "-r", str(HERE / "peers.lock")]
    run([str(python), *words], folder)
    done.write_bytes(wanted)
    return python


def fetch_flagd_core(folder: Path) -> Path:
    """The folder with node's server and flagd's engine."""
    fetch_node(folder, HERE / "node")
    return folder / "node"


def versions() -> dict[str, str]:
    """What the lock file pins of those that are measured."""
    lines = (HERE / "peers.lock").read_text().splitlines()
    pins = dict(line.removesuffix(" \\").split("==") for line in lines if "==" in line and line[0].isalpha())
    names = ("openfeature-flagd-core", "yggdrasil-engine", "growthbook", "fast-feature", "uvicorn")
    return {name: pins[name] for name in names}
