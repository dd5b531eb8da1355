"""The flag service's file: read, checked to the last key, and turned into frozen settings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from balancer.reader import Address, ConfigError, Reader, read_file, read_json
from balancer.redisfile import RedisServer, read_server
from balancer.tls import VERSIONS

# As in pillar and in metrics: the minion id of a server.
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
# A fleet has three; more than this is a mistake in a template.
MAX_SERVERS = 16
LIMITS = {"body_bytes": 65_536, "connections": 4_096, "event_readers": 1_000}
STALE_SECONDS = 5.0


@dataclass(frozen=True)
class RedisTls:
    """How a Redis proves who it is."""

    ca: Path
    # Off only for certificates that do not hold the servers' addresses.
    check_hostname: bool


@dataclass(frozen=True)
class RedisSettings:
    """The servers that may be read, the nearest first, and who reads them."""

    servers: tuple[RedisServer, ...]
    username: str
    password_file: Path | None
    tls: RedisTls | None


@dataclass(frozen=True)
class ListenTls:
    """What the service itself proves who it is with."""

    certificate_file: Path
    key_file: Path
    min_version: str


@dataclass(frozen=True)
class Limits:
    """What one process takes at most."""

    body_bytes: int
    connections: int
    event_readers: int


@dataclass(frozen=True)
class Config:
    """The whole file."""

    listen: Address
    tls: ListenTls | None
    tokens_file: Path
    redis: RedisSettings
    state_dir: Path
    access_log: Path | None
    # Data that could not be confirmed for longer than this is marked as stale.
    stale_seconds: float
    limits: Limits


def load(path: Path) -> Config:
    """Read and check a file. Raises ConfigError with all its mistakes."""
    return parse(read_file(path))


def parse(raw: bytes) -> Config:
    """Check the bytes of a file. Raises ConfigError with all its mistakes."""
    told, read = read_json(raw), Reader()
    known = {"listen", "tls", "tokens_file", "redis", "state_dir", "access_log", "stale_seconds", "limits"}
    top = read.table(told, "$", known)
    config = Config(
        listen=read.address(top.get("listen"), "$.listen"),
        tls=_listen_tls(read, top["tls"]) if "tls" in top else None,
        tokens_file=read.file(top.get("tokens_file"), "$.tokens_file"),
        redis=_redis(read, top.get("redis")),
        state_dir=read.file(top.get("state_dir"), "$.state_dir"),
        access_log=read.file(top["access_log"], "$.access_log") if "access_log" in top else None,
        stale_seconds=read.number(top.get("stale_seconds", STALE_SECONDS), "$.stale_seconds", 2, 3600),
        limits=_limits(read, top.get("limits", {})),
    )
    if read.mistakes:
        raise ConfigError(read.mistakes)
    return config


def _listen_tls(read: Reader, told: object) -> ListenTls:
    table = read.table(told, "$.tls", {"certificate_file", "key_file", "min_version"})
    return ListenTls(
        certificate_file=read.file(table.get("certificate_file"), "$.tls.certificate_file"),
        key_file=read.file(table.get("key_file"), "$.tls.key_file"),
        min_version=read.text(
            table.get("min_version", "1.2"), "$.tls.min_version", '"1.2" or "1.3"', VERSIONS.__contains__
        ),
    )


def _redis(read: Reader, told: object) -> RedisSettings:
    table = read.table(told, "$.redis", {"servers", "username", "password_file", "tls"})
    password = table.get("password_file")
    return RedisSettings(
        servers=_servers(read, table.get("servers")),
        username=read.text(table.get("username", "reader"), "$.redis.username", "a name", bool),
        password_file=read.file(password, "$.redis.password_file") if password is not None else None,
        tls=_redis_tls(read, table["tls"]) if "tls" in table else None,
    )


def _servers(read: Reader, told: object) -> tuple[RedisServer, ...]:
    path, want = "$.redis.servers", f"a list of 1 to {MAX_SERVERS} servers, the nearest first"
    if not isinstance(told, list) or not 0 < len(told) <= MAX_SERVERS:
        read.wrong(path, told, want)
        return ()
    found = tuple(
        read_server(read, one, f"{path}[{number}]", "the server's minion id", ID.fullmatch)
        for number, one in enumerate(told)
    )
    for number, server in enumerate(found):
        if server.id and server.id in [before.id for before in found[:number]]:
            read.wrong(f"{path}[{number}].id", server.id, "an id that no other server has")
    return found


def _redis_tls(read: Reader, told: object) -> RedisTls:
    table = read.table(told, "$.redis.tls", {"ca", "check_hostname"})
    check = table.get("check_hostname", True)
    if not isinstance(check, bool):
        read.wrong("$.redis.tls.check_hostname", check, "true or false")
    return RedisTls(read.file(table.get("ca"), "$.redis.tls.ca"), check_hostname=check is not False)


def _limits(read: Reader, told: object) -> Limits:
    table = read.table(told, "$.limits", {"body_bytes", "connections", "event_readers"})
    most = {"body_bytes": 1_048_576, "connections": 60_000, "event_readers": 10_000}
    return Limits(
        **{
            name: read.whole(table.get(name, default), f"$.limits.{name}", 1, most[name])
            for name, default in LIMITS.items()
        }
    )
