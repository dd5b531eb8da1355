"""Changes of flags as they come, from the keyspace events of the server that is read from."""

import time
from collections.abc import Callable, Iterator

import sluice_flag_store
from sluice_config import RedisServer
from sluice_flag_document import NAME
from sluice_flag_store import DOCUMENT_PREFIX, OUTSIDE_BY, Entry, Flag
from sluice_redis import Redis, RedisError

EVENTS = "__keyspace@0__:"
# A server that answers later than this counts as lost.
ANSWER_SECONDS = 2.0
# So long nothing may be heard before the server is asked whether it is still there.
SILENT_SECONDS = 2.0
# After a server is lost; a failover takes a few seconds.
RETRY_SECONDS = 0.5


class Watch:
    """
    What changes at one flag, or at all of them.

    find
        Gives the server to read from; asked again when that one is lost.
    name (str or None)
        The flag; None for all.
    """

    def __init__(self, find: Callable[[], RedisServer], name: str | None) -> None:
        self._find, self._name = find, name
        self._known: dict[str, Flag] | None = None

    def changes(self, seconds: float) -> Iterator[tuple[str, Entry]]:
        """Name and change, for so many seconds. RedisError if no server can be heard at their end."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                yield from self._heard(self._find(), deadline)
                return
            except RedisError:
                if time.monotonic() + RETRY_SECONDS > deadline:
                    raise
                time.sleep(RETRY_SECONDS)

    def _heard(self, server: RedisServer, deadline: float) -> Iterator[tuple[str, Entry]]:
        with Redis(server, ANSWER_SECONDS) as events, Redis(server, ANSWER_SECONDS) as asked:
            self._subscribe(events)
            # Only now, so that nothing between the two is missed; after a lost server it tells what was.
            yield from self._compared(asked)
            while (left := deadline - time.monotonic()) > 0:
                message = events.pushed(min(left, SILENT_SECONDS))
                asked.extend(ANSWER_SECONDS)
                if message is None:
                    # Nothing has changed, or the server hangs and nobody would ever tell.
                    asked.call("PING")
                elif name := self._flag_of(message):
                    yield from self._news(sluice_flag_store.read(asked, name))

    def _subscribe(self, events: Redis) -> None:
        if self._name is None:
            events.call("PSUBSCRIBE", f"{EVENTS}*")
            return
        for key in (self._name, DOCUMENT_PREFIX + self._name):
            events.call("SUBSCRIBE", EVENTS + key)

    def _compared(self, asked: Redis) -> Iterator[tuple[str, Entry]]:
        known = self._known
        names = [self._name] if self._name else {*sluice_flag_store.names(asked), *(known or ())}
        found = list(sluice_flag_store.read_many(asked, names))
        if known is None:
            self._known = {flag.name: flag for flag in found}
            return
        for flag in found:
            yield from self._news(flag)

    def _flag_of(self, message: object) -> str | None:
        """The flag whose key the event is of."""
        channel = str(message[-2]) if isinstance(message, list) and len(message) in (3, 4) else ""
        name = channel.removeprefix(EVENTS).removeprefix(DOCUMENT_PREFIX)
        return name if NAME.fullmatch(name) else None

    def _news(self, flag: Flag) -> Iterator[tuple[str, Entry]]:
        """What of a flag is not known yet, oldest first."""
        known = self._known if self._known is not None else {}
        old = known.get(flag.name, Flag(flag.name))
        known[flag.name] = flag
        last = old.history[:1]
        entries = []
        for entry in flag.history:
            if (entry,) == last:
                break
            entries.append(entry)
        yield from ((flag.name, entry) for entry in reversed(entries))
        before = next((entry.after for entry in entries if entry.what in ("set", "delete")), old.value)
        if flag.value != before:
            yield flag.name, Entry(time.time(), OUTSIDE_BY, "set", before, flag.value)
