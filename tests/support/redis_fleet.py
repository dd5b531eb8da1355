"""
Real Redis servers and Sentinels on loopback: a master, its replicas, users as `salt/redis` makes them.

    with RedisFleet(tmp_path, replicas=2) as fleet:
        fleet.call("redis-1", "SET", "key1", "1")
        fleet.kill("redis-1")

Each machine has a loopback address of its own, and all the same port, as in a real fleet. Only its own
processes are ever stopped.
"""

import contextlib
import hashlib
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import sluice_redis
import sluice_redis_live
import yaml
from sluice_config import RedisServer, Tls, redis_servers

from tests.support.certificates import Authority
from tests.support.ports import free_port

REPO = Path(__file__).resolve().parents[2]
# What Sentinel calls the one master it watches; so does salt/redis.
MASTER_NAME = "sluice"
START_SECONDS = 10.0


def password(user):
    """What the user logs in with."""
    return f"not-a-secret-{user}"


def wait_for(condition, seconds=10.0, what="a condition"):
    """Poll until `condition()` is true; its value. AssertionError after the deadline."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true in {seconds:g} s"
        time.sleep(0.01)
    return value


class Process:
    """One redis-server or Sentinel, with its configuration file in a folder of its own."""

    def __init__(self, folder, host, port, sentinel=False):
        self.folder, self.host, self.port, self.sentinel = folder, host, port, sentinel
        self.config = folder / ("sentinel.conf" if sentinel else "redis.conf")
        self.process = None

    def start(self):
        """Start it if it does not run."""
        if self.process is None:
            words = [shutil.which("redis-server"), str(self.config)]
            words += ["--sentinel"] if self.sentinel else []
            with (self.folder / f"{self.config.stem}.out").open("ab") as out:
                self.process = subprocess.Popen(words, stdout=out, stderr=out, cwd=self.folder)

    def pause(self):
        """It hangs: it takes connections and says nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self, number=signal.SIGKILL):
        """End it at once, as a machine dies; with SIGTERM as an operator stops it."""
        if self.process is not None:
            self.process.send_signal(number)
            # One that is paused would not hear anything but SIGKILL.
            self.process.send_signal(signal.SIGCONT)
            self.process.wait(START_SECONDS)
            self.process = None


