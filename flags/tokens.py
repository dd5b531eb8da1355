"""Who may ask: several readers, each with a token of its own."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from pathlib import Path

from balancer.tokens import TOKEN, TokenError, read_bytes, warn_of_short, whose

log = logging.getLogger(__name__)

TICKET = b"sluice flags: event stream"


class Tokens:
    """The tokens in force; a file that turns bad changes nothing."""

    def __init__(self, path: Path) -> None:
        """Raises TokenError if there is no token: nobody runs without one."""
        self._path = path
        self._raw = read_bytes(path)
        self._known = parse(path, self._raw)
        # Raised when other tokens are in force: what was found by the old ones is to be forgotten.
        self.generation = 0
        # Why the file is refused; empty if it is not.
        self.error = ""
        warn_of_short(self._known.items())

    def look(self) -> None:
        """Take the file over if it changed."""
        raw = read_bytes(self._path)
        if raw == self._raw:
            return
        self._raw = raw
        try:
            fresh = parse(self._path, raw)
        except TokenError as error:
            self.error = str(error)
            log.error("%s; the tokens from before stay in force", error)
            return
        self.error = ""
        if fresh != self._known:
            self._known = fresh
            self.generation += 1
            log.info("%d tokens are in force: %s", len(fresh), ", ".join(sorted(fresh)))
            warn_of_short(fresh.items())

    def holder(self, token: bytes) -> str | None:
        """Whose token this is. Every one is compared, in constant time."""
        return whose(token, self._known.items())

    def ticket(self, holder: str) -> str:
        """What opens the event stream alone, for clients that can send no header: browsers."""
        return ticket_of(self._known[holder])

    def ticket_holder(self, ticket: bytes) -> str | None:
        """Whose ticket this is; it is good for as long as the token is."""
        return whose(ticket, [(name, ticket_of(known)) for name, known in self._known.items()])


def ticket_of(token: str) -> str:
    return hmac.new(token.encode(), TICKET, hashlib.sha256).hexdigest()[:32]


def parse(path: Path, raw: bytes | None) -> dict[str, str]:
    """`{reader's name: token}`. Raises TokenError, never with a token in it."""
    want = "want a JSON object of reader's name to token, at least one"
    if raw is None:
        raise TokenError(f"{path}: cannot be read; {want}")
    try:
        told = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise TokenError(f"{path}: not JSON, {want}") from error
    if not isinstance(told, dict) or not told:
        raise TokenError(f"{path}: {want}")
    for name, token in told.items():
        if not isinstance(token, str) or not TOKEN.fullmatch(token):
            shown = ascii(name)[:80]
            raise TokenError(f"{path}: the token of {shown}: want printable ASCII without spaces")
    return told
