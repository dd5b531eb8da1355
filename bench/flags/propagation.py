"""How long after a SET at the master the answers of the flag services at two replicas are other ones."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field

from bench.balancer.errors import BenchError
from bench.flags.flagset import ON_OFF
from bench.flags.fleet import PATIENCE, TOKEN, Fleet

# Flips come at moments that have nothing to do with what else goes on, up to so many seconds apart.
PAUSE_SECONDS = 0.01
# The first flips grow pools and caches, and are thrown away.
WARM_UP = 20
BODY = '{"context": {"targetingKey": "user-1"}}'
REQUEST = (
    f"POST /ofrep/v1/evaluate/flags/{ON_OFF} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}"
).encode()


@dataclass
class Delays:
    """Milliseconds from before the SET was sent until each of the readers had it."""

    # A client that asks a replica for its keyspace events, and nothing else: the least there can be.
    subscriber: list[float] = field(default_factory=list)
    # A client that asks the flag service at a replica over HTTP until its answer is another one.
    service: list[float] = field(default_factory=list)

    def told(self) -> dict[str, dict[str, float]]:
        """p50, p99 and max by who was told, and of what the service adds to the subscriber of its replica."""
        added = [there - heard for heard, there in zip(self.subscriber, self.service, strict=True)]
        rows = {"subscriber": self.subscriber, "service": self.service, "added": added}
        return {name: summary(found) for name, found in rows.items()}


def summary(delays: list[float]) -> dict[str, float]:
    """p50, p99 and the longest."""
    ranked = sorted(delays)
    return {"p50": ranked[len(ranked) // 2], "p99": ranked[len(ranked) * 99 // 100], "max": ranked[-1]}


class Line:
    """A connection to a port of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self) -> None:
        self._in, self._out = await asyncio.open_connection("127.0.0.1", self._port)

    def close(self) -> None:
        self._out.close()


class Writer(Line):
    """Sets the flag at the master."""

    async def set(self, value: str) -> None:
        self._out.write(f"SET {ON_OFF} {value}\r\n".encode())
        if await self._in.readline() != b"+OK\r\n":
            raise BenchError("redis: the master refuses to set a flag")


class Subscriber(Line):
    """Hears of the flag from a replica."""

    async def open(self) -> None:
        await super().open()
        self._out.write(f"SUBSCRIBE __keyspace@0__:{ON_OFF}\r\n".encode())
        await self._in.readuntil(b":1\r\n")

    async def heard(self) -> float:
        """When it hears of a change."""
        await self._in.readuntil(b"\r\nset\r\n")
        return time.perf_counter()


class Asker(Line):
    """Asks a flag service, over and over, until the answer is another one."""

    async def answers(self, value: bool) -> float:
        """When it has the first answer with this value."""
        while await self._ask() is not value:
            pass
        return time.perf_counter()

    async def _ask(self) -> bool:
        self._out.write(REQUEST)
        head = await self._in.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        body = await self._in.readexactly(length)
        if b" 200 " not in lines[0]:
            raise BenchError(f"flag service: {head.splitlines()[0].decode()}: {body.decode()[:200]}")
        return json.loads(body)["value"] is True


def measure(fleet: Fleet, services: list[int], flips: int) -> Delays:
    """Flip a flag so many times."""
    return asyncio.run(_measure(fleet, services, flips))


async def _measure(fleet: Fleet, services: list[int], flips: int) -> Delays:
    writer = Writer(fleet.ports[0])
    subscribers = [Subscriber(port) for port in fleet.ports[1:]]
    askers = [Asker(port) for port in services]
    lines: list[Line] = [writer, *subscribers, *askers]
    for line in lines:
        await line.open()
    delays = Delays()
    chance = random.Random(1)
    for number in range(flips + WARM_UP):
        await asyncio.sleep(chance.random() * PAUSE_SECONDS)
        value = number % 2 == 1
        began = time.perf_counter()
        awaited = [*(one.heard() for one in subscribers), *(one.answers(value) for one in askers)]
        waiting = [asyncio.ensure_future(one) for one in awaited]
        await writer.set(str(int(value)))
        try:
            async with asyncio.timeout(PATIENCE):
                at = [(moment - began) * 1000 for moment in await asyncio.gather(*waiting)]
        except TimeoutError as error:
            raise BenchError(f"flip {number}: not everywhere after {PATIENCE:.0f} s") from error
        if number >= WARM_UP:
            delays.subscriber += at[: len(subscribers)]
            delays.service += at[len(subscribers) :]
    for line in lines:
        line.close()
    return delays
