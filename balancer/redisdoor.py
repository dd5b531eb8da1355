"""The Redis door: alert keys, heard of at once and read again all the time, from whichever server is right.

A key `sluice:alert:<service>` is an alert, whatever its value. It raises; that it vanished, or that a server
does not have it, clears nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import ResponseError

from balancer.alerts import Alert, clean, now
from balancer.redischoice import MASTER, REPLICA, Choice, Look, choose
from balancer.redisfile import SENTINEL, RedisSettings
from balancer.rediskeys import ALERT, PREFIXES, Writer
from balancer.redisline import TIMEOUT_SECONDS, TROUBLE, Line

if TYPE_CHECKING:
    from balancer.supervisor import Supervisor

log = logging.getLogger(__name__)

PREFIX = PREFIXES[ALERT]
CHANNELS = f"__keyspace@0__:{PREFIX}*"
TERM_KEY = "sluice:term"
# What the Sentinels call the one master they watch; so does salt/redis.
SENTINEL_NAME = "sluice"
# Even if no event came, a key is found within this time; and what could not be written is tried again.
AGAIN_SECONDS = 1.0
# So soon another server is listened to after it was chosen.
EVENT_SECONDS = 0.2
# A subscription on which nothing comes for so long, not even the answers to its pings, is dead.
SILENCE_SECONDS = 3.0

Address = tuple[str, str]
NOBODY: Address = ("", "")


class RedisDoor:
    """Listens to Redis for as long as the balancer runs; any of its servers may come and go."""

    def __init__(self, settings: RedisSettings, supervisor: Supervisor) -> None:
        self._truth = supervisor
        self._lines = {one.id: Line(one, settings, look, self._look_again) for one in settings.servers}
        beside = [replace(one, port=settings.sentinel_port) for one in settings.servers]
        asked = beside if settings.ha == SENTINEL else []
        self._sentinels = [Line(one, settings, named_master, self._look_again) for one in asked]
        self._choice = Choice()
        self._writer = Writer()
        # Something may have changed for those who listen and who write.
        self._hear, self._write = asyncio.Event(), asyncio.Event()
        # The server that is listened to.
        self._heard_from: str | None = None

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for line in self._lines.values():
                tasks.create_task(line.run())
            for sentinel in self._sentinels:
                tasks.create_task(sentinel.run())
            tasks.create_task(self._hear_always())
            tasks.create_task(self._write_always())

    # Which server is which.

    def _look_again(self) -> None:
        """Some server said something new, or does not answer any more."""
        looks = {name: line.said for name, line in self._lines.items()}
        before, self._choice = self._choice, choose(looks, self._choice.term, self._named())
        if self._choice.master != before.master:
            log.info("redis: the master is %s", self._choice.master or "not known")
        for name in set(self._choice.stale) - set(before.stale):
            # For a moment that is so at every promotion.
            log.info("%s says it is the master, too, and is left alone", self._lines[name])
        self._hear.set()
        self._write.set()

    def _named(self) -> str | None:
        """Whom most of the Sentinels that answer name: an id, or an address if it is in no file."""
        votes = Counter(line.said for line in self._sentinels if line.said and line.said != NOBODY)
        address, count = votes.most_common(1)[0] if votes else (NOBODY, 0)
        if 2 * count <= votes.total():
            return None
        known = {(line.server.host, str(line.server.port)): name for name, line in self._lines.items()}
        return known.get(address, ":".join(address))

    @property
    def connected(self) -> bool:
        """Whether alerts are heard of, from the right server."""
        return self._heard_from is not None and self._heard_from == self._choice.reader

    def status(self) -> dict[str, dict[str, Any]]:
        """Server to what it is, and what it is used for."""
        return {
            name: {
                "role": line.said.role if line.said else None,
                "term": line.said.term if line.said else None,
                "reads": self.connected and self._heard_from == name,
                "writes": self._choice.master == name,
                "error": line.error,
            }
            for name, line in self._lines.items()
        }

    def failures(self) -> dict[str, int]:
        """How often something went wrong, by what it was for."""
        return {"line": sum(line.failures for line in self._lines.values()), **self._writer.failures}

    # Alerts that others raised.

    async def _hear_always(self) -> None:
        """Listen to the server that is the one to listen to."""
        while True:
            self._hear.clear()
            line = self._lines.get(self._choice.reader or "")
            if line is not None:
                try:
                    await self._listen(line)
                except Exception as error:
                    # Anything: a door that stays shut for one odd value would be no door.
                    line.give_up(error)
                self._heard_from = None
            await within(AGAIN_SECONDS, self._hear)

    async def _listen(self, line: Line[Look]) -> None:
        """Returns when another server is to be listened to."""
        clock = asyncio.get_running_loop().time
        async with line.client.pubsub() as events:
            await subscribe(events)
            # After that, for else a key could be set between the two, and be heard of by neither.
            await self._read_all(line)
            self._heard_from = line.server.id
            log.info("%s: listening for alerts", line)
            read = heard = clock()
            while self._choice.reader == line.server.id:
                event = await events.get_message(timeout=EVENT_SECONDS)
                if event is not None:
                    heard = clock()
                    await self._heard(line, event)
                if clock() - heard > SILENCE_SECONDS:
                    raise TimeoutError(f"its subscription was silent for {SILENCE_SECONDS:g} s")
                if clock() - read > AGAIN_SECONDS:
                    read = clock()
                    await events.ping()
                    await self._read_all(line)

    async def _heard(self, line: Line[Look], event: dict[str, Any]) -> None:
        """A key changed: if it is there now, that is an alert."""
        service = str(event["channel"]).partition(f":{PREFIX}")[2]
        if service in self._truth.config.services and event["data"] not in ("del", "expired"):
            before = self._truth.clears
            await self._take(line, service, await value_of(line.client, service), before)

    async def _read_all(self, line: Line[Look]) -> None:
        services = sorted(self._truth.config.services)
        if not services:
            return
        before = self._truth.clears
        values = await line.client.mget([PREFIX + service for service in services])
        for service, value in zip(services, values, strict=True):
            found: object = value
            # MGET says nil of a key of another type.
            if found is None and await line.client.exists(PREFIX + service):
                found = await value_of(line.client, service)
            await self._take(line, service, found, before)

    async def _take(self, line: Line[Look], service: str, value: object, before: int) -> None:
        """An alert, unless another server is right by now, or one was cleared since the key was read."""
        if value is None or self._choice.reader != line.server.id or self._truth.clears != before:
            return
        alert = parse(str(value))
        if self._truth.state.alert(service) is None:
            self._writer.alerts.told(service, alert)
        await self._truth.alert_from_redis(service, alert)

    # What others are to know.

    def write_soon(self) -> None:
        """An alert or a weight may be another."""
        self._write.set()

    async def _write_always(self) -> None:
        """Keep the keys as they should be, on the master."""
        while True:
            self._write.clear()
            line = self._lines.get(self._choice.master or "")
            try:
                if line is not None:
                    await self._writer.write(line, self._standing(), self._serving())
            except TROUBLE:
                # It was counted and said; what is not done is due again.
                pass
            except Exception:
                # One service that cannot be told of must not keep alerts of the others from being heard.
                log.exception("%s: keys are not written; trying again", line)
            await within(AGAIN_SECONDS, self._write)

    def _standing(self) -> dict[str, Alert]:
        alerts = self._truth.state.alerts.items()
        return {service: alert for service, alert in alerts if service in self._truth.config.services}

    def _serving(self) -> dict[str, float]:
        """Service to its canary's weight in force here, in percent, where it is above 0."""
        services = self._truth.config.services.values()
        weights = {one.name: self._truth.status.effective(one).get("canary", 0.0) for one in services}
        return {service: weight for service, weight in weights.items() if weight > 0}