class RedisFleet:
    """
    `redis-1` is the master, `redis-2` ... its replicas; with `sentinels=True` a Sentinel stands beside each.

    With `tls=True` they speak nothing else; `self.tls` is then `(ca, cert, key)`, paths. `options` are more
    lines of every redis.conf.
    """

    def __init__(self, folder, replicas=2, sentinels=False, tls=False, options=(), down_after_ms=500):
        self.folder, self.options, self.down_after_ms = Path(folder), options, down_after_ms
        net = f"127.{random.randrange(1, 250)}.{random.randrange(1, 250)}"
        self.port, self.sentinel_port = free_port(), free_port()
        self.hosts = {f"redis-{number}": f"{net}.{number}" for number in range(1, replicas + 2)}
        self.tls = self._certificates() if tls else None
        self.servers, self.sentinels = {}, {}
        self.term = 0
        for id_, host in self.hosts.items():
            (self.folder / id_).mkdir(parents=True)
            self.servers[id_] = Process(self.folder / id_, host, self.port)
            if sentinels:
                self.sentinels[id_] = Process(self.folder / id_, host, self.sentinel_port, sentinel=True)

    def _certificates(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        authority = Authority(self.folder)
        paths = (self.folder / "cert.pem", self.folder / "key.pem")
        for path, text in zip(paths, authority.pair(*self.hosts.values()), strict=True):
            path.write_bytes(text)
        return (authority.path, *paths)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for process in [*self.sentinels.values(), *self.servers.values()]:
            process.stop()

    def start(self):
        """Start all of them, and return when they are as they should be."""
        for id_, server in self.servers.items():
            server.config.write_text("\n".join(self._lines(id_)) + "\n")
            (server.folder / "users.acl").write_text("\n".join(_users(_rules())) + "\n")
            server.start()
        self.wait_linked()
        for id_, sentinel in self.sentinels.items():
            sentinel.config.write_text("\n".join(self._sentinel_lines(id_)) + "\n")
            (sentinel.folder / "sentinel.acl").write_text("\n".join(_users(_sentinel_rules())) + "\n")
            sentinel.start()
        if self.sentinels:
            wait_for(self._sentinels_agree, START_SECONDS, "Sentinels that know each other and the replicas")

    def _lines(self, id_):
        """Its redis.conf."""
        host = self.hosts[id_]
        yield from (f"bind {host}", "protected-mode yes", "daemonize no", f"dir {self.folder / id_}")
        yield from (f"aclfile {self.folder / id_ / 'users.acl'}", "logfile redis.log", 'save ""')
        yield from ("appendonly yes", "appendfsync always", "maxmemory 64mb", "maxmemory-policy noeviction")
        yield from (
            "notify-keyspace-events Kg$x",
            "repl-diskless-sync-delay 0",
            "repl-timeout 5",
            "repl-ping-replica-period 1",
        )
        yield from ("masteruser replication", f"masterauth {password('replication')}")
        yield f"replica-announce-ip {host}"
        yield from self._port_lines(self.port)
        yield from self.options
        if id_ != "redis-1":
            yield f"replicaof {self.hosts['redis-1']} {self.port}"

    def _port_lines(self, port):
        if not self.tls:
            return [f"port {port}"]
        ca, cert, key = self.tls
        files = [f"tls-ca-cert-file {ca}", f"tls-cert-file {cert}", f"tls-key-file {key}"]
        return ["port 0", f"tls-port {port}", "tls-replication yes", "tls-auth-clients optional", *files]

    def _sentinel_lines(self, id_):
        quorum = len(self.hosts) // 2 + 1
        yield from (f"bind {self.hosts[id_]}", f"dir {self.folder / id_}", "logfile sentinel.log")
        yield from (*self._port_lines(self.sentinel_port), f"sentinel announce-ip {self.hosts[id_]}")
        yield f"sentinel announce-port {self.sentinel_port}"
        yield f"aclfile {self.folder / id_ / 'sentinel.acl'}"
        yield from ("sentinel sentinel-user sentinel", f"sentinel sentinel-pass {password('sentinel')}")
        yield f"sentinel monitor {MASTER_NAME} {self.hosts['redis-1']} {self.port} {quorum}"
        yield f"sentinel auth-user {MASTER_NAME} sentinel"
        yield f"sentinel auth-pass {MASTER_NAME} {password('sentinel')}"
        yield f"sentinel down-after-milliseconds {MASTER_NAME} {self.down_after_ms}"
        yield f"sentinel failover-timeout {MASTER_NAME} 3000"

    def _sentinels_agree(self):
        with contextlib.suppress(sluice_redis.RedisError):
            said = [self._sentinel_says(id_) for id_ in self.sentinels]
            others, replicas = str(len(self.hosts) - 1), str(len(self.hosts) - 1)
            return all(one["num-other-sentinels"] == others and one["num-slaves"] == replicas for one in said)
        return False

    def _sentinel_says(self, id_):
        words = self.sentinel_call(id_, "SENTINEL", "MASTER", MASTER_NAME)
        return dict(zip(words[::2], words[1::2], strict=True))

    def server(self, id_, user="admin", port=None):
        """How to log in to it, for sluice_redis."""
        tls = Tls(*(str(path) for path in self.tls)) if self.tls else None
        name = user or ""
        secret = password(user) if user else ""
        return RedisServer(self.hosts[id_], port or self.port, name, secret, id=id_, tls=tls)

    def call(self, id_, *words, user="admin", timeout=2.0):
        """The reply of one server to one command."""
        with sluice_redis.Redis(self.server(id_, user), timeout) as redis:
            return redis.call(*words)

    def sentinel_call(self, id_, *words, user="admin", timeout=2.0):
        """The reply of the Sentinel beside a server."""
        with sluice_redis.Redis(self.server(id_, user, port=self.sentinel_port), timeout) as redis:
            return redis.call(*words)

    def settings(self, user="release"):
        """The `redis` part of release.json and the other settings files."""
        ca, cert, key = self.tls or ("", "", "")
        return {
            "servers": [{"id": id_, "host": host, "port": self.port} for id_, host in self.hosts.items()],
            "ha": "sentinel" if self.sentinels else "none",
            "sentinel_port": self.sentinel_port,
            "tls": {"enabled": bool(self.tls), "ca": str(ca), "cert": str(cert), "key": str(key)},
            "username": user,
            "password": password(user),
            "users": {name: password(name) for name in _rules()},
        }

    def declared(self, user="release"):
        """The same as sluice_config gives it."""
        return redis_servers(self.settings(user))

    def alive(self, id_):
        """Whether it answers now."""
        with contextlib.suppress(sluice_redis.RedisError):
            return self.call(id_, "PING", timeout=0.5) == "PONG"
        return False

    def info(self, id_, section="replication"):
        """Its INFO as a dict of texts."""
        text = self.call(id_, "INFO", section)
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def linked(self, master="redis-1"):
        """True when all others that run are replicas of `master` with a link that is up."""
        with contextlib.suppress(sluice_redis.RedisError):
            others = [id_ for id_, one in self.servers.items() if id_ != master and one.process]
            infos = [self.info(id_) for id_ in others]
            role = self.call(master, "ROLE")
            return (
                role[0] == "master"
                and len(role[2]) == len(others)
                and all(
                    info.get("master_host") == self.hosts[master] and info.get("master_link_status") == "up"
                    for info in infos
                )
            )
        return False

    def wait_linked(self, master="redis-1", seconds=START_SECONDS):
        wait_for(lambda: self.linked(master), seconds, f"all as replicas of {master}")

    def kill(self, id_):
        """The machine dies: its Redis and its Sentinel end at once."""
        for group in (self.sentinels, self.servers):
            if id_ in group:
                group[id_].stop()

    def pause(self, id_):
        """The server hangs. Its Sentinel goes on."""
        self.servers[id_].pause()

    def resume(self, id_):
        self.servers[id_].resume()

    def promote(self, id_):
        """What a promotion leaves: a master of the next term, which all others that answer follow."""
        self.term += 1
        self.call(id_, "REPLICAOF", "NO", "ONE")
        self.call(id_, "SET", "sluice:term", str(self.term))
        for other in self.hosts:
            if other != id_ and self.alive(other):
                self.call(other, "REPLICAOF", self.hosts[id_], str(self.port))

    def restart(self, id_):
        """Start what was killed, with the configuration it had then."""
        self.servers[id_].start()
        wait_for(lambda: self.alive(id_), START_SECONDS, id_)
        if id_ in self.sentinels:
            self.sentinels[id_].start()


def _defaults():
    return yaml.safe_load((REPO / "salt/redis/defaults.yaml").read_text())


def _rules():
    return _defaults()["rules"]


def _sentinel_rules():
    """A Sentinel has the same users, who may other things there."""
    rules = _defaults()["sentinel"]["rules"]
    return {name: rules.get(name, rules["others"]) for name in _rules()}


def _users(rules):
    yield f"user default {sluice_redis_live.DEFAULT_USER}"
    for name, rule in rules.items():
        yield f"user {name} on #{hashlib.sha256(password(name).encode()).hexdigest()} {rule}"
