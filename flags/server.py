"""One Redis server: connected to, asked once a second how it is, connected to again."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import ssl
from collections.abc import Callable
from pathlib import Path

from balancer.redisfile import RedisServer
from flags.config import RedisSettings, RedisTls
from flags.resp import Link, RedisError, Refusal, connect
from flags.standing import Report, Standing, report

log = logging.getLogger(__name__)

ASK_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.1
LAST_PAUSE_SECONDS = 1.0
TERM = "sluice:term"
# A password has no more; a file that holds it could be anything.
MAX_PASSWORD_BYTES = 4096


class Server:
    """Keeps a connection for as long as the service runs; the server may come and go."""

    def __init__(
        self,
        place: RedisServer,
        settings: RedisSettings,
        pushed: Callable[[Server, list[bytes]], None],
        told: Callable[[Server, Report], None],
        gone: Callable[[Server], None],
    ) -> None:
        """`told` gets each report; `gone` is called when the connection is."""
        self.place, self._settings = place, settings
        self._pushed, self._told, self._lost = pushed, told, gone
        self.standing = Standing()
        self.link: Link | None = None
        # Why there is no connection; empty if there is one.
        self.error = "not tried yet"
        self.connects = 0

    @property
    def answers(self) -> bool:
        """True while it is connected and said how it is."""
        return self.link is not None and self.standing.told is not None

    async def run(self) -> None:
        """Connect, ask, and connect again when that ends."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                self.link = await self._connect()
                await self._watch(self.link)
            except Exception as error:
                # Anything: a server that is given up for one odd answer would be missed for ever.
                if not isinstance(error, (RedisError, OSError)):
                    log.exception("redis %s", self.place.id)
                pause = FIRST_PAUSE_SECONDS if self.answers else min(pause * 2, LAST_PAUSE_SECONDS)
                self._gone(error)
            # Not all services of a fleet at once.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))

    def stop(self) -> None:
        if self.link is not None:
            self.link.end(RedisError("closed"))

    async def _connect(self) -> Link:
        place, settings = self.place, self._settings
        tls = _context(settings.tls) if settings.tls is not None else None
        password = _password(settings.password_file) if settings.password_file is not None else None
        return await connect(
            place.host,
            place.port,
            settings.username,
            password,
            tls,
            lambda channels: self._pushed(self, channels),
        )

    async def _watch(self, link: Link) -> None:
        while True:
            await self.ask(link)
            await asyncio.wait([link.lost], timeout=ASK_SECONDS)
            if link.lost.done():
                raise link.lost.result()

    async def ask(self, link: Link) -> Report:
        """Have the server tell how it is. Raises RedisError."""
        info, term = await link.ask(("INFO", "replication"), ("GET", TERM))
        for said in (info, term):
            if isinstance(said, Refusal):
                raise RedisError(f"refuses to say how it is: {said}")
        if self.error:
            log.info("redis %s (%s:%d): connected", self.place.id, self.place.host, self.place.port)
            self.error = ""
            self.connects += 1
        told = report(info, term)
        self._told(self, told)
        return told

    def _gone(self, error: Exception) -> None:
        said = str(error) or type(error).__name__
        if said != self.error:
            where = (self.place.id, self.place.host, self.place.port)
            log.error("redis %s (%s:%d): %s; trying again", *where, said)
        self.error = said
        self.link = None
        self.standing = Standing()
        self._lost(self)

    def health(self, now: float) -> dict[str, object]:
        """What may be told of it to anybody."""
        told = self.standing.told
        if not self.answers or told is None:
            return {"state": "down", "error": self.error}
        behind = now - self.standing.good_at
        return {
            "state": "up",
            "role": told.role,
            "term": told.term,
            "behind_seconds": round(max(0.0, behind), 1) if math.isfinite(behind) else None,
        }


def _password(path: Path) -> str:
    """Read anew for each connection, so that another one needs no restart. Raises RedisError."""
    try:
        with open(path, "rb") as file:
            return file.read(MAX_PASSWORD_BYTES).decode().strip()
    except (OSError, ValueError) as error:
        raise RedisError(f"the password file {path} cannot be read") from error


def _context(tls: RedisTls) -> ssl.SSLContext:
    """Raises RedisError."""
    try:
        made = ssl.create_default_context(cafile=str(tls.ca))
        made.check_hostname = tls.check_hostname
    except (OSError, ValueError) as error:
        raise RedisError(f"the authority's certificate {tls.ca} cannot be used: {error}") from error
    return made
