"""What the Sentinels say: which server is the master."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from sluice_config import RedisServer, RedisServers, shown
from sluice_redis import Redis, RedisError
from sluice_redis_roles import GRACE_SECONDS, Role, together

# What the Sentinels call the one master they watch.
MASTER_NAME = "sluice"


class NoMaster(RedisError):
    """No server can be taken for the master; the message names each server and what it said."""


def named_master(servers: RedisServers, timeout: float) -> str:
    """The `host:port` that most of the Sentinels which answer name."""
    port = servers.sentinel_port
    sentinels = [replace(one, port=port, id=f"sentinel of {one.id}") for one in servers.servers]

    def enough(found: list[Role]) -> bool:
        return 2 * max(_votes(found).values(), default=0) > len(sentinels)

    said = together(sentinels, lambda one: _ask_sentinel(one, timeout), timeout + GRACE_SECONDS, enough)
    votes = _votes(said)
    named, count = max(votes.items(), key=lambda vote: vote[1], default=("", 0))
    if 2 * count > sum(votes.values()):
        return named
    heard = "; ".join(one.error or f"{one.server.name} names {shown(one.follows)[1:-1]}" for one in said)
    raise NoMaster(f"The Sentinels name no master together: {heard or 'none of them answers'}")


def _ask_sentinel(sentinel: RedisServer, timeout: float) -> Role:
    try:
        with Redis(sentinel, timeout) as redis:
            said = redis.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME)
    except RedisError as error:
        return Role(sentinel, str(error))
    if not isinstance(said, list) or len(said) != 2:
        return Role(sentinel, f"{sentinel.name} knows no master called {MASTER_NAME}")
    return Role(sentinel, follows=f"{said[0]}:{said[1]}")


def _votes(said: Iterable[Role]) -> Counter[str]:
    return Counter(one.follows for one in said if one.follows)
