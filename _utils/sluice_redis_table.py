"""The Redis servers as a table: for people, and as data."""

import re
from typing import Any

from sluice_config import RedisServers, shown
from sluice_flag_show import table
from sluice_redis_roles import Role, address
from sluice_redis_sentinel import NoMaster
from sluice_redis_servers import find_role, roles

# A live server answers in milliseconds; whoever looks at a table can wait for one that is busy.
ASK_SECONDS = 2.0
VERSION = re.compile(r"^(valkey|redis)_version:([0-9][0-9A-Za-z.-]{0,20})\r?$", re.MULTILINE)
HEAD = ("server", "address", "role", "term", "offset", "behind", "link", "version")
Row = dict[str, Any]


def rows(servers: RedisServers) -> tuple[dict[str, Row], str]:
    """
    What each server is, by id; and why none of them can be taken for the master, empty if one can.

    Keys: `address`, `reachable` (bool), `error` (text or None), `role` (`master`, `stale master`, `replica`),
    `term`, `offset` (bytes), `behind_bytes` (behind the master), `follows` (id or address), `link` (`up`,
    `down`), `silent_seconds` (since it heard of its master), `version`. What is not known or has no meaning
    is None.
    """
    found, problem, master = roles(servers, ASK_SECONDS, ("INFO", "server")), "", None
    try:
        master = find_role(servers, ASK_SECONDS)
    except NoMaster as error:
        problem = str(error)
    ids = {address(one): one.id for one in servers.servers}
    return {one.server.id: _row(one, master, ids) for one in found}, problem


def text(told: dict[str, Row]) -> str:
    """The same for people."""
    lines = table(HEAD, [_cells(id_, row) for id_, row in told.items()])
    errors = [f"{id_}: {row['error']}" for id_, row in told.items() if row["error"]]
    return "\n".join([lines, *errors])


def _row(one: Role, master: Role | None, ids: dict[str, str]) -> Row:
    is_replica = one.role == "replica"
    return {
        "address": address(one.server),
        "reachable": not one.error,
        "error": one.error or None,
        "role": _role(one, master),
        "term": None if one.error else one.term,
        "offset": None if one.error else one.offset,
        "behind_bytes": _behind(one, master),
        "follows": ids.get(one.follows, shown(one.follows)[1:-1]) if is_replica else None,
        "link": ("up" if one.linked else "down") if is_replica else None,
        "silent_seconds": one.silent_seconds if is_replica and one.silent_seconds >= 0 else None,
        "version": _version(one.reply),
    }


def _role(one: Role, master: Role | None) -> str | None:
    is_stale = one.is_master and master is not None and master.server != one.server
    return "stale master" if is_stale else one.role or None


def _behind(one: Role, master: Role | None) -> int | None:
    """Only of the same data: offsets of others count other bytes."""
    if one.role != "replica" or master is None or one.replication_ids[:1] != master.replication_ids[:1]:
        return None
    return max(0, master.offset - one.offset)


def _version(info: object) -> str | None:
    """`redis 7.0.15`; Valkey tells a version of Redis as well, for old clients."""
    found = sorted(VERSION.findall(info) if isinstance(info, str) else [], reverse=True)
    return " ".join(found[0]) if found else None


def _cells(id_: str, row: Row) -> tuple[str, ...]:
    if not row["reachable"]:
        return (id_, row["address"], "no answer", *["-"] * (len(HEAD) - 3))
    behind = "-" if row["behind_bytes"] is None else f"{row['behind_bytes']} bytes"
    link = "-" if row["link"] is None else f"{row['link']}, to {row['follows']}"
    version = row["version"] or "-"
    return (id_, row["address"], row["role"], str(row["term"]), str(row["offset"]), behind, link, version)
