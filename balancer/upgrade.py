"""Which other protocols a client may switch to: read from the file, and found in a request."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from balancer.reader import Reader
from balancer.request import Request

DEFAULT_PROTOCOLS = ("websocket",)
# A tunnel costs some kB while nothing moves in it; who does not ping within an hour is gone.
DEFAULT_IDLE_SECONDS = 3600
MAX_PROTOCOLS = 16
PROTOCOL = re.compile(r"[a-z][a-z0-9._+-]{0,63}(?:/[a-z0-9._-]{1,16})?")
# More HTTP in a tunnel would reach the backend past all rules, limits and logs.
REFUSED = re.compile(r"(?:h2|h3|http|https|h2c|tls|ssl)(?:/.*)?")


@dataclass(frozen=True)
class Upgrade:
    """What clients may switch to, and how long nothing may move then."""

    protocols: tuple[str, ...] = DEFAULT_PROTOCOLS
    idle_seconds: float = DEFAULT_IDLE_SECONDS


def read_upgrade(read: Reader, told: object, path: str) -> Upgrade:
    """`upgrade` of a service."""
    table = read.table(told, path, {"protocols", "idle_seconds"})
    rows = table.get("protocols", list(DEFAULT_PROTOCOLS))
    if not isinstance(rows, list) or len(rows) > MAX_PROTOCOLS:
        read.wrong(f"{path}.protocols", rows, f"a list of at most {MAX_PROTOCOLS} protocols")
        rows = []
    want = "the name of a protocol in small letters, like websocket, none of HTTP or TLS"
    return Upgrade(
        protocols=tuple(
            read.text(row, f"{path}.protocols[{number}]", want, _is_allowed)
            for number, row in enumerate(rows)
        ),
        idle_seconds=read.number(
            table.get("idle_seconds", DEFAULT_IDLE_SECONDS), f"{path}.idle_seconds", 1, 86_400
        ),
    )


def _is_allowed(name: str) -> bool:
    return bool(PROTOCOL.fullmatch(name)) and not REFUSED.fullmatch(name)


def taken_up(request: Request, protocols: Collection[bytes]) -> bytes:
    """The first protocol a request offers that may be switched to; empty if it goes on as plain HTTP."""
    # With a body, both sides would have to agree where it ends and the other protocol begins.
    if request.method != b"GET" or request.version != "1.1" or request.has_body or request.answer is not None:
        return b""
    for name, value in request.headers:
        if name.lower() == b"upgrade":
            for offer in value.split(b","):
                protocol = offer.strip().lower()
                if protocol in protocols:
                    return protocol
    return b""
