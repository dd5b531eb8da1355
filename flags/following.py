"""
Follows one server's data: reads all flags, hears of changes, and reads again what changed.

Messages only say which key changed; its value is then read, so that what is in memory is what Redis has,
whatever was lost or came twice. All is read again now and then: a replica that gets a whole new copy of its
master's data says nothing of the keys in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from sluice_config import SERVICE_NAME

from flags.resp import Link, RedisError, Refusal
from flags.store import Raw, Store, is_name, text

CHANNEL = "__keyspace@0__:"
DOCUMENT, CANARY, ALERT = "sluice:flag:", "sluice:canary:", "sluice:alert:"
READ_AGAIN_SECONDS = 5.0
# Of one request: enough to make round trips cheap, and less than a millisecond of the server's time.
BATCH = 500
# A balancer renews its canary's key every 10 s and lets it live for 30 s.
MAX_CANARY_SECONDS = 30.0
# More services than a fleet has.
MAX_SERVICES = 1_000


class Following:
    """What is read from one server, for as long as it is the one to read."""

    def __init__(self, link: Link, store: Store, settle: Callable[[], None]) -> None:
        """`settle` is called when something is other about releases."""
        self._link, self._store, self._settle = link, store, settle
        # Flags and services that changed and are not read again yet.
        self._names: set[str] = set()
        self._services: set[str] = set()
        # Those that changed since all is being read.
        self._since: set[str] = set()
        self._reading: asyncio.Future[list[Any]] | None = None
        self._is_over = False
        # True when all was read once, and every change since is heard of.
        self.is_loaded = False

    async def run(self, loaded: Callable[[], None]) -> None:
        """Ends with a RedisError when the connection does; `loaded` is called when all was read."""
        self._link.subscribe(f"{CHANNEL}*")
        await self.read_all()
        loaded()
        while True:
            await asyncio.wait([self._link.lost], timeout=READ_AGAIN_SECONDS)
            await self.read_all()

    def stop(self) -> None:
        """Nothing that still comes is taken."""
        self.is_loaded = False
        self._is_over = True

    # All.

    async def read_all(self) -> None:
        """Have in memory what the server has, and nothing else."""
        self._since.clear()
        flags: set[str] = set()
        services: set[str] = set()
        for key in await self._keys():
            self._sort(key, flags, services)
        names = sorted(flags)
        raws: dict[str, Raw] = {}
        for batch in (names[at : at + BATCH] for at in range(0, len(names), BATCH)):
            raws.update(_raws(batch, checked(await self._link.ask(*_flag_commands(batch)))))
        told = sorted(services)
        replies = checked(await self._link.ask(*_service_commands(told))) if told else []
        # What changed meanwhile is or will be read by itself, and this is older.
        known = self._store.flags
        newer = {name: known[name].raw for name in self._since & known.keys()}
        self._store.replace({name: raw for name, raw in raws.items() if name not in self._since} | newer)
        self._store.forget_releases(services | self._since)
        self._take_services(told, replies)
        self.is_loaded = True
        self._read_changed()

    async def _keys(self) -> list[bytes]:
        keys: list[bytes] = []
        cursor: bytes = b"0"
        while True:
            (page,) = await self._link.ask(("SCAN", cursor, "COUNT", str(BATCH)))
            if isinstance(page, Refusal):
                raise RedisError(f"refuses to list its keys: {page}")
            cursor, found = page
            keys += found
            if cursor == b"0":
                return keys

    @staticmethod
    def _sort(key: bytes, flags: set[str], services: set[str]) -> None:
        """Note what a key belongs to, if it is one of ours."""
        name = key.decode(errors="replace")
        if ":" not in name:
            if is_name(name):
                flags.add(name)
        elif name.startswith(DOCUMENT):
            if is_name(name.removeprefix(DOCUMENT)):
                flags.add(name.removeprefix(DOCUMENT))
        elif name.startswith((CANARY, ALERT)) and len(services) < MAX_SERVICES:
            service = name.split(":", 2)[2]
            if SERVICE_NAME.match(service):
                services.add(service)

    # Changes.

    def pushed(self, channels: Iterable[bytes]) -> None:
        """Messages came: what they name is read again, at once or as soon as the last answer is there."""
        names: set[str] = set()
        services: set[str] = set()
        for channel in set(channels):
            self._sort(channel[len(CHANNEL) :], names, services)
        self._names |= names
        self._services |= services
        self._since |= names | services
        if self.is_loaded:
            self._read_changed()

    def _read_changed(self) -> None:
        if self._reading is not None or not (self._names or self._services):
            return
        names, services = sorted(self._names), sorted(self._services)
        self._names, self._services = set(names[BATCH:]), set()
        names = names[:BATCH]
        self._reading = asyncio.get_running_loop().create_future()
        self._reading.add_done_callback(lambda done: self._changed(names, services, done))
        self._link.send(self._reading, *_flag_commands(names), *_service_commands(services))

    def _changed(self, names: list[str], services: list[str], done: asyncio.Future[list[Any]]) -> None:
        self._reading = None
        if done.cancelled() or done.exception() is not None or self._is_over:
            # The connection is gone, or another is read; that one is read whole.
            return
        try:
            replies = checked(done.result())
        except RedisError as error:
            self._link.end(error)
            return
        self._store.update(_raws(names, replies))
        self._take_services(services, replies[2 * len(names) :])
        self._read_changed()

    # Releases.

    def _take_services(self, services: list[str], replies: list[Any]) -> None:
        for at, service in enumerate(services):
            weight, left, alerts = replies[3 * at : 3 * at + 3]
            self._store.set_release(service, _canary_seconds(weight, left), _is_there(alerts))
        self._settle()


def checked(replies: list[Any]) -> list[Any]:
    """
    The same replies. RedisError if the server refuses to read: it is loading, say, or its user may not.

    Then nothing is known of the flag, and what was known stays. That a key has another type is an answer.
    """
    for reply in replies:
        if isinstance(reply, Refusal) and not reply.startswith("WRONGTYPE"):
            raise RedisError(f"refuses to read: {reply}")
    return replies


def _flag_commands(names: list[str]) -> list[tuple[str, ...]]:
    # Not MGET: it says of a key of another type that there is none.
    return [("GET", key) for name in names for key in (name, DOCUMENT + name)]


def _service_commands(services: list[str]) -> list[tuple[str, ...]]:
    return [
        words
        for service in services
        for words in (("GET", CANARY + service), ("PTTL", CANARY + service), ("EXISTS", ALERT + service))
    ]


def _raws(names: list[str], replies: list[Any]) -> dict[str, Raw]:
    return {name: Raw(text(replies[2 * at]), text(replies[2 * at + 1])) for at, name in enumerate(names)}


def _canary_seconds(weight: object, left: object) -> float:
    """How long a canary serves for sure; 0 if its key is gone or says that it does not serve."""
    try:
        serves = isinstance(weight, bytes) and float(weight) > 0
    except ValueError:
        serves = False
    if not serves or not isinstance(left, int):
        return 0.0
    # Without an end it was set by hand; it is read again long before this one is over.
    return MAX_CANARY_SECONDS if left < 0 else min(left / 1000, MAX_CANARY_SECONDS)


def _is_there(reply: object) -> bool:
    """Anything but a clear no is an alert."""
    return reply != 0
