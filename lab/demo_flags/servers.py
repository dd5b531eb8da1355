"""The Redis servers of the lab, asked one by one as the operator."""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lab.demo.doors import OPERATOR_PASSWORD
from lab.errors import LabError
from lab.process import wait_until
from lab.settings import Lab

PORT = 6379
TERM = "sluice:term"
# A machine that is off says nothing at all; on one computer an answer takes a millisecond.
ANSWER_SECONDS = 0.5
# A replica that was cut off asks its master again within seconds; a computer at work may take a minute.
LINK_SECONDS = 120


class Servers:
    """All Redis machines of a lab."""

    def __init__(self, lab: Lab) -> None:
        self.hosts = {m.id: m.address for m in lab.machines if m.id.startswith("redis-")}
        self._clients: dict[str, Any] = {id_: self._client(host) for id_, host in self.hosts.items()}

    def _client(self, host: str) -> Any:
        return redis.Redis(
            host=host,
            port=PORT,
            username="operator",
            password=OPERATOR_PASSWORD,
            decode_responses=True,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )

    def __getitem__(self, id_: str) -> Any:
        """The client of a server."""
        return self._clients[id_]

    def info(self, id_: str) -> dict[str, Any]:
        """What a server says of its replication; empty if it does not answer."""
        try:
            told: dict[str, Any] = self._clients[id_].info("replication")
            return {**told, "term": int(self._clients[id_].get(TERM) or 0)}
        except (redis.RedisError, OSError, ValueError):
            return {}

    def master(self) -> str | None:
        """The server that is the master: of several that say so, the one with the highest term."""
        found = {id_: told["term"] for id_ in self.hosts if (told := self.info(id_)).get("role") == "master"}
        return max(found, key=lambda id_: found[id_], default=None)

    def must_have_master(self) -> str:
        """The same; LabError if there is none."""
        if (found := self.master()) is None:
            known = ", ".join(self.hosts)
            raise LabError(f"none of {known} says that it is the master; see `salt-run flags.servers`")
        return found

    def replicas(self) -> list[str]:
        """The others that answer, the one that has most of the master's history first."""
        told = {id_: self.info(id_) for id_ in self.hosts}
        found = [id_ for id_, one in told.items() if one.get("role") == "slave"]
        return sorted(found, key=lambda id_: -int(told[id_]["slave_repl_offset"]))

    def linked(self, wanted: int) -> bool:
        """True if one master has so many replicas, each with a link that is up and all that it was sent."""
        master = self.master()
        if master is None:
            return False
        offset = self.info(master).get("master_repl_offset", 0)
        others = [self.info(id_) for id_ in self.hosts if id_ != master]
        good = [
            one
            for one in others
            if one.get("master_host") == self.hosts[master]
            and one.get("master_link_status") == "up"
            and one["slave_repl_offset"] >= offset
        ]
        return len(good) == wanted

    def wait_linked(self, wanted: int = 2) -> None:
        wait_until(lambda: self.linked(wanted), f"a master with {wanted} replicas", LINK_SECONDS, pause=0.05)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
