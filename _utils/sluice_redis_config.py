"""
What a Redis server's settings are to be, made from the pillar `redis`. Pure: nothing here talks to a server.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sluice_config import shown
from sluice_errors import ConfigError
from sluice_redis_file import bytes_of

HA = ("none", "sentinel")
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}\Z")
NAME = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")
# What stands in one line of redis.conf; longer is a mistake.
LONGEST = 512

# The same on every server: each of them may be the master tomorrow.
COMMON = {
    "protected-mode": "yes",
    "timeout": "0",
    "tcp-keepalive": "60",
    "appendonly": "yes",
    "save": "",
    # When it is full, writes are refused; nothing is ever thrown away.
    "maxmemory-policy": "noeviction",
    # Whoever listens hears of a changed key at once, at the master and at replicas: events of strings (flags,
    # documents, alerts), of deletions, and of expiry.
    "notify-keyspace-events": "Kg$x",
    # A replica without its master goes on answering: an old flag is better than none.
    "replica-serve-stale-data": "yes",
    "replica-read-only": "yes",
    "repl-diskless-sync": "yes",
    # The data are small: a second replica that comes a moment later gets a transfer of its own.
    "repl-diskless-sync-delay": "0",
    # Each second a replica hears from its master, so it can tell how old its data are; one that heard nothing
    # for five connects anew, which after a partition is sooner than TCP would notice.
    "repl-ping-replica-period": "1",
    "repl-timeout": "5",
    # Changes that a replica may miss and still be told of without a transfer of everything.
    "repl-backlog-size": "16mb",
}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What Redis 7.0 takes at its start only (IMMUTABLE_CONFIG and PROTECTED_CONFIG in its src/config.c).
FIXED = _words("""
    aclfile always-show-logo appenddirname appendfilename aof_rewrite_cpulist bgsave_cpulist bio_cpulist
    cluster-config-file cluster-enabled cluster-port daemonize databases dbfilename dir disable-thp
    enable-debug-command enable-module-command enable-protected-configs io-threads io-threads-do-reads logfile
    pidfile rdbchecksum server_cpulist set-proc-title supervised syslog-enabled syslog-facility syslog-ident
    tcp-backlog unixsocket unixsocketperm
""")
# What redis:config may not hold: it has a key of its own in pillar, or another value loses data or rights.
OWN = _words("""
    aclfile acl-pubsub-default appendonly bind daemonize dir enable-debug-command enable-module-command
    enable-protected-configs include loadmodule logfile masterauth masteruser maxmemory maxmemory-policy
    min-replicas-max-lag min-replicas-to-write notify-keyspace-events port protected-mode rename-command
    replica-announce-ip replica-announce-port replica-read-only replica-serve-stale-data replicaof
    requirepass slaveof supervised syslog-ident tls-auth-clients tls-ca-cert-file tls-cert-file tls-key-file
    tls-port tls-replication user
