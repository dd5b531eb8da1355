"""A line to a server that speaks Redis' protocol: looked at every second, taken up again when it breaks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from balancer.alerts import clean
from balancer.redisfile import RedisServer, RedisSettings

log = logging.getLogger(__name__)

# That a server hangs is known after both together, at most; that another took its place, after the first.
LOOK_SECONDS = 1.0
TIMEOUT_SECONDS = 1.0
# A server that is away is tried again soon. One that refuses stays as it is until somebody acts, and notes
# each try in its own log.
FIRST_PAUSE_SECONDS = 0.2
AWAY_SECONDS, REFUSED_SECONDS = 1.0, 5.0
# What can be wrong with a server, its machine or the way to it.
TROUBLE = (RedisError, OSError, TimeoutError)
REFUSALS = (AuthenticationError, ResponseError)

T = TypeVar("T")


class LogIn(CredentialProvider):
    """Reads the password anew for each connection; those of a pool are made again without a word."""

    def __init__(self, settings: RedisSettings) -> None:
        self._username, self._file = settings.username, settings.password_file
        self.count = 0

    def get_credentials(self) -> tuple[str, str]:
        self.count += 1
        return self._username, self._file.read_text().strip() if self._file is not None else ""

    async def get_credentials_async(self) -> tuple[str, str]:
        return self.get_credentials()


class Line(Generic[T]):
    """One server, and what it said last: `said` is None while it does not answer."""

    def __init__(
        self,
        server: RedisServer,
        settings: RedisSettings,
        ask: Callable[[Redis], Awaitable[T]],
        changed: Callable[[], None],
    ) -> None:
        """`ask` puts the question of every second; `changed` is called if the answer is another, or none."""
        self.server = server
        self._settings, self._ask, self._changed = settings, ask, changed
        self.said: T | None = None
        self.error: str | None = None
        self._login = LogIn(settings)
        self.failures = 0
        self._client: Redis | None = None
        self._lost: Exception | None = None
        self._soon = asyncio.Event()

    def __str__(self) -> str:
        return f"redis {self.server.id} ({self.server.host}:{self.server.port})"

    @property
    def number(self) -> int:
        """Changes when a connection is made: what was told before may have been lost with the server."""
        return self._login.count

    @property
    def client(self) -> Redis:
        """For commands, while the server answers. Raises OSError while it does not."""
        if self._client is None or self.said is None:
            raise ConnectionError(self.error or "not connected yet")
        return self._client

    async def run(self) -> None:
        """Connect, ask every second, and connect again when that ends."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            # What was said of the last connection is over with it.
            self._lost = None
            self._soon.clear()
            try:
                async with self._connection() as self._client:
                    while True:
                        await self._look(self._client)
                        await self._wait(LOOK_SECONDS)
                        # Not at the first look: it may be of no use to those who write or listen.
                        pause, self.error = FIRST_PAUSE_SECONDS, None
            except Exception as error:
                self._note(error)
                most = REFUSED_SECONDS if isinstance(error, REFUSALS) else AWAY_SECONDS
            await asyncio.sleep(pause)
            pause = min(pause * 2, most)

    def look_soon(self) -> None:
        """It may not be what it was: look now."""
        self._soon.set()

    def give_up(self, error: Exception) -> None:
        """It is of no use to someone who was on it: take it up anew."""
        self._lost = error
        self._soon.set()

    def _connection(self) -> Redis:
        ca = self._settings.ca
        return Redis(
            host=self.server.host,
            port=self.server.port,
            credential_provider=self._login,
            ssl=ca is not None,
            ssl_ca_certs=str(ca),
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            decode_responses=True,
            # Whatever bytes a value has, it is an alert.
            encoding_errors="replace",
            # `run` tries again, and knows when.
            retry=Retry(NoBackoff(), 0),
            # A subscriber's PONG is a message as others are.
            protocol=2,
        )

    async def _look(self, client: Redis) -> None:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            said = await self._ask(client)
        if self.said is None:
            log.info("%s: connected", self)
        if said != self.said:
            self.said = said
            self._changed()

    async def _wait(self, seconds: float) -> None:
        """Wait, unless somebody is in a hurry. Raises the error for which the line was given up."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._soon.wait(), seconds)
        self._soon.clear()
        lost, self._lost = self._lost, None
        if lost is not None:
            raise lost

    def _note(self, error: Exception) -> None:
        """The server does not answer, or refuses: said once, until it is well or something else is wrong."""
        before, self.error = self.error, self._words(error)
        self.failures += 1
        if before is None or (isinstance(error, REFUSALS) and before != self.error):
            log.error("%s: %s; trying again", self, self.error, exc_info=not isinstance(error, TROUBLE))
        if self.said is not None:
            self.said = None
            self._changed()

    def _words(self, error: Exception) -> str:
        said = clean(str(error), f"no answer within {TIMEOUT_SECONDS:g} s")
        if isinstance(error, AuthenticationError):
            user = self._settings.username
            return f"refuses {user} ({said}): want the password of pillar redis:users:{user}:password"
        return said
