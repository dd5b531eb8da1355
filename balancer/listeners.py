"""Listeners: the addresses where users come in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from balancer.reader import Address
from balancer.services import Service


@dataclass(frozen=True)
class Listener:
    """
    One address, and how connections to it are served; which services are there is in the services' tables.

    `where` says where the file names it first.
    """

    address: Address
    where: str

    def table(self) -> dict[str, Any]:
        """What a worker must know of it, besides its sockets; if it changes, the sockets stay the same."""
        return {}


def listeners_of(services: Iterable[Service]) -> dict[str, Listener]:
    """Every listener that these services want, by its address as text."""
    found: dict[str, Listener] = {}
    for service in services:
        found.setdefault(str(service.listen), Listener(service.listen, f"$.services.{service.name}.listen"))
    return found
