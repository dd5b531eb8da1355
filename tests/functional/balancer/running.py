"""The balancer as a process of its own, and clients of it."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.support.ports import free_port
from tests.support.wire import read_all

ROOT = Path(__file__).parents[3]
# Where the balancer is: the checkout, or its build with the compiled part (see tests/conftest.py).
TREE = os.environ.get("SLUICE_TREE", ROOT)
ADMIN_TOKEN = "admin-token-of-the-tests"
MONITOR_TOKEN = "monitor-token-of-the-tests"
HOST_TOKEN = "host-token-of-the-tests-for-{}"
# Generous: a loaded machine with two cores.
PATIENCE = 20.0


def wait_until(is_so, what, seconds=PATIENCE):
    """Wait for a condition; its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = is_so()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not so after {seconds:g} s: {what}")
        time.sleep(0.01)


class Answer:
    """A response, read whole."""

    def __init__(self, response, body):
        self.status, self.reason, self.body = response.status, response.reason, body
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    @property
    def json(self):
        return json.loads(self.body)


def ask(port, method, path, body=None, headers=None, timeout=PATIENCE):
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return Answer(response, response.read())
    finally:
        connection.close()


def redis_settings(fleet, directory):
    """`redis` of the balancer's file; its password is in `redis.password` in the directory."""
    told = fleet.settings("balancer")
    (directory / "redis.password").write_text(told["password"] + "\n")
    return {
        **{key: told[key] for key in ("servers", "ha", "sentinel_port", "username")},
        **({"tls": {"ca": told["tls"]["ca"]}} if told["tls"]["enabled"] else {}),
        "password_file": str(directory / "redis.password"),
    }


