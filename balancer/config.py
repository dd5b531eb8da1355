"""The balancer's file: read, checked to the last key, and turned into frozen settings."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SERVICE = re.compile(r"[a-z][a-z0-9_-]{0,30}")
ADDRESS = re.compile(r"(?:(?P<four>[0-9.]+)|\[(?P<six>[0-9a-fA-F:.]+)\]):(?P<port>[0-9]{1,5})")
PERCENT = re.compile(r"(?:100|[0-9]{1,2})%")
# Users need one backend of stable; a canary is drained whole whenever it must go.
MIN_AVAILABLE: dict[str, int | str] = {"stable": 1, "canary": 0}
# More backends than any track has: a slip, or an address.
MAX_BACKENDS = 10_000
HOST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class ConfigError(Exception):
    """Everything that is wrong with a file, one line per mistake, each with its path."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


@dataclass(frozen=True)
class Address:
    """Where to listen or to connect: an IP address and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Health:
    """How a backend is asked whether it is well."""

    path: str
    status: int
    interval_seconds: float
    timeout_seconds: float
    rise: int
    fall: int


@dataclass(frozen=True)
class MonitorLimits:
    """How much worse than stable a canary may be; a limit that is None is not judged."""

    window_seconds: float
    min_requests: int
    looks: int
    max_error_ratio: float | None
    max_error_ratio_over_stable: float | None
    max_latency_ratio: float | None
    min_latency_ms: float


@dataclass(frozen=True)
class Service:
    """What users reach at one listener: tracks of backends, and each track's weight in percent."""

    name: str
    listen: Address
    weights: dict[str, float]
    health: Health
    tracks: dict[str, dict[str, Address]]
    monitor: MonitorLimits | None = None
    # Track to how many backends a drain must leave up: a number, or percent of the track as in `50%`.
    min_available: dict[str, int | str] = field(default_factory=lambda: dict(MIN_AVAILABLE))

    def needed(self, track: str) -> int:
        """How many backends of a track a drain must leave up; a percentage is rounded up."""
        wanted = self.min_available.get(track, 0)
        if isinstance(wanted, int):
            return wanted
        return math.ceil(len(self.tracks[track]) * int(wanted.rstrip("%")) / 100)


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


