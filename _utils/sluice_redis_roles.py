"""What Redis servers say of themselves: asked at once, each in a thread of its own, with one deadline."""

import queue
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic

from sluice_config import RedisServer, shown
from sluice_redis import TIMEOUT_SECONDS, Command, Redis, RedisError, Reply

TERM_KEY = "sluice:term"
TERM = re.compile(r"[0-9]{1,15}\Z")
# A live server on the same network answers in a few milliseconds. How much longer the others are waited for
# once enough is known: one that says nothing might be a newer master.
GRACE_SECONDS = 0.05
STATE: Sequence[Command] = (("ROLE",), ("INFO", "replication"), ("GET", TERM_KEY))
# For the server that was the master last time: with all asked at once its answer takes twice as long.
HEAD_START_SECONDS = 0.01
# Tells of what is known so far whether the rest matters little.
Enough = Callable[[list["Role"]], bool]


@dataclass(frozen=True)
class Role:
    """What one server said of itself. `error` is why it said nothing, else empty."""

    server: RedisServer
    error: str = ""
    # "master" or "replica"; empty with an error.
    role: str = ""
    # As of its own data: a replica that lags behind does not know a new term yet.
    term: int = 0
    # Bytes of the replication stream it has.
    offset: int = 0
    # Of a replica: `host:port` it follows, and whether that link is up.
    follows: str = ""
    linked: bool = False
    # Of a replica: seconds since it last heard of its master; -1 if never since it started.
    silent_seconds: int = -1
    # Identities of the data, equal on a master and its replicas; the second is from before a promotion.
    replication_ids: tuple[str, ...] = ()
    # Of a master: replicas in sync with it, each as `host:port` and the offset it has acknowledged.
    replicas: tuple[tuple[str, int], ...] = ()
    # What it answered to a command that was sent along.
    reply: Reply | RedisError = None

    @property
    def is_master(self) -> bool:
        """Whether it calls itself so."""
        return self.role == "master"

    def said(self) -> str:
        """One phrase for a message."""
        if self.error:
            return self.error
        if self.is_master:
            return f"{self.server.name} is a master of term {self.term}"
        link = "linked" if self.linked else "not linked"
        return f"{self.server.name} is a replica of {shown(self.follows)[1:-1]}, {link}"


def address(server: RedisServer) -> str:
    """As replicas name their master: `host:port`."""
    return f"{server.host}:{server.port}"


def state(redis: Redis, server: RedisServer, *along: Command) -> Role:
    """Ask on an open connection, after the command `along`. RedisError if this is no Redis one may use."""
    *replies, role, info, term = redis.pipeline([*along, *STATE])
    for reply in (role, info):
        if isinstance(reply, RedisError):
            raise reply
    if isinstance(term, RedisError) and term.code != "WRONGTYPE":
        raise term
    try:
        found = _role(server, role, _fields(info), _number(term))
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise RedisError(
            f"redis {server.name} answers ROLE with nonsense ({type(error).__name__})"
        ) from error
    return replace(found, reply=replies[0]) if replies else found


def ask(server: RedisServer, timeout: float = TIMEOUT_SECONDS, *along: Command) -> Role:
    """Ask one server. Never raises a RedisError: it is in the result."""
    try:
        with Redis(server, timeout) as redis:
            return state(redis, server, *along)
    except RedisError as error:
        return Role(server, str(error))


def together(
    servers: Iterable[RedisServer],
    ask_one: Callable[[RedisServer], Role],
    seconds: float,
    enough: Enough,
    head_start_seconds: float = 0.0,
) -> list[Role]:
    """
    `ask_one` for each server in a thread of its own; what came within `seconds`, in order of arrival.

    Once `enough` says so of what is known, the others are waited for no longer than GRACE_SECONDS. The first
    server is asked alone until it answers, but no longer than its head start.
    """
    answers: queue.SimpleQueue[Role] = queue.SimpleQueue()
    threads = [
        threading.Thread(target=lambda one=one: answers.put(ask_one(one)), daemon=True) for one in servers
    ]
    deadline, found, hurried = monotonic() + seconds, list[Role](), False
    for thread in threads:
        thread.start()
        if head_start_seconds and thread is threads[0]:
            with suppress(queue.Empty):
                found.append(answers.get(timeout=head_start_seconds))
    while len(found) < len(threads):
        if not hurried and enough(found):
            deadline, hurried = min(deadline, monotonic() + GRACE_SECONDS), True
        try:
            found.append(answers.get(timeout=max(0.0, deadline - monotonic())))
        except queue.Empty:
            break
    return found


def in_order(servers: Iterable[RedisServer], found: Iterable[Role]) -> list[Role]:
    """`found` in the order of the servers; one that is not among it did not answer in time."""
    by_server = {one.server: one for one in found}
    return [by_server.get(one) or Role(one, f"redis {one.name} did not answer in time") for one in servers]


def _role(server: RedisServer, said: object, info: dict[str, str], term: int) -> Role:
    if not isinstance(said, list):
        raise TypeError("no list")
    ids = tuple(
        info[key] for key in ("master_replid", "master_replid2") if info.get(key, "0" * 40).strip("0")
    )
    if said[0] == "master":
        synced = tuple((f"{one[0]}:{one[1]}", int(one[2])) for one in said[2])
        return Role(
            server, role="master", term=term, offset=int(str(said[1])), replication_ids=ids, replicas=synced
        )
    if said[0] != "slave":
        raise ValueError("neither master nor replica")
    linked = said[3] == "connected"
    return Role(
        server,
        role="replica",
        term=term,
        offset=int(info["slave_repl_offset"]),
        follows=f"{said[1]}:{said[2]}",
        linked=linked,
        silent_seconds=int(
            info["master_last_io_seconds_ago" if linked else "master_link_down_since_seconds"]
        ),
        replication_ids=ids,
    )


def _number(term: object) -> int:
    """A term; nobody's hand at the key can make a server unusable."""
    return int(term) if isinstance(term, str) and TERM.match(term) else 0


def _fields(info: object) -> dict[str, str]:
    if not isinstance(info, str):
        raise TypeError("INFO is no text")
    return dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
