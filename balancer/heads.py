"""
Plain heads, read at once: those of nearly all requests and responses, if the compiled part is there.

A plain head has nothing that two parsers could read differently and nothing that needs care: the functions
here return None for any other, for one that has not come whole, and for all of them in pure Python. The
parser (httptools) and the checks of `Request` and `Upstream` then decide; they are the measure, and tests
hold the two against each other.
"""

from __future__ import annotations

# Method, target, Host, Content-Length if there is one, the lines that go on, and where the head ends.
PlainRequest = tuple[bytes, bytes, bytes, bytes | None, bytes, int]
# Status, Content-Length, whether the connection stays, the lines that go on, and where the head ends.
PlainResponse = tuple[int, int, bool, bytes, int]


def read_request(data: bytes, start: int) -> PlainRequest | None:
    """
    The request whose head begins at `start`.

    Plain is: one of the usual methods, a path in visible characters, HTTP/1.1, `Name: value` in printable
    ASCII with letters, digits and `-` for names, one Host that is a name or IPv4 address, at most one
    Content-Length; and no header of this hop or of those that the balancer sets, but for
    `Connection: keep-alive`.
    """
    return None


def read_response(data: bytes) -> PlainResponse | None:
    """
    The response whose head begins the data.

    Plain is: HTTP/1.1 with a status that has a body, lines as in a request, one Content-Length, and no header
    of this hop but Connection with `keep-alive` or `close` alone.
    """
    return None


try:
    from balancer import _heads  # type: ignore[attr-defined]
except ImportError:
    COMPILED = False
else:
    COMPILED = True
    read_request, read_response = _heads.read_request, _heads.read_response
