"""The PROXY protocol, byte by byte."""

import ipaddress
import json

import pytest
from test_balancer_certificates import TLS, mistakes, parse

from balancer.listeners import listeners_of
from balancer.proxyprotocol import MAX_V2_BYTES, V2, BadHeader, Told, crc32c
from balancer.proxyprotocol import parse as parse_header


def v2(command, family, payload, length=None):
    size = len(payload) if length is None else length
    return V2 + bytes([command, family]) + size.to_bytes(2, "big") + payload


def packed(*addresses):
    return b"".join(ipaddress.ip_address(one).packed for one in addresses)


def extra(kind, value):
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


PORTS = b"\x10\x00\x00\x50"
FOUR = packed("203.0.113.7", "10.0.0.1") + PORTS
SIX = packed("2001:db8::7", "fd00::1") + PORTS
PATHS = b"/run/a".ljust(108, b"\0") * 2


def with_checksum(payload):
    zero = v2(0x21, 0x11, payload + extra(3, bytes(4)))
    return zero[:-4] + crc32c(zero).to_bytes(4, "big")


GOOD = {
    "v1 IPv4": (b"PROXY TCP4 203.0.113.7 10.0.0.1 4096 80\r\n", "203.0.113.7"),
    "v1 IPv6": (b"PROXY TCP6 2001:db8::7 fd00::1 65535 0\r\n", "2001:db8::7"),
    "v1 IPv6 at length": (b"PROXY TCP6 2001:0DB8:0:0:0:0:0:7 ::1 1 2\r\n", "2001:db8::7"),
    "v1 mapped": (b"PROXY TCP6 ::ffff:203.0.113.7 fd00::1 1 2\r\n", "203.0.113.7"),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", None),
    "v1 unknown with more": (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None),
    "v1 the longest": (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", None),
    "v2 IPv4": (v2(0x21, 0x11, FOUR), "203.0.113.7"),
    "v2 IPv6": (v2(0x21, 0x21, SIX), "2001:db8::7"),
    "v2 mapped": (v2(0x21, 0x21, packed("::ffff:203.0.113.7", "fd00::1") + PORTS), "203.0.113.7"),
    "v2 local": (v2(0x20, 0x00, b""), None),
    "v2 local with addresses": (v2(0x20, 0x11, FOUR), None),
    "v2 unspecified": (v2(0x21, 0x00, b""), None),
    "v2 unspecified with anything": (v2(0x21, 0x00, b"\xff" * 40), None),
    "v2 unix": (v2(0x21, 0x31, PATHS), None),
    "v2 extras": (v2(0x21, 0x11, FOUR + extra(2, b"shop.example") + extra(0xEA, b"vpce-1")), "203.0.113.7"),
    "v2 an empty extra": (v2(0x21, 0x11, FOUR + extra(4, b"")), "203.0.113.7"),
    "v2 checksum": (with_checksum(FOUR), "203.0.113.7"),
    "v2 checksum among extras": (with_checksum(FOUR + extra(1, b"h2")), "203.0.113.7"),
    "v2 the longest": (v2(0x21, 0x11, FOUR + extra(4, bytes(MAX_V2_BYTES - 16 - 12 - 3))), "203.0.113.7"),
}


@pytest.mark.parametrize(("header", "address"), GOOD.values(), ids=list(GOOD))
@pytest.mark.parametrize("after", [b"", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"PROXY UNKNOWN\r\n", V2])
def test_a_header_is_read_to_its_end_and_no_further(header, address, after):
    assert parse_header(header + after) == Told(len(header), address)


@pytest.mark.parametrize(("header", "address"), GOOD.values(), ids=list(GOOD))
def test_a_header_may_be_split_at_every_byte(header, address):
    assert [parse_header(header[:end]) for end in range(len(header))] == [None] * len(header)


BAD = {
    "HTTP": b"GET / HTTP/1.1\r\n",
    "TLS": b"\x16\x03\x01\x02\x00",
    "an empty line": b"\r\n\r\nGET",
    "small letters": b"proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
    "no family": b"PROXY \r\n",
    "another family": b"PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n",
    "unknown with no space": b"PROXY UNKNOWNX\r\n",
    "family in small letters": b"PROXY tcp4 1.1.1.1 2.2.2.2 1 2\r\n",
    "two spaces": b"PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n",
    "a tab": b"PROXY TCP4\t1.1.1.1 2.2.2.2 1 2\r\n",
    "a space at the end": b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",
    "too few words": b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
    "too many words": b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
    "no CR": b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
    "CR alone": b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\rx",
    "a NUL": b"PROXY TCP4 1.1.1.1\0 2.2.2.2 1 2\r\n",
    "IPv6 as IPv4": b"PROXY TCP4 ::1 2.2.2.2 1 2\r\n",
    "IPv4 as IPv6": b"PROXY TCP6 ::1 2.2.2.2 1 2\r\n",
    "leading zeros": b"PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n",
    "a number too large": b"PROXY TCP4 1.1.1.256 2.2.2.2 1 2\r\n",
    "a short address": b"PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n",
    "a zone": b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
    "brackets": b"PROXY TCP6 [::1] ::1 1 2\r\n",
    "a name": b"PROXY TCP4 localhost 2.2.2.2 1 2\r\n",
    "a port too large": b"PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n",
    "a signed port": b"PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n",
    "a port with zeros": b"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
    "a long port": b"PROXY TCP4 1.1.1.1 2.2.2.2 1 999999\r\n",
    "a line too long": b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    "a line without end": b"PROXY UNKNOWN " + b"x" * 200,
    "bytes that are no text": b"PROXY UNKNOWN \xff\r\n",
    "a signature broken": V2[:-1] + b"X" + bytes(20),
    "version 1 in binary": v2(0x11, 0x11, FOUR),
    "version 3": v2(0x31, 0x11, FOUR),
    "another command": v2(0x22, 0x11, FOUR),
    "datagrams": v2(0x21, 0x12, FOUR),
    "datagrams of IPv6": v2(0x21, 0x22, SIX),
    "an unknown family": v2(0x21, 0x41, FOUR),
    "an unknown transport": v2(0x21, 0x10, FOUR),
    "IPv4 cut short": v2(0x21, 0x11, FOUR[:11]),
    "IPv6 with the length of IPv4": v2(0x21, 0x21, FOUR),
    "unix cut short": v2(0x21, 0x31, PATHS[:100]),
    "an extra cut short": v2(0x21, 0x11, FOUR + b"\x02\x00\x05ab"),
    "an extra without length": v2(0x21, 0x11, FOUR + b"\x02"),
    "an extra with half a length": v2(0x21, 0x11, FOUR + b"\x02\x00"),
    "a wrong checksum": with_checksum(FOUR)[:-1] + b"\xfe",
    "a checksum of three bytes": v2(0x21, 0x11, FOUR + extra(3, b"abc")),
    "too long": v2(0x21, 0x11, FOUR + extra(4, bytes(MAX_V2_BYTES))),
    "as long as can be": v2(0x21, 0x11, FOUR, length=0xFFFF),
}


@pytest.mark.parametrize("header", BAD.values(), ids=list(BAD))
def test_what_is_not_exactly_a_header_is_refused(header):
    with pytest.raises(BadHeader):
        parse_header(header)


@pytest.mark.parametrize("header", BAD.values(), ids=list(BAD))
def test_what_is_refused_whole_is_never_taken_in_part(header):
    for end in range(len(header)):
        try:
            assert parse_header(header[:end]) is None
        except BadHeader:
            return


def test_the_checksum_is_that_of_the_standard():
    assert crc32c(b"123456789") == 0xE3069283
    # RFC 3720, B.4.
    assert crc32c(bytes(32)) == 0x8A9136AA


# In the file.

PROXY = {"proxy_protocol": {"from": ["10.0.0.0/8"]}}


def test_all_listeners_of_a_service_are_behind_the_proxy():
    found = listeners_of(parse(a={**PROXY, "tls": TLS}).values())
    tables = [json.loads(json.dumps(one.table({"a": "pem"}.get))) for one in found.values()]
    assert tables == [
        {"proxies": ["10.0.0.0/8"]},
        {"proxies": ["10.0.0.0/8"], "tls": {"min_version": "1.2", "certificates": [[[], "pem"]]}},
    ]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (
            {},
            "$.services.a.proxy_protocol.from: is null, "
            "want a list of at most 1000 networks, like 10.0.0.0/8",
        ),
        (
            {"from": []},
            "$.services.a.proxy_protocol.from: is [], want one network at least: nobody else comes in",
        ),
        (
            {"from": ["x"]},
            '$.services.a.proxy_protocol.from[0]: is "x", want a network like 10.0.0.0/8 or fd00::/8, '
            "or one address",
        ),
        ({"from": ["::/0"], "v": 2}, "$.services.a.proxy_protocol.v: not a known key, want one of from"),
    ],
)
def test_a_mistake_in_proxy_protocol_is_told(told, said):
    assert mistakes(a={"proxy_protocol": told}) == [said]


def test_services_at_one_address_agree_on_the_proxy():
    (said,) = mistakes(a={"hosts": ["a.example"], **PROXY}, b={"hosts": ["b.example"]})
    assert said == (
        "$.services.b.listen: 0.0.0.0:80 is $.services.a.listen already and served as plain HTTP with "
        "proxy_protocol from 10.0.0.0/8 there, not as plain HTTP; want both alike or another address"
    )
