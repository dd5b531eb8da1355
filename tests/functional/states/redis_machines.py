"""
Machines with a Redis of their own on loopback, each driven through the real state module as a minion would.

systemd is the one thing that is not real: `service.restart` and friends of a machine start and stop its own
process, by its pid.
"""

import contextlib
import copy
import random
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import sluice_redis
import yaml
from salt.utils.secret import hide
from sluice_config import RedisServer, Tls
from states_support import REPO

from tests.support.ports import free_port
from tests.support.redis_fleet import wait_for

sys.path.insert(0, str(Path(__file__).parent))
DEFAULTS = yaml.safe_load((REPO / "salt/redis/defaults.yaml").read_text())
NAMES = list(DEFAULTS["rules"])
START_SECONDS = 20


def password(user):
    """What a user logs in with; no test of any other part has this text."""
    return f"hidden-word-of-{user}"


class Units:
    """Two units of a machine, its Redis and its Sentinel, as `service` sees them."""

    def __init__(self, machine):
        self.machine, self.processes, self.restarts = machine, {}, []

    def functions(self):
        return {
            "service.systemctl_reload": lambda: True,
            "service.restart": self.restart,
            "service.start": self.start,
            "service.stop": self.stop,
        }

    def start(self, unit):
        if self.running(unit):
            return True
        conf = self.machine.place(unit)["conf"]
        words = [shutil.which("redis-server"), conf]
        if unit == "redis-sentinel":
            words.append("--sentinel")
        with (self.machine.folder / f"{unit}.out").open("ab") as out:
            process = subprocess.Popen(words, stdout=out, stderr=out, cwd=self.machine.folder)
        self.processes[unit] = process
        # As systemd does for Type=notify: until it is ready, or has died.
        wait_for(lambda: process.poll() is not None or self.machine.listens(conf), START_SECONDS, unit)
        return process.poll() is None

    def stop(self, unit, number=signal.SIGTERM):
        process = self.processes.pop(unit, None)
        if process is not None:
            # Again and again: Redis refuses while it writes its first append-only file after a transfer.
            wait_for(lambda: process.send_signal(number) or process.poll() is not None, START_SECONDS, unit)
        return True

    def restart(self, unit):
        self.restarts.append(unit)
        self.stop(unit)
        return self.start(unit)

    def running(self, unit):
        process = self.processes.get(unit)
        return process is not None and process.poll() is None

    def close(self):
        for unit in list(self.processes):
            self.stop(unit, signal.SIGKILL)


