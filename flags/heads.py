"""Heads of requests, read strictly (RFC 9112): what two readers might take differently is refused."""

from __future__ import annotations

import re

from balancer.hosts import is_host

# As in RFC 9110, 4.1: at least 8000 octets of a target are supported; a flag's name has 64.
MAX_TARGET_BYTES = 8 * 1024
MAX_HEAD_BYTES = 16 * 1024
MAX_FIELDS = 100

LINE = re.compile(rb"([A-Z]{1,20}) ([!-~]++) HTTP/1\.([01])")
FIELD = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t !-~\x80-\xff]*+\r\n"
FIELDS = re.compile(rb"(?:%b)*+" % FIELD)
PAIRS = re.compile(rb"([^:]++):[ \t]*+([^\r]*+)\r\n")
LENGTH = re.compile(rb"[0-9]{1,15}")
ABSOLUTE = re.compile(rb"https?://([^/?#]*)([/?].*)?", re.IGNORECASE)
# Of these two would be two meanings.
ONCE = {b"host", b"content-length", b"transfer-encoding", b"authorization", b"x-api-key"}


class BadRequest(Exception):
    """What is answered to a request that cannot be read; the connection ends with it."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class Fields:
    """The header fields of a request, and what follows from them for its body and its connection."""

    __slots__ = ("by_name", "expects", "is_chunked", "keep_alive", "length", "who")

    def __init__(self, block: bytes, minor: bytes) -> None:
        """Raises BadRequest."""
        self.by_name = _by_name(block)
        find = self.by_name.get
        self.is_chunked, self.length = False, 0
        self._read_framing(find(b"transfer-encoding"), find(b"content-length"), minor)
        host = find(b"host")
        if host is None and minor == b"1":
            raise BadRequest(400, "want a Host")
        if host is not None and not is_host(host):
            raise BadRequest(400, "bad Host")
        options = {option.strip().lower() for option in find(b"connection", b"").split(b",")}
        # One request for each connection with HTTP/1.0; keeping it open was never agreed upon well.
        self.keep_alive = minor == b"1" and b"close" not in options
        self.expects = minor == b"1" and find(b"expect", b"").lower() == b"100-continue"
        # Whose token is in it; filled in by whoever looked, with the generation of the tokens.
        self.who: tuple[int, str | None] | None = None

    def _read_framing(self, coding: bytes | None, length: bytes | None, minor: bytes) -> None:
        if coding is not None:
            if length is not None:
                raise BadRequest(400, "both Content-Length and Transfer-Encoding")
            if coding.lower() != b"chunked" or minor != b"1":
                raise BadRequest(501, "a transfer coding other than chunked")
            self.is_chunked = True
        elif length is not None:
            if not LENGTH.fullmatch(length):
                raise BadRequest(400, "bad Content-Length")
            self.length = int(length)


def _by_name(block: bytes) -> dict[bytes, bytes]:
    if not FIELDS.fullmatch(block):
        raise BadRequest(400, "bad header")
    pairs = PAIRS.findall(block)
    if len(pairs) > MAX_FIELDS:
        raise BadRequest(431, f"more than {MAX_FIELDS} headers")
    found: dict[bytes, bytes] = {}
    for name, value in pairs:
        lower, value = name.lower(), value.rstrip(b" \t")
        if lower not in found:
            found[lower] = value
        elif lower in ONCE:
            raise BadRequest(400, f"{lower.decode()} more than once")
        else:
            found[lower] += b", " + value
    return found


def read_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Method, target and minor version of a request line. Raises BadRequest."""
    found = LINE.fullmatch(line)
    if found is None:
        raise BadRequest(400, "not valid HTTP/1.1")
    method, target, minor = found.groups()
    if len(target) > MAX_TARGET_BYTES:
        raise BadRequest(414, "target too long")
    if not target.startswith(b"/"):
        target = _origin_form(method, target)
    return method, target, minor


def _origin_form(method: bytes, target: bytes) -> bytes:
    """A target that is no path: a whole URL, as a proxy is asked (RFC 9112, 3.2.2), or `*` of OPTIONS."""
    whole = ABSOLUTE.fullmatch(target)
    if whole is not None:
        path = whole[2] or b"/"
        return path if path.startswith(b"/") else b"/" + path
    if target == b"*" and method == b"OPTIONS":
        return target
    raise BadRequest(400, "bad request target")


class Chunks:
    """Takes a body in chunks apart (RFC 9112, 7.1); extensions and trailers are read and left out."""

    SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t !-~\x80-\xff]*)?")
    MAX_LINE_BYTES = 1024

    def __init__(self, most: int) -> None:
        self._most = most
        self.body = b""
        # Bytes that were neither data nor its frame: extensions and trailers must not go on for ever.
        self._other = 0
        self._in_trailers = False

    def take(self, data: bytes, at: int) -> int | None:
        """Read on at `at`; where the body ends, or None with `rest` to be given again with what comes."""
        while True:
            self.rest = at
            end = data.find(b"\r\n", at)
            if end < 0:
                if len(data) - at > self.MAX_LINE_BYTES:
                    raise BadRequest(400, "bad chunk")
                return None
            line = data[at:end]
            self._other += len(line)
            if self._other > MAX_HEAD_BYTES + self._most:
                raise BadRequest(431, "too much around the body")
            if self._in_trailers:
                at = end + 2
                if not line:
                    return at
                continue
            found = self.SIZE.fullmatch(line)
            if found is None:
                raise BadRequest(400, "bad chunk")
            size = int(found[1], 16)
            if len(self.body) + size > self._most:
                raise BadRequest(413, f"a body of more than {self._most} bytes")
            if not size:
                self._in_trailers = True
                at = end + 2
                continue
            after = end + 2 + size
            if len(data) < after + 2:
                self._other -= len(line)
                return None
            if data[after : after + 2] != b"\r\n":
                raise BadRequest(400, "bad chunk")
            self.body += data[end + 2 : after]
            at = after + 2
