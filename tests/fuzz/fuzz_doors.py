"""
Looks for headers of the PROXY protocol that are read in two ways, and Hosts that lead to a wrong service.

    PYTHONPATH=. python tests/fuzz/fuzz_doors.py CORPUS -max_total_time=60

The options are libFuzzer's. The first byte of an input says which of the two it is for.
"""

import ipaddress
import re
import sys
import time

import atheris

with atheris.instrument_imports(include=["balancer"]):
    from balancer.forwarded import address_in
    from balancer.hosts import NONE, Names, is_host, to_https
    from balancer.proxyprotocol import BadHeader, parse
    from balancer.routes import Route

HOSTS = {
    "one": ["shop.example", "*.shop.example", "10.0.0.7"],
    "two": ["*.b.shop.example", "example"],
    "three": ["*.example", "xn--bcher-kva.example"],
}
NAMES = Names(Route(NONE, time.monotonic))
NAMES.take_over([(Route(name, time.monotonic), hosts, 0) for name, hosts in HOSTS.items()])
LOCATION = re.compile(rb"Location: https://([a-z0-9._-]+|\[[0-9a-f:.]+\]):8443/[^\r\n]*\r\n")


class Wrong(Exception):
    """What must not be."""


def header(data):
    """What `parse` makes of bytes: `bad`, `more`, or a header with its length and address."""
    try:
        return parse(data) or "more"
    except BadHeader:
        return "bad"


def check_header(data):
    whole = header(data)
    for end in range(len(data)):
        part = header(data[:end])
        # Bytes that come later never change what was decided, and a header is decided at its last byte.
        if part == "bad" and whole != "bad":
            raise Wrong(f"bad after {end} bytes, and then {whole}")
        if part not in ("bad", "more") and part != whole:
            raise Wrong(f"{part} after {end} bytes, and then {whole}")
        if part == "more" and whole not in ("bad", "more") and end >= whole.length:
            raise Wrong(f"not enough after {end} bytes for {whole}")
    if whole in ("bad", "more"):
        return
    if not 0 < whole.length <= len(data):
        raise Wrong(f"{whole} of {len(data)} bytes")
    if whole.address is not None and str(ipaddress.ip_address(whole.address)) != whole.address:
        raise Wrong(f"{whole.address} is not how an address is written")


def wanted(host):
    """The service of a Host, looked for in another way than the balancer does."""
    name = re.sub(r":[0-9]*$", "", host.decode("latin-1").lower())
    name = name[:-1] if name.endswith(".") else name
    found = {}
    for service, patterns in HOSTS.items():
        for pattern in patterns:
            if pattern == name:
                return service
            if pattern.startswith("*.") and name.endswith(pattern[1:]) and len(name) <= 253:
                found[len(pattern)] = service
    return found[max(found)] if found else NONE


def check_host(host):
    if not is_host(host):
        return
    service = NAMES.find(host).name
    if not host.startswith(b"[") and service != wanted(host):
        raise Wrong(f"{host!r} is {service}'s, wanted: {wanted(host)}")
    answer = to_https(host, b"/a", 8443)
    if answer.status == 308 and not LOCATION.fullmatch(answer.lines[0]):
        raise Wrong(f"{host!r} is sent to {answer.lines}")
    address = address_in(host)
    if address is not None and str(ipaddress.ip_address(address.decode())).encode() != address:
        raise Wrong(f"{host!r} is taken for {address!r}")


def one_input(data):
    if not data:
        return
    if data[0] < 128:
        # Longer ones say nothing new, and each is read as often as it has bytes.
        check_header(data[1:600])
    else:
        check_host(data[1:])


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
