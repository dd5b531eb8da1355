"""How a flag's value reaches all servers: every one of them is asked, each in a thread of its own."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from sluice_config import RedisServer, RedisServers
from sluice_flag_store import Change, shown_value
from sluice_redis import Redis, RedisError

# A replica has it within a millisecond as a rule; one that has not is asked less and less often.
FIRST_PAUSE_SECONDS = 0.0005
LONGEST_PAUSE_SECONDS = 0.05
# For one answer. A server that hangs is told from one that is slow by then.
ANSWER_SECONDS = 1.0
Told = TypeVar("Told")


@dataclass(frozen=True)
class Seen:
    """What one server said: `ms` until it had the value; None if it had it not in time, and what instead."""

    ms: float | None
    said: str = ""


@dataclass(frozen=True)
class Done:
    """
    A change as it was carried out.

    master (str)
        Id of the server that took it.
    replicas (int or None)
        How many have acknowledged it; None if it was not asked.
    seen (dict of str to Seen)
        The read-back at every server, by id, if there was one.
    ms (float)
        How long all of it took.
    """

    change: Change
    master: str
    replicas: int | None = None
    seen: dict[str, Seen] = field(default_factory=dict)
    ms: float = 0.0


def until_everywhere(servers: RedisServers, name: str, value: str, seconds: float) -> dict[str, Seen]:
    """Wait until every server has this value of a flag, `seconds` at most; by id what each said."""
    began = time.monotonic()
    return _each(servers, partial(_until, name=name, value=value, began=began, deadline=began + seconds))


def values(servers: RedisServers, name: str) -> dict[str, str]:
    """The value of a flag at every server now, by id; from one that does not tell, why. Never raises."""
    return _each(servers, partial(_value, name=name))


def _each(servers: RedisServers, ask: Callable[[RedisServer], Told]) -> dict[str, Told]:
    with ThreadPoolExecutor(len(servers.servers)) as pool:
        ids = [server.id for server in servers.servers]
        return dict(zip(ids, pool.map(ask, servers.servers), strict=True))


def _value(server: RedisServer, name: str) -> str:
    try:
        with Redis(server, ANSWER_SECONDS) as redis:
            return shown_value(redis.call("GET", name))
    except RedisError as error:
        return str(error)


def _until(server: RedisServer, name: str, value: str, began: float, deadline: float) -> Seen:
    while True:
        try:
            with Redis(server, min(ANSWER_SECONDS, max(0.01, deadline - time.monotonic()))) as redis:
                return _polled(redis, server.id, name, value, began, deadline)
        except RedisError as error:
            # Refused or restarting: it may be there before the time is over.
            if not _pause(LONGEST_PAUSE_SECONDS, deadline):
                return Seen(None, str(error))


def _polled(redis: Redis, id_: str, name: str, value: str, began: float, deadline: float) -> Seen:
    pause = FIRST_PAUSE_SECONDS
    while (found := redis.call("GET", name)) != value:
        if not _pause(pause, deadline):
            return Seen(None, f"{id_} has {shown_value(found)}")
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        redis.extend(ANSWER_SECONDS)
    return Seen(round((time.monotonic() - began) * 1000, 1))


def _pause(seconds: float, deadline: float) -> bool:
    """Sleep; False at once if the deadline is over."""
    left = deadline - time.monotonic()
    if left > 0:
        time.sleep(min(seconds, left))
    return left > 0
