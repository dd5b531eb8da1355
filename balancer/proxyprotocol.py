"""
The PROXY protocol, versions 1 and 2: a balancer in front tells, before anything else, who connected to it.

Source: https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import NamedTuple

from balancer.networks import read_networks, written
from balancer.reader import Reader

V1 = b"PROXY "
# 2.1: "a 108-byte buffer is always enough".
MAX_V1_BYTES = 107
WORD = rb"[!-~]+"
V1_LINE = re.compile(rb"PROXY (?:UNKNOWN(?: [ -~]*)?|(TCP4|TCP6) (%b) (%b) (%b) (%b))\r\n" % ((WORD,) * 4))
V1_BEGUN = re.compile(rb"[ -~]*\r?")
PORT = re.compile(rb"0|[1-9][0-9]{0,4}")
V2 = b"\r\n\r\n\0\r\nQUIT\n"
V2_HEAD_BYTES = 16
# What a proxy adds to addresses are names of a host, a certificate or an endpoint: some hundred bytes.
MAX_V2_BYTES = 4096
LOCAL, PROXIED = 0x20, 0x21
UNSPECIFIED, TCP4, TCP6, UNIX = 0x00, 0x11, 0x21, 0x31
# Family to how many bytes its addresses and ports are.
SIZES = {UNSPECIFIED: 0, TCP4: 12, TCP6: 36, UNIX: 216}
CRC32C = 0x03


class BadHeader(Exception):
    """Not the PROXY protocol, or damaged."""


class Told(NamedTuple):
    """A header: how long it is, and the client's address; None if it tells of none (the proxy itself)."""

    length: int
    address: str | None


@dataclass(frozen=True)
class ProxyProtocol:
    """From where a service's connections begin with it; all others are refused."""

    networks: tuple[str, ...]


def read_proxy_protocol(read: Reader, told: object, path: str) -> ProxyProtocol:
    table = read.table(told, path, {"from"})
    networks = read_networks(read, table.get("from"), f"{path}.from")
    if table.get("from") == []:
        read.wrong(f"{path}.from", [], "one network at least: nobody else comes in")
    return ProxyProtocol(networks)


def parse(data: bytes) -> Told | None:
    """The header that a connection begins with; None if it is not whole yet. Raises BadHeader."""
    if data.startswith(V2[: len(data)]):
        return _v2(data)
    if data.startswith(V1[: len(data)]):
        return _v1(data)
    raise BadHeader("neither version's beginning")


def _v1(data: bytes) -> Told | None:
    end = data.find(b"\n", 0, MAX_V1_BYTES)
    if end < 0:
        if len(data) >= MAX_V1_BYTES or not V1_BEGUN.fullmatch(data):
            raise BadHeader("no line")
        return None
    found = V1_LINE.fullmatch(data, 0, end + 1)
    if found is None:
        raise BadHeader("no good line")
    family, source, target, *ports = found.groups()
    if family is None:
        return Told(end + 1, None)
    version = 4 if family == b"TCP4" else 6
    if not all(PORT.fullmatch(port) and int(port) < 65536 for port in ports):
        raise BadHeader("no port")
    address = _address(source, version)
    _address(target, version)
    return Told(end + 1, address)


def _address(word: bytes, version: int) -> str:
    try:
        found = ipaddress.ip_address(word.decode("ascii"))
    except ValueError as error:
        raise BadHeader("no address") from error
    # A zone says something on the proxy's machine alone.
    if found.version != version or b"%" in word:
        raise BadHeader("an address of another kind")
    return written(found)


def _v2(data: bytes) -> Told | None:
    if len(data) > len(V2) and data[12] not in (LOCAL, PROXIED):
        raise BadHeader("another version or command")
    if len(data) < V2_HEAD_BYTES:
        return None
    family, size = data[13], int.from_bytes(data[14:16], "big")
    end = V2_HEAD_BYTES + size
    if end > MAX_V2_BYTES:
        raise BadHeader("too long")
    if family not in SIZES or size < SIZES[family]:
        raise BadHeader("no family of addresses that is known, or cut short")
    if len(data) < end:
        return None
    _check_extras(data[:end], V2_HEAD_BYTES + SIZES[family])
    if data[12] == LOCAL or family not in (TCP4, TCP6):
        return Told(end, None)
    width = 4 if family == TCP4 else 16
    return Told(end, written(ipaddress.ip_address(data[V2_HEAD_BYTES : V2_HEAD_BYTES + width])))


def _check_extras(header: bytes, start: int) -> None:
    """What follows the addresses (2.2, type-length-value): skipped, but a checksum must be right."""
    # Without addresses some proxies pad with anything (2.2: "ignore"), so nothing is read into it.
    if header[13] == UNSPECIFIED:
        return
    while start < len(header):
        kind, size = header[start], int.from_bytes(header[start + 1 : start + 3], "big")
        value = start + 3
        if value + size > len(header):
            raise BadHeader("an extra that is cut short")
        if kind == CRC32C:
            told = int.from_bytes(header[value : value + size], "big")
            if size != 4 or crc32c(header[:value] + bytes(4) + header[value + 4 :]) != told:
                raise BadHeader("a wrong checksum")
        start = value + size


def _row(number: int) -> int:
    for _ in range(8):
        number = (number >> 1) ^ (0x82F63B78 if number & 1 else 0)
    return number


CRC_ROWS = tuple(map(_row, range(256)))


def crc32c(data: bytes) -> int:
    """The checksum of RFC 4960, Appendix B."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ CRC_ROWS[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


async def take_header(loop: asyncio.AbstractEventLoop, line: socket.socket) -> str | None:
    """
    Read the header of a new connection, and not a byte more: what follows is for TLS or HTTP to read. The
    client's address, or None. Raises BadHeader or OSError.
    """
    held = b""
    while True:
        await readable(loop, line)
        seen = line.recv(MAX_V2_BYTES, socket.MSG_PEEK)
        if not seen:
            raise BadHeader("the connection ended")
        found = parse(held + seen)
        # As long as it is not whole, all that came is a part of it.
        line.recv(len(seen) if found is None else found.length - len(held))
        if found is not None:
            return found.address
        held += seen


async def readable(loop: asyncio.AbstractEventLoop, line: socket.socket) -> None:
    """Wait until there is something to read, or the end."""
    waiting: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not waiting.done():
            waiting.set_result(None)

    loop.add_reader(line, wake)
    try:
        await waiting
    finally:
        loop.remove_reader(line)
