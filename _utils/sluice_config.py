"""Read and check /etc/sluice/release.json, the settings of the release side on the master."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import sluice_hook_config
import sluice_roll_config
from sluice_errors import ConfigError, RefusedError
from sluice_hook_config import PushSettings
from sluice_roll_config import RollSettings

PATH = "/etc/sluice/release.json"

# A service and a version become file names, git refs, Redis keys and event tags: keep both boring.
SERVICE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}\Z")
VERSION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


@dataclass(frozen=True)
class Tls:
    """How a connection is encrypted. `cert` and `key` are files of the machine it starts from."""

    # The authority's certificate: a file, or its text (PEM).
    ca: str
    cert: str = ""
    key: str = ""
    # Off only for certificates that do not hold the servers' addresses; they must still be signed by `ca`.
    check_hostname: bool = True


@dataclass(frozen=True)
class RedisServer:
    """One Redis and how to log in to it."""

    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)
    id: str = ""
    tls: Tls | None = None

    @property
    def name(self) -> str:
        """How messages call it: `redis-1 (10.57.0.12:6379)`."""
        return f"{self.id or 'redis'} ({self.host}:{self.port})"


@dataclass(frozen=True)
class RedisServers:
    """All declared Redis servers, in the order of the settings, each with the log-in of one user."""

    servers: tuple[RedisServer, ...]
    # "none": an operator promotes; "sentinel": the Sentinels on the same hosts do.
    ha: str = "none"
    sentinel_port: int = 26379
    # User to password; `servers` are logged in to as the first of them.
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)

    def user(self, name: str) -> "RedisServers":
        """The same servers with the log-in of another user; ConfigError without a password of it."""
        if not self.passwords.get(name):
            raise ConfigError(
                f"There is no password of the Redis user {name} here: give this machine's pillar "
                f"redis:users:{name}:password, then apply its state."
            )
        servers = (replace(one, username=name, password=self.passwords[name]) for one in self.servers)
        return replace(self, servers=tuple(servers))


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
    # Empty for a service that is only rolled.
    canary: str
    state: str
    # Where the versions of a canary are looked up.
    source: str
    health_path: str
    port: int
    probe: Probe
    needs: tuple[Need, ...] = ()
    roll: RollSettings = RollSettings()
    # What the address of a built artifact begins with; empty for a service that is not built.
    artifacts: str = ""
    # Whose pushes count, and of which branch.
    repository: str = ""
    branch: str = "main"
    push: PushSettings = PushSettings()

    @property
    def targets(self) -> dict[str, str]:
        """Who its hosts are, by track; without the track that it does not have."""
        return {"stable": self.stable} | ({"canary": self.canary} if self.canary else {})


@dataclass(frozen=True)
class Settings:
    """All of release.json."""

    ledger: str
    redis: RedisServers
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
    return Settings(
        ledger=str(raw["ledger"]),
        redis=redis_servers(raw["redis"]),
        alert_token=str(raw["alert_token"]),
        alert_port=int(raw["alert_port"]),
        balancers=str(raw["balancers"]),
        services={name: _service(name, service) for name, service in raw["services"].items()},
        alert_raisers=str(raw.get("alert_raisers", "N@master")),
    )


def redis_servers(raw: Mapping[str, Any]) -> RedisServers:
    """
    The servers of a settings file: `{servers: [{id, host, port}], ha, tls, username, password, users}`.

    All are optional; `users` (name to password) are further log-ins. Raises ValueError, KeyError, TypeError
    or AttributeError if it is no such thing.
    """
    tls, login = _tls(raw.get("tls") or {}), (str(raw.get("username", "")), str(raw.get("password", "")))
    servers = tuple(
        RedisServer(str(one["host"]), _port(one["port"]), *login, id=str(one["id"]), tls=tls)
        for one in raw.get("servers", [])
    )
    ha = raw.get("ha", "none")
    if ha not in ("none", "sentinel"):
        raise ValueError(f"redis ha {shown(ha)} (want none or sentinel)")
    if len({one.id for one in servers}) < len(servers):
        raise ValueError("redis servers: two have the same id")
    port = _port(raw.get("sentinel_port", RedisServers.sentinel_port))
    return RedisServers(
        servers, ha, port, {str(name): str(word) for name, word in raw.get("users", {}).items()}
    )


def redis_of_pillar(pillar: Mapping[str, Any], user: str) -> RedisServers:
    """
    The servers of the pillar key `redis` (servers: id to host; port, ha, tls, users), logged in to as `user`.

    Raises ConfigError if the pillar is not of that shape or holds no password of the user.
    """
    try:
        port = pillar.get("port", 6379)
        servers = [{"id": id_, "host": host, "port": port} for id_, host in pillar["servers"].items()]
        users = {name: found["password"] for name, found in pillar.get("users", {}).items()}
        # Its certificate and key are those of the servers.
        tls = {key: value for key, value in (pillar.get("tls") or {}).items() if key not in ("cert", "key")}
        sentinel = (pillar.get("sentinel") or {}).get("port", RedisServers.sentinel_port)
        own = {"servers": servers, "users": users, "tls": tls, "sentinel_port": sentinel}
        made = redis_servers({**pillar, **own})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"pillar redis: {type(error).__name__} {error}. See docs/reference/pillar.md."
        ) from error
    return made.user(user)


def _tls(raw: Mapping[str, Any]) -> Tls | None:
    if not raw.get("enabled"):
        return None
    if not raw.get("ca"):
        raise ValueError("redis tls: enabled without ca, the authority's certificate")
    check = raw.get("check_hostname", True)
    return Tls(
        str(raw["ca"]), str(raw.get("cert") or ""), str(raw.get("key") or ""), check_hostname=bool(check)
    )


def _port(raw: object) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int) or not 1 <= raw <= 65535:
        raise ValueError(f"port {shown(raw)} (want 1 to 65535)")
    return raw


def _service(name: str, raw: dict[str, Any]) -> Service:
    if not SERVICE_NAME.match(name):
        raise ValueError(f"service name {name!r} (want lower-case letters, digits, - and _)")
    return Service(
        name=name,
        stable=str(raw["stable"]),
        canary=str(raw.get("canary") or ""),
        state=str(raw["state"]),
        source=str(raw["source"] if raw.get("canary") else raw.get("source") or ""),
        health_path=str(raw["health_path"]),
        port=int(raw["port"]),
        probe=_probe(raw.get("probe", {})),
        needs=tuple(
            Need(str(need["name"]), str(need["kind"]), str(need["host"]), int(need["port"]))
            for need in raw.get("needs", [])
        ),
        roll=sluice_roll_config.read(raw.get("roll") or {}),
        artifacts=_artifacts(raw.get("artifacts") or ""),
        repository=str(raw.get("repository") or ""),
        branch=sluice_hook_config.branch(raw.get("branch") or Service.branch),
        push=sluice_hook_config.read(raw.get("push") or {}),
    )


def _artifacts(prefix: object) -> str:
    """An address of which artifacts are below: without the last slash http://a/b would also hold http://a/bc."""
    if prefix and not re.match(r"https?://[^/\s]+/(?:\S*/)?\Z", str(prefix)):
        raise ValueError(f"artifacts {shown(prefix)} (want an http or https address that ends with /)")
    return str(prefix)


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
