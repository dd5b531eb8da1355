"""One backend, as the status of a balancer tells of it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluice_errors import RefusedError, ReleaseError


@dataclass(frozen=True)
class Backend:
    """What a balancer knows of a backend, its track and its service."""

    id: str
    track: str
    # `up`, `down` or `drained`
    state: str
    in_flight: int
    health: str
    # How many of the track are up, this one included, and how many a drain must leave up.
    up: int
    min_available: int
    declared: float
    effective: float
    alert: str | None

    @property
    def is_drained(self) -> bool:
        """True if it gets no request, and none is in flight."""
        return self.state == "drained" and not self.in_flight

    def not_spared(self) -> str | None:
        """What stands against a drain, by the balancer's own rule; None if nothing does."""
        if self.state != "up" or self.up - 1 >= self.min_available:
            return None
        return f"{self.up - 1} of {self.track} would be left up, min_available wants {self.min_available}"

    def without_traffic(self) -> str | None:
        """Why it gets no request; None if it does, or if its track is declared to have none."""
        if self.state != "up":
            return f"{self.id} is {self.state} (want up): {self.health}"
        if self.effective or not self.declared:
            return None
        why = f"an alert stands ({self.alert})" if self.alert else "see balancer.status"
        return f"{self.id} is up, but {self.track} gets no traffic: {why}"


def find(status: Mapping[str, Any], service: str, backend: str) -> Backend:
    """A backend of a service. Raises RefusedError, with the names that there are, if it is unknown."""
    services = status["services"]
    if service not in services:
        raise RefusedError(f"unknown service {service}; known: {_names(services)}")
    tracks = services[service]["tracks"]
    for name, track in tracks.items():
        if backend in track["backends"]:
            return _backend(backend, name, track, services[service]["alert"])
    known = [one for track in tracks.values() for one in track["backends"]]
    raise RefusedError(f"unknown backend {backend} of {service}; known: {_names(known)}")


def own(told: Mapping[str, Any], where: str) -> Backend:
    """A host's own backend, as the hosts' door of a balancer tells of it; ReleaseError if it does not."""
    try:
        names = ("track", "state", "in_flight", "health", "up", "min_available", "alert")
        return Backend(
            id=told["backend"],
            declared=told["weight_declared"],
            effective=told["weight_effective"],
            **{name: told[name] for name in names},
        )
    except KeyError as error:
        raise ReleaseError(f"{where} tells no {error} of the backend; is it another version?") from error


def _backend(name: str, track: str, told: Mapping[str, Any], alert: Mapping[str, str] | None) -> Backend:
    mine = told["backends"][name]
    return Backend(
        id=name,
        track=track,
        state=mine["state"],
        in_flight=mine["in_flight"],
        health=mine["health"],
        up=sum(one["state"] == "up" for one in told["backends"].values()),
        min_available=told["min_available"],
        declared=told["weight_declared"],
        effective=told["weight_effective"],
        alert=alert["reason"] if alert else None,
    )


def _names(names: Any) -> str:
    return ", ".join(sorted(names)) or "none"
