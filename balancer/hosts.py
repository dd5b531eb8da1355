"""Services that share a listener: told apart by the Host of each request."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

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
# What a redirect may lead to: names of machines and addresses, and nothing that could be read as more.
REDIRECTED = re.compile(rb"[a-z0-9_](?:[a-z0-9._-]{0,251}[a-z0-9_])?|\[[0-9a-f:.]{2,45}\]")
HTTPS_PORT = 443
# RFC 8555, 8.3: how a certificate is asked for, before there is any.
ACME = b"/.well-known/acme-challenge/"


class Door(NamedTuple):
    """A service at an address, and how connections there are served."""

    address: Address
    # Where the file says so.
    service: str
    key: str
    hosts: tuple[str, ...]
    how: str

    @property
    def where(self) -> str:
        return f"$.services.{self.service}.{self.key}"


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


def check_shared(read: Reader, doors: Iterable[Door]) -> None:
    """
    Services at one address must be told apart: each with hosts of its own, but for one, the default. And
    connections there are served in one way, for that is settled before any Host is known.
    """
    first: dict[Address, Door] = {}
    owners: dict[tuple[Address, str], Door] = {}
    for door in doors:
        # An address that could not be read is a mistake already.
        if not door.address.port:
            continue
        other = first.setdefault(door.address, door)
        if other.how != door.how:
            read.mistakes.append(
                f"{door.where}: {door.address} is {other.where} already and served as {other.how} there, "
                f"not as {door.how}; want both alike or another address"
            )
        for host in door.hosts or ("",):
            _check_owner(read, door, owners.setdefault((door.address, host), door), host)


def _check_owner(read: Reader, door: Door, owner: Door, host: str) -> None:
    theirs = f"$.services.{owner.service}"
    if owner.service == door.service:
        return
    if host:
        read.mistakes.append(
            f"$.services.{door.service}.hosts: {host} is {theirs}'s already, both at {door.address}"
        )
    else:
        read.mistakes.append(
            f"{door.where}: {door.address} is {theirs}'s already, and neither has hosts; "
            "want hosts for one at least"
        )


T = TypeVar("T")


class Table(Generic[T]):
    """What belongs to a host: by its exact name, or else by the longest wildcard."""

    __slots__ = ("_wild", "exact")

    def __init__(self, rows: Iterable[tuple[Iterable[str], T]]) -> None:
        self.exact: dict[bytes, T] = {}
        self._wild: dict[bytes, T] = {}
        for hosts, value in rows:
            for host in hosts:
                table, name = (self._wild, host[2:]) if host.startswith("*.") else (self.exact, host)
                table[name.encode()] = value

    def __bool__(self) -> bool:
        return bool(self.exact or self._wild)

    def find(self, name: bytes) -> T | None:
        """For a name in small letters, without a port or a dot at its end."""
        found = self.exact.get(name)
        if found is not None or not self._wild or len(name) > MAX_NAME_BYTES:
            return found
        # It stands for one label or more.
        _, dot, rest = name.partition(b".")
        while dot and found is None:
            found = self._wild.get(rest)
            _, dot, rest = rest.partition(b".")
        return found


class Names:
    """
    The services at one listener, as a worker sees them.

    `only`: all requests are for this service, whatever their Host; None if the Host decides.
    `first`: the default service or else the first: what is refused before its Host is known counts as its.
    """

    __slots__ = ("_nowhere", "_redirects", "_table", "default", "first", "only")

    def __init__(self, nowhere: Route) -> None:
        self._nowhere = nowhere
        self.take_over(())

    def take_over(self, services: Collection[tuple[Route, Collection[str], int]]) -> None:
        """
        Have these services here, each with its hosts (one without any is the default) and the port of https
        that its requests are sent to, or 0.
        """
        self._table = Table((hosts, route) for route, hosts, _ in services)
        self._redirects = {route: port for route, _, port in services if port}
        self.default: Route | None = next((route for route, hosts, _ in services if not hosts), None)
        self.only = None if self._table or self._redirects else self.default
        self.first = self.default or next((route for route, _, _ in services), self._nowhere)

    def find(self, host: bytes) -> Route:
        """The service of a Host that `Request.check` found good; `nowhere` if there is none."""
        # Most clients send it just so.
        found = self._table.exact.get(host)
        return found or self._table.find(plain(host)) or self.default or self._nowhere

    def lead(self, request: Request) -> Route:
        """The service of a request; one that is for none gets its answer."""
        route = self.find(request.host)
        if route is self._nowhere:
            request.answer = Answer(421, "no service here has this Host")
        elif route in self._redirects:
            request.answer = to_https(request.host, request.target, self._redirects[route])
        return route


def is_host(value: bytes) -> bool:
    """True for what a Host may be; it may be empty."""
    found = HOST.fullmatch(value)
    return found is not None and (not found[1] or int(found[1]) <= MAX_PORT)


def plain(host: bytes) -> bytes:
    """A Host without its port and trailing dot, in small letters."""
    name = host.lower()
    if name.startswith(b"["):
        return name.partition(b"]")[0] + b"]"
    return name.partition(b":")[0].removesuffix(b".")


def to_https(host: bytes, target: bytes, port: int) -> Answer | None:
    """Where to ask the same with https; None for what must be answered without."""
    if target.startswith(ACME):
        return None
    name = plain(host)
    if not REDIRECTED.fullmatch(name):
        return Answer(421, "no https for this Host")
    colon = b":%d" % port if port != HTTPS_PORT else b""
    where = b"https://%b%b%b" % (name, colon, target if target.startswith(b"/") else b"/")
    return Answer(308, "this is served with https", (b"Location: %b\r\n" % where,))
