"""A service's part of the balancer's file."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from balancer import policy
from balancer.affinity import Affinity, read_affinity
from balancer.ejection import EjectionLimits, read_ejection
from balancer.hosts import NONE, Door, check_shared, read_hosts
from balancer.mirror import MirrorSettings, read_mirror
from balancer.networks import read_networks
from balancer.proxyprotocol import ProxyProtocol, read_proxy_protocol
from balancer.reader import HOST_ID, Address, Reader
from balancer.rules import Rule
from balancer.rulesfile import read_rules
from balancer.testers import Testers, read_testers
from balancer.timeouts import Timeouts, read_timeouts
from balancer.tls import Tls, read_tls
from balancer.upgrade import Upgrade, read_upgrade

SERVICE = re.compile(r"[a-z][a-z0-9_-]{0,30}")
PERCENT = re.compile(r"(?:100|[0-9]{1,2})%")
# Users need one backend of stable; a canary is drained whole whenever it must go.
MIN_AVAILABLE: dict[str, int | str] = {"stable": 1, "canary": 0}
# More backends than any track has: a slip, or an address.
MAX_BACKENDS = 10_000
# What may stand in a service.
KNOWN = {
    "affinity",
    "balance",
    "ejection",
    "health",
    "hosts",
    "listen",
    "min_available",
    "mirror",
    "monitor",
    "proxy_protocol",
    "rules",
    "slow_start_seconds",
    "testers",
    "tls",
    "timeouts",
    "tracks",
    "trust_forwarded_from",
    "upgrade",
    "weights",
}


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
    ejection: EjectionLimits = EjectionLimits()
    timeouts: Timeouts = Timeouts()
    # Track to how many backends a drain must leave up: a number, or percent of the track as in `50%`.
    min_available: dict[str, int | str] = field(default_factory=lambda: dict(MIN_AVAILABLE))
    # Whose requests are this service's at a listener it shares; none: all that are no other's.
    hosts: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    proxy_protocol: ProxyProtocol | None = None
    tls: Tls | None = None
    # Proxies that are believed what they say of who asked.
    trust_forwarded_from: tuple[str, ...] = ()
    affinity: Affinity | None = None
    testers: Testers | None = None
    # How a backend is chosen within a track, and how long one that came back takes to get its whole share.
    balance: str = policy.LEAST_CONNECTIONS
    slow_start_seconds: float = 0.0
    mirror: MirrorSettings | None = None
    upgrade: Upgrade = field(default_factory=Upgrade)

    @property
    def doors(self) -> list[Door]:
        """Where users come in."""
        behind = ""
        if self.proxy_protocol is not None:
            behind = f" with proxy_protocol from {', '.join(self.proxy_protocol.networks)}"
        doors = [Door(self.listen, self.name, "listen", self.hosts, f"plain HTTP{behind}")]
        if self.tls is not None:
            how = f"TLS {self.tls.min_version}{behind}"
            doors.append(Door(self.tls.listen, self.name, "tls.listen", self.hosts, how))
        return doors

    def redirect_port(self, door: Door) -> int:
        """The port of https that requests at one of its doors are sent to; 0 if they are served there."""
        return self.tls.listen.port if self.tls and self.tls.redirect and door.key == "listen" else 0

    def needed(self, track: str) -> int:
        """How many backends of a track a drain must leave up; a percentage is rounded up."""
        wanted = self.min_available.get(track, 0)
        if isinstance(wanted, int):
            return wanted
        return math.ceil(len(self.tracks[track]) * int(wanted.rstrip("%")) / 100)


def read_services(read: Reader, told: object) -> dict[str, Service]:
    services = {}
    for name, table in read.table(told, "$.services").items():
        if not SERVICE.fullmatch(name):
            read.mistakes.append(
                f"$.services: {name[:80]!r} is not a name, want small letters, digits, - and _"
            )
        if name == NONE:
            read.mistakes.append(f"$.services.{name}: stands for no service at all, want another name")
        services[name] = _service(read, name, table)
    check_shared(read, [door for service in services.values() for door in service.doors])
    return services


def _service(read: Reader, name: str, told: object) -> Service:
    path = f"$.services.{name}"
    table = read.table(told, path, KNOWN)
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
        hosts=read_hosts(read, table["hosts"], f"{path}.hosts") if "hosts" in table else (),
        proxy_protocol=read_proxy_protocol(read, table["proxy_protocol"], f"{path}.proxy_protocol")
        if "proxy_protocol" in table
        else None,
        tls=read_tls(read, table["tls"], f"{path}.tls") if "tls" in table else None,
        trust_forwarded_from=read_networks(
            read, table.get("trust_forwarded_from", []), f"{path}.trust_forwarded_from"
        ),
        monitor=_monitor(read, table["monitor"], f"{path}.monitor") if "monitor" in table else None,
        timeouts=read_timeouts(read, table.get("timeouts", {}), f"{path}.timeouts"),
        ejection=read_ejection(read, table.get("ejection", {}), f"{path}.ejection"),
        min_available=_min_available(
            read, table.get("min_available", {}), f"{path}.min_available", set(tracks)
        ),
        rules=read_rules(read, table.get("rules", []), f"{path}.rules"),
        affinity=read_affinity(read, table.get("affinity", {"kind": "none"}), f"{path}.affinity", name),
        testers=read_testers(read, table["testers"], f"{path}.testers") if "testers" in table else None,
        balance=_balance(read, table.get("balance", policy.LEAST_CONNECTIONS), f"{path}.balance"),
        slow_start_seconds=read.number(
            table.get("slow_start_seconds", 0), f"{path}.slow_start_seconds", 0, 3600
        ),
        mirror=read_mirror(read, table["mirror"], f"{path}.mirror", tracks) if "mirror" in table else None,
        upgrade=read_upgrade(read, table.get("upgrade", {}), f"{path}.upgrade"),
    )


def _balance(read: Reader, told: object, path: str) -> str:
    known = (policy.LEAST_CONNECTIONS, policy.ROUND_ROBIN)
    return read.text(told, path, " or ".join(f'"{way}"' for way in known), known.__contains__)


def _weights(read: Reader, told: object, path: str, tracks: set[str]) -> dict[str, float]:
    table = read.table(told, path, tracks)
    missing = sorted(tracks - set(table))
    read.mistakes.extend(f"{path}.{track}: missing, want 0 to 100 percent" for track in missing)
    weights = {track: read.number(weight, f"{path}.{track}", 0, 100) for track, weight in table.items()}
    for track, weight in weights.items():
        if not policy.is_in_steps(weight):
            read.wrong(f"{path}.{track}", weight, f"steps of {policy.STEP_PERCENT} percent")
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
