"""Whom the Redis of this machine follows: asked, and put right."""

import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sluice_config import RedisServer, RedisServers
from sluice_redis import Redis, RedisError
from sluice_redis_access import Local
from sluice_redis_live import settings_of
from sluice_redis_machine import PAUSE_SECONDS, running
from sluice_redis_roles import Role, address, state
from sluice_redis_standing import Standing, Undecided, as_user, everyone, first, now

# How long a stale master takes no writes while its data are copied.
COPY_SECONDS = 60


def declared(local: Local) -> RedisServers:
    """All servers of pillar, logged in to as `admin`."""
    return as_user(local.plan.servers, local.plan.port, local.admin(), local.plan.ha)


def others(local: Local) -> list[RedisServer]:
    """All but this machine's."""
    return [one for one in declared(local).servers if one.id != local.plan.id]


def first_standing(local: Local, deadline: float) -> Standing:
    """What it is to be, asked again while a server lives that does not let Salt in yet."""
    end = time.monotonic() + deadline
    while True:
        found = everyone(others(local))
        try:
            return first(found, declared(local), local.plan.id, local.plan.first_master)
        except Undecided:
            if time.monotonic() > end or not any("refuses" in one.error for one in found):
                raise
            time.sleep(PAUSE_SECONDS)


def put_in_role(local: Local, redis: Redis, test: bool) -> dict[str, Any]:
    """Have it follow the true master; the part of a state's return that says so."""
    me = state(redis, local.admin(), ("DBSIZE",))
    standing = now(me, everyone(others(local)), declared(local), local.plan.first_master)
    if standing.follows is None:
        return _is_master(me, standing)
    master = standing.follows
    if me.follows == address(master):
        return {"comment": f"a replica of {master.name}: {standing.why}"}
    old = f"replica of {me.follows}" if me.follows else f"master of term {me.term}"
    changes = {"role": {"old": old, "new": f"replica of {master.name}"}}
    if test:
        return {"result": None, "changes": changes, "comment": f"would follow {master.name}: {standing.why}"}
    kept = _copy_aside(redis) if me.is_master and me.reply else ""
    for words in (("REPLICAOF", master.host, str(master.port)), ("CLIENT", "UNPAUSE"), ("CONFIG", "REWRITE")):
        redis.call(*words)
    after = state(redis, local.admin())
    if after.follows != address(master):
        raise RedisError(f"REPLICAOF {master.host}: it still says {after.said()}")
    return {"changes": changes, "comment": f"follows {master.name} now: {standing.why}{kept}"}


def _is_master(me: Role, standing: Standing) -> dict[str, Any]:
    """One that lives is never made the master by a highstate."""
    if me.is_master:
        return {"comment": f"the master: {standing.why}"}
    return {"result": False, "comment": f"a replica, although {standing.why}; see flags.promote"}


def _copy_aside(redis: Redis) -> str:
    """Copy the data of a master that is left over; what to say about it. It takes no writes meanwhile."""
    settings = settings_of(redis)
    source = Path(settings["dir"], settings["appenddirname"])
    target = Path(settings["dir"], "stale", datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"))
    redis.extend(COPY_SECONDS)
    redis.call("CLIENT", "PAUSE", str(COPY_SECONDS * 1000), "WRITE")
    try:
        target.parent.mkdir(mode=0o700, exist_ok=True)
        shutil.copytree(source, target, symlinks=True)
    except OSError as error:
        redis.call("CLIENT", "UNPAUSE")
        raise RedisError(
            f"its old data cannot be copied to {target} ({error}); it is left as it is"
        ) from error
    return f". Its old data are in {target}"


def master_here(local: Local) -> tuple[str, int]:
    """Host and port of the master, as the Redis of this machine has it."""
    redis = running(local)
    if redis is None:
        raise RedisError("no Redis runs here that could say who the master is")
    with redis:
        me = state(redis, local.admin())
    host, _, port = (me.follows or address(local.admin())).rpartition(":")
    return host, int(port)
