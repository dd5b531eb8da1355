"""Requests that wait for a backend which is down by its checks: another may answer them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from balancer.frontend import Client
    from balancer.routes import Route


def move(route: Route, table: dict[str, Any], clients: Iterable[Client]) -> None:
    """Have the requests of a service leave the backends that are down by its new table, where they may."""
    down = {
        (track, name)
        for track, backends in table["tracks"].items()
        for name, told in backends.items()
        if told["state"] == "down"
    }
    waited_for = [
        backend
        for backends in route.tracks.values()
        for backend in backends
        if backend.in_flight and (backend.track, backend.id) in down
    ]
    if waited_for:
        for client in list(clients):
            client.leave(waited_for)