class Reader:
    """Takes values out of parsed JSON, noting each mistake instead of stopping at the first."""

    def __init__(self) -> None:
        self.mistakes: list[str] = []

    def wrong(self, path: str, value: object, want: str) -> None:
        self.mistakes.append(f"{path}: is {json.dumps(value, default=str)[:80]}, want {want}")

    def table(self, value: object, path: str, known: set[str] | None = None) -> dict[str, Any]:
        """A JSON object; keys outside `known` are mistakes."""
        if not isinstance(value, dict):
            self.wrong(path, value, "an object")
            return {}
        for key in sorted(set(value) - known) if known is not None else ():
            self.mistakes.append(
                f"{path}.{key}: not a known key, want one of {', '.join(sorted(known or ()))}"
            )
        return value

    def number(self, value: object, path: str, low: float, high: float) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
            self.wrong(path, value, f"a number, {low:g} to {high:g}")
            return low
        return float(value)

    def whole(self, value: object, path: str, low: int, high: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.wrong(path, value, f"a whole number, {low} to {high}")
            return low
        return value

    def text(self, value: object, path: str, want: str, check: Callable[[str], object]) -> str:
        if not isinstance(value, str) or not check(value):
            self.wrong(path, value, want)
            return ""
        return value

    def address(self, value: object, path: str) -> Address:
        found = parse_address(value)
        if found is None:
            self.wrong(path, value, "an IP address and a port, like 10.0.0.1:80")
            return Address("0.0.0.0", 0)
        return found

    def file(self, value: object, path: str) -> Path:
        return Path(self.text(value, path, "an absolute path", lambda text: text.startswith("/")))


def parse_address(value: object) -> Address | None:
    """`10.0.0.1:80` or `[::1]:80`; None for anything else, names included."""
    found = ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    try:
        four, six = found["four"], found["six"]
        ip = ipaddress.IPv4Address(four) if four else ipaddress.IPv6Address(six)
    except ValueError:
        return None
    port = int(found["port"])
    return Address(str(ip), port) if 0 < port < 65536 else None


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
        services=_services(read, top.get("services")),
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


def _services(read: Reader, told: object) -> dict[str, Service]:
    services = {}
    for name, table in read.table(told, "$.services").items():
        if not SERVICE.fullmatch(name):
            read.mistakes.append(
                f"$.services: {name[:80]!r} is not a name, want small letters, digits, - and _"
            )
        services[name] = _service(read, name, table)
    listeners = [service.listen for service in services.values()]
    if len(set(listeners)) != len(listeners):
        read.mistakes.append("$.services: two services listen on the same address")
    return services


def _service(read: Reader, name: str, told: object) -> Service:
    path = f"$.services.{name}"
    table = read.table(told, path, {"listen", "weights", "health", "tracks", "monitor", "min_available"})
    tracks = {
        track: {
            read.text(host, f"{path}.tracks.{track}", "host ids", HOST_ID.fullmatch): read.address(
                address, f"{path}.tracks.{track}.{host}"
            )
            for host, address in read.table(hosts, f"{path}.tracks.{track}").items()
        }
        for track, hosts in read.table(table.get("tracks"), f"{path}.tracks", {"stable", "canary"}).items()
    }
    return Service(
        name=name,
        listen=read.address(table.get("listen"), f"{path}.listen"),
        weights=_weights(read, table.get("weights"), f"{path}.weights", set(tracks)),
        health=_health(read, table.get("health", {}), f"{path}.health"),
        tracks=tracks,
        monitor=_monitor(read, table["monitor"], f"{path}.monitor") if "monitor" in table else None,
        min_available=_min_available(
            read, table.get("min_available", {}), f"{path}.min_available", set(tracks)
        ),
    )


def _weights(read: Reader, told: object, path: str, tracks: set[str]) -> dict[str, float]:
    table = read.table(told, path, tracks)
    missing = sorted(tracks - set(table))
    read.mistakes.extend(f"{path}.{track}: missing, want 0 to 100 percent" for track in missing)
    weights = {track: read.number(weight, f"{path}.{track}", 0, 100) for track, weight in table.items()}
    if abs(sum(weights.values()) - 100) > 1e-6:
        read.mistakes.append(f"{path}: sum to {sum(weights.values()):g}, want 100")
    return weights


def _min_available(read: Reader, told: object, path: str, tracks: set[str]) -> dict[str, int | str]:
    table = read.table(told, path, tracks)
    for track, wanted in table.items():
        good = PERCENT.fullmatch(wanted) if isinstance(wanted, str) else _is_count(wanted)
        if not good:
            read.wrong(
                f"{path}.{track}", wanted, f'a number of backends, 0 to {MAX_BACKENDS}, or "0%" to "100%"'
            )
    return {**MIN_AVAILABLE, **table}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_BACKENDS


def _health(read: Reader, told: object, path: str) -> Health:
    known = {"path", "status", "interval_seconds", "timeout_seconds", "rise", "fall"}
    table = read.table(told, path, known)
    return Health(
        path=read.text(table.get("path", "/"), f"{path}.path", "a path like /health", _is_path),
        status=read.whole(table.get("status", 200), f"{path}.status", 100, 599),
        interval_seconds=read.number(
            table.get("interval_seconds", 1), f"{path}.interval_seconds", 0.05, 3600
        ),
        timeout_seconds=read.number(table.get("timeout_seconds", 1), f"{path}.timeout_seconds", 0.05, 60),
        rise=read.whole(table.get("rise", 2), f"{path}.rise", 1, 100),
        fall=read.whole(table.get("fall", 2), f"{path}.fall", 1, 100),
    )


def _monitor(read: Reader, told: object, path: str) -> MonitorLimits:
    limits = {"max_error_ratio", "max_error_ratio_over_stable", "max_latency_ratio"}
    table = read.table(told, path, limits | {"window_seconds", "min_requests", "looks", "min_latency_ms"})
    if not limits & set(table):
        read.mistakes.append(f"{path}: has no limit, want one of {', '.join(sorted(limits))}")

    def limit(key: str, low: float, high: float) -> float | None:
        return read.number(table[key], f"{path}.{key}", low, high) if key in table else None

    return MonitorLimits(
        window_seconds=read.number(table.get("window_seconds", 10), f"{path}.window_seconds", 2, 600),
        min_requests=read.whole(table.get("min_requests", 50), f"{path}.min_requests", 1, 1_000_000),
        looks=read.whole(table.get("looks", 2), f"{path}.looks", 1, 100),
        max_error_ratio=limit("max_error_ratio", 0, 1),
        max_error_ratio_over_stable=limit("max_error_ratio_over_stable", 0, 1),
        max_latency_ratio=limit("max_latency_ratio", 1, 1000),
        min_latency_ms=read.number(table.get("min_latency_ms", 50), f"{path}.min_latency_ms", 0, 60_000),
    )


def _is_path(text: str) -> bool:
    return bool(re.fullmatch(r"/[!-~]*", text))
