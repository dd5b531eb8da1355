"""Running commands, waiting, and telling how long steps take."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab.errors import LabError

# A step that takes longer than this shows that it is still at work, and again each time.
HEARTBEAT_SECONDS = 10


def say(text: str) -> None:
    """One line of progress on standard error."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Say what starts, every 10 s that it still runs, and how long it took."""
    started = time.monotonic()
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            say(f"   {title}: still at it after {time.monotonic() - started:.0f} s")

    say(f"-> {title} ...")
    threading.Thread(target=beat, daemon=True).start()
    outcome = "failed after"
    try:
        yield
        outcome = "done in"
    finally:
        done.set()
        say(f"   {title}: {outcome} {time.monotonic() - started:.1f} s")


def run(
    argv: Sequence[str | Path],
    *,
    input: str | None = None,
    timeout: float = 120,
    env: Mapping[str, str] | None = None,
    title: str | None = None,
) -> str:
    """
    Run a command and return what it printed.

    title (str)
        What an error calls the command. Default: its words.

    Raises LabError with the command, its exit code and its last lines when it fails, is missing, or
    takes longer than `timeout` seconds.
    """
    words = [str(word) for word in argv]
    title = title or " ".join(words)
    environment = None if env is None else {**os.environ, **env}
    try:
        done = subprocess.run(
            words, input=input, capture_output=True, text=True, errors="replace", timeout=timeout,
            env=environment, check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"{words[0]}: not installed; run `sudo make deps`") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{title}: no end after {timeout:.0f} s") from error
    if done.returncode != 0:
        raise LabError(f"{title}: exit code {done.returncode}\n{tail(done.stdout + done.stderr)}")
    return done.stdout


def tail(text: str, lines: int = 15) -> str:
    """The last lines of an output, indented."""
    return "\n".join("    " + line for line in text.strip().splitlines()[-lines:])


def wait_until(ready: Callable[[], bool], what: str, timeout: float, pause: float = 0.1) -> None:
    """Call `ready()` until it is true; LabError naming `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not so after {timeout:.0f} s")
        time.sleep(pause)
