"""Read what the balancers answer: alerts, weights, backends. Pure; the calls are made in sluice_fleet."""

import ipaddress
import json
from typing import Any

from sluice_errors import ReleaseError

Status = dict[str, Any]
Weights = dict[str, float]


def service_status(status: Status, service: str, balancer: str) -> Status:
    """The part of a balancer's status about `service`; ReleaseError if it does not serve it."""
    services = status.get("services", {}) if isinstance(status, dict) else {}
    if service not in services:
        raise ReleaseError(
            f"{balancer} does not serve {service}. Apply the balancer state there: "
            f"salt {balancer} state.apply balancer"
        )
    found: Status = services[service]
    return found


def alert(status: Status, service: str) -> dict[str, Any] | None:
    """The alert that stands at a balancer, or None."""
    found = status.get("services", {}).get(service, {}).get("alert")
    return found if isinstance(found, dict) else ({"reason": str(found)} if found else None)


def kept_alert(value: str) -> dict[str, Any]:
    """The alert that the value of a Redis alert key tells of. Any value is an alert."""
    try:
        told = json.loads(value)
    except (ValueError, RecursionError):
        told = None
    told = told if isinstance(told, dict) else {}
    known = {key: str(told[key])[:200] for key in ("reason", "by", "at") if told.get(key)}
    return known or {"reason": f"key set to {ascii(value)[:100]}"}


def weights(status: Status, service: str, kind: str) -> Weights:
    """The weight of each track: `kind` is `declared` or `effective`."""
    tracks = status.get("services", {}).get(service, {}).get("tracks", {})
    return {name: track.get(f"weight_{kind}") for name, track in sorted(tracks.items())}


def backend_state(status: Status, service: str, track: str, backend: str) -> str | None:
    """`up`, `down` or `drained`; None if the balancer does not know the backend."""
    tracks = status.get("services", {}).get(service, {}).get("tracks", {})
    found = tracks.get(track, {}).get("backends", {}).get(backend)
    return str(found["state"]) if found else None


def positions_for(status: Status, service: str) -> str | None:
    """The id of the release that a balancer keeps users on their tracks for; None if it does not."""
    affinity = status.get("services", {}).get(service, {}).get("affinity")
    return str(affinity.get("release")) if isinstance(affinity, dict) else None


def not_ready(status: Status, service: str, canaries: list[str], share: Weights, balancer: str) -> str | None:
    """Why `balancer` is not ready for a canary of `service`, or None."""
    serviced = service_status(status, service, balancer)
    stands = alert(status, service)
    if stands:
        return alert_text(service, stands, balancer)
    for canary in canaries:
        if backend_state(status, service, "canary", canary) is None:
            return (
                f"{balancer} does not know {canary} as a canary of {service}. Bring the addresses up to "
                f"date: salt '*' mine.update && salt {balancer} state.apply balancer"
            )
    stable = serviced["tracks"].get("stable", {}).get("backends", {})
    if not any(backend.get("state") == "up" for backend in stable.values()):
        states = ", ".join(f"{name} {backend.get('state')}" for name, backend in sorted(stable.items()))
        return f"{balancer} sees no stable host of {service} up ({states or 'none'}). Heal production first."
    return not_declared(status, service, share, balancer)


def not_declared(status: Status, service: str, share: Weights, balancer: str) -> str | None:
    """Why the ratio in pillar is not the one `balancer` was given, or None."""
    declared = weights(status, service, "declared")
    if share and declared != share:
        return (
            f"{balancer} declares {weights_text(declared)} for {service}, pillar says {weights_text(share)}. "
            f"Apply it: salt {balancer} state.apply balancer"
        )
    return None


def not_in_force(
    status: Status, service: str, canaries: list[str], share: Weights, balancer: str
) -> str | None:
    """Why the canary does not have its share at `balancer`, or None if it has."""
    stands = alert(status, service)
    if stands:
        return alert_text(service, stands, balancer)
    for canary in canaries:
        state = backend_state(status, service, "canary", canary)
        if state != "up":
            return f"{balancer} sees {canary} {state or 'not at all'} (want up)"
    effective = weights(status, service, "effective")
    if effective != share:
        return f"{balancer} gives {weights_text(effective)} (want {weights_text(share)})"
    return None


def alert_text(service: str, stands: dict[str, Any], where: str) -> str:
    """One line about a standing alert and how to end it."""
    by = stands.get("by") or "unknown"
    return (
        f"An alert stands for {service} at {where} since {stands.get('at') or 'unknown'} (by {by}: "
        f"{stands.get('reason') or 'no reason given'}). When its cause is gone: "
        f"salt-run release.clear {service}"
    )


def weights_text(shares: Weights) -> str:
    """`canary 30, stable 70`"""
    return ", ".join(f"{track} {weight}" for track, weight in sorted(shares.items())) or "no weights"


def mine_address(mined: object) -> str | None:
    """
    The address in a host's mine data, or None if there is none that can be used.

    The mine is written by the host, so it is checked like any input. `mined` is the list as stored, or
    wrapped with its access rules.
    """
    if isinstance(mined, dict):
        mined = mined.get("__data__")
    if isinstance(mined, str):
        mined = [mined]
    for value in mined if isinstance(mined, list) else []:
        try:
            address = ipaddress.ip_address(value) if isinstance(value, str) else None
        except ValueError:
            continue
        if address and not (address.is_unspecified or address.is_multicast):
            return str(address)
    return None
