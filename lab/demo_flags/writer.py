"""A writer that keeps what was acknowledged to it, and at the end asks for all of it again."""

from __future__ import annotations

import math
import threading
import time

import redis

from lab.demo_flags.servers import Servers

# With a colon: no name of a flag.
KEY = "demo:kept:"
PAUSE_SECONDS = 0.02
# How long one write may wait for a replica to have it, in milliseconds.
WAIT_MS = 300


class Writer:
    """
    Writes a new key fifty times a second, to whichever server takes it.

    A write counts as acknowledged when the master has answered OK and `WAIT` says that a replica has it too:
    an OK alone is no promise of a server that sends its writes on afterwards.
    """

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        # Key to the moment of its acknowledgement.
        self.acknowledged: dict[str, float] = {}

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(30)

    def _run(self) -> None:
        ids = list(self._servers.hosts)
        number = 0
        while not self._ended.wait(PAUSE_SECONDS):
            number += 1
            if self._write(ids[0], f"{KEY}{number}"):
                self.acknowledged[f"{KEY}{number}"] = time.time()
            else:
                ids.append(ids.pop(0))

    def _write(self, id_: str, key: str) -> bool:
        try:
            client = self._servers[id_]
            client.set(key, str(time.time()))
            return bool(client.wait(1, WAIT_MS))
        except (redis.RedisError, OSError):
            return False

    def first_after(self, moment: float) -> float:
        """When the first write after a moment was acknowledged; infinity if none was."""
        return min((at for at in list(self.acknowledged.values()) if at > moment), default=math.inf)

    def lost(self) -> list[str]:
        """The acknowledged writes that any server that answers does not have."""
        keys = list(self.acknowledged)
        missing: set[str] = set()
        for id_ in self._servers.hosts:
            for some in (keys[first : first + 500] for first in range(0, len(keys), 500)):
                values = self._servers[id_].mget(some)
                missing.update(key for key, value in zip(some, values, strict=True) if value is None)
        return sorted(missing)

    def clean(self) -> None:
        """Remove what it wrote."""
        master = self._servers[self._servers.must_have_master()]
        keys = list(self.acknowledged)
        for first in range(0, len(keys), 500):
            master.delete(*keys[first : first + 500])
