"""Starting programs, what their processes use, and their end, by pid and never by name."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from bench.balancer.errors import BenchError

# Java-sized programs would need longer; none is here.
START_SECONDS = 15.0
STOP_SECONDS = 5.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Program:
    """A program that runs, with all its processes."""

    name: str
    process: subprocess.Popen[bytes]
    said: Path
    # pid -> start time, by which a pid that was given to another process is told apart.
    pids: dict[int, int] = field(default_factory=dict)

    def look(self) -> dict[int, int]:
        """Its processes now; BenchError if one that was there before is gone."""
        now = family(self.process.pid)
        gone = [pid for pid, began in self.pids.items() if now.get(pid) != began]
        if gone or not now:
            which = gone or self.process.pid
            raise BenchError(f"{self.name}: process {which} ended; it said:\n{self.tail()}")
        self.pids = now
        return now

    def cpu_seconds(self) -> float:
        """User and system time of all its processes since they began."""
        return sum(usage(pid)[0] for pid in self.look())

    def rss_bytes(self) -> int:
        """Resident memory of all its processes; what they share counts once for each."""
        return sum(usage(pid)[1] for pid in self.look())

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.said.read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        """End all its processes: ask the first, then those that stay, then insist."""
        everyone = {**self.pids, **family(self.process.pid)}
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        for sig in (signal.SIGTERM, signal.SIGKILL):
            for pid in alive(everyone):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, sig)
            deadline = time.monotonic() + STOP_SECONDS
            while alive(everyone) and time.monotonic() < deadline:
                self.process.poll()
                time.sleep(0.02)
        self.process.wait(STOP_SECONDS)


def start(
    name: str,
    argv: Sequence[str],
    cores: Sequence[int],
    said: Path,
    *,
    cwd: Path,
    output: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Program:
    """
    Start a program on the given cores.

    said (Path)
        Where it may complain.
    output (Path)
        Where its standard output goes. Default: to its complaints.
    """

    def pin() -> None:
        os.sched_setaffinity(0, cores)

    with open(said, "ab") as errors, contextlib.ExitStack() as stack:
        out: BinaryIO = stack.enter_context(open(output, "ab")) if output else errors
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            start_new_session=True,
            preexec_fn=pin,
        )
    return Program(name, process, said)


def wait_until_ready(program: Program, port: int, path: str) -> None:
    """Return when it answers 200 a few times in a row, and remember its processes."""
    deadline = time.monotonic() + START_SECONDS
    good = 0
    while good < 10:
        if program.process.poll() is not None:
            raise BenchError(f"{program.name}: ended at its start; it said:\n{program.tail()}")
        if time.monotonic() > deadline:
            late = f"no answer on port {port} within {START_SECONDS:.0f} s"
            raise BenchError(f"{program.name}: {late}; it said:\n{program.tail()}")
        if answers(port, path):
            good += 1
        else:
            good = 0
            time.sleep(0.05)
    program.look()


def answers(port: int, path: str) -> bool:
    """True if a request is answered with 200."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        line.request("GET", path)
        answer = line.getresponse()
        answer.read()
        return answer.status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        line.close()


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody holds just now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def family(root: int) -> dict[int, int]:
    """A process and all that descend from it, as pid to start time."""
    parents: dict[int, tuple[int, int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                words = stat(int(entry))
                if words[0] != "Z":
                    parents[int(entry)] = (int(words[1]), int(words[19]))
    found: dict[int, int] = {}
    waiting = [root] if root in parents else []
    while waiting:
        pid = waiting.pop()
        found[pid] = parents[pid][1]
        waiting += [child for child, (parent, _) in parents.items() if parent == pid]
    return found


def alive(pids: Mapping[int, int]) -> list[int]:
    """Those of the processes that have not ended."""
    found = []
    for pid, began in pids.items():
        with contextlib.suppress(OSError):
            words = stat(pid)
            if int(words[19]) == began and words[0] != "Z":
                found.append(pid)
    return found


def usage(pid: int) -> tuple[float, int]:
    """CPU seconds and resident bytes of a process (proc(5): utime, stime, rss)."""
    words = stat(pid)
    return (int(words[11]) + int(words[12])) / TICKS, int(words[21]) * os.sysconf("SC_PAGE_SIZE")


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on: the second, a name, may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
