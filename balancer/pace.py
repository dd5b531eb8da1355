"""Whether a request's body comes fast enough: one that drips holds a connection, and a backend's with it."""

from __future__ import annotations


class Pace:
    """What came of one body, and since when too little."""

    __slots__ = ("_bytes", "_since", "body")

    def __init__(self, body: object, now: float) -> None:
        # The request it is of.
        self.body = body
        self._bytes, self._since = 0, now

    def is_too_slow(self, now: float, received: int, seconds: float, least: int) -> bool:
        """
        True once for `seconds` fewer than `least` bytes came. Before the first byte nothing is asked: a
        client that expects `100 Continue` waits for the backend; how long nothing may come is another limit.
        """
        if received == 0 or received - self._bytes >= least:
            self._bytes, self._since = received, now
            return False
        return now - self._since >= seconds

    def pardon(self, now: float) -> None:
        """The client was not read, so it could not send: its time begins anew."""
        self._since = now
