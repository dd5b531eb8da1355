"""A real Redis with the users and rights that Salt gives it."""

import hashlib
import subprocess

import yaml
from running import ROOT, wait_until

from tests.support.ports import free_port

DEFAULTS = yaml.safe_load((ROOT / "salt/redis/defaults.yaml").read_text())
PASSWORDS = {name: f"password-of-{name}" for name in DEFAULTS["rules"]}


class RedisServer:
    """Starts, dies and comes back on one port, with its data on disk."""

    def __init__(self, directory):
        self.directory = directory
        self.port = free_port()
        self._process = None
        users = ["user default off"]
        for name, rules in DEFAULTS["rules"].items():
            users.append(f"user {name} on #{hashlib.sha256(PASSWORDS[name].encode()).hexdigest()} {rules}")
        (directory / "users.acl").write_text("\n".join(users) + "\n")
        (directory / "password").write_text(PASSWORDS["balancer"] + "\n")
        (directory / "redis.conf").write_text(
            f"bind 127.0.0.1\nport {self.port}\ndir {directory}\naclfile {directory}/users.acl\n"
            "appendonly yes\nappendfsync always\nsave ''\nnotify-keyspace-events Kg$x\n"
        )

    @property
    def settings(self):
        """What the balancer's file says of it."""
        return {
            "servers": [{"id": "redis-1", "host": "127.0.0.1", "port": self.port}],
            "username": "balancer",
            "password_file": str(self.directory / "password"),
        }

    def start(self):
        with open(self.directory / "log", "ab") as log:
            words = ["redis-server", str(self.directory / "redis.conf")]
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        wait_until(lambda: self.client_says("ping") == "PONG", "redis answers")
        return self

    @property
    def runs(self):
        return self._process is not None

    def kill(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    def client_says(self, *words, user="admin", text=None):
        """What redis-cli prints, as an operator would use it."""
        done = subprocess.run(
            ["redis-cli", "-p", str(self.port), "--user", user, "--no-auth-warning", *words],
            env={"REDISCLI_AUTH": PASSWORDS[user], "PATH": "/usr/bin:/bin"},
            input=text,
            capture_output=True,
            timeout=20,
        )
        return done.stdout.decode().strip()
