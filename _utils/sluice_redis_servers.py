"""
Which of the declared Redis servers is the master, and from which to read.

What the servers say is the truth, not the settings: their ROLE, the Sentinels if there are any, and
`sluice:term`, which each promotion raises: of several that call themselves master the one with the highest
term is it, the others are left over and are not to be written to (ADR 32).
"""

import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from ipaddress import ip_address

from sluice_config import RedisServer, RedisServers, shown
from sluice_redis import TIMEOUT_SECONDS, Command, Redis, RedisError
from sluice_redis_roles import (
    GRACE_SECONDS,
    HEAD_START_SECONDS,
    Enough,
    Role,
    address,
    ask,
    in_order,
    together,
)
from sluice_redis_sentinel import NoMaster, named_master

# The master of the last write_everywhere of this process: a guess whom to tell first, never more.
_last_master = ""


def roles(servers: RedisServers, timeout: float = TIMEOUT_SECONDS, *along: Command) -> list[Role]:
    """What each server says, in their order; all are asked at once, and dead ones cost `timeout`."""
    return _roles(servers, timeout, _never, *along)


def find_master(servers: RedisServers, timeout: float = TIMEOUT_SECONDS) -> RedisServer:
    """
    The one server to write to. NoMaster if there is none, or two that cannot be told apart.

    With `ha: sentinel` it is the one that most of the reachable Sentinels name, if it says so itself; else
    the master of the highest term.
    """
    return find_role(servers, timeout).server


def find_role(servers: RedisServers, timeout: float = TIMEOUT_SECONDS) -> Role:
    """The same, with all that the master says of itself."""
    if servers.ha != "sentinel":
        return chosen(_roles(servers, timeout, partial(_is_settled, servers)))
    named = named_master(servers, timeout)
    return chosen(_roles(servers, timeout, partial(_is_there, named)), named)


def at_master(servers: RedisServers, timeout: float = TIMEOUT_SECONDS) -> Redis:
    """A connection to the master, found within `timeout` and with a deadline of as much. Errors as there."""
    return Redis(find_master(servers, timeout), timeout)


def write_everywhere(servers: RedisServers, words: Command, timeout: float = TIMEOUT_SECONDS) -> None:
    """
    Have the master do `words` without first asking who it is: every server is told, and replicas refuse.

    Only for what does no harm at a master that an older promotion left over and may be repeated, as setting
    an alert. Raises RedisError if the true master did not do it, NoMaster if there is none.
    """
    likely_first = sorted(servers.servers, key=lambda one: address(one) != _last_master)
    asked = replace(servers, servers=tuple(likely_first))
    found = _roles(asked, timeout, partial(_is_settled, servers), words, head_start=HEAD_START_SECONDS)
    undecided = servers.ha == "sentinel" and sum(one.is_master for one in found) > 1
    master = chosen(found, named_master(servers, timeout) if undecided else None)
    _remember(master)
    if isinstance(master.reply, RedisError):
        raise master.reply


def readers(servers: RedisServers, timeout: float = TIMEOUT_SECONDS) -> list[RedisServer]:
    """
    Where to read, best first: replicas that follow the master, the master, then replicas that lost it.

    Of its kind the one on this machine comes first, then the order of the settings. What an older promotion
    left over is not among them. RedisError if no server can be read from.
    """
    found = roles(servers, timeout)
    master = _first_master(found)
    usable = [one for one in found if one.role and (not one.is_master or one is master)]
    if not usable:
        raise RedisError("No Redis can be read from: " + _all_said(found))
    usable.sort(key=lambda one: (_rank(one, master), not is_here(one.server.host)))
    return [one.server for one in usable]


def chosen(found: Sequence[Role], named: str | None = None) -> Role:
    """
    The true master among `found`. Pure.

    named (str)
        `host:port` the Sentinels name; None without Sentinels: then the highest term decides. A term that a
        replica has heard of counts as well: its master may be the one that does not answer.
    """
    if not found:
        raise NoMaster("No Redis is declared: name them in pillar redis:servers, then apply the state here")
    if named is not None:
        masters = [one for one in found if one.is_master and address(one.server) == named]
        why = f"The Sentinels name {shown(named)[1:-1]}, which is no master now (a failover under way?)"
    else:
        term = max((one.term for one in found), default=0)
        masters = [one for one in found if one.is_master and one.term == term]
        why = f"There is no Redis master of term {term}, the highest seen"
    if len(masters) == 1:
        return masters[0]
    why = f"There are {len(masters)} Redis masters of the same term" if masters else why
    raise NoMaster(f"{why}: {_all_said(found)}. See docs/howto/promote-a-redis.md")


def is_here(host: str) -> bool:
    """Whether `host` is an address of this machine; a name is not looked up."""
    with suppress(OSError, ValueError):
        family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # Only an address of this machine can be bound to.
            probe.bind((host, 0))
            return True
    return False


def _remember(master: Role) -> None:
    global _last_master
    _last_master = address(master.server)


def _roles(
    servers: RedisServers, timeout: float, enough: Enough, *along: Command, head_start: float = 0.0
) -> list[Role]:
    def ask_one(server: RedisServer) -> Role:
        return ask(server, timeout, *along)

    # Each connection keeps to `timeout` by itself; the rest is for a thread that starts late.
    got = together(servers.servers, ask_one, timeout + head_start + GRACE_SECONDS, enough, head_start)
    return in_order(servers.servers, got)


def _never(_: list[Role]) -> bool:
    return False


def _is_settled(servers: RedisServers, found: list[Role]) -> bool:
    """Whether one master is known and most of all declared servers are it or follow it."""
    masters = [one for one in found if one.is_master]
    if not masters:
        return False
    where = address(max(masters, key=lambda one: one.term).server)
    return 2 * (1 + sum(one.linked and one.follows == where for one in found)) > len(servers.servers)


def _is_there(named: str, found: list[Role]) -> bool:
    return any(one.is_master and address(one.server) == named for one in found)


def _first_master(found: Sequence[Role]) -> Role | None:
    with suppress(NoMaster):
        return chosen(found)
    return None


def _rank(one: Role, master: Role | None) -> int:
    if one is master:
        return 1
    return 0 if master and one.linked and one.follows == address(master.server) else 2


def _all_said(found: Iterable[Role]) -> str:
    return "; ".join(one.said() for one in found)
