"""Listeners: the addresses where users come in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from balancer.reader import Address
from balancer.services import Service


@dataclass(frozen=True)
class Listener:
    """
    One address, and how connections to it are served; which services are there is in the services' tables.

    `where` says where the file names it first; `tls` is the least version, or None if it is plain HTTP;
    `proxies` is from where all connections come with a header of the PROXY protocol, or None.
    """

    address: Address
    where: str
    tls: str | None
    proxies: tuple[str, ...] | None
    # Name and hosts of the services there, for the choice among their certificates.
    services: tuple[tuple[str, tuple[str, ...]], ...]

    def table(self, pem: Callable[[str], str | None]) -> dict[str, Any]:
        """What a worker must know of it, besides its sockets; if it changes, the sockets stay the same."""
        told: dict[str, Any] = {}
        if self.proxies is not None:
            told["proxies"] = self.proxies
        if self.tls is not None:
            pairs = [(hosts, pem(name)) for name, hosts in self.services]
            told["tls"] = {"min_version": self.tls, "certificates": [pair for pair in pairs if pair[1]]}
        return told


def listeners_of(services: Iterable[Service]) -> dict[str, Listener]:
    """Every listener that these services want, by its address as text."""
    found: dict[str, Listener] = {}
    for service in services:
        for door in service.doors:
            tls = service.tls.min_version if service.tls and door.address == service.tls.listen else None
            before = found.get(str(door.address))
            here = (*(before.services if before else ()), (service.name, service.hosts))
            where = before.where if before else door.where
            proxies = service.proxy_protocol.networks if service.proxy_protocol else None
            found[str(door.address)] = Listener(door.address, where, tls, proxies, here)
    return found
