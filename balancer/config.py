"""The balancer's file: read, checked to the last key, and turned into frozen settings."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path

from balancer.limitsfile import LimitSettings, read_limits
from balancer.listeners import Listener, listeners_of
from balancer.reader import Address, ConfigError, Reader, read_file, read_json
from balancer.redisfile import RedisSettings, read_redis
from balancer.services import Service, read_services

# Each worker chooses tracks by itself and is off by less than one request, so all of them together by less
# than as many as they are: within 10 of the target over any requests in a row.
MAX_WORKERS = 10
# As browsers send it: small letters, and no dot at the end.
HOST = re.compile(r"(?!.{254})[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


@dataclass(frozen=True)
class Config:
    """The whole file."""

    raw: bytes = field(repr=False)
    sha256: str
    workers: int
    admin_listen: Address
    admin_token_file: Path
    # Names that a browser may reach the admin side by, besides addresses and localhost.
    admin_hosts: frozenset[str]
    alert_listen: Address | None
    alert_tokens_file: Path | None
    host_tokens_file: Path | None
    redis: RedisSettings | None
    state_dir: Path
    access_log: Path | None
    services: dict[str, Service]
    limits: LimitSettings = LimitSettings()

    @property
    def listeners(self) -> dict[str, Listener]:
        """Where users come in, by address as text."""
        return listeners_of(self.services.values())

    @property
    def api_addresses(self) -> list[Address]:
        """Where the admin API listens, and then the alert door if there is one."""
        return [self.admin_listen] if self.alert_listen is None else [self.admin_listen, self.alert_listen]


def load(path: Path) -> Config:
    """Read and check a file. Raises ConfigError with all its mistakes."""
    return parse(read_file(path))


def parse(raw: bytes) -> Config:
    """Check the bytes of a file. Raises ConfigError with all its mistakes."""
    told, read = read_json(raw), Reader()
    known = {"workers", "admin", "alert", "redis", "state_dir", "access_log", "limits", "services"}
    top = read.table(told, "$", known)
    admin = read.table(top.get("admin"), "$.admin", {"listen", "token_file", "hosts"})
    alert = read.table(top.get("alert", {}), "$.alert", {"listen", "tokens_file", "host_tokens_file"})
    config = Config(
        raw=raw,
        sha256=hashlib.sha256(raw).hexdigest(),
        workers=read.whole(top.get("workers", 1), "$.workers", 1, MAX_WORKERS),
        admin_listen=_admin_listen(read, admin.get("listen")),
        admin_token_file=read.file(admin.get("token_file"), "$.admin.token_file"),
        admin_hosts=_names(read, admin.get("hosts", []), "$.admin.hosts"),
        alert_listen=read.address(alert.get("listen"), "$.alert.listen") if alert else None,
        alert_tokens_file=read.file(alert.get("tokens_file"), "$.alert.tokens_file") if alert else None,
        host_tokens_file=(
            read.file(alert["host_tokens_file"], "$.alert.host_tokens_file")
            if "host_tokens_file" in alert
            else None
        ),
        redis=read_redis(read, top["redis"]) if "redis" in top else None,
        state_dir=read.file(top.get("state_dir"), "$.state_dir"),
        access_log=read.file(top["access_log"], "$.access_log") if "access_log" in top else None,
        services=read_services(read, top.get("services")),
        limits=read_limits(read, top.get("limits", {})),
    )
    if read.mistakes:
        raise ConfigError(read.mistakes)
    _check_addresses(config)
    return config


def _check_addresses(config: Config) -> None:
    """Raise ConfigError if users and the API, or both parts of the API, share an address."""
    users = {text: listener.where for text, listener in config.listeners.items()}
    taken = {**users, str(config.admin_listen): "$.admin.listen"}
    mistakes = []
    if str(config.admin_listen) in users:
        mistakes.append(f"$.admin.listen: is {config.admin_listen}, as {users[str(config.admin_listen)]}")
    if config.alert_listen is not None and str(config.alert_listen) in taken:
        mistakes.append(f"$.alert.listen: is {config.alert_listen}, as {taken[str(config.alert_listen)]}")
    if mistakes:
        raise ConfigError(mistakes)


def _admin_listen(read: Reader, told: object) -> Address:
    """Loopback, or one address that was chosen: never all that a machine has."""
    found = read.address(told, "$.admin.listen")
    if found.port and ipaddress.ip_address(found.host).is_unspecified:
        read.wrong("$.admin.listen", told, "loopback or the address of one interface, not all of them")
    return found


def _names(read: Reader, told: object, path: str) -> frozenset[str]:
    names = told if isinstance(told, list) else []
    if names is not told:
        read.wrong(path, told, "a list of host names")
    return frozenset(read.text(name, path, "host names in small letters", HOST.fullmatch) for name in names)
