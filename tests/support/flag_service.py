"""The flag service as a process of its own, and clients of it."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.support.ports import free_port
from tests.support.redis_fleet import password, wait_for
from tests.support.wire import read_all

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "reader-token-of-the-tests"
PREFIX = "/ofrep/v1/evaluate/flags"
# Generous: a loaded machine with two cores.
PATIENCE = 20.0


def environment():
    """In a checkout the engine is not beside the service, as it is in the wheel."""
    return {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / '_utils'}"}


class FlagService:
    """`python -m flags` on a free port, reading the servers of a RedisFleet, the nearest first."""

    def __init__(self, directory, fleet, nearest=("redis-2", "redis-3", "redis-1"), **settings):
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.port = directory, free_port()
        self.path, self.access_log = directory / "flags.json", directory / "access.log"
        self.tokens_file, self.password_file = directory / "tokens.json", directory / "redis.password"
        self.state_dir = directory / "state"
        self.process = None
        self.write_tokens({"tests": TOKEN})
        self.password_file.write_text(password("reader"))
        known = {one["id"]: one for one in fleet.settings()["servers"]} if fleet else {}
        self.config = {
            "listen": f"127.0.0.1:{self.port}",
            "tokens_file": str(self.tokens_file),
            "state_dir": str(self.state_dir),
            "access_log": str(self.access_log),
            "redis": {
                "servers": [known[name] for name in nearest if name in known],
                "username": "reader",
                "password_file": str(self.password_file),
            },
            **settings,
        }
        self.write()

    def write(self):
        self.path.write_text(json.dumps(self.config))

    def write_tokens(self, tokens):
        fresh = self.tokens_file.with_suffix(".new")
        fresh.write_text(tokens if isinstance(tokens, str) else json.dumps(tokens))
        fresh.replace(self.tokens_file)

    # The process.

    def command(self, *more):
        return [sys.executable, "-m", "flags", "--config", str(self.path), *more]

    def start(self, wait=True, before=(), told=None, kept=()):
        """`before`, `told`, `kept`: as FakeSystemd has it."""
        with open(self.directory / "output", "ab") as output:
            self.process = subprocess.Popen(
                [*before, *self.command()],
                cwd=ROOT,
                stdout=output,
                stderr=output,
                env={**environment(), **(told or {})},
                pass_fds=kept,
            )
        if wait:
            wait_for(self.is_ready, PATIENCE, "the flag service is ready")
        return self

    def is_ready(self):
        assert self.process.poll() is None, f"the flag service ended:\n{self.said()}"
        with contextlib.suppress(OSError):
            return self.ask("GET", "/health").status in (200, 503)
        return False

    def stop(self, number=signal.SIGTERM):
        """The code it ended with."""
        if self.process is None:
            return None
        self.process.send_signal(number)
        self.process.send_signal(signal.SIGCONT)
        code = self.process.wait(PATIENCE)
        self.process = None
        return code

    def said(self):
        """All that it wrote to its terminal."""
        output = self.directory / "output"
        return output.read_text() if output.exists() else ""

    def memory_kb(self):
        """Its resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1))

    def cpu_seconds(self):
        """What it used of a core so far."""
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    # What clients do.

    def ask(self, method, path, body=None, headers=None):
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response, response.read())
        finally:
            connection.close()

    def post(self, path, body, token=TOKEN, **headers):
        told = {"Content-Type": "application/json", **headers}
        if token:
            told["Authorization"] = f"Bearer {token}"
        return self.ask("POST", path, body if isinstance(body, (str, bytes)) else json.dumps(body), told)

    def evaluate(self, name, _context=None, **attributes):
        """The answer for one flag."""
        context = {"targetingKey": "somebody", **attributes} if _context is None else _context
        return self.post(f"{PREFIX}/{name}", {"context": context})

    def value(self, name, **attributes):
        """A flag's value, or its error code."""
        told = self.evaluate(name, **attributes).json
        return told["value"] if "value" in told else told["errorCode"]

    def bulk(self, _tag=None, **attributes):
        """The answer for all flags."""
        headers = {"If-None-Match": _tag} if _tag is not None else {}
        return self.post(PREFIX, {"context": {"targetingKey": "somebody", **attributes}}, **headers)

    def health(self):
        return self.ask("GET", "/health").json

    def metrics(self):
        """Sample (name and labels) to value."""
        rows = self.ask("GET", "/metrics").body.decode().splitlines()
        pairs = (row.rpartition(" ") for row in rows if row[:1] != "#")
        return {name: float(value) for name, _, value in pairs}

    def wait_for_value(self, name, value, seconds=PATIENCE):
        wait_for(lambda: self.value(name) == value, seconds, f"{name} is {value}")

    def wait_for_health(self, what, seconds=PATIENCE, **wanted):
        def so():
            told = self.health()
            return all(told[key] == value for key, value in wanted.items())

        wait_for(so, seconds, what)

    @contextlib.contextmanager
    def connect(self):
        """A raw connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as line:
            yield line

    def send(self, raw):
        """Send bytes and return all that comes until the service closes."""
        with self.connect() as line:
            line.sendall(raw)
            return read_all(line)

    @contextlib.contextmanager
    def events(self, path="/events", token=TOKEN, **headers):
        """A reader of the event stream."""
        told = {**({"Authorization": f"Bearer {token}"} if token else {}), **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        with self.connect() as line:
            line.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
            yield EventReader(line)


class Answer:
    """A response, read whole."""

    def __init__(self, response, body):
        self.status, self.body = response.status, body
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    @property
    def json(self):
        return json.loads(self.body)


class EventReader:
    """Reads Server-Sent Events from a connection, as a client does."""

    def __init__(self, line):
        self._line, self._text = line, b""
        self.head = self._until(b"\r\n\r\n")
        self.status = int(self.head.split()[1])

    def _until(self, mark):
        while mark not in self._text:
            part = self._line.recv(65536)
            if not part:
                raise ConnectionError("the stream ended")
            self._text += part
        found, _, self._text = self._text.partition(mark)
        return found.decode()

    def next(self):
        """The next block as a dict; heartbeats are left out."""
        while True:
            rows = [row.partition(": ") for row in self._until(b"\n\n").split("\n")]
            found = {name: value for name, _, value in rows if name}
            if found:
                return found

    def next_change(self):
        """The next event's data, with its id."""
        while "data" not in (found := self.next()):
            pass
        return {**json.loads(found["data"]), "id": found["id"], "event": found["event"]}
