"""Who is logged in to the page. Pure: no clock of its own; kept in memory alone."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

# A working day, then the token is asked for again.
LIFE_SECONDS = 12 * 3600.0
# An open page asks every second: a session that nobody used for so long has no page any more.
UNUSED_SECONDS = 30 * 60.0
# Operators and their browsers; the oldest goes.
MAX_SESSIONS = 100


@dataclass
class Session:
    """`key` is what the page's script holds, `bound` the token it was opened with; both as digests."""

    key: bytes
    bound: bytes
    ends: float
    unused_until: float


@dataclass(frozen=True, repr=False)
class Opened:
    """What the browser gets: `name` in a cookie that no script can read, `key` for the page's script."""

    name: str
    key: str


class Sessions:
    """The sessions by the digest of their name."""

    def __init__(self) -> None:
        self._open: dict[bytes, Session] = {}

    def start(self, token: str, now: float) -> Opened:
        """A new session of somebody who showed `token`."""
        self._drop_old(now)
        if len(self._open) >= MAX_SESSIONS:
            del self._open[min(self._open, key=lambda name: self._open[name].ends)]
        opened = Opened(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        self._open[digest(opened.name)] = Session(
            digest(opened.key), digest(token), now + LIFE_SECONDS, now + UNUSED_SECONDS
        )
        return opened

    def is_good(self, name: str, key: str, token: str, now: float) -> bool:
        """True for an open session with its key, while `token` is still the one it was opened with."""
        self._drop_old(now)
        found = self._open.get(digest(name))
        if found is None or not hmac.compare_digest(found.key, digest(key)):
            return False
        if not hmac.compare_digest(found.bound, digest(token)):
            self.end(name)
            return False
        found.unused_until = now + UNUSED_SECONDS
        return True

    def end(self, name: str) -> None:
        """Log out."""
        self._open.pop(digest(name), None)

    def _drop_old(self, now: float) -> None:
        self._open = {
            name: one for name, one in self._open.items() if now < one.ends and now < one.unused_until
        }


def digest(text: str) -> bytes:
    """What is kept in place of a secret."""
    return hashlib.sha256(text.encode()).digest()
