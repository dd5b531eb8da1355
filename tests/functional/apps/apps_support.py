"""The stand-in application as its unit starts it, with what salt/checkbox tells it."""

import contextlib
import http.client
import os
import subprocess

from tests.support.ports import free_port
from tests.support.redis_fleet import password, wait_for


class Application:
    """The application as its unit starts it; its database is away, which no flag needs."""

    def __init__(self, site, folder, **env):
        self.port, self.log = free_port(), folder / "application.log"
        settings = {
            "PATH": os.environ["PATH"],
            "APP_PORT": str(self.port),
            "MONGO_IP": "127.0.0.1",
            "MONGO_PORT": "1",
            "MONGO_USER": "checkbox",
            "MONGO_PASSWORD": "x",
            **env,
        }
        with self.log.open("wb") as log:
            words = ["node", "server.js"]
            self.process = subprocess.Popen(words, cwd=site, env=settings, stdout=log, stderr=log)

    def get(self):
        """What /getPic answers: its body, and the headers of the flag."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/getPic")
            answer = connection.getresponse()
            assert answer.status == 200
            return answer.read(), answer.headers["X-Flag-Source"], answer.headers["X-Flag-Age"]
        finally:
            connection.close()

    def shows(self, what, source=None):
        """True if it answers the picture (`picture`) or the text `NULL`, by the word of that source."""
        with contextlib.suppress(OSError):
            body, said, _ = self.get()
            shown = "NULL" if body == b"NULL" else "picture" if body.startswith(b"\x89PNG") else body
            return shown == what and source in (None, said)
        return False

    def wait_for(self, what, source=None, seconds=10.0):
        wait_for(lambda: self.shows(what, source), seconds, f"{what} by {source or 'any'}")

    def said(self):
        return self.log.read_text()

    def close(self):
        self.process.kill()
        self.process.wait(20)


def environment(redis, **more):
    """What salt/checkbox tells an application of a fleet."""
    servers = [f"{id_}={host}:{redis.port}" for id_, host in redis.hosts.items()]
    reader = {"REDIS_USERNAME": "reader", "REDIS_PASSWORD": password("reader")}
    return {"REDIS_SERVERS": " ".join(servers), **reader, **more}
