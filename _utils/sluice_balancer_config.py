"""Make /etc/sluice/balancer.json from pillar and the hosts' addresses; refuse what would be wrong. Pure."""

import math
from collections.abc import Mapping
from typing import Any

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


def build(
    settings: Mapping[str, Any],
    traffic: Mapping[str, Any],
    backends: Mapping[str, Mapping[str, Addresses]],
) -> dict[str, Any]:
    """
    The balancer's file.

    settings
        The pillar `balancer`, defaults merged in.
    traffic
        The pillar `traffic`: service to track to weight in percent.
    backends
        Service to track to host id to address.

    Raises ConfigError naming the first key that is wrong, its value, and what is wanted.
    """
    services = {
        name: service(name, told, traffic.get(name), backends.get(name, {}))
        for name, told in sorted(settings.get("services", {}).items())
    }
    config = {
        "workers": settings["workers"],
        "admin": {"listen": settings["admin_listen"], "token_file": settings["admin_token_file"]},
        "alert": {"listen": settings["alert_listen"], "tokens_file": settings["alert_tokens_file"]},
        "state_dir": settings["state_dir"],
        "access_log": settings["access_log"],
        "services": services,
    }
    redis = settings.get("redis") or {}
    if redis.get("host"):
        config["redis"] = {key: redis[key] for key in ("host", "port", "username", "password_file")}
    return config


def service(
    name: str, told: Mapping[str, Any], weights: object, backends: Mapping[str, Addresses]
) -> dict[str, Any]:
    """One service of the file."""
    tracks = list(told.get("tracks", {}))
    port = told["backend_port"]
    if not backends.get("stable"):
        raise ConfigError(
            f"{name}: no address is known of any stable host ({told['tracks'].get('stable')}). "
            "Ask the hosts for them: salt '*' mine.update"
        )
    return {
        "listen": told["listen"],
        "weights": checked_weights(name, weights, tracks),
        "health": {**HEALTH, **told.get("health", {})},
        "tracks": {
            track: {host: f"{address}:{port}" for host, address in sorted(backends.get(track, {}).items())}
            for track in tracks
        },
    }


def checked_weights(name: str, weights: object, tracks: list[str]) -> dict[str, float]:
    """The weights of a service as they stand in pillar `traffic`, or ConfigError."""
    where = f"pillar traffic:{name}"
    if not isinstance(weights, Mapping):
        raise ConfigError(f"{where} is {weights!r}: want a weight for each of {', '.join(tracks)}")
    if set(weights) != set(tracks):
        raise ConfigError(
            f"{where} has {', '.join(map(str, weights)) or 'nothing'}: want {', '.join(tracks)}"
        )
    for track, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not math.isfinite(weight):
            raise ConfigError(f"{where}:{track} is {weight!r}: want a number of percent, 0 to 100")
        if not 0 <= weight <= 100:
            raise ConfigError(f"{where}:{track} is {weight}: want 0 to 100 percent")
    total = sum(weights.values())
    if abs(total - 100) > 1e-6:
        raise ConfigError(f"{where}: the weights sum to {total:g}: want 100")
    return dict(weights)