""")


@dataclass(frozen=True)
class Place:
    """Where things lie on this machine; Debian's Redis, or another distribution's Valkey."""

    aclfile: str
    directory: str
    log: str
    # Changes with the systemd unit, see UNIT_MARK in sluice_redis_live.
    unit_mark: str = ""
    # TLS files, already on disk: ca, cert, key.
    tls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """All of the pillar that is not secret, checked."""

    id: str
    ha: str
    first_master: str
    servers: Mapping[str, str]
    port: int
    bind: tuple[str, ...]
    settings: Mapping[str, str]

    @property
    def tls(self) -> bool:
        """Whether the servers speak TLS, and nothing else."""
        return self.settings.get("tls-port", "0") != "0"


def plan(pillar: Mapping[str, Any], id_: str, place: Place) -> Plan:
    """
    What the server on the machine `id_` is to be.

    Raises ConfigError that names the pillar key, what is there and what is wanted.
    """
    try:
        ha, servers, port = _ha(pillar), _servers(pillar, id_), _port(pillar)
        first = _first_master(pillar, servers)
        bind = _bind(pillar, servers.get(id_))
        # ADR 31: a server alone has only its disk to keep an alert through a crash; others have each other.
        extra = {**COMMON, "appendfsync": "everysec" if len(servers) > 1 else "always", **_extra(pillar)}
        settings = {
            **extra,
            "bind": " ".join(bind),
            **_replication(pillar, ha, servers, id_, port),
            **_network(pillar, port, place),
            "maxmemory": _size(pillar, "maxmemory"),
            "dir": place.directory,
            "logfile": place.log,
            "aclfile": place.aclfile,
            "supervised": "systemd",
            "daemonize": "no",
            "syslog-ident": place.unit_mark or "redis",
        }
    except (TypeError, AttributeError) as error:
        raise ConfigError(f"pillar redis: {error}. See docs/reference/pillar.md") from error
    return Plan(id_, ha, first, servers, port, bind, settings)


def _wrong(key: str, actual: object, want: str) -> ConfigError:
    return ConfigError(f"pillar redis:{key} is {shown(actual)}; want {want}. See docs/reference/pillar.md")


def _ha(pillar: Mapping[str, Any]) -> str:
    ha = pillar.get("ha", "none")
    if ha not in HA:
        raise _wrong("ha", ha, "none or sentinel")
    return str(ha)


def _servers(pillar: Mapping[str, Any], id_: str) -> dict[str, str]:
    servers = pillar.get("servers") or {}
    if not isinstance(servers, Mapping):
        raise _wrong("servers", servers, "a minion id and its address in each line")
    for name, host in servers.items():
        if not isinstance(name, str) or not ID.match(name):
            raise _wrong("servers", name, "minion ids as names")
        if not _is_address(host):
            raise _wrong(f"servers:{name}", host, "an IP address")
    if servers and id_ not in servers:
        raise _wrong("servers", sorted(servers), f"this machine, {id_}, among them")
    if len(set(servers.values())) < len(servers):
        raise _wrong("servers", dict(servers), "an address of its own for each")
    return dict(servers)


def _is_address(host: object) -> bool:
    try:
        return isinstance(host, str) and not ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _first_master(pillar: Mapping[str, Any], servers: Mapping[str, str]) -> str:
    first = pillar.get("master") or ""
    if len(servers) > 1 and first not in servers:
        raise _wrong("master", first, f"one of {', '.join(sorted(servers))}")
    return str(first)


def _port(pillar: Mapping[str, Any]) -> int:
    port = pillar.get("port", 6379)
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise _wrong("port", port, "1 to 65535")
    return port


def _bind(pillar: Mapping[str, Any], address: str | None) -> tuple[str, ...]:
    told = pillar.get("bind") or ""
    if not isinstance(told, str) or not all(map(_is_bindable, told.split())):
        raise _wrong("bind", told, "IP addresses with blanks between them")
    if told.split():
        return tuple(told.split())
    # The address first: it is the one that Salt talks to, as all others do.
    return tuple(dict.fromkeys(filter(None, (address, "127.0.0.1"))))


def _is_bindable(word: str) -> bool:
    try:
        return bool(ipaddress.ip_address(word))
    except ValueError:
        return False


def _size(pillar: Mapping[str, Any], key: str) -> str:
    value = str(pillar.get(key, "128mb"))
    # Less holds no flags; Redis itself needs a megabyte or two.
    if (bytes_of(value) or 0) < 4 * 1024**2:
        raise _wrong(key, value, "a size of at least 4mb, such as 128mb")
    return value


def _number(pillar: Mapping[str, Any], key: str, default: int, low: int, high: int) -> int:
    value = pillar.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _wrong(key, value, f"{low} to {high}")
    return value


def _replication(
    pillar: Mapping[str, Any], ha: str, servers: Mapping[str, str], id_: str, port: int
) -> dict[str, str]:
    replicas = max(0, len(servers) - 1)
    if ha == "sentinel" and replicas < 2:
        raise _wrong("servers", sorted(servers), "three at least for ha sentinel, which needs a majority")
    # ADR 31: only where somebody else may be promoted without asking this server.
    default = 1 if ha == "sentinel" else 0
    found = {
        "min-replicas-to-write": str(_number(pillar, "min_replicas_to_write", default, 0, replicas)),
        "min-replicas-max-lag": str(_number(pillar, "min_replicas_max_lag_seconds", 5, 1, 3600)),
    }
    users = pillar.get("users") or {}
    secret = (users.get("replication") or {}).get("password", "") if isinstance(users, Mapping) else ""
    if replicas and not secret:
        raise _wrong("users:replication:password", "", "a password, with which replicas log in to the master")
    if secret:
        found |= {"masteruser": "replication", "masterauth": str(secret)}
    if id_ in servers:
        found |= {"replica-announce-ip": servers[id_], "replica-announce-port": str(port)}
    return found


def _network(pillar: Mapping[str, Any], port: int, place: Place) -> dict[str, str]:
    tls = pillar.get("tls") or {}
    if not isinstance(tls, Mapping) or not isinstance(tls.get("enabled", False), bool):
        raise _wrong("tls:enabled", tls, "true or false")
    if not tls.get("enabled"):
        return {"port": str(port), "tls-port": "0", "tls-replication": "no"}
    clients = tls.get("auth_clients", "no")
    clients = "no" if clients is False else clients
    if clients not in ("no", "optional"):
        raise _wrong("tls:auth_clients", clients, "no or optional")
    for kind in ("ca", "cert", "key"):
        if not place.tls.get(kind):
            raise _wrong(f"tls:{kind}", "", "PEM, or the path of a file on this machine")
    return {
        "port": "0",
        "tls-port": str(port),
        "tls-replication": "yes",
        "tls-auth-clients": clients,
        "tls-ca-cert-file": place.tls["ca"],
        "tls-cert-file": place.tls["cert"],
        "tls-key-file": place.tls["key"],
    }


def _extra(pillar: Mapping[str, Any]) -> dict[str, str]:
    extra = pillar.get("config") or {}
    if not isinstance(extra, Mapping):
        raise _wrong("config", extra, "a name of redis.conf and its value in each line")
    return {_name(name): _value(name, value) for name, value in extra.items()}


def _name(name: object) -> str:
    if not isinstance(name, str) or not NAME.match(name):
        raise _wrong("config", name, "names as in redis.conf")
    if name in OWN or name.endswith("-pass"):
        raise _wrong("config", name, "no setting that Sluice itself decides; see docs/reference/redis.md")
    return name


def _value(name: object, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, (str, int, float)) or not str(value).isprintable() or len(str(value)) > LONGEST:
        raise _wrong(f"config:{name}", value, "one line of text, a number, true or false")
    return str(value)
