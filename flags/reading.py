"""Reads flags from the best server there is: the nearest, then the others, then what is in memory."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable

from flags.config import RedisSettings
from flags.following import Following
from flags.resp import Link, RedisError
from flags.server import Server
from flags.standing import Heights, Report, choose
from flags.store import Store

log = logging.getLogger(__name__)

# A server that is chosen must have all that was read before; how long it is given for that.
CATCH_UP_SECONDS = 1.0


class Reading:
    """Keeps the store as it should be, for as long as the service runs."""

    def __init__(
        self,
        settings: RedisSettings,
        stale_seconds: float,
        store: Store,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._stale_seconds, self._clock = store, stale_seconds, clock
        self.servers = [
            Server(place, settings, self._pushed, self._take, self._choose) for place in settings.servers
        ]
        self._heights = Heights()
        # The highest term that any server ever told: those with a lower one are not to be believed any more.
        self.term = 0
        self._current: Server | None = None
        self._following: Following | None = None
        self._task: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._ends: asyncio.TimerHandle | None = None
        # Set when all was read for the first time.
        self.loaded = asyncio.Event()

    def start(self) -> None:
        self._tasks = [asyncio.ensure_future(server.run()) for server in self.servers]

    async def stop(self) -> None:
        self._leave()
        if self._ends is not None:
            self._ends.cancel()
        for task in self._tasks:
            task.cancel()
        for server in self.servers:
            server.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def source(self) -> str | None:
        """The server that is read now, if it is followed change by change."""
        return self._current.place.id if self._current is not None and self.is_following else None

    @property
    def is_following(self) -> bool:
        return self._following is not None and self._following.is_loaded

    @property
    def is_stale(self) -> bool:
        """True while the data could not be confirmed for longer than they may."""
        return self._store.age() > self._stale_seconds

    def age(self) -> float | None:
        """How old the data are, in seconds; None if nobody knows."""
        age = self._store.age()
        return age if math.isfinite(age) else None

    # What servers tell.

    def _take(self, server: Server, told: Report) -> None:
        if told.term > self.term:
            if self.term:
                log.warning("term %d: a server was promoted", told.term)
            self.term = told.term
        before = server.standing.told
        server.standing.take(told, self._heights, self.term, self._clock(), self._stale_seconds)
        if server is self._current and self._following is not None:
            self._confirm(server)
            is_other = before is not None and before.replid != told.replid
            is_back = before is not None and before.down_seconds > 0 and not told.down_seconds
            if self._following.is_loaded and (is_other or is_back):
                # It may have got a whole new copy of the data, of which no message tells.
                self._follow(server)
        self._choose(server)

    def _confirm(self, server: Server) -> None:
        if self.is_following and server.standing.told is not None and server.standing.told.term >= self.term:
            self._store.confirm(server.standing.good_at)

    def _pushed(self, server: Server, channels: list[bytes]) -> None:
        if server is self._current and self._following is not None:
            self._following.pushed(channels)

    def _choose(self, server: Server) -> None:
        """Something is other than before: choose anew."""
        if server is self._current and not server.answers:
            self._leave()
        answering = {one.place.id: one for one in self.servers if one.answers}
        wanted = choose(
            [(name, one.standing) for name, one in answering.items()],
            self._current.place.id if self._current is not None else None,
            self.term,
            self._store.confirmed_at,
            self._clock(),
            self._stale_seconds,
        )
        if self._current is not None and (wanted is None or wanted != self._current.place.id):
            self._leave()
        if wanted is not None and self._current is None:
            self._follow(answering[wanted])

    # The one that is read.

    def _leave(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if self._following is not None:
            self._following.stop()
        self._current = self._following = self._task = None

    def _follow(self, server: Server) -> None:
        self._leave()
        if server.link is None:
            return
        self._current, self._following = server, Following(server.link, self._store, self._settle)
        self._task = asyncio.ensure_future(self._run(server, server.link, self._following))

    async def _run(self, server: Server, link: Link, following: Following) -> None:
        """Read it until that fails; then its own loop connects again."""
        try:
            await self._catch_up(server, link)
            await following.run(lambda: self._loaded(server))
        except RedisError as error:
            link.end(error)
        except Exception as error:
            log.exception("redis %s", server.place.id)
            link.end(RedisError(f"could not be read: {type(error).__name__}"))

    async def _catch_up(self, server: Server, link: Link) -> None:
        """Wait until it has all that was read elsewhere: no flag goes back to what it was before."""
        told = server.standing.told
        deadline = self._clock() + CATCH_UP_SECONDS
        while told is not None and told.offset < self._heights.latest(told.replid):
            if self._clock() > deadline:
                return
            await asyncio.sleep(0.02)
            told = await server.ask(link)

    def _loaded(self, server: Server) -> None:
        """All was read."""
        self._confirm(server)
        if not self.loaded.is_set():
            self.loaded.set()
        log.info("flags are read from redis %s: %d of them", server.place.id, len(self._store.flags))

    # Releases.

    def _settle(self) -> None:
        """Work out which canaries serve, and again when the next key runs out, with or without Redis."""
        if self._ends is not None:
            self._ends.cancel()
        left = self._store.settle_releases()
        self._ends = None
        if left is not None:
            self._ends = asyncio.get_running_loop().call_later(left + 0.001, self._settle)
