"""A request as it came in, checked so strictly that no two parsers can read it differently."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from balancer import forwarded, limits, trailers
from balancer.forwarded import Asked, asked_through
from balancer.hosts import is_host

if TYPE_CHECKING:
    from balancer.answers import Answer
    from balancer.routes import Route
    from balancer.steering import Steered

# RFC 9110, 7.6.1, and the older names still met in the wild.
HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"http2-settings",
    )
)
IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"))
LENGTH = re.compile(rb"[0-9]{1,18}")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
# No fragment: some servers cut it off, others take it for a part of the path.
TARGET = re.compile(rb"[!\"$-~]+")
PARAMETERS = re.compile(rb";[^/]*")


class BadRequest(Exception):
    """The request is refused: status and a reason for the client."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Request:
    """One request: its head, what of its body waits, and how it ends."""

    __slots__ = (
        "_headers",
        "address",
        "answer",
        "body",
        "body_sent",
        "chunked",
        "complete",
        "head",
        "host",
        "id",
        "keep_alive",
        "length",
        "lines",
        "method",
        "proto",
        "protocol",
        "route",
        "started",
        "steered",
        "takes_trailers",
        "target",
        "trailers",
        "upgrade",
        "version",
        "waiting_bytes",
    )

    def __init__(self, started: float) -> None:
        self.started = started
        # Of the client, as far as it is known; of a proxy in between if nobody trusts its word.
        self.address = b""
        self.proto = b"http"
        # The service that it is for; set once its Host is known.
        self.route: Route = None  # type: ignore[assignment]
        self.method = b""
        self.target = b""
        self.version = "1.1"
        self._headers: list[tuple[bytes, bytes]] | None = None
        # The headers of a plain head, as they go on.
        self.lines = b""
        self.host = b""
        self.id = b""
        self.head = b""
        self.length: bytes | None = None
        self.chunked = False
        self.keep_alive = True
        # The client offers another protocol; the parser then stops before the body.
        self.upgrade = False
        # The other protocol that is offered to the backend as well.
        self.protocol = b""
        self.complete = False
        # Parts of the body in the framing of the backend's connection, not sent yet.
        self.body: list[bytes] = []
        self.waiting_bytes = 0
        self.body_sent = False
        # What came after the last chunk, if anything did; and whether the client takes such from a backend.
        self.trailers: list[tuple[bytes, bytes]] | None = None
        self.takes_trailers = False
        # What a rule has the balancer answer by itself.
        self.answer: Answer | None = None
        # Who asks, once that mattered for the choice of a track.
        self.steered: Steered | None = None

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Names and values as they came; a plain head is taken apart only now, for few ask."""
        if self._headers is None:
            pairs = [line.partition(b": ") for line in self.lines.split(b"\r\n")[:-1]]
            self._headers, self.lines = [(name, value) for name, _, value in pairs], b""
        return self._headers

    @headers.setter
    def headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        self._headers, self.lines = headers, b""

    @property
    def has_body(self) -> bool:
        return self.chunked or (self.length is not None and self.length.strip(b"0") != b"")

    @property
    def path(self) -> str:
        """The target without its query and parameters (`;jsessionid=...` is a credential), for logs."""
        path = self.target.split(b"?", 1)[0]
        return (PARAMETERS.sub(b"", path) if b";" in path else path).decode("latin-1")

    def may_repeat(self) -> bool:
        """True if sending it again can do no harm: nothing was sent of its body and it is idempotent."""
        return self.method in IDEMPOTENT and not self.body_sent

    def check(self, proto: bytes = b"http") -> None:
        """Raise BadRequest for anything ambiguous; fill in host, framing and path. `proto`: as it came."""
        hosts = []
        for name, value in self.headers:
            lower = name.lower()
            if lower == b"host":
                hosts.append(value)
            elif lower == b"content-length":
                self._check_length(value)
            elif lower == b"transfer-encoding":
                self._check_coding(value)
            elif lower == b"x-request-id" and REQUEST_ID.fullmatch(value):
                self.id = value
        if self.chunked and self.length is not None:
            raise BadRequest(400, "both Content-Length and Transfer-Encoding")
        self._check_host(hosts)
        self._check_target(proto)

    def _check_length(self, value: bytes) -> None:
        if self.length is not None or not LENGTH.fullmatch(value):
            raise BadRequest(400, "bad Content-Length")
        self.length = value

    def _check_coding(self, value: bytes) -> None:
        if self.chunked or value.lower() != b"chunked" or self.version != "1.1":
            raise BadRequest(400, "bad Transfer-Encoding")
        self.chunked = True

    def _check_host(self, hosts: list[bytes]) -> None:
        if len(hosts) > 1 or (not hosts and self.version == "1.1"):
            raise BadRequest(400, "want exactly one Host")
        self.host = hosts[0] if hosts else b""
        if not is_host(self.host):
            raise BadRequest(400, "bad Host")

    def _check_target(self, proto: bytes) -> None:
        if self.method == b"CONNECT":
            raise BadRequest(405, "no CONNECT here")
        if len(self.target) > limits.now.target_bytes:
            raise BadRequest(414, "target too long")
        if not TARGET.fullmatch(self.target):
            raise BadRequest(400, "bad request target")
        if self.target.startswith(b"/") or (self.target == b"*" and self.method == b"OPTIONS"):
            return
        scheme, found, rest = self.target.partition(b"://")
        authority, slash, path = rest.partition(b"/")
        if not found or scheme.lower() != proto or authority.lower() != self.host.lower():
            raise BadRequest(400, "bad request target")
        self.target = slash + path or b"/"

    def last_chunk(self) -> bytes:
        """The end of a body in chunks, with its trailers."""
        if self.trailers is None:
            return trailers.LAST_CHUNK
        rules = self.route.rules
        barred = connection_options(self.headers) | (rules.touched if rules is not None else set())
        return trailers.last_chunk(self.trailers, barred)

    def make_head(self, asked: Asked) -> None:
        """
        The head as it goes to the backend: end-to-end headers, and who asked: `asked`, unless that is a
        trusted proxy. BadRequest if it is huge, or came by here too often.
        """
        if not self.lines:
            asked = self._end_to_end(asked)
        self.address, self.proto, lines, rest, host = asked
        if host is None:
            host = self.host
        if self.version != "1.1":
            lines = lines.replace(b"1.1", b"1.0", 1)
        parts = (self.method, b" ", self.target, b" HTTP/1.1\r\n", self.lines)
        ours = (lines, host, b'"', rest, b"\r\nX-Forwarded-Host: ", host, b"\r\nX-Request-Id: ", self.id)
        self.head = b"".join((*parts, *ours, b"\r\n\r\n"))
        # The limit while it comes in counts what was read at once; this one counts what goes on.
        if len(self.head) > limits.now.header_bytes:
            raise BadRequest(431, "head too large")

    def _end_to_end(self, asked: Asked) -> Asked:
        """Fill in `lines` with the headers that go on; returns who asked, as far as that can be believed."""
        trusted = self.route.trusted
        trusts = trusted is not None and trusted.hold(asked.address)
        drop = connection_options(self.headers)
        parts: list[bytes] = []
        said = []
        rounds = 0
        for name, value in self.headers:
            lower = name.lower()
            if lower not in NOT_FORWARDED and lower not in drop:
                parts.append(b"%b: %b\r\n" % (name, value))
            elif lower == b"via" or (trusts and lower in forwarded.OTHERS):
                parts.append(b"%b: %b\r\n" % (name, value))
                rounds += forwarded.rounds(value) if lower == b"via" else 0
            elif lower == b"te":
                self.takes_trailers = self.takes_trailers or trailers.are_wanted(value)
            elif lower == b"trailer" and self.chunked:
                parts.append(trailers.announcement(value))
            elif trusts:
                said.append((lower, value))
        if rounds >= forwarded.MAX_ROUNDS:
            raise BadRequest(508, "the request came by here too often")
        if self.protocol:
            parts.append(b"Connection: Upgrade\r\nUpgrade: %b\r\n" % self.protocol)
        elif self.takes_trailers:
            # Of this hop as well (RFC 9110, 10.1.4): the balancer takes them from the backend.
            parts.append(b"TE: trailers\r\nConnection: TE\r\n")
        if self.chunked:
            parts.append(b"Transfer-Encoding: chunked\r\n")
        if not self.host and b"host" not in [name.lower() for name, _ in self.headers]:
            parts.append(b"Host: \r\n")
        self.lines = b"".join(parts)
        return asked_through(asked, said, trusted) if trusts and trusted is not None else asked


# Set by the balancer itself, whatever the client said.
OURS = forwarded.OURS | {b"x-request-id", b"x-sluice-mirror"}


def disguises(name: bytes) -> set[bytes]:
    """A header's name as it may be written for applications to whom `_` and `-` are one (CGI, WSGI)."""
    words = name.split(b"-")
    found = {words[0]}
    for word in words[1:]:
        found = {begun + b"-" + word for begun in found} | {begun + b"_" + word for begun in found}
    return found - {name}


NOT_FORWARDED = (HOP_BY_HOP | OURS).union(
    # Of those a trusted proxy may send, and of the one that is looked at, see `make_head`.
    [*forwarded.OTHERS, b"via"],
    *map(disguises, [*HOP_BY_HOP, *OURS, *forwarded.OTHERS, b"content-length"]),
)


def connection_options(headers: list[tuple[bytes, bytes]]) -> set[bytes]:
    """The header names that a Connection header declares to be for this hop only."""
    named: set[bytes] = set()
    for name, value in headers:
        if name.lower() == b"connection":
            named.update(option.strip().lower() for option in value.split(b","))
    return named - {b"host", b"content-length"}
