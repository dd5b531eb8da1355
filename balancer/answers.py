"""Heads of responses, and the balancer's own answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

REASONS = {
    100: b"Continue",
    101: b"Switching Protocols",
    103: b"Early Hints",
    200: b"OK",
    201: b"Created",
    204: b"No Content",
    206: b"Partial Content",
    301: b"Moved Permanently",
    302: b"Found",
    303: b"See Other",
    304: b"Not Modified",
    307: b"Temporary Redirect",
    308: b"Permanent Redirect",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    409: b"Conflict",
    410: b"Gone",
    413: b"Content Too Large",
    414: b"URI Too Long",
    421: b"Misdirected Request",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    499: b"Client Closed Request",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    508: b"Loop Detected",
}
FIRST_LINES = {status: b"HTTP/1.1 %d %b\r\n" % (status, reason) for status, reason in REASONS.items()}


class Answer(NamedTuple):
    """The balancer's own answer, instead of a backend's; `lines`: headers that only this answer has."""

    status: int
    why: str
    lines: tuple[bytes, ...] = ()


def head_bytes(status: int, lines: list[bytes]) -> bytes:
    """A response's head."""
    first = FIRST_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
    return b"".join((first, *lines, b"\r\n"))


def own_answer(
    status: int, why: str, keep_alive: bool, head_only: bool = False, own: Sequence[bytes] = ()
) -> bytes:
    """A short text answer of the balancer itself; `own`: headers that only this answer has."""
    body = f"{status} {REASONS[status].decode()}: {why}\n".encode()
    lines = [*own, b"Content-Type: text/plain; charset=utf-8\r\n", b"Content-Length: %d\r\n" % len(body)]
    if status == 503:
        lines.append(b"Retry-After: 1\r\n")
    if not keep_alive:
        lines.append(b"Connection: close\r\n")
    return head_bytes(status, lines) + (b"" if head_only else body)
