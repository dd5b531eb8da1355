"""The processes of a soak: backends, Redis and the balancer, all on loopback, all ended by their pids."""

import os
import signal
import subprocess
import sys
import time

from running import ROOT, Balancer, ask, redis_settings, wait_until

from tests.soak.wire import NAME
from tests.support.certificates import Authority
from tests.support.fake_systemd import FakeSystemd
from tests.support.ports import free_port
from tests.support.redis_fleet import RedisFleet

WORKERS = 3
STABLE = ("stable-1", "stable-2", "stable-3")
CANARY = ("canary-1", "canary-2")
SPARE = "stable-4"


class BackendProcess:
    """One backend; it keeps its port and its log when it is started again."""

    def __init__(self, directory, name):
        self.name, self.port = name, free_port()
        self.log = directory / f"{name}.log"
        self._said = directory / f"{name}.output"
        self.process = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        words = [sys.executable, "-m", "tests.soak.backend", self.name, str(self.port), str(self.log)]
        with open(self._said, "ab") as said:
            self.process = subprocess.Popen(words, cwd=ROOT, stdout=said, stderr=said)
        wait_until(self._answers, f"{self.name} answers")

    def _answers(self):
        assert self.process.poll() is None, f"{self.name} ended: {self._said.read_text()}"
        try:
            return ask(self.port, "GET", "/health").status == 200
        except OSError:
            return False

    def end(self, number):
        """Send a signal and wait for the end: when it was sent, and when the process was gone."""
        since = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(30)
        self.process = None
        return since, time.monotonic()

    def be_bad(self, bad):
        assert ask(self.port, "GET", f"/control?bad={int(bad)}").status == 200


class Stage:
    """Everything that runs, but the users."""

    def __init__(self, directory):
        self.directory = directory
        self.redis = RedisFleet(directory / "redis", replicas=1)
        self.master = "redis-1"
        self.backends = {
            name: BackendProcess(made(directory / "backends"), name) for name in (*STABLE, *CANARY, SPARE)
        }
        tracks = {
            "stable": [self.backends[name] for name in STABLE],
            "canary": [self.backends[name] for name in CANARY],
        }
        self.balancer = Balancer(
            made(directory / "balancer"),
            tracks,
            {"stable": 70, "canary": 30},
            workers=WORKERS,
            redis=redis_settings(self.redis, directory),
        )
        self.balancer.shop["monitor"] = {
            "max_error_ratio_over_stable": 0.2,
            "window_seconds": 3,
            "min_requests": 20,
        }
        self.balancer.shop["mirror"] = {"percent": 20}
        self.authority, self.tls_port = Authority(directory), free_port()
        self.new_certificate()
        files = {f"{kind}_file": str(directory / f"tls.{kind}") for kind in ("certificate", "key")}
        self.balancer.shop["tls"] = {"listen": f"127.0.0.1:{self.tls_port}", **files}
        # As under systemd, which keeps the listening sockets over a restart.
        self.balancer.systemd = FakeSystemd(directory)
        (directory / "affinity.secret").write_text("a secret of the soak, of no use elsewhere\n")
        self.balancer.shop["affinity"] = {"secret_file": str(directory / "affinity.secret"), "release": "r1"}
        self.balancer.write()

    def start(self):
        self.redis.start()
        for backend in self.backends.values():
            backend.start()
        self.balancer.start()
        self.balancer.wait_for_backends()

    def stop(self):
        """End all that was started, in any case."""
        workers = self.balancer.worker_pids() if self.balancer._process else ()
        try:
            self.balancer.stop()
            # They finish by themselves.
            wait_until(lambda: not any(map(is_there, workers)), "the workers are gone", 40)
        finally:
            self.balancer.systemd.stop()
            self.redis.close()
            for backend in self.backends.values():
                if backend.process is not None:
                    backend.process.kill()
                    backend.process.wait(10)

    @property
    def ports(self):
        """Ports of connections that come and go: of users, backends and Redis."""
        return {self.balancer.port, self.tls_port, self.redis.port, *(b.port for b in self.backends.values())}

    def new_certificate(self):
        """Put another certificate and its key on disk, one after the other."""
        for kind, text in zip(("certificate", "key"), self.authority.pair(NAME), strict=True):
            fresh = self.directory / f"{kind}.new"
            fresh.write_bytes(text)
            fresh.replace(self.directory / f"tls.{kind}")

    def restart_balancer(self):
        """As `systemctl restart` does it: the next one starts when the first process has ended."""
        code = self.balancer.stop()
        assert code == 0, f"the balancer ended with {code}"
        self.balancer.start()
        self.balancer.wait_for_backends(names=[*STABLE, *CANARY])

    def supervisor_pid(self):
        return self.balancer._process.pid

    def processes(self):
        """Name to pid of all that is to be watched."""
        workers = {f"worker {pid}": pid for pid in self.balancer.worker_pids()}
        return {"supervisor": self.supervisor_pid(), **workers}

    def up(self, names):
        """Wait until the balancer has these backends up."""
        self.balancer.wait_for_backends("up", names)

    def stop_process(self, pid):
        """SIGSTOP, and wait until it stands still."""
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: state_of(pid) == "T", f"{pid} stands still")


def is_there(pid):
    return os.path.exists(f"/proc/{pid}") and state_of(pid) != "Z"


def state_of(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def made(directory):
    directory.mkdir(parents=True, exist_ok=True)
    return directory
