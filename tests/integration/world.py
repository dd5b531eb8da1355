"""A small world for the integration tests: fake balancer, fake service, fake MongoDB, real Redis."""

import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.ports import free_port

ALERT_TOKEN = "not-a-secret-alert-token"
REDIS_PASSWORD = "not-a-secret-redis-password"


def wait_for(condition, seconds=20.0, what="a condition"):
    """Poll until `condition()` is true; its value. AssertionError after the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come true in {seconds} s"
        time.sleep(0.005)


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, *_):
        """Nothing on stderr."""

    def answer(self, status, body, headers=()):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


class _Server:
    """An HTTP server in a thread, with the fake itself at `handler.fake`."""

    handler = _Quiet

    def __init__(self):
        handler = type("Handler", (self.handler,), {"fake": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


class FakeBalancer(_Server):
    """What the release side sees of a balancer: /alert with a token, and a status the tests can bend."""

    def __init__(self):
        self.reset()
        super().__init__()

    def reset(self):
        self.alert = None
        self.alert_at = None
        self.declared = {"canary": 30, "stable": 70}
        self.states = {"stable": {"checkbox-1": "up"}, "canary": {"canary-1": "up"}}
        self.calls = []
        self.reraise = False
        self.forget_restore = False
        self.hide_canary = False
        # The file with the release that users keep their tracks for; None without affinity.
        self.positions = None
        # Services besides checkbox, as their part of the status.
        self.others = {}

    def status(self):
        tracks = {
            track: {
                "weight_declared": self.declared[track],
                "weight_effective": self.effective()[track],
                "backends": {
                    name: {"address": "127.0.0.1:1", "state": state, "in_flight": 0}
                    for name, state in backends.items()
                    if not (self.hide_canary and track == "canary")
                },
            }
            for track, backends in self.states.items()
        }
        return {
            "config": {"sha256": "0", "loaded_at": "now", "error": None},
            "workers": 1,
            "redis": "connected",
            "services": self.others
            | {"checkbox": {"alert": self.alert, "affinity": self.affinity(), "tracks": tracks}},
        }

    def affinity(self):
        return {"release": self.positions.read_text().strip()} if self.positions else None

    def effective(self):
        usable = "up" in self.states["canary"].values() and not self.alert
        return dict(self.declared) if usable else {"canary": 0, "stable": 100}

    class handler(_Quiet):  # noqa: N801 - looked up as an attribute by _Server
        def do_GET(self):
            self.answer(200, self.fake.status())

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.fake.calls.append((self.path, body))
            if self.path == "/alert":
                if self.headers["Authorization"] != f"Bearer {ALERT_TOKEN}":
                    return self.answer(401, {"error": "token"})
                self.fake.alert = {"reason": body["reason"], "by": "master", "at": "now", "door": "http"}
                self.fake.alert_at = time.monotonic()
            elif self.path == "/clear" and not self.fake.reraise:
                self.fake.alert = None
            elif self.path == "/drain":
                self.fake.states["canary"][body["backend"]] = "drained"
            elif self.path == "/restore" and not self.fake.forget_restore:
                self.fake.admitted_for = self.fake.affinity()
                self.fake.states["canary"][body["backend"]] = "up"
            return self.answer(200, self.fake.status())


class FakeService(_Server):
    """The canary's application."""

    def __init__(self):
        self.counting = threading.Lock()
        self.reset()
        super().__init__()

    def reset(self):
        self.bad_every = 0
        self.delay = 0.0
        self.healthy = True
        self.version = "v2"
        self.requests = 0

    class handler(_Quiet):  # noqa: N801
        def do_GET(self):
            fake = self.fake
            with fake.counting:
                fake.requests += 1
                number = fake.requests
            time.sleep(fake.delay)
            bad = fake.bad_every and number % fake.bad_every == 0
            status = 503 if self.path == "/health" and not fake.healthy else 500 if bad else 200
            self.answer(status, {}, [("X-Checkbox-Version", fake.version)])


class FakeMongo:
    """Accepts connections and answers any message as MongoDB answers `hello`; can be switched off."""

    def __init__(self):
        self.port = free_port()
        self.socket = None
        self.start()

    def start(self):
        if self.socket is None:
            self.socket = socket.create_server(("127.0.0.1", self.port))
            threading.Thread(target=self._serve, args=(self.socket,), daemon=True).start()

    def stop(self):
        if self.socket is not None:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            self.socket.close()
            self.socket = None

    @staticmethod
    def _serve(listening):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection:
                    request_id = connection.recv(4096)[4:8]
                    connection.sendall(b"\x10\0\0\0" + b"\x07\0\0\0" + request_id + b"\xdd\x07\0\0")


class RealRedis:
    """A redis-server on loopback with a password; can be stopped and started again."""

    def __init__(self, folder: Path):
        self.folder, self.port, self.process = folder, free_port(), None
        self.start()

    def start(self):
        if self.process is not None:
            return
        command = [
            shutil.which("redis-server"), "--bind", "127.0.0.1", "--port", str(self.port), "--save", "",
            "--dir", str(self.folder), "--requirepass", REDIS_PASSWORD, "--daemonize", "no",
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_for(self.alive, 10, "redis-server")

    def alive(self):
        with contextlib.suppress(Exception):
            return self.call("PING") == "PONG"
        return False

    def call(self, *words):
        import sluice_redis
        from sluice_config import RedisServer

        server = RedisServer("127.0.0.1", self.port, "default", REDIS_PASSWORD)
        with sluice_redis.Redis(server, 2.0) as redis:
            return redis.call(*words)

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None


def make_git_repository(folder: Path) -> str:
    """A repository with the tags v1, v2 and v3; its path."""

    def git(*words):
        subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(folder), *words],
            check=True, capture_output=True,
        )  # fmt: skip

    folder.mkdir()
    git("init", "-q", "-b", "main")
    for version in ("v1", "v2", "v3", "v2-bad", "v2-broken"):
        git("commit", "-q", "--allow-empty", "-m", version)
        git("tag", version)
    return str(folder)


def write_ratio(outside, stable, canary):
    """What pillar/<env>/traffic.sls holds."""
    (outside.pillar / "traffic.sls").write_text(
        f"traffic:\n  checkbox:\n    stable: {stable}\n    canary: {canary}\n"
    )
