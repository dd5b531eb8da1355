"""Make /etc/sluice/balancer.json from pillar and the hosts' addresses; refuse what would be wrong. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from sluice_config import shown
from sluice_errors import ConfigError

Addresses = Mapping[str, str]
HEALTH = {
    "path": "/",
    "status": 200,
    "interval_seconds": 1,
    "timeout_seconds": 1,
    "rise": 2,
    "fall": 2,
}

# What else a service may have: it goes into the file as it is, and the balancer checks it.
PASSED = (
    "balance",
    "ejection",
    "hosts",
    "mirror",
    "monitor",
    "proxy_protocol",
    "rules",
    "slow_start_seconds",
    "testers",
    "timeouts",
    "tls",
    "trust_forwarded_from",
    "upgrade",
)
KNOWN = {"affinity", "backend_port", "health", "listen", "min_available", "tracks", *PASSED}
# What positions are for as long as a service has had no release.
NO_RELEASE = "0"

# How many backends of a track a drain must leave up.
MIN_AVAILABLE = {"stable": 1, "canary": 0}


def build(
    settings: Mapping[str, Any],
    traffic: Mapping[str, Any],
    backends: Mapping[str, Mapping[str, Addresses]],
    releases: Mapping[str, Any],
) -> dict[str, Any]:
    """
    The balancer's file.

    settings
        The pillar `balancer`, defaults merged in, and as `redis` the pillar of that name if there is one.
    traffic
        The pillar `traffic`: service to track to weight in percent.
    backends
        Service to track to host id to address.
    releases
        The pillar `release`: service to the `id` of its latest release, from the ledger.

    Raises ConfigError naming the first key that is wrong, its value, and what is wanted.
    """
    found = services(settings)
    table(traffic, "pillar traffic", "each service with its weights")
    config = {
        "workers": settings["workers"],
        "admin": _admin(settings),
        "alert": {
            "listen": settings["alert_listen"],
            "tokens_file": settings["alert_tokens_file"],
            "host_tokens_file": settings["host_tokens_file"],
        },
        "state_dir": settings["state_dir"],
        "access_log": settings["access_log"],
        "services": {
            name: service(name, told, traffic.get(name), backends.get(name, {}))
            | affinity(settings, told, releases.get(name) or {})
            for name, told in found.items()
        },
    }
    if settings.get("limits"):
        config["limits"] = settings["limits"]
    if settings.get("redis"):
        config["redis"] = redis(settings["redis"], settings["redis_password_file"])
    return config


def not_yet(backends: Mapping[str, Mapping[str, Addresses]], served: Iterable[str]) -> list[str]:
    """
    The services of which no stable host is known yet: they are left out, so that the others are served.

    None of those that are `served`, which the mine may only have forgotten; and none if there would be no
    service at all, which is a mistake.
    """
    empty = sorted(name for name, tracks in backends.items() if not tracks.get("stable"))
    return [name for name in empty if name not in served] if len(empty) < len(backends) else []


def redis(told: object, password_file: str) -> dict[str, Any]:
    """The servers of the pillar `redis`, for the user `balancer`; its `ca` is a file, if they speak TLS."""
    pillar = table(told, "pillar redis", "servers and the like")
    servers = table(pillar.get("servers"), "pillar redis:servers", "an address for each id")
    port = pillar.get("port", 6379)
    sentinel = table(pillar.get("sentinel") or {}, "pillar redis:sentinel", "port and the like")
    return {
        "servers": [{"id": id_, "host": host, "port": port} for id_, host in sorted(servers.items())],
        "ha": pillar.get("ha", "none"),
        "sentinel_port": sentinel.get("port", 26379),
        **({"tls": {"ca": pillar["ca"]}} if "ca" in pillar else {}),
        "username": "balancer",
        "password_file": password_file,
    }


def _admin(settings: Mapping[str, Any]) -> dict[str, Any]:
    admin = {"listen": settings["admin_listen"], "token_file": settings["admin_token_file"]}
    return admin | ({"hosts": settings["admin_hosts"]} if settings.get("admin_hosts") else {})


def services(settings: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The services of the pillar `balancer` that have all they need, or ConfigError with what is missing."""
    found = {}
    for name, told in sorted(table(settings.get("services"), "pillar balancer:services", "services").items()):
        where = f"pillar balancer:services:{name}"
        table(told, where, "listen, backend_port and tracks")
        unknown = sorted(set(map(str, told)) - KNOWN)
        if unknown:
            raise ConfigError(f"{where}:{unknown[0]} is not known: want {', '.join(sorted(KNOWN))}")
        for key in ("listen", "backend_port", "tracks"):
            if told.get(key) is None:
                raise ConfigError(f"{where}:{key} is missing. Put it into pillar")
        if "stable" not in table(told["tracks"], f"{where}:tracks", "a target for each track"):
            raise ConfigError(f"{where}:tracks has {_names(told['tracks'])}: want stable, and canary if any")
        table(told.get("health", {}), f"{where}:health", "path, status and the like")
        table(told.get("min_available", {}), f"{where}:min_available", "a number or percent for each track")
        table(told.get("monitor", {}), f"{where}:monitor", "limits for the canary")
        affine = table(told.get("affinity") or {}, f"{where}:affinity", "kind and the like")
        made = sorted({"release", "secret_file"} & set(affine))
        if made:
            raise ConfigError(f"{where}:affinity:{made[0]} is not for pillar to say. Take it out")
        found[name] = told
    return found


