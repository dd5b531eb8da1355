"""The Redis door: the alert keys, heard of at once and read again all the time.

A key `sluice:alert:<service>` is an alert, whatever its value. It raises; that it vanished clears nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from balancer.alerts import Alert, clean, now
from balancer.config import RedisServer

log = logging.getLogger(__name__)

PREFIX = "sluice:alert:"
CHANNELS = f"__keyspace@0__:{PREFIX}*"
# Even if no event came, a key is found within this time.
READ_AGAIN_SECONDS = 1.0
TIMEOUT_SECONDS = 1.0
Raise = Callable[[str, Alert], Awaitable[None]]


class RedisDoor:
    """Listens to Redis for as long as the balancer runs; Redis may come and go."""

    def __init__(self, server: RedisServer, services: Callable[[], list[str]], raise_alert: Raise) -> None:
        self._server = server
        self._services = services
        self._raise = raise_alert
        self.connected = False
        # Alerts raised at another door, to be handed on to Redis for the other balancers.
        self._to_tell: dict[str, Alert] = {}
        self._wake = asyncio.Event()

    def _client(self) -> Redis:
        password = None
        if self._server.password_file is not None:
            password = self._server.password_file.read_text().strip()
        return Redis(
            host=self._server.host,
            port=self._server.port,
            username=self._server.username,
            password=password,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            decode_responses=True,
            # Whatever bytes a value has, it is an alert.
            encoding_errors="replace",
            # The loop of `run` tries again, and sooner.
            retry=Retry(NoBackoff(), 0),
        )

    async def run(self) -> None:
        """Connect, listen, and connect again when that ends."""
        pause = 0.1
        while True:
            try:
                async with self._client() as client:
                    await self._listen(client)
            except Exception as error:
                # Anything: a door that stays shut for one odd value would be no door.
                if not isinstance(error, (RedisError, OSError, TimeoutError)):
                    log.exception("redis door")
                elif self.connected or pause == 0.1:
                    log.error("redis %s:%d: %s; trying again", self._server.host, self._server.port, error)
            pause = 0.2 if self.connected else min(pause * 2, 1.0)
            self.connected = False
            await asyncio.sleep(pause)

    async def _listen(self, client: Redis) -> None:
        async with client.pubsub() as events:
            await events.psubscribe(CHANNELS)
            await self._read_all(client)
            self.connected = True
            log.info("redis %s:%d: listening for alerts", self._server.host, self._server.port)
            telling = asyncio.ensure_future(self._tell(client))
            try:
                while not telling.done():
                    event = await events.get_message(
                        ignore_subscribe_messages=True, timeout=READ_AGAIN_SECONDS
                    )
                    if event is None:
                        await self._read_all(client)
                    else:
                        await self._heard(client, event)
                telling.result()
            finally:
                telling.cancel()

    async def _heard(self, client: Redis, event: dict[str, Any]) -> None:
        """A key changed: if it is there now, that is an alert."""
        service = str(event["channel"]).partition(f":{PREFIX}")[2]
        if service in self._services() and event["data"] not in ("del", "expired"):
            try:
                value = await client.get(PREFIX + service)
            except ResponseError:
                value = ""  # A key of another type is a key all the same.
            await self._take(service, value)

    async def _read_all(self, client: Redis) -> None:
        services = self._services()
        if not services:
            return
        values = await client.mget([PREFIX + service for service in services])
        for service, value in zip(services, values, strict=True):
            # MGET says nil of a key of another type.
            other_type = value is None and await client.exists(PREFIX + service)
            await self._take(service, "" if other_type else value)

    async def _take(self, service: str, value: object) -> None:
        if value is not None:
            await self._raise(service, parse(str(value)))

    def tell(self, service: str, alert: Alert) -> None:
        """Hand an alert on to Redis, now or as soon as it is there."""
        self._to_tell[service] = alert
        self._wake.set()

    def forget(self, service: str) -> None:
        """An alert was cleared: it must not be handed on any more."""
        self._to_tell.pop(service, None)

    async def _tell(self, client: Redis) -> None:
        while True:
            for service, alert in list(self._to_tell.items()):
                value = json.dumps({"reason": alert.reason, "by": alert.by, "at": alert.at})
                await client.set(PREFIX + service, value, nx=True)
                if self._to_tell.get(service) is alert:
                    del self._to_tell[service]
            self._wake.clear()
            if not self._to_tell:
                await self._wake.wait()


def parse(value: str) -> Alert:
    """The alert in a key's value: JSON with `reason`, `by`, `at`, or any text as the reason."""
    try:
        told = json.loads(value)
    except (ValueError, RecursionError):
        told = value
    if not isinstance(told, dict):
        told = {"reason": value}
    return Alert(
        reason=clean(told.get("reason"), "raised in Redis"),
        by=clean(told.get("by"), "redis", 64),
        at=clean(told.get("at"), now(), 40),
        door="redis",
    )
