"""
A master that lives hands over to its replica: writers wait until the replica has everything they wrote.

Without Sentinel by Redis' own FAILOVER, of which Sentinel knows nothing; with it by the Sentinels, who are
made to choose this replica by its priority.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from time import monotonic, sleep

from sluice_config import RedisServer, RedisServers
from sluice_redis import Redis, RedisError
from sluice_redis_roles import address, ask
from sluice_redis_sentinel import MASTER_NAME, NoMaster, named_master

# A live server answers in milliseconds, a loaded one in tenths of a second; a dead one costs this once.
ASK_SECONDS = 2.0
# So long writers wait at most while the replica catches up; then the old master goes on. It takes up to a
# second anyway, for replicas tell once a second how far they are.
HANDOVER_SECONDS = 5.0
# Sentinels take one to four seconds for a failover that they are told to do.
SENTINEL_SECONDS = 10.0
# They look at the priorities of replicas every ten seconds.
PRIORITY_SECONDS = 20.0
LOOK_AGAIN_SECONDS = 0.02
# Of all replicas with the same connection the Sentinels choose the one with the lowest priority above 0.
FIRST, USUAL = "1", "100"

Tell = Callable[[str], None]


def by_redis(_: RedisServers, old: RedisServer, new: RedisServer, tell: Tell) -> None:
    """RedisError if it failed: then the old master goes on."""
    tell(f"{old.name} hands over to {new.name}; writers wait for {HANDOVER_SECONDS:g} s at most")
    limit = str(int(HANDOVER_SECONDS * 1000))
    with Redis(old, ASK_SECONDS) as redis:
        redis.call("FAILOVER", "TO", new.host, str(new.port), "TIMEOUT", limit)
    if not until(HANDOVER_SECONDS + ASK_SECONDS, lambda: _is_handed_over(old, new)):
        _stop_handing_over(old, new)


def _is_handed_over(old: RedisServer, new: RedisServer) -> bool:
    was, now = ask(old, ASK_SECONDS), ask(new, ASK_SECONDS)
    return was.role == "replica" and was.follows == address(new) and now.is_master


def _stop_handing_over(old: RedisServer, new: RedisServer) -> None:
    """It took too long: the old master is to go on, unless it has handed over just now."""
    with Redis(old, ASK_SECONDS) as redis:
        # Refused if Redis has given up already, as it does after the limit.
        redis.pipeline([("FAILOVER", "ABORT")])
    if not _is_handed_over(old, new):
        raise RedisError(f"{new.name} did not catch up with {old.name} in {HANDOVER_SECONDS:g} s")


def by_sentinel(servers: RedisServers, old: RedisServer, new: RedisServer, tell: Tell) -> None:
    """RedisError if it failed: then the Sentinels' word stands, whichever server they name."""
    with _preferred(servers, new):
        tell(f"the Sentinels are to see that {new.name} comes first; that takes up to 10 s")
        sentinel = _one_that_sees(servers, new)
        tell(f"{old.name} hands over to {new.name}; writers wait for {SENTINEL_SECONDS:g} s at most")
        with _paused(old):
            if not until(
                HANDOVER_SECONDS, lambda: ask(new, ASK_SECONDS).offset >= ask(old, ASK_SECONDS).offset
            ):
                raise RedisError(f"{new.name} did not catch up with {old.name} in {HANDOVER_SECONDS:g} s")
            with Redis(sentinel, ASK_SECONDS) as redis:
                redis.call("SENTINEL", "FAILOVER", MASTER_NAME)
            if not until(SENTINEL_SECONDS, lambda: ask(new, ASK_SECONDS).is_master):
                raise RedisError(
                    f"the Sentinels did not make {new.name} the master in {SENTINEL_SECONDS:g} s"
                )
            with Redis(old, ASK_SECONDS) as redis:
                # They do so, too, but seconds later: until then its writers must not go on there.
                redis.call("REPLICAOF", new.host, str(new.port))
        if not until(SENTINEL_SECONDS, lambda: _name(servers) == address(new)):
            raise RedisError(f"the Sentinels do not name {new.name} yet, which is the master")


@contextmanager
def _preferred(servers: RedisServers, new: RedisServer) -> Iterator[None]:
    """Meanwhile the Sentinels choose this replica."""
    for one in servers.servers:
        _set_priority(one, FIRST if one == new else USUAL)
    try:
        yield
    finally:
        _set_priority(new, USUAL)


def _set_priority(server: RedisServer, priority: str) -> None:
    """In its file as well; a server that is dead is no candidate."""
    with suppress(RedisError), Redis(server, ASK_SECONDS) as redis:
        if redis.call("CONFIG", "GET", "replica-priority") != ["replica-priority", priority]:
            redis.call("CONFIG", "SET", "replica-priority", priority)
            redis.call("CONFIG", "REWRITE")


def _one_that_sees(servers: RedisServers, new: RedisServer) -> RedisServer:
    """A Sentinel that knows of the priority."""
    sentinels = [replace(one, port=servers.sentinel_port) for one in servers.servers]
    seeing: list[RedisServer] = []

    def is_seen() -> bool:
        seeing[:] = [one for one in sentinels if _sees(one, new)]
        return bool(seeing)

    if not until(PRIORITY_SECONDS, is_seen, 0.2):
        raise RedisError(f"no Sentinel has seen in {PRIORITY_SECONDS:g} s that {new.name} comes first")
    return seeing[0]


def _sees(sentinel: RedisServer, new: RedisServer) -> bool:
    with suppress(RedisError), Redis(sentinel, ASK_SECONDS) as redis:
        told = redis.call("SENTINEL", "REPLICAS", MASTER_NAME)
        for one in told if isinstance(told, list) else []:
            known = dict(zip(one[::2], one[1::2], strict=False)) if isinstance(one, list) else {}
            if (known.get("ip"), known.get("port")) == (new.host, str(new.port)):
                return known.get("slave-priority") == FIRST
    return False


@contextmanager
def _paused(server: RedisServer) -> Iterator[None]:
    """Its writers wait meanwhile."""
    limit = str(int((HANDOVER_SECONDS + SENTINEL_SECONDS) * 1000))
    with Redis(server, ASK_SECONDS) as redis:
        redis.call("CLIENT", "PAUSE", limit, "WRITE")
    try:
        yield
    finally:
        # If it died, that is told by what comes next; if it was not reached, the limit ends it.
        with suppress(RedisError), Redis(server, ASK_SECONDS) as redis:
            redis.call("CLIENT", "UNPAUSE")


def _name(servers: RedisServers) -> str:
    with suppress(NoMaster):
        return named_master(servers, ASK_SECONDS)
    return ""


def until(seconds: float, condition: Callable[[], bool], pause_seconds: float = LOOK_AGAIN_SECONDS) -> bool:
    """Whether it came true in time."""
    deadline = monotonic() + seconds
    while not condition():
        if monotonic() >= deadline:
            return False
        sleep(pause_seconds)
    return True
