"""
Sentinel's file and its live settings.

Sentinel writes its file anew with all it learns: so it is made once, and then changed through Sentinel. Only
what Sentinel takes at its start is edited, while it is stopped.
"""

from collections.abc import Mapping
from typing import Any

from sluice_config import shown
from sluice_errors import ConfigError
from sluice_redis import Redis, RedisError
from sluice_redis_config import Plan
from sluice_redis_file import SEEDED, line, parsed, quoted, unquoted
from sluice_redis_live import HIDDEN, pairs
from sluice_redis_sentinel import MASTER_NAME

USER = "sentinel"
# One replica after the other is given its new master; the others answer readers meanwhile.
PARALLEL_SYNCS = "1"
NUMBERS = {
    # pillar key: (Sentinel's name, lowest, highest); less than 0.1 s takes any hiccup for a death.
    "quorum": ("quorum", 1, 9),
    "down_after_milliseconds": ("down-after-milliseconds", 100, 600_000),
    "failover_timeout_milliseconds": ("failover-timeout", 1000, 3_600_000),
}
# Of a Redis' settings those that a Sentinel has too; it takes them at its start only.
AT_START = frozenset(
    {
        *("bind", "port", "protected-mode", "dir", "logfile", "aclfile", "supervised", "daemonize"),
        *("syslog-ident", "tls-port", "tls-replication", "tls-auth-clients"),
        *("tls-ca-cert-file", "tls-cert-file", "tls-key-file"),
    }
)


def of_master(pillar: Mapping[str, Any], servers: int, password: str) -> dict[str, str]:
    """
    What each Sentinel is told of the master, by SENTINEL SET.

    Raises ConfigError that names the key of `redis:sentinel`.
    """
    found = {"parallel-syncs": PARALLEL_SYNCS, "auth-user": USER, "auth-pass": password}
    for key, (name, low, high) in NUMBERS.items():
        value, top = pillar.get(key), min(high, servers) if key == "quorum" else high
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= top:
            raise ConfigError(
                f"pillar redis:sentinel:{key} is {shown(value)}; want {low} to {top}. "
                "See docs/reference/pillar.md"
            )
        found[name] = str(value)
    return found


def of_itself(plan: Plan, password: str) -> dict[str, str]:
    """What each Sentinel is told of itself, by SENTINEL CONFIG SET."""
    return {
        "announce-ip": plan.servers[plan.id],
        "announce-port": str(plan.port),
        "sentinel-user": USER,
        "sentinel-pass": password,
    }


def at_start(plan: Plan) -> dict[str, str]:
    """What it takes at its start only."""
    return {name: value for name, value in plan.settings.items() if name in AT_START}


def seed(plan: Plan, master: tuple[str, int], watch: Mapping[str, str], own: Mapping[str, str]) -> str:
    """The first sentinel.conf."""
    host, port = master
    rows = [SEEDED, *(line(name, value) for name, value in sorted(at_start(plan).items()))]
    rows += [f"sentinel {name} {quoted(value)}" for name, value in own.items()]
    rows.append(f"sentinel monitor {MASTER_NAME} {host} {port} {watch['quorum']}")
    told = {name: value for name, value in watch.items() if name != "quorum"}
    rows += [f"sentinel {name} {MASTER_NAME} {quoted(value)}" for name, value in told.items()]
    return "\n".join(rows) + "\n"


def differing(redis: Redis, text: str, watch: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """What a running Sentinel has otherwise; keys as `watch` and `own` have them."""
    found = {**_master(redis), **_logins(text), **_own(redis)}
    return {name: value for name, value in {**watch, **own}.items() if found.get(name) != value}


def _master(redis: Redis) -> dict[str, str]:
    """As Sentinel tells it; empty if it watches none of that name."""
    try:
        return pairs(redis.call("SENTINEL", "MASTER", MASTER_NAME))
    except RedisError as error:
        if "No such master" in str(error):
            return {}
        raise


def _own(redis: Redis) -> dict[str, str]:
    return pairs(redis.call("SENTINEL", "CONFIG", "GET", "*"))


def _logins(text: str) -> dict[str, str]:
    """The log-in at the servers: Sentinel does not tell it, but keeps it in its file."""
    found = {}
    for row in text.splitlines():
        words = row.split(" ", 3)
        if len(words) == 4 and words[0] == "sentinel" and words[1] in ("auth-user", "auth-pass"):
            found[words[1]] = unquoted(words[3].strip())
    return found


def set_live(
    redis: Redis, wanted: Mapping[str, str], own: Mapping[str, str], master: tuple[str, int]
) -> None:
    """Tell a running Sentinel. It keeps the master that it knows; without one it is told `master`."""
    if not _master(redis):
        redis.call("SENTINEL", "MONITOR", MASTER_NAME, master[0], str(master[1]), wanted["quorum"])
    for name, value in wanted.items():
        if name in own:
            redis.call("SENTINEL", "CONFIG", "SET", name, value)
        else:
            redis.call("SENTINEL", "SET", MASTER_NAME, name, value)


def told(wanted: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What changes, for a user to read."""
    secret = ("auth-pass", "sentinel-pass")
    return {
        name: {"old": "another value", "new": HIDDEN if name in secret else value}
        for name, value in sorted(wanted.items())
    }


def stale_at_start(text: str, plan: Plan) -> dict[str, str]:
    """What it takes at its start only and its file has otherwise."""
    found = parsed(text)
    defaults = {"tls-port": "0", "tls-replication": "no"}
    return {
        name: value for name, value in at_start(plan).items() if found.get(name, defaults.get(name)) != value
    }


def rules(pillar: Mapping[str, Any], users: Mapping[str, str]) -> dict[str, str]:
    """What each user may at a Sentinel: by its own rule, or that of `others`. Replicas do not go there."""
    told = pillar.get("rules") or {}
    return {name: str(told.get(name, told["others"])) for name in users if name != "replication"}
