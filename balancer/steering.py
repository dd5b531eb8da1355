"""The choice of a track where it is not only a matter of shares: testers' wishes and users' positions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from balancer import policy
from balancer.affinity import Cookies, NewUsers, Places, random_start, without_cookie
from balancer.request import disguises
from balancer.testers import Wishes

if TYPE_CHECKING:
    from balancer.request import Request
    from balancer.routes import Backend, Route


class Steered:
    """What is known of a request's user."""

    __slots__ = ("cookie", "position", "wish")

    def __init__(self, wish: str, position: int | None) -> None:
        # The track a tester asked for; empty if it was not asked, or not allowed.
        self.wish = wish
        self.position = position
        # The line for a new user's answer.
        self.cookie = b""


class Steering:
    """Affinity and testers of one service, or one of them."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        affinity, testers = told.get("affinity"), told.get("testers")
        self._cookies = Cookies(affinity) if affinity else None
        self._wishes = Wishes(testers) if testers else None
        self._header = self._wishes.header if self._wishes else b""
        self._stripped = {self._header, *disguises(self._header)} if self._header else set()
        self._new = NewUsers(random_start())
        self._places = Places({})

    def weigh(self, weights: Mapping[str, float]) -> None:
        """Other weights are in force."""
        self._places = Places(weights)

    def choose(self, route: Route, request: Request, tried: Collection[Backend]) -> Backend | None:
        """The backend for a request, none of `tried`; None if nothing can serve it."""
        user = request.steered
        if user is None:
            user = request.steered = self._look(request)
        if user.wish:
            # Not counted: what testers do must not disturb the shares of all others.
            track = user.wish if self._is_open(route, user.wish) else policy.STABLE
        elif self._cookies is None:
            return route.choose(tried)
        else:
            if user.position is None:
                self._settle(route, user, request.proto == b"https")
            found = None if user.position is None else self._places.track(user.position)
            if found is None:
                return None
            track = found
        return route.choose_in(track, tried)

    def may_have(self, route: Route, request: Request, backend: Backend) -> bool:
        """True while this request may go to a backend, which may have changed since it was chosen."""
        user = request.steered
        if user is not None and user.wish == backend.track:
            return backend.usable and self._is_open(route, backend.track)
        return route.serves(backend)

    @staticmethod
    def _is_open(route: Route, track: str) -> bool:
        """Testers may try a canary that has no share yet, but not one with an alert."""
        return track in route.tracks and (track == policy.STABLE or not route.alert)

    def _look(self, request: Request) -> Steered:
        """Who is asking; what he says of it is for the balancer, and does not go on."""
        said, cookies = [], []
        for name, value in request.headers:
            lower = name.lower()
            if lower == b"cookie":
                cookies.append(value)
                if self._cookies is not None and self._cookies.name in value:
                    rest = without_cookie(value, self._cookies.name)
                    request.head = replaced(request.head, name, value, rest or None)
            elif lower in self._stripped:
                request.head = replaced(request.head, name, value, None)
                if lower == self._header:
                    said.append(value.strip(b" \t"))
        wish = self._wishes.wish(said, cookies, request.address) if self._wishes else ""
        position = self._cookies.position(cookies) if self._cookies and not wish else None
        return Steered(wish, position)

    def _settle(self, route: Route, user: Steered, secure: bool) -> None:
        """Give a new user his position."""
        track = route.next_track()
        if track is not None and self._cookies is not None:
            user.position = self._new.place(track, self._places.span(track))
            user.cookie = self._cookies.line(user.position, secure)


def replaced(head: bytes, name: bytes, old: bytes, new: bytes | None) -> bytes:
    """A head with another value for a header as it came in, or without that header."""
    line = b"" if new is None else b"%b: %b\r\n" % (name, new)
    return head.replace(b"\r\n%b: %b\r\n" % (name, old), b"\r\n" + line, 1)
