"""Networks in the file, and whether an address is in one of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

from balancer.reader import Reader

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
IP = ipaddress.IPv4Address | ipaddress.IPv6Address
WANT = "a network like 10.0.0.0/8 or fd00::/8, or one address"
# A list of a cloud's load balancers has some dozens.
MAX_NETWORKS = 1000
# Asking costs some microseconds; what this many clients got for an answer is remembered.
MAX_REMEMBERED = 10_000


def read_networks(read: Reader, told: object, path: str) -> tuple[str, ...]:
    """A list of networks, each as `ipaddress` writes it."""
    if not isinstance(told, list) or len(told) > MAX_NETWORKS:
        read.wrong(path, told, f"a list of at most {MAX_NETWORKS} networks, like 10.0.0.0/8")
        return ()
    return tuple(_network(read, one, f"{path}[{number}]") for number, one in enumerate(told))


def _network(read: Reader, told: object, path: str) -> str:
    try:
        found = ipaddress.ip_network(told if isinstance(told, str) else "", strict=False)
    except ValueError:
        read.wrong(path, told, WANT)
        return ""
    if ipaddress.ip_interface(str(told)).ip != found.network_address:
        read.wrong(path, told, f"{found}: the address has bits beyond the prefix")
    return str(found)


def plain_address(told: str) -> str:
    """An address of a socket as people write it: IPv4 in IPv6's clothes as IPv4, and without a zone."""
    if told[:7].lower() == "::ffff:" and "." in told:
        return told[7:]
    return told.partition("%")[0]


def written(address: IP) -> str:
    """An address as people write it, see `plain_address`."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


class Networks:
    """A set of networks."""

    __slots__ = ("_known", "_networks", "told")

    def __init__(self, told: Collection[str]) -> None:
        self.told = tuple(told)
        self._networks: tuple[Network, ...] = tuple(map(ipaddress.ip_network, told))
        self._known: dict[bytes, bool] = {}

    def hold(self, address: bytes) -> bool:
        """True if the address is in one of them; False also for what is no address."""
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            known = self._known[address] = self._look(address)
        return known

    def _look(self, address: bytes) -> bool:
        try:
            ip = ipaddress.ip_address(plain_address(address.decode("latin-1")))
        except ValueError:
            return False
        return any(ip.version == network.version and ip in network for network in self._networks)
