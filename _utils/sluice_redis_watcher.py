"""The Sentinel of this machine: made, and brought in line, live or by a restart; what it learned stays."""

from collections.abc import Callable, Mapping
from typing import Any

from sluice_redis import Redis, RedisError
from sluice_redis_access import Local, serves_another_certificate
from sluice_redis_file import edited, is_ours
from sluice_redis_follow import master_here
from sluice_redis_live import named
from sluice_redis_machine import Unit, answering, running, write
from sluice_redis_watch import differing, of_itself, of_master, seed, set_live, stale_at_start, told


class Watcher:
    """
    The Sentinel, while a state is at it. Raises ConfigError, RedisError and OSError.

    redis
        The Redis of this machine, which is asked who the master is where Sentinel does not know one.
    pillar
        `redis:sentinel`.
    password
        With which Sentinels log in at the servers, and at each other.
    test (bool)
        Say what would be done, and do nothing.
    """

    def __init__(
        self, local: Local, redis: Local, unit: Unit, pillar: Mapping[str, Any], password: str, test: bool
    ) -> None:
        self.local, self.redis, self.unit, self.test = local, redis, unit, test
        self.watch = of_master(pillar, len(local.plan.servers), password)
        self.own = of_itself(local.plan, password)

    def bring_in_line(self) -> dict[str, Any]:
        """Result, changes and comment, as far as they are not those of a state that has nothing to do."""
        text = self.local.text()
        if not is_ours(text):
            return self._made(text)
        redis, changes = running(self.local), dict[str, Any]()
        if redis is None:
            changes = {self.unit.name: "started"}
            if self.test:
                return {"result": None, "changes": changes, "comment": "would be started"}
            self.unit.start()
            redis = answering(self.local, self.unit)
        with redis:
            wanted, at_start = differing(redis, text, self.watch, self.own), self._at_start(text)
            changes |= told({**wanted, **at_start})
            if not changes:
                return {}
            if self.test:
                return {"result": None, "changes": changes, "comment": "would be changed"}
            if wanted:
                self._set(redis, wanted)
        if not at_start:
            return {"changes": changes, "comment": "changed while it runs"}
        self._begin_with(lambda: edited(self.local.text(), at_start))
        return {"changes": changes, "comment": f"restarted for {named(at_start)}"}

    def _made(self, text: str) -> dict[str, Any]:
        changes = {"file": {"old": "the package's" if text else "absent", "new": "made"}}
        if self.test:
            return {"result": None, "changes": changes, "comment": "would be made"}
        master = master_here(self.redis)
        self._begin_with(lambda: seed(self.local.plan, master, self.watch, self.own))
        return {"changes": changes, "comment": f"made: it watches {master[0]}:{master[1]}"}

    def _at_start(self, text: str) -> dict[str, str]:
        found = stale_at_start(text, self.local.plan)
        if not found and serves_another_certificate(self.local):
            return {"tls-cert-file": self.local.plan.settings["tls-cert-file"]}
        return found

    def _set(self, redis: Redis, wanted: Mapping[str, str]) -> None:
        set_live(redis, wanted, self.own, master_here(self.redis))
        left = differing(redis, self.local.text(), self.watch, self.own)
        if left:
            raise RedisError(f"Sentinel did not take {', '.join(sorted(left))}")

    def _begin_with(self, text: Callable[[], str]) -> None:
        """Restart it with another file: it writes its own whenever it likes, so not while it runs."""
        self.unit.stop()
        write(self.local.conf, text(), self.unit.user)
        self.unit.restart()
        with answering(self.local, self.unit):
            pass
