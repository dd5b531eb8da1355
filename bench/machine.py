"""What the benchmarks share: the machine they run on, and that their end ends all they started."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.balancer.errors import BenchError

CHECKOUT = Path(__file__).parents[1]
# Load average per core from which a round waits for others more than now and then.
BUSY = 0.5
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def ended(work: Callable[[], None]) -> int:
    """
    Do the work of a benchmark; its exit code.

    The end of this process must be the end of all it started, however it is told.
    """
    for sig in SIGNALS:
        signal.signal(sig, interrupted)
    try:
        work()
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted; everything it started has ended", file=sys.stderr)
        return 130
    return 0


def interrupted(*_: object) -> None:
    """End it all, once: a second signal must not cut the end short."""
    for sig in SIGNALS:
        signal.signal(sig, signal.SIG_IGN)
    raise KeyboardInterrupt


def neighbours(load: float, available: int) -> list[str]:
    """A note if the machine has other things to do, so that nobody takes their noise for a proxy's."""
    if load < BUSY * available:
        return []
    return [
        f"The machine was busy before this began (load average {load:.1f} on {available} cores): "
        "requests/s and latency are not to be trusted, CPU per request with care."
    ]


def machine() -> dict[str, Any]:
    """What it was measured on and with."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    models = (line.partition(":")[2].strip() for line in info if line.startswith("model name"))
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "cpu": next(models, "unknown"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": said(["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty"]),
    }


def said(argv: list[str]) -> str:
    """The first line that a command prints, or nothing."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return next(iter((done.stdout + done.stderr).strip().splitlines()), "")
