"""Active health checks: one GET per backend and interval, from the supervisor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from balancer.config import Config
from balancer.reader import Address
from balancer.services import Health

log = logging.getLogger(__name__)

Key = tuple[str, str, str]


@dataclass
class Condition:
    """What the checks of one backend have shown."""

    address: Address
    up: bool = False
    # Successes (positive) or failures (negative) in a row.
    streak: int = 0
    said: str = "not asked yet"
    seen_well: bool = False

    def note(self, well: bool, said: str, health: Health) -> bool:
        """Take in one answer; True if the backend went up or down by it."""
        self.streak = max(self.streak, 0) + 1 if well else min(self.streak, 0) - 1
        self.said = said
        before = self.up
        # At first sight one good answer is enough: a balancer that just started must not wait.
        if well and (self.streak >= health.rise or not self.seen_well):
            self.up = self.seen_well = True
        elif not well and -self.streak >= health.fall:
            self.up = False
        return self.up != before


class Checks:
    """A task per backend; tells of every change."""

    def __init__(self, changed: Callable[[], Awaitable[None]]) -> None:
        self._changed = changed
        self.conditions: dict[Key, Condition] = {}
        self._tasks: dict[Key, tuple[Health, asyncio.Task[None]]] = {}

    def is_up(self, key: Key) -> bool:
        return key in self.conditions and self.conditions[key].up

    async def follow(self, config: Config) -> None:
        """Check the backends of this configuration; what is known of those that stay is kept."""
        wanted = {
            (service.name, track, backend): (address, service.health)
            for service in config.services.values()
            for track, backends in service.tracks.items()
            for backend, address in backends.items()
        }
        for key in list(self._tasks):
            address, health = wanted.get(key, (None, None))
            if self.conditions[key].address != address or self._tasks[key][0] != health:
                self._tasks.pop(key)[1].cancel()
                if self.conditions[key].address != address:
                    del self.conditions[key]
        fresh = [key for key in wanted if key not in self._tasks]
        for key in fresh:
            address, health = wanted[key]
            condition = self.conditions.setdefault(key, Condition(address))
            self._tasks[key] = (health, asyncio.ensure_future(self._watch(key, condition, health)))

    async def _watch(self, key: Key, condition: Condition, health: Health) -> None:
        while True:
            well, said = await ask(condition.address, health)
            if condition.note(well, said, health):
                log.warning("backend %s is %s: %s", "/".join(key), "up" if condition.up else "down", said)
                await self._changed()
            await asyncio.sleep(health.interval_seconds)

    async def first_answers(self, timeout: float) -> None:
        """Wait until every backend was asked once, but not for longer than `timeout` seconds."""
        deadline = asyncio.get_running_loop().time() + timeout
        while any(condition.streak == 0 for condition in self.conditions.values()):
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        for _, task in self._tasks.values():
            task.cancel()


async def ask(address: Address, health: Health) -> tuple[bool, str]:
    """One check: whether the backend is well, and what it said."""
    try:
        async with asyncio.timeout(health.timeout_seconds):
            status = await get_status(address, health.path)
    except TimeoutError:
        return False, f"no answer within {health.timeout_seconds:g} s"
    except (OSError, ValueError) as error:
        return False, f"no answer: {error}"
    return status == health.status, f"status {status} (want {health.status})"


async def get_status(address: Address, path: str) -> int:
    """The status of one GET on a connection of its own. Raises OSError or ValueError."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        head = f"GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: sluice-balancer-health\r\n"
        writer.write((head + "Connection: close\r\n\r\n").encode())
        line = await reader.readline()
        words = line.split()
        if len(words) < 2 or not words[0].startswith(b"HTTP/1."):
            raise ValueError(f"not HTTP: {line[:40]!r}")
        # Read on: a server whose answer is not taken logs a broken client.
        await reader.read(64 * 1024)
        return int(words[1])
    finally:
        writer.close()
