"""
Trailers: fields after the last chunk of a body (RFC 9110, 6.5). Pure.

They go on to a backend, and from there to a client that says `TE: trailers`. An application may put them
together with the headers; so those that would mean something else there do not go on.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from balancer import forwarded

Field = tuple[bytes, bytes]
NAME = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
LAST_CHUNK = b"0\r\n\r\n"
# RFC 9110, 6.5.1: what frames, routes, modifies or authenticates a message, says how to take its content, or
# controls the answer, stands in its head or nowhere.
FORBIDDEN = forwarded.OURS.union(
    forwarded.OTHERS,
    (
        b"accept-ranges",
        b"age",
        b"allow",
        b"alt-svc",
        b"authorization",
        b"cache-control",
        b"clear-site-data",
        b"connection",
        b"cookie",
        b"cookie2",
        b"date",
        b"expect",
        b"expires",
        b"host",
        b"http2-settings",
        b"keep-alive",
        b"link",
        b"location",
        b"max-forwards",
        b"origin",
        b"pragma",
        b"range",
        b"referer",
        b"refresh",
        b"retry-after",
        b"server",
        b"set-cookie",
        b"set-cookie2",
        b"strict-transport-security",
        b"te",
        b"traceparent",
        b"tracestate",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"user-agent",
        b"vary",
        b"via",
        b"www-authenticate",
        b"www-authentication-info",
        b"x-request-id",
    ),
)
# Families of the same kind.
FORBIDDEN_BEGINNINGS = (
    b"accept",
    b"access-control-",
    b"authentication-",
    b"content-",
    b"cross-origin-",
    b"if-",
    b"proxy-",
    b"sec-",
    b"x-forwarded-",
    b"x-http-method",
    b"x-original-",
    b"x-rewrite-",
    b"x-sluice-",
)


def are_wanted(te: bytes) -> bool:
    """True if a TE header says that its sender takes trailers."""
    return any(word.strip().lower() == b"trailers" for word in te.split(b","))


def may_pass(name: bytes, barred: Collection[bytes] = ()) -> bool:
    """
    True if a trailer of this name may go on.

    barred
        Names in small letters that may not: what rules set or remove, and what Connection names.
    """
    # To some applications `_` and `-` are one.
    lower = name.lower()
    plain = lower.replace(b"_", b"-")
    forbidden = plain in FORBIDDEN or plain.startswith(FORBIDDEN_BEGINNINGS)
    return not (forbidden or plain in barred or lower in barred)


def last_chunk(fields: Iterable[Field], barred: Collection[bytes] = ()) -> bytes:
    """The end of a body in chunks, with those of its trailers that may go on."""
    lines = [b"%b: %b\r\n" % field for field in fields if may_pass(field[0], barred)]
    return b"0\r\n%b\r\n" % b"".join(lines)


def announcement(trailer: bytes) -> bytes:
    """A Trailer header as a line, with those names of which a trailer may go on; empty if there are none."""
    names = [name.strip() for name in trailer.split(b",")]
    kept = [name for name in names if NAME.fullmatch(name) and may_pass(name)]
    return b"Trailer: %b\r\n" % b", ".join(kept) if kept else b""
