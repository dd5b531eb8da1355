"""Who a request to the admin side comes from: a token, or a session of the page."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest

from balancer.attempts import Failures
from balancer.sessions import Sessions
from balancer.tokens import ADMIN, Tokens

KEY_HEADER = "X-Sluice-Key"
# Not more than a name and a key are; what is longer was not made here.
MAX_SECRET = 100


@dataclass(frozen=True)
class Caller:
    """`who` as in the audit log, and `via`: `token`, `page`, or `host` for a host with its own token."""

    who: str
    via: str


@dataclass(frozen=True)
class Gate:
    """One door: what is behind it, and who it counts wrong tokens as."""

    door: str
    tokens: Tokens
    failures: Failures
    sessions: Sessions | None = None
    # Names by which a browser may reach it, besides addresses and localhost; None: any name will do.
    names: Callable[[], Collection[str]] | None = None

    def knows(self, request: HTTPServerRequest, now: float) -> Caller | None:
        """Who it is; None for a wrong token or session, or none."""
        authorization = request.headers.get("Authorization")
        if authorization is not None or self.sessions is None:
            return self.holder(authorization or "")
        name, key = session_name(request), request.headers.get(KEY_HEADER, "")
        if not 0 < len(key) <= MAX_SECRET or not 0 < len(name) <= MAX_SECRET:
            return None
        good = self.sessions.is_good(name, key, self.tokens.admin, now)
        return Caller(ADMIN, "page") if good else None

    def holder(self, authorization: str) -> Caller | None:
        """Whose token it is."""
        who, host = self.tokens.holder(authorization), self.tokens.host(authorization)
        if who is not None:
            return Caller(who, "token")
        return Caller(host, "host") if host is not None else None

    def door_of(self, request: HTTPServerRequest) -> str:
        """What a wrong token is counted as."""
        return "page" if KEY_HEADER in request.headers else self.door

    def is_reached_well(self, request: HTTPServerRequest) -> bool:
        """
        False for a name that is not the balancer's: a page of somebody else who had its own name point here
        (DNS rebinding). An address cannot be made to point anywhere else.
        """
        if self.names is None:
            return True
        host = host_of(request.headers.get("Host", ""))
        return host is not None and (is_address(host) or host == "localhost" or host in self.names())


def is_same_origin(request: HTTPServerRequest, required: bool) -> bool:
    """True if the page that sent this is the balancer's own; browsers say so with all but plain reading."""
    origin = request.headers.get("Origin")
    if origin is None:
        return not required
    host = request.headers.get("Host", "").lower()
    return origin.lower() in (f"http://{host}", f"https://{host}")


def cookie_of(request: HTTPServerRequest) -> str:
    """The cookie's name. Browsers keep cookies by host and not by port, and two tunnels may be open."""
    port = request.headers.get("Host", "").rpartition(":")[2]
    return f"sluice_session_{port}" if port.isascii() and port.isdigit() else "sluice_session"


def session_name(request: HTTPServerRequest) -> str:
    found = request.cookies.get(cookie_of(request))
    return found.value if found is not None else ""


def host_of(header: str) -> str | None:
    """The host in a Host header, in small letters; None if there is none."""
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