async def look(client: Redis) -> Look:
    """What a server says of itself. Raises ResponseError if it is none that this could be."""
    role, text = await client.role(), str(await client.get(TERM_KEY))
    term = int(text) if text.isdecimal() else 0
    if role[0] == "master":
        return Look(MASTER, term, replicas=len(role[2]))
    if role[0] == "slave":
        return Look(REPLICA, term, linked=role[3] == "connected")
    raise ResponseError(f"its role is {clean(role[0])}, want master or slave")


async def named_master(client: Redis) -> Address:
    """The address of the master, as a Sentinel has it."""
    found = await client.sentinel_get_master_addr_by_name(SENTINEL_NAME)
    return (str(found[0]), str(found[1])) if isinstance(found, tuple) else NOBODY


async def value_of(client: Redis, service: str) -> object:
    """What an alert key holds, None if it is not there."""
    try:
        return await client.get(PREFIX + service)
    except ResponseError as error:
        if not str(error).startswith("WRONGTYPE"):
            raise
        return ""  # A key of another type is a key all the same.


async def subscribe(events: PubSub) -> None:
    """Returns when the server sends events of alert keys from now on."""
    await events.psubscribe(CHANNELS)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while (await events.get_message(timeout=TIMEOUT_SECONDS) or {}).get("type") != "psubscribe":
            pass


async def within(seconds: float, event: asyncio.Event) -> None:
    """Wait for an event, but not for longer."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


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
