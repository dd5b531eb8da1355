"""
What a path may mean to the servers behind: every reading of it, so that no other spelling escapes a rule.

Servers differ in what they do to a path, and in which order: Tomcat cuts off `;parameters`, decodes, and
removes dot segments; others merge slashes, take `\\` for one, decode twice, or leave `%2F` alone. Nobody can
know which of them stand behind a balancer. So all orders of all these steps are followed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

# Without any of these a path has one reading only.
ODD = re.compile(rb"[%;\\]|//|/\.\.?(?:/|$)")
# An honest path has a handful of readings; one that is encoded many times over has a purpose.
MAX_READINGS = 64
# Following a longer one would cost as much as hundreds of requests do.
MAX_ODD_BYTES = 2048
ESCAPE = re.compile(rb"%(?:u00)?([0-9A-Fa-f]{2})")
ESCAPE_BUT_SLASH = re.compile(rb"%(?!2[Ff]|5[Cc])([0-9A-Fa-f]{2})")
PARAMETERS = re.compile(rb";[^/]*")
SLASHES = re.compile(rb"//+")
# ASCII in two or three bytes of UTF-8: not valid, but some decoders take it.
OVERLONG = re.compile(rb"(?:([\xc0\xc1])|\xe0([\x80\x81]))([\x80-\xbf])")


def readings(path: bytes) -> frozenset[bytes] | None:
    """
    Every path that a server may understand, the one as written among them; None if that is beyond following.

    path
        The target of a request as it came, without its query.
    """
    if not ODD.search(path):
        return frozenset((path,))
    if len(path) > MAX_ODD_BYTES:
        return None
    found = {path}
    fresh = [path]
    while fresh:
        one = fresh.pop()
        for step in STEPS:
            other = step(one)
            if other not in found:
                if len(found) == MAX_READINGS:
                    return None
                found.add(other)
                fresh.append(other)
    return frozenset(found)


def _decoded(path: bytes) -> bytes:
    return ESCAPE.sub(_byte, path)


def _decoded_but_slash(path: bytes) -> bytes:
    """As servers do that pass `%2F` on: what follows it is then in the same segment."""
    return ESCAPE_BUT_SLASH.sub(_byte, path)


def _byte(found: re.Match[bytes]) -> bytes:
    return bytes((int(found[1], 16),))


def _shortest(path: bytes) -> bytes:
    return OVERLONG.sub(_ascii, path)


def _ascii(found: re.Match[bytes]) -> bytes:
    high = found[1][0] & 1 if found[1] else found[2][0] & 1
    return bytes((high << 6 | found[3][0] & 0x3F,))


def _without_parameters(path: bytes) -> bytes:
    return PARAMETERS.sub(b"", path)


def _with_slashes(path: bytes) -> bytes:
    return path.replace(b"\\", b"/")


def _merged(path: bytes) -> bytes:
    return SLASHES.sub(b"/", path)


def _cut_at_nul(path: bytes) -> bytes:
    """What a server written in C may see of it."""
    return path.partition(b"\x00")[0]


def _without_dots(path: bytes) -> bytes:
    """RFC 3986, 5.2.4: `.` and `..` as segments are gone, the latter with the segment before it."""
    if b"/." not in path:
        return path
    kept: list[bytes] = []
    segments = path.split(b"/")
    for segment in segments[1:]:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)


STEPS: tuple[Callable[[bytes], bytes], ...] = (
    _without_parameters,
    _decoded,
    _decoded_but_slash,
    _shortest,
    _with_slashes,
    _merged,
    _without_dots,
    _cut_at_nul,
)
