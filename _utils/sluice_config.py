"""Read and check /etc/sluice/release.json, the settings of the release side on the master."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sluice_errors import ConfigError, RefusedError

PATH = "/etc/sluice/release.json"

# A service and a version become file names, git refs, Redis keys and event tags: keep both boring.
SERVICE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}\Z")
VERSION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


@dataclass(frozen=True)
class RedisServer:
    """Where the alert keys live."""

    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class Probe:
    """How a canary is tried, and what is good enough."""

    count: int = 60
    paths: tuple[str, ...] = ("/",)
    max_error_ratio: float = 0.0
    max_p95_ms: float = 250.0
    version_header: str = ""


@dataclass(frozen=True)
class Need:
    """Something a service cannot run without; checked from the canary host before anything is touched."""

    name: str
    kind: str
    host: str
    port: int


@dataclass(frozen=True)
class Service:
    """One service as the release side sees it."""

    name: str
    stable: str
    canary: str
    state: str
    source: str
    health_path: str
    port: int
    probe: Probe
    needs: tuple[Need, ...] = ()


@dataclass(frozen=True)
class Settings:
    """All of release.json."""

    ledger: str
    redis: RedisServer
    alert_token: str = field(repr=False)
    alert_port: int
    balancers: str
    services: dict[str, Service]
    alert_raisers: str = "N@master"

    def service(self, name: object) -> Service:
        """The service called `name`; RefusedError that lists the known ones if there is none."""
        if not isinstance(name, str) or name not in self.services:
            known = ", ".join(sorted(self.services)) or "none"
            raise RefusedError(
                f"Unknown service {shown(name)}; known services: {known}. Name one with "
                'pillar=\'{"service": "...", "version": "..."}\' or add it to the release settings.'
            )
        return self.services[name]


def shown(value: object, limit: int = 60) -> str:
    """`value` as one short printable line, safe for a message or a log."""
    text = ascii(value)
    return text if len(text) <= limit else text[:limit] + "..."


def checked_version(version: object) -> str:
    """`version` if it may be used as a git ref and a directory name, else RefusedError."""
    if not isinstance(version, str) or not VERSION_NAME.match(version) or ".." in version:
        raise RefusedError(
            f"{shown(version)} is not a version: want the name of a tag or branch of letters, digits, dot, "
            'dash and underscore. Give one with pillar=\'{"version": "v2"}\'.'
        )
    return version


def load(path: str = PATH) -> Settings:
    """
    Read the settings.

    Raises ConfigError with the file, the key and what is wrong with it.
    """
    try:
        raw = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}). Apply the master state to write it.") from error
    try:
        return _settings(raw)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{path}: {type(error).__name__} {error}. Correct the pillar and apply the master state."
        ) from error


def _settings(raw: dict[str, Any]) -> Settings:
    redis = raw["redis"]
    return Settings(
        ledger=str(raw["ledger"]),
        redis=RedisServer(
            str(redis["host"]), int(redis["port"]), redis.get("username", ""), redis.get("password", "")
        ),
        alert_token=str(raw["alert_token"]),
        alert_port=int(raw["alert_port"]),
        balancers=str(raw["balancers"]),
        services={name: _service(name, service) for name, service in raw["services"].items()},
        alert_raisers=str(raw.get("alert_raisers", "N@master")),
    )


def _service(name: str, raw: dict[str, Any]) -> Service:
    if not SERVICE_NAME.match(name):
        raise ValueError(f"service name {name!r} (want lower-case letters, digits, - and _)")
    return Service(
        name=name,
        stable=str(raw["stable"]),
        canary=str(raw["canary"]),
        state=str(raw["state"]),
        source=str(raw["source"]),
        health_path=str(raw["health_path"]),
        port=int(raw["port"]),
        probe=_probe(raw.get("probe", {})),
        needs=tuple(
            Need(str(need["name"]), str(need["kind"]), str(need["host"]), int(need["port"]))
            for need in raw.get("needs", [])
        ),
    )


def _probe(raw: dict[str, Any]) -> Probe:
    probe = Probe(
        count=int(raw.get("count", Probe.count)),
        paths=tuple(str(path) for path in raw.get("paths", Probe.paths)),
        max_error_ratio=float(raw.get("max_error_ratio", Probe.max_error_ratio)),
        max_p95_ms=float(raw.get("max_p95_ms", Probe.max_p95_ms)),
        version_header=str(raw.get("version_header", "")),
    )
    if probe.count < 1 or not probe.paths or not 0 <= probe.max_error_ratio <= 1 or probe.max_p95_ms <= 0:
        raise ValueError(f"probe limits out of range: {raw}")
    return probe
