"""The balancer's file: read, checked to the last key, and turned into frozen settings."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from balancer.reader import Address, ConfigError, Reader
from balancer.services import Service, read_services


@dataclass(frozen=True)
class RedisServer:
    """The Redis that holds the alert keys."""

    host: str
    port: int
    username: str
    password_file: Path | None


@dataclass(frozen=True)
class Config:
    """The whole file."""

    raw: bytes = field(repr=False)
    sha256: str
    workers: int
    admin_listen: Address
    admin_token_file: Path
    alert_listen: Address | None
    alert_tokens_file: Path | None
    redis: RedisServer | None
    state_dir: Path
    access_log: Path | None
    services: dict[str, Service]


def load(path: Path) -> Config:
    """Read and check a file. Raises ConfigError with all its mistakes."""
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error


def parse(raw: bytes) -> Config:
    """Check the bytes of a file. Raises ConfigError with all its mistakes."""
    try:
        told = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ConfigError([f"not JSON: {error}"]) from error
    read = Reader()
    known = {"workers", "admin", "alert", "redis", "state_dir", "access_log", "services"}
    top = read.table(told, "$", known)
    admin = read.table(top.get("admin"), "$.admin", {"listen", "token_file"})
    alert = read.table(top.get("alert", {}), "$.alert", {"listen", "tokens_file"})
    config = Config(
        raw=raw,
        sha256=hashlib.sha256(raw).hexdigest(),
        workers=read.whole(top.get("workers", 1), "$.workers", 1, 64),
        admin_listen=read.address(admin.get("listen"), "$.admin.listen"),
        admin_token_file=read.file(admin.get("token_file"), "$.admin.token_file"),
        alert_listen=read.address(alert.get("listen"), "$.alert.listen") if alert else None,
        alert_tokens_file=read.file(alert.get("tokens_file"), "$.alert.tokens_file") if alert else None,
        redis=_redis(read, top["redis"]) if "redis" in top else None,
        state_dir=read.file(top.get("state_dir"), "$.state_dir"),
        access_log=read.file(top["access_log"], "$.access_log") if "access_log" in top else None,
        services=read_services(read, top.get("services")),
    )
    if read.mistakes:
        raise ConfigError(read.mistakes)
    return config


def _redis(read: Reader, told: object) -> RedisServer:
    table = read.table(told, "$.redis", {"host", "port", "username", "password_file"})
    password = table.get("password_file")
    return RedisServer(
        host=read.text(table.get("host"), "$.redis.host", "a host", lambda text: 0 < len(text) < 254),
        port=read.whole(table.get("port", 6379), "$.redis.port", 1, 65535),
        username=read.text(table.get("username", "default"), "$.redis.username", "a name", bool),
        password_file=read.file(password, "$.redis.password_file") if password is not None else None,
    )
