"""Memory, files and sockets of processes, out of /proc."""

import contextlib
import os
import re
import time
from pathlib import Path

ESTABLISHED, CLOSE_WAIT = "01", "08"


def memory_mb(pid):
    """The resident memory."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", text).group(1)) / 1024


def sockets(pid):
    """The inodes of a process's sockets, and how many other files it has open."""
    inodes, others = set(), 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = os.readlink(entry)
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
            else:
                others += 1
    return inodes, others


def connections(pid):
    """A process's TCP connections over IPv4 as (local port, remote port, state)."""
    inodes, _ = sockets(pid)
    return [row[1:] for row in table() if row[0] in inodes]


def table():
    """All IPv4 TCP sockets: inode, local port, remote port, state (proc(5), net/tcp)."""
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = row.split()
        local, remote = (int(word.rpartition(":")[2], 16) for word in words[1:3])
        yield words[9], local, remote, words[3]


def client_ports(pid, port):
    """Remote ports of all connections that a process has accepted on `port`."""
    return [remote for local, remote, _ in connections(pid) if local == port and remote]


def files_besides(pid, ports):
    """Open files and sockets, without TCP connections to or from these ports."""
    inodes, others = sockets(pid)
    traffic = {row[0] for row in table() if (row[1] in ports or row[2] in ports) and row[2]}
    return others + len(inodes - traffic)


class Memory:
    """The resident memory of processes over time."""

    def __init__(self):
        self.samples = {}

    def sample(self, processes):
        """`processes`: name to pid."""
        now = time.monotonic()
        for name, pid in processes.items():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, AttributeError):
                self.samples.setdefault((name, pid), []).append((now, memory_mb(pid)))


def slope(samples):
    """Least-squares slope in MB per minute."""
    count = len(samples)
    if count < 2:
        return 0.0
    mean_t = sum(t for t, _ in samples) / count
    mean_m = sum(m for _, m in samples) / count
    spread = sum((t - mean_t) ** 2 for t, _ in samples)
    return 60 * sum((t - mean_t) * (m - mean_m) for t, m in samples) / spread if spread else 0.0
