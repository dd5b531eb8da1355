"""The balancer's access log and the backends' logs, read as they grow."""

import json
from collections import OrderedDict
from dataclasses import dataclass

# Some minutes of traffic; a verdict needs seconds.
KEEP_LINES = 50_000


class Tail:
    """The whole lines that were added to a file since the last look."""

    def __init__(self, path):
        self._path = path
        self._at = 0

    def lines(self):
        try:
            with open(self._path, "rb") as file:
                file.seek(self._at)
                data = file.read()
        except FileNotFoundError:
            return []
        whole, _, _ = data.rpartition(b"\n")
        self._at += len(whole) + 1 if whole else 0
        return whole.decode().splitlines()


@dataclass
class Logged:
    """A line of the access log."""

    backend: str
    status: int
    bytes: int
    ms: float


class AccessLog:
    """Request id to its line; of the latest."""

    def __init__(self, path):
        self._tail = Tail(path)
        self.lines = OrderedDict()
        self.count = 0

    def read(self):
        for line in self._tail.lines():
            told = json.loads(line)
            self.lines[told["id"]] = Logged(told["backend"], told["status"], told["bytes"], told["ms"])
            self.count += 1
        while len(self.lines) > KEEP_LINES:
            self.lines.popitem(last=False)


class BackendLogs:
    """What all backends say that they got."""

    def __init__(self, paths):
        self._tails = {name: Tail(path) for name, path in paths.items()}
        self.count = 0

    def read(self, arrived):
        """Call `arrived(name, at, method, request_id)` for each new line."""
        for name, tail in self._tails.items():
            for line in tail.lines():
                at, method, request_id = line.split()
                self.count += 1
                arrived(name, float(at), method, request_id)
