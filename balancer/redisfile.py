"""`redis` of the balancer's file: the servers that hold the alert keys, and how they are reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from balancer.reader import HOST_ID, Reader

NONE, SENTINEL = "none", "sentinel"
# Each is asked every second; more than a fleet has.
MAX_SERVERS = 16


@dataclass(frozen=True)
class RedisServer:
    """One of them, by its host's id."""

    id: str
    host: str
    port: int


@dataclass(frozen=True)
class RedisSettings:
    """All servers, of which one at a time is the master."""

    servers: tuple[RedisServer, ...]
    # Who makes another one the master: an operator (NONE), or the Sentinels on the same hosts.
    ha: str
    sentinel_port: int
    # Whose certificates to believe; None: no TLS. Read at every connection, as the password is.
    ca: Path | None
    username: str
    password_file: Path | None


def read_redis(read: Reader, told: object) -> RedisSettings:
    """`redis` of the file."""
    known = {"servers", "ha", "sentinel_port", "tls", "username", "password_file"}
    table = read.table(told, "$.redis", known)
    password, ha = table.get("password_file"), f'"{NONE}" or "{SENTINEL}"'
    return RedisSettings(
        servers=_servers(read, table.get("servers")),
        ha=read.text(table.get("ha", NONE), "$.redis.ha", ha, (NONE, SENTINEL).__contains__),
        sentinel_port=read.whole(table.get("sentinel_port", 26379), "$.redis.sentinel_port", 1, 65535),
        ca=_ca(read, table["tls"]) if "tls" in table else None,
        username=read.text(table.get("username", "default"), "$.redis.username", "a name", bool),
        password_file=read.file(password, "$.redis.password_file") if password is not None else None,
    )


def _servers(read: Reader, told: object) -> tuple[RedisServer, ...]:
    path = "$.redis.servers"
    if not isinstance(told, list) or not 0 < len(told) <= MAX_SERVERS:
        read.wrong(path, told, f"a list of 1 to {MAX_SERVERS} servers, each with id, host and port")
        return ()
    servers = tuple(
        read_server(read, one, f"{path}[{number}]", "a host's id", HOST_ID.fullmatch)
        for number, one in enumerate(told)
    )
    for what, names in (
        ("id", [one.id for one in servers]),
        ("address", [(one.host, one.port) for one in servers]),
    ):
        if len(set(names)) < len(names):
            read.mistakes.append(f"{path}: two have the same {what}, want another for each")
    return servers


def read_server(
    read: Reader, told: object, path: str, want_id: str, is_id: Callable[[str], object]
) -> RedisServer:
    """One entry of a list of servers: `id`, `host`, `port`."""
    table = read.table(told, path, {"id", "host", "port"})
    return RedisServer(
        id=read.text(table.get("id"), f"{path}.id", want_id, is_id),
        host=read.text(table.get("host"), f"{path}.host", "a host", lambda text: 0 < len(text) < 254),
        port=read.whole(table.get("port", 6379), f"{path}.port", 1, 65535),
    )


def _ca(read: Reader, told: object) -> Path:
    return read.file(read.table(told, "$.redis.tls", {"ca"}).get("ca"), "$.redis.tls.ca")
