"""Services that share a listener: told apart by the Host of each request."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Protocol

from balancer.answers import Answer
from balancer.reader import Address, Reader

if TYPE_CHECKING:
    from balancer.request import Request
    from balancer.routes import Route

# Stands for the service in log and metrics if no service has the Host: no service may be called so.
NONE = "none"
LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
NAME = re.compile(rf"(?:\*\.)?{LABEL}(?:\.{LABEL})*")
# RFC 1035, 2.3.4: a longer name is no name, and nobody shall make us cut it into its labels.
MAX_NAME_BYTES = 253
# A certificate for many customers has some hundred names.
MAX_HOSTS = 1000


# RFC 3986, 3.2.2, in a Host.
CHARACTERS = rb"[A-Za-z0-9._~!$&'()*+,;=-]*+"
HOST = re.compile(
    rb"(?:%b(?:%%[0-9A-Fa-f]{2}%b)*+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?" % (CHARACTERS, CHARACTERS)
)
MAX_PORT = 65535


class Named(Protocol):
    """What this module needs to know of a service."""

    @property
    def name(self) -> str: ...
    @property
    def listen(self) -> Address: ...
    @property
    def hosts(self) -> tuple[str, ...]: ...


def read_hosts(read: Reader, told: object, path: str) -> tuple[str, ...]:
    """`hosts` of a service, in small letters and without a trailing dot."""
    if not isinstance(told, list) or not 0 < len(told) <= MAX_HOSTS:
        read.wrong(path, told, f'a list of 1 to {MAX_HOSTS} names, like ["shop.example", "*.shop.example"]')
        return ()
    names = [_name(read, name, f"{path}[{number}]") for number, name in enumerate(told)]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    read.mistakes.extend(f"{path}: {name} stands there twice" for name in twice)
    return tuple(names)


def _name(read: Reader, told: object, path: str) -> str:
    name = told.lower().removesuffix(".") if isinstance(told, str) else ""
    if NAME.fullmatch(name) and len(name) <= MAX_NAME_BYTES:
        return name
    want = "a host name, with *. before it at most, and without a port"
    if isinstance(told, str) and not told.isascii():
        want = f"it as clients send it{_as_sent(name)}"
    read.wrong(path, told, want)
    return ""


def _as_sent(name: str) -> str:
    try:
        return f": {json.dumps(name.encode('idna').decode())}"
    except UnicodeError:
        return " (an A-label, xn--...)"


def check_shared(read: Reader, services: Iterable[Named]) -> None:
    """Services at one address must be told apart: each with hosts of its own, but for one, the default."""
    owners: dict[tuple[Address, str], str] = {}
    for service in services:
        for host in service.hosts or ("",):
            owner = owners.setdefault((service.listen, host), service.name)
            if owner == service.name:
                continue
            mine, theirs = f"$.services.{service.name}", f"$.services.{owner}"
            if host:
                read.mistakes.append(f"{mine}.hosts: {host} is {theirs}'s already, both at {service.listen}")
            else:
                read.mistakes.append(
                    f"{mine}.listen: {service.listen} is {theirs}'s already, and neither has hosts; "
                    "want hosts for one at least"
                )


class Names:
    """
    The services at one listener, as a worker sees them.

    `only`: all requests are for this service, whatever their Host; None if the Host decides.
    `first`: the default service or else the first: what is refused before its Host is known counts as its.
    """

    __slots__ = ("_exact", "_nowhere", "_wild", "default", "first", "only")

    def __init__(self, nowhere: Route) -> None:
        self._nowhere = nowhere
        self.take_over(())

    def take_over(self, services: Collection[tuple[Route, Collection[str]]]) -> None:
        """Have these services here, each with its hosts; one without any is the default."""
        self._exact: dict[bytes, Route] = {}
        self._wild: dict[bytes, Route] = {}
        self.default: Route | None = None
        for route, hosts in services:
            if not hosts:
                self.default = route
            for host in hosts:
                table, name = (self._wild, host[2:]) if host.startswith("*.") else (self._exact, host)
                table[name.encode()] = route
        named = self._exact or self._wild
        self.only = None if named else self.default
        self.first = self.default or next((route for route, _ in services), self._nowhere)

    def find(self, host: bytes) -> Route:
        """The service of a Host that `Request.check` found good; `nowhere` if there is none."""
        # Most clients send it just so.
        found = self._exact.get(host)
        return found or self._find(plain(host)) or self.default or self._nowhere

    def _find(self, name: bytes) -> Route | None:
        found = self._exact.get(name)
        if found is not None or not self._wild or len(name) > MAX_NAME_BYTES:
            return found
        # The longest wildcard wins; it stands for one label or more.
        _, dot, rest = name.partition(b".")
        while dot and found is None:
            found = self._wild.get(rest)
            _, dot, rest = rest.partition(b".")
        return found

    def lead(self, request: Request) -> Route:
        """The service of a request; one that is for none gets its answer."""
        route = self.find(request.host)
        if route is self._nowhere:
            request.answer = Answer(421, "no service here has this Host")
        return route


def is_host(value: bytes) -> bool:
    """True for what a Host may be; it may be empty."""
    found = HOST.fullmatch(value)
    return found is not None and (not found[1] or int(found[1]) <= MAX_PORT)


def plain(host: bytes) -> bytes:
    """A Host without its port and trailing dot, in small letters."""
    name = host.lower()
    if not name.startswith(b"["):
        name = name.partition(b":")[0]
    return name.removesuffix(b".")
