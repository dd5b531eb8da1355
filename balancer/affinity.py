"""
Affinity: a user stays on one track for one release.

A new user is given a position in [0, 1), in a cookie that is signed for the service and the release. While it
is below the canary's share he is on the canary. So a position never changes and the cookie is never written
anew: a larger share takes more positions in and lets none go, an alert (share 0) sends everyone to stable,
and each comes back to where he was when it is cleared.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from balancer import policy
from balancer.reader import Reader

KIND = "cookie"
# RFC 6265, 4.1.1: a cookie's name is a token.
COOKIE_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
RELEASE = re.compile(r"[A-Za-z0-9._-]{1,64}")
# A release takes hours or days; who comes back later counts as new.
MAX_AGE_SECONDS = 7 * 24 * 3600
# As long as the output of the hash (RFC 2104, 3): shorter ones make it weaker, longer ones not stronger.
SECRET_BYTES = 32
# Positions are whole numbers below this: fine enough for shares of a thousandth of a percent.
POSITIONS = 2**32
# 112 bits of the code cannot be guessed; with the position it makes 18 bytes, which need no padding.
CODE_BYTES = 14
VALUE = re.compile(rb"[A-Za-z0-9_-]{24}")
# Checking a cookie costs more than all else that affinity does; so many valid ones are remembered (1 MB).
MAX_REMEMBERED = 10_000
# The golden ratio of POSITIONS, odd: steps of it, around and around, are the most even there are (Knuth,
# The Art of Computer Programming 3, 6.4).
STEP = 0x9E3779B9


@dataclass(frozen=True)
class Affinity:
    """How users of a service are kept on a track; `release` is what their positions are for."""

    cookie: str
    secret_file: Path
    release: str
    max_age_seconds: int


def read_affinity(read: Reader, told: object, path: str, service: str) -> Affinity | None:
    """`{"kind": "cookie", ...}`, or `{"kind": "none"}`."""
    table = read.table(told, path, {"kind", "cookie", "secret_file", "release", "max_age_seconds"})
    kind = table.get("kind", KIND)
    if kind not in (KIND, "none"):
        read.wrong(f"{path}.kind", kind, f'"{KIND}" or "none"')
    if kind == "none":
        return None
    name = table.get("cookie", f"sluice_{service}")
    want = "letters, digits, - and _, at most 64 in all"
    return Affinity(
        cookie=read.text(name, f"{path}.cookie", want, COOKIE_NAME.fullmatch),
        secret_file=read.file(table.get("secret_file"), f"{path}.secret_file"),
        release=read.text(table.get("release"), f"{path}.release", f"an id of {want}", RELEASE.fullmatch),
        max_age_seconds=read.whole(
            table.get("max_age_seconds", MAX_AGE_SECONDS), f"{path}.max_age_seconds", 60, 400 * 24 * 3600
        ),
    )


def derive(secret: bytes, service: str, release: str) -> bytes:
    """The key for one service and one release: what another key has signed is not valid."""
    return hmac.digest(secret, f"sluice affinity\0{service}\0{release}".encode(), "sha256")


class Places:
    """
    Which positions are on which track. Pure.

    The tracks other than stable lie at the beginning, each as wide as its share; stable has the rest. So a
    larger share of the one canary that a service may have takes users from stable, and a smaller one gives
    them back.
    """

    __slots__ = ("_spans",)

    def __init__(self, weights: Mapping[str, float]) -> None:
        # (track, first position, first position after it)
        self._spans: list[tuple[str, int, int]] = []
        total = sum(weights.values())
        low = 0.0
        for track in sorted(weights, key=lambda name: (name == policy.STABLE, name)):
            high = low + weights[track]
            if high > low:
                self._spans.append((track, int(POSITIONS * low / total), int(POSITIONS * high / total)))
            low = high

    def track(self, position: int) -> str | None:
        """Where a user is; None if nothing can serve."""
        for track, _, end in self._spans:
            if position < end:
                return track
        # Only a rounding error is above the last one.
        return self._spans[-1][0] if self._spans else None

    def span(self, track: str) -> tuple[int, int]:
        """The first position on a track, and the first after it."""
        return next(((low, high) for name, low, high in self._spans if name == track), (0, 1))


class NewUsers:
    """
    Positions for those who have none.

    The track is chosen by the same exact scheme as for requests without affinity; within its part of the
    positions the next one is a step of the golden ratio away from the last, so that they lie evenly and a
    share that is raised later takes in as many users as it says.
    """

    def __init__(self, start: int) -> None:
        self._last: dict[str, int] = {}
        self._start = start

    def place(self, track: str, span: tuple[int, int]) -> int:
        """A position on a track that has this span."""
        low, high = span
        turn = self._last[track] = (self._last.get(track, self._start) + STEP) % POSITIONS
        return low + turn * (high - low) // POSITIONS


class Cookies:
    """The cookie of one service and release: read, made, and taken out of a request."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.name = told["cookie"].encode()
        self._key = bytes.fromhex(told["key"])
        self._age = told["max_age_seconds"]
        # Values that were found to be valid.
        self._known: dict[bytes, int] = {}

    def position(self, headers: list[bytes]) -> int | None:
        """A user's position, from his Cookie headers; None without exactly one cookie that is valid."""
        found = values_of(headers, self.name)
        if len(found) != 1:
            return None
        known = self._known.get(found[0])
        return known if known is not None else self._check(found[0])

    def _check(self, value: bytes) -> int | None:
        if not VALUE.fullmatch(value):
            return None
        whole = base64.urlsafe_b64decode(value)
        if not hmac.compare_digest(whole[4:], self._code(whole[:4])):
            return None
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        position = self._known[value] = int.from_bytes(whole[:4])
        return position

    def line(self, position: int, secure: bool) -> bytes:
        """The Set-Cookie line (RFC 6265, 4.1) that gives a user his position."""
        place = position.to_bytes(4)
        value = base64.urlsafe_b64encode(place + self._code(place))
        end = b"; Secure\r\n" if secure else b"\r\n"
        return b"Set-Cookie: %b=%b; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax%b" % (
            self.name,
            value,
            self._age,
            end,
        )

    def _code(self, place: bytes) -> bytes:
        return hmac.digest(self._key, place, "sha256")[:CODE_BYTES]


def values_of(headers: list[bytes], name: bytes) -> list[bytes]:
    """The values of all cookies of this name, from the values of Cookie headers."""
    found = []
    for header in headers:
        if name in header:
            pairs = [part.partition(b"=") for part in header.split(b";")]
            found += [value.strip(b" \t") for key, _, value in pairs if key.strip(b" \t") == name]
    return found


def without_cookie(value: bytes, name: bytes) -> bytes:
    """The value of a Cookie header without the cookie of this name; all else byte for byte."""
    kept = [part for part in value.split(b";") if part.partition(b"=")[0].strip(b" \t") != name]
    return b";".join(kept).lstrip(b" \t")


def add_cookie(lines: list[bytes], cookie: bytes) -> None:
    """
    Have an answer set a user's cookie, and no cache give it to another.

    An answer that the application declares to be for everyone stays so, and sets none: the user gets his with
    another one.
    """
    controls = [line.lower() for line in lines if line[:14].lower() == b"cache-control:"]
    if any(b"public" in line or b"s-maxage" in line for line in controls):
        return
    lines.append(cookie)
    if not any(b"private" in line or b"no-store" in line for line in controls):
        lines.append(b"Cache-Control: private\r\n")


def random_start() -> int:
    """Where a worker's positions begin: no two begin alike."""
    return secrets.randbelow(POSITIONS)