class Balancer:
    """`python -m balancer` on free ports of the loopback, with a directory of its own."""

    def __init__(self, directory, tracks, weights=None, workers=2, redis=None):
        self.directory = directory
        self.port, self.admin_port, self.alert_port = free_port(), free_port(), free_port()
        self.path = directory / "balancer.json"
        self.access_log = directory / "access.log"
        self.program = ["-m", "balancer"]
        self.state_dir = directory / "state"
        self._process = None
        # A FakeSystemd that starts it; see fake_systemd.py.
        self.systemd = None
        (directory / "admin.token").write_text(ADMIN_TOKEN + "\n")
        (directory / "alert.tokens.json").write_text(json.dumps({"canary-1": MONITOR_TOKEN}))
        hosts = [backend.name for backends in tracks.values() for backend in backends]
        (directory / "host.tokens.json").write_text(
            json.dumps({name: HOST_TOKEN.format(name) for name in hosts})
        )
        health = {"path": "/health", "interval_seconds": 0.1, "timeout_seconds": 2, "rise": 2, "fall": 2}
        self.config = {
            "workers": workers,
            "admin": {
                "listen": f"127.0.0.1:{self.admin_port}",
                "token_file": str(directory / "admin.token"),
            },
            "alert": {
                "listen": f"127.0.0.1:{self.alert_port}",
                "tokens_file": str(directory / "alert.tokens.json"),
                "host_tokens_file": str(directory / "host.tokens.json"),
            },
            "state_dir": str(self.state_dir),
            "access_log": str(self.access_log),
            "services": {
                "shop": {
                    "listen": f"127.0.0.1:{self.port}",
                    "weights": weights or {"stable": 100, "canary": 0},
                    "health": health,
                    "tracks": {
                        track: {backend.name: backend.address for backend in backends}
                        for track, backends in {"stable": [], "canary": [], **tracks}.items()
                    },
                }
            },
        }
        if redis is not None:
            self.config["redis"] = redis
        self.write()

    @property
    def shop(self):
        """The service in the file; to be changed and written."""
        return self.config["services"]["shop"]

    def write(self, text=None):
        """Replace the file, as Salt does."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(self.config) if text is None else text)
        fresh.replace(self.path)

    # The process.

    def start(self, wait=True):
        self.output = open(self.directory / "output", "ab")  # noqa: SIM115 (closed in stop)
        words = [sys.executable, *self.program, "--config", str(self.path)]
        environment = {**os.environ, "STATE_DIRECTORY": str(self.state_dir)}
        kept = []
        if self.systemd is not None:
            before, kept, told = self.systemd.launch()
            words, environment = [*before, *words], {**environment, **told}
        self._process = subprocess.Popen(
            words, cwd=TREE, stdout=self.output, stderr=self.output, env=environment, pass_fds=kept
        )
        if wait:
            wait_until(self.is_ready, "the balancer is ready")
        return self

    def is_ready(self):
        assert self._process.poll() is None, f"the balancer ended:\n{self.said()}"
        try:
            return ask(self.admin_port, "GET", "/health").status == 200
        except OSError:
            return False

    def wait_for_backends(self, state="up", names=None):
        """Wait until these backends (or all) are in a state."""

        def so():
            told = self.backends()
            return all(told[name] == state for name in names or told)

        wait_until(so, f"backends are {state}")
        return self

    def stop(self, wait=True):
        """SIGTERM; the code it ended with."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        if not wait:
            return None
        code = self._process.wait(60)
        self._process = None
        self.output.close()
        return code

    def kill(self):
        """SIGKILL, as an out-of-memory killer does."""
        self._process.kill()
        self._process.wait(PATIENCE)
        self._process = None
        self.output.close()

    def said(self):
        return (self.directory / "output").read_text()

    def worker_pids(self):
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return {int(pid) for pid in children}

    def worker_memory(self):
        """The resident memory of the workers, in MB, the largest first."""
        sizes = []
        for pid in self.worker_pids():
            with contextlib.suppress(FileNotFoundError):
                found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
                sizes.append(int(found.group(1)) / 1024)
        return sorted(sizes, reverse=True)

    # What clients do.

    def get(self, path="/", **headers):
        return ask(self.port, "GET", path, headers=headers)

    def served_by(self, count, path="/"):
        """Who served so many requests, each on a connection of its own: name to number."""
        tally = {}
        for _ in range(count):
            answer = self.get(path)
            assert answer.status == 200, answer.body
            name = answer.body.decode()
            tally[name] = tally.get(name, 0) + 1
        return tally

    @contextlib.contextmanager
    def connect(self, port=None):
        """A raw connection."""
        with socket.create_connection(("127.0.0.1", port or self.port), timeout=PATIENCE) as line:
            yield line

    def send(self, raw, half_close=False):
        """Send bytes and return all that comes until the balancer closes."""
        with self.connect() as line:
            line.sendall(raw)
            if half_close:
                line.shutdown(socket.SHUT_WR)
            return read_all(line)

    # What operators do.

    def admin(self, method, path, body=None, token=ADMIN_TOKEN, port=None, raw=None):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        data = raw if raw is not None else json.dumps(body) if body is not None else None
        return ask(port or self.admin_port, method, path, data, headers, timeout=60)

    def own(self, name, method, path, body=None, **more):
        """What a host asks at its door, with its own token."""
        more = {"token": HOST_TOKEN.format(name), "port": self.alert_port} | more
        return self.admin(method, path, body, **more)

    def status(self):
        return self.admin("GET", "/status").json

    def backends(self):
        """Backend to state."""
        tracks = self.status()["services"]["shop"]["tracks"]
        return {name: b["state"] for track in tracks.values() for name, b in track["backends"].items()}

    def weights(self):
        tracks = self.status()["services"]["shop"]["tracks"]
        return {track: told["weight_effective"] for track, told in tracks.items()}

    def alert(self):
        return self.status()["services"]["shop"]["alert"]

    def metrics(self):
        """Sample (name and labels) to value."""
        rows = ask(self.admin_port, "GET", "/metrics").body.decode().splitlines()
        return {
            name: float(value) for name, _, value in (row.rpartition(" ") for row in rows) if name[:1] != "#"
        }

    def log_line(self, request_id):
        """The access log's line of a request, parsed."""

        def found():
            lines = map(json.loads, self.access_log.read_text().splitlines())
            return next((told for told in lines if told["id"] == request_id), None)

        return wait_until(found, f"{request_id} is in the access log")


def read_until(line, mark):
    """What comes on a connection up to and with `mark`."""
    found = b""
    while mark not in found:
        part = line.recv(65536)
        assert part, f"the connection ended after {found!r}"
        found += part
    return found


class Load:
    """Clients that ask without a pause; every other one on a new connection each time."""

    def __init__(self, port, clients=4, path="/", method="GET"):
        self._port, self._path, self._method = port, path, method
        self.failed, self.served = [], {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n % 2 == 0,)) for n in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    @property
    def total(self):
        return sum(self.served.values()) + len(self.failed)

    def wait_for(self, more):
        """Wait until so many more requests were answered."""
        goal = self.total + more
        wait_until(lambda: self.total >= goal, f"{more} more requests")

    def _run(self, fresh):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        while not self._stop.is_set():
            try:
                connection.request(self._method, self._path)
                response = connection.getresponse()
                said = response.read().decode()
                self._note(said if response.status == 200 else None, f"{response.status} {said}")
            except (OSError, http.client.HTTPException) as error:
                self._note(None, repr(error))
                connection.close()
            if fresh:
                connection.close()
        connection.close()

    def _note(self, name, what):
        with self._lock:
            if name is None:
                self.failed.append(what)
            else:
                self.served[name] = self.served.get(name, 0) + 1