class RedisMachine:
    """One machine of the fleet: `users()`, `configured()`, `in_role()`, `watched()` are its states."""

    def __init__(self, fleet, id_, loaded):
        self.fleet, self.id, self.loaded = fleet, id_, loaded
        self.host = fleet.hosts[id_]
        self.folder = fleet.folder / id_
        (self.folder / "data").mkdir(parents=True)
        self.unit_file = self.folder / "unit.conf"
        self.unit_file.write_text("[Service]\n")
        self.units = Units(self)

    def place(self, unit="redis-server"):
        one = "sentinel" if unit == "redis-sentinel" else "redis"
        return {
            "conf": str(self.folder / f"{one}.conf"),
            "aclfile": str(self.folder / f"{one}.acl"),
            "directory": str(self.folder / "data"),
            "log": str(self.folder / f"{one}.log"),
            "unit_file": str(self.unit_file),
            "tls": self.fleet.tls,
        }

    def state(self, function, name, test=False, pillar=None, **more):
        """Run one state with the fleet's pillar."""
        pillar = pillar or self.fleet.pillar
        # All these machines have one loopback: each listens at its own address only.
        settings = {key: value for key, value in pillar.items() if key != "users"} | {"bind": self.host}
        modules, context = self.loaded.modules, self.loaded.states
        modules._dict.update(self.units.functions())
        context.pack["__pillar__"] = hide({"redis": pillar})
        context.pack["__grains__"] = {**context.pack["__grains__"], "id": self.id}
        arguments = {
            "settings": settings,
            "place": self.place(),
            "secret": str(self.folder / "salt.secret"),
            **more,
        }
        return self.loaded.apply(f"redis_server.{function}", test=test, name=name, user="root", **arguments)

    def users(self, **more):
        return self.state("users", self.place()["aclfile"], **more)

    def configured(self, **more):
        more.setdefault("deadline_seconds", 15)
        return self.state("configured", self.place()["conf"], **more)

    def in_role(self, **more):
        return self.state("in_role", self.id, **more)

    def sentinel_users(self, **more):
        place = self.place("redis-sentinel")
        return self.state("users", place["aclfile"], sentinel=True, **{"place": place, **more})

    def watched(self, **more):
        place = self.place("redis-sentinel")
        return self.state("watched", place["conf"], place=place, redis_place=self.place(), **more)

    def apply(self, **more):
        """All of them, as in the state file; what each returned."""
        functions = [self.users, self.configured, self.in_role]
        if self.fleet.pillar["ha"] == "sentinel":
            functions += [self.sentinel_users, self.watched]
        return [function(**more) for function in functions]

    def server(self, user="admin", port=None):
        tls = Tls(self.fleet.tls["ca"], check_hostname=False) if self.fleet.pillar["tls"]["enabled"] else None
        return RedisServer(self.host, port or self.fleet.port, user, self.fleet.word(user), self.id, tls)

    def call(self, *words, user="admin", port=None):
        with sluice_redis.Redis(self.server(user, port), 5.0) as redis:
            return redis.call(*words)

    def listens(self, conf):
        """Whether what has this file takes connections."""
        told = dict(line.split(" ", 1) for line in Path(conf).read_text().splitlines() if " " in line)
        port = int(told.get("tls-port", "0")) or int(told.get("port", "0"))
        with socket.socket() as probe:
            return probe.connect_ex((self.host, port)) == 0

    def answers(self):
        with contextlib.suppress(sluice_redis.RedisError):
            return self.call("PING") == "PONG"
        return False

    def setting(self, name):
        return self.call("CONFIG", "GET", name)[1]

    def role(self):
        return self.call("ROLE")


class RedisMachines:
    """`redis-1` and the others, with one pillar that a test may change."""

    def __init__(self, folder, loaded, count=3, **pillar):
        self.folder = folder
        net = f"127.{random.randrange(1, 250)}.{random.randrange(1, 250)}"
        self.hosts = {f"redis-{number}": f"{net}.{number}" for number in range(1, count + 1)}
        self.port, self.tls = free_port(), {}
        self.words = {name: password(name) for name in NAMES}
        users = {name: {"password": self.words[name]} for name in NAMES}
        own = {"servers": dict(self.hosts), "master": "redis-1", "port": self.port, "users": users}
        self.pillar = copy.deepcopy(DEFAULTS) | own | pillar
        self.pillar["sentinel"] |= {"port": free_port(), "down_after_milliseconds": 500}
        self.machines = {id_: RedisMachine(self, id_, loaded) for id_ in self.hosts}

    def __getitem__(self, id_):
        return self.machines[id_]

    def __iter__(self):
        return iter(self.machines.values())

    def word(self, user):
        return self.words[user]

    def change_password(self, user, word):
        self.words[user] = word
        self.pillar["users"][user] = {"password": word}

    def up(self):
        """All machines as a first highstate makes them, one after the other."""
        for one in self:
            for ret in one.apply():
                assert ret["result"] is True, ret
        self.wait_linked()
        return self

    def wait_linked(self, master="redis-1"):
        others = [one for one in self if one.id != master and one.units.running("redis-server")]
        wait_for(
            lambda: all(one.role()[0] == "slave" and one.role()[3] == "connected" for one in others),
            15,
            "replicas in sync",
        )

    def close(self):
        for one in self:
            one.units.close()


def unchanged(fleet):
    """Nothing is left to do, by a dry run and by a real one."""
    for one in fleet:
        for ret in one.apply(test=True) + one.apply():
            assert (ret["result"], ret["changes"]) == (True, {}), ret
    return True