def table(value: object, where: str, want: str) -> Mapping[str, Any]:
    """`value` if it is a mapping, else ConfigError."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} is {shown(value)}: want {want}")
    return value


def service(
    name: str, told: Mapping[str, Any], weights: object, backends: Mapping[str, Addresses]
) -> dict[str, Any]:
    """One service of the file."""
    tracks = list(told["tracks"])
    if not backends.get("stable"):
        raise ConfigError(
            f"{name}: no address is known of any stable host ({told['tracks']['stable']}). "
            "Ask the hosts for them: salt '*' mine.update"
        )
    passed = {key: told[key] for key in PASSED if told.get(key) not in (None, {}, [])}
    return {
        "listen": told["listen"],
        "weights": checked_weights(name, weights, tracks),
        "health": {**HEALTH, **told.get("health", {})},
        "min_available": _of_tracks(MIN_AVAILABLE, tracks) | told.get("min_available", {}),
        "tracks": {
            track: {
                host: _at(address, told["backend_port"])
                for host, address in sorted(backends.get(track, {}).items())
            }
            for track in tracks
        },
        **passed,
    }


def affinity(
    settings: Mapping[str, Any], told: Mapping[str, Any], release: Mapping[str, Any]
) -> dict[str, Any]:
    """How a service keeps its users on a track, by the release that the ledger has; empty if it does not."""
    wanted = told.get("affinity")
    if not wanted:
        return {}
    made = {"secret_file": settings["affinity_secret_file"], "release": str(release.get("id") or NO_RELEASE)}
    return {"affinity": {**wanted, **made}}


def checked_weights(name: str, weights: object, tracks: list[str]) -> dict[str, float]:
    """The weights of a service as they stand in pillar `traffic`, or ConfigError."""
    where = f"pillar traffic:{name}"
    weights = table(weights, where, f"a weight for each of {_names(tracks)}")
    if set(weights) != set(tracks):
        raise ConfigError(f"{where} has {_names(weights)}: want {_names(tracks)}")
    for track, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)):
            raise ConfigError(f"{where}:{track} is {shown(weight)}: want a number of percent, 0 to 100")
        if not 0 <= weight <= 100:
            raise ConfigError(f"{where}:{track} is {shown(weight)}: want 0 to 100 percent")
        if abs(weight * 10 - round(weight * 10)) > 1e-6:
            raise ConfigError(f"{where}:{track} is {shown(weight)}: want steps of 0.1 percent")
    total = sum(weights.values())
    if abs(total - 100) > 1e-6:
        raise ConfigError(f"{where}: the weights sum to {total:g}: want 100")
    return dict(weights)


def _of_tracks(values: Mapping[str, Any], tracks: list[str]) -> dict[str, Any]:
    return {track: value for track, value in values.items() if track in tracks}


def _at(address: str, port: object) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _names(names: Iterable[object]) -> str:
    told = [name if isinstance(name, str) and name.isidentifier() else shown(name) for name in names]
    return ", ".join(told[:6]) + (" and more" if len(told) > 6 else "") or "nothing"
