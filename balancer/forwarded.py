"""
What backends are told of who asked, and what the balancer believes of what it is told itself.

All headers say the same, because all are made from one finding: X-Forwarded-For, X-Forwarded-Proto,
X-Forwarded-Host, X-Real-IP and Forwarded (RFC 7239). What a client sends of them is dropped, unless it is a
proxy whose word counts (`trust_forwarded_from`).
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from balancer.hosts import is_host
from balancer.networks import Networks, written

FOR, PROTO, HOST = b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"
# What the balancer says of who asked. Nobody else's word on it goes through.
OURS = frozenset((FOR, PROTO, HOST, b"x-real-ip", b"forwarded"))
# What applications read of that kind besides, and the balancer does not say: a trusted proxy may.
OTHERS = frozenset(
    b"x-forwarded-" + name
    for name in (
        b"access-token",
        b"by",
        b"client-cert",
        b"email",
        b"groups",
        b"method",
        b"path",
        b"port",
        b"preferred-username",
        b"prefix",
        b"protocol",
        b"scheme",
        b"server",
        b"ssl",
        b"uri",
        b"user",
    )
)
# RFC 9110, 7.6.3: how the balancer calls itself.
NAME = b"sluice"
VIA = re.compile(rb"(?:^|[,\s])(?:HTTP/)?[0-9.]+[ \t]+%b(?=$|[,\s])" % NAME, re.IGNORECASE)
# A balancer before each tier of a large site is three. A request that came round more often goes in circles.
MAX_ROUNDS = 5
# Proxies in a row; more is no chain of proxies.
MAX_CHAIN = 32
# An address as it stands in X-Forwarded-For; some write the port too.
ELEMENT = re.compile(r"\[([0-9a-fA-F:.]+)\](?::[0-9]+)?|([0-9.]+)(?::[0-9]+)?|([0-9a-fA-F:.]+)")


class Asked(NamedTuple):
    """Who asked, and what is told of it: `lines` up to the host in `Forwarded`, `rest` what follows there."""

    address: bytes
    proto: bytes
    lines: bytes
    rest: bytes
    # The host that a trusted proxy was asked for; None: the request's own.
    host: bytes | None


def asked(chain: list[bytes], proto: bytes, host: bytes | None = None) -> Asked:
    """What is told of a client and of the proxies after it, the nearest last."""
    lines = (
        b"Via: 1.1 %b\r\nX-Real-IP: %b\r\nX-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\n"
        b'Forwarded: for=%b;proto=%b;host="'
    ) % (NAME, chain[0], b", ".join(chain), proto, node(chain[0]), proto)
    return Asked(chain[0], proto, lines, b"".join(b", for=%b" % node(hop) for hop in chain[1:]), host)


def asked_through(proxy: Asked, said: list[tuple[bytes, bytes]], trusted: Networks) -> Asked:
    """
    What is told of a client that asked through a trusted proxy.

    `said`: the headers of OURS in the request, names in small letters. Of X-Forwarded-For counts what
    trusted proxies wrote: it is read from its end, up to the first address that is not one of theirs. What
    stands before that was said by a stranger.
    """
    chain, proto = [proxy.address], proxy.proto
    elements = b",".join(value for name, value in said if name == FOR).split(b",")
    for element in elements[: -MAX_CHAIN - 1 : -1]:
        address = address_in(element)
        if address is None:
            break
        chain.append(address)
        if not trusted.hold(address):
            break
    chain.reverse()
    protos = [value.lower() for name, value in said if name == PROTO]
    hosts = [value for name, value in said if name == HOST]
    if len(protos) == 1 and protos[0] in (b"http", b"https"):
        proto = protos[0]
    return asked(chain, proto, hosts[0] if len(hosts) == 1 and hosts[0] and is_host(hosts[0]) else None)


def address_in(element: bytes) -> bytes | None:
    """The address in an element of X-Forwarded-For; None if there is none."""
    found = ELEMENT.fullmatch(element.strip(b" \t").decode("latin-1"))
    if found is None:
        return None
    try:
        return written(ipaddress.ip_address(found[1] or found[2] or found[3])).encode()
    except ValueError:
        return None


def node(address: bytes) -> bytes:
    """An address as RFC 7239 (6) wants it: IPv6 in brackets and quoted."""
    return b'"[%b]"' % address if b":" in address else address


def rounds(via: bytes) -> int:
    """How often a request with this in Via came by here."""
    return len(VIA.findall(via))
