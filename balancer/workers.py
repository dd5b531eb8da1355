"""The worker processes as the supervisor sees them: started, given the table, replaced when they die."""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from balancer.census import make_table
from balancer.channel import ANSWER_SECONDS, ChannelClosed, Message, Orders
from balancer.config import Config
from balancer.counters import BUCKETS
from balancer.limits import CLOSING_SECONDS, STOP_SECONDS
from balancer.sockets import SocketLine, Sockets

log = logging.getLogger(__name__)

# A worker that cannot even start is tried again after this long, so that a broken machine is not kept busy.
RESPAWN_SECONDS = 0.2
# They are asked every second; all are stuck or gone if none has answered for so long.
ANSWERED_SECONDS = 10.0
# A Python that starts on a busy machine.
START_SECONDS = 30.0


@dataclass(frozen=True)
class Worker:
    """One worker process, and the two lines to it."""

    process: Process
    orders: Orders
    line: SocketLine

    async def take_table(self, table: Message, seconds: float = ANSWER_SECONDS) -> Message:
        """Have it work by a table, with the sockets for it. Raises ChannelClosed or OSError."""
        self.line.give(table["listeners"])
        return await self.orders.order("table", seconds, **table)

    def close(self) -> None:
        self.orders.close()
        self.line.close()


class Workers:
    """A fixed number of workers, each on listening sockets of its own."""

    def __init__(
        self,
        config: Config,
        sockets: Sockets,
        told: Callable[[int, Message], None] | None = None,
    ) -> None:
        """`told` is called with the number of a worker and what it says without being asked."""
        self._config = config
        self._told = told or ignore
        self._sockets = sockets
        self._alive: dict[int, Worker] = {}
        self.table: Message = {"services": {}, "listeners": {}}
        self._tasks: list[asyncio.Task[None]] = []
        self._ready: list[asyncio.Event] = []
        # Set once there is a table to work by.
        self._begun = asyncio.Event()
        self._stopping = False
        # What workers that are gone had counted, as far as they had told.
        self._retired: Message = {}
        self._last: dict[int, Message] = {}
        # Where workers count connections; there once they are started.
        self._census = -1
        self._answered_at = float("-inf")

    def spawn(self) -> None:
        """Start all processes; they wait for their table, and cost no time when it is there."""
        self._census = make_table(self._config.workers)
        self._ready = [asyncio.Event() for _ in range(self._config.workers)]
        self._tasks = [asyncio.ensure_future(self._keep(*one)) for one in enumerate(self._ready)]

    async def begin(self, table: Message) -> None:
        """Have all workers serve by a table; returns when each does."""
        self.table = table
        self._begun.set()
        await asyncio.gather(*(event.wait() for event in self._ready))

    async def _keep(self, number: int, ready: asyncio.Event) -> None:
        """Keep one worker running."""
        while not self._stopping:
            worker = await self._spawn(number)
            try:
                await self._bring_in(number, worker)
                ready.set()
                await worker.orders.closed.wait()
            except (ChannelClosed, OSError) as error:
                log.error("worker %d: %s", worker.process.pid, error)
            finally:
                self._retire(number)
                worker.close()
            code = await end(worker.process, at_once=not self._stopping)
            if not self._stopping:
                log.error("worker %d ended with code %d; a new one takes its place", worker.process.pid, code)
                await asyncio.sleep(0 if ready.is_set() else RESPAWN_SECONDS)

    async def _bring_in(self, number: int, worker: Worker) -> None:
        """Give a new worker the table of now, and only then let it serve."""
        await self._begun.wait()
        table = None
        while table is not self.table:
            table = self.table
            await worker.take_table(table, START_SECONDS)
        # From here on it is told of every change; no change fits in between, for nothing is awaited.
        self._alive[number] = worker
        await worker.orders.order("stop" if self._stopping else "serve")

    async def _spawn(self, number: int) -> Worker:
        ours, theirs = socket.socketpair()
        line, their_line = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "balancer.worker",
            str(theirs.fileno()),
            str(their_line.fileno()),
            str(self._config.access_log or ""),
            str(self._census),
            str(number),
            pass_fds=[theirs.fileno(), their_line.fileno(), self._census],
        )
        theirs.close()
        their_line.close()
        find = functools.partial(self._sockets.of, number=number, workers=self._config.workers)
        told = functools.partial(self._told, number)
        return Worker(process, await Orders.open(ours, told), SocketLine(line, find))

    def _retire(self, number: int) -> None:
        self._alive.pop(number, None)
        counted = self._last.pop(number, None)
        if counted:
            self._retired = add_counters(self._retired, counted["counters"])

    async def apply(self, table: Message) -> None:
        """Give every worker a new table; returns when each works by it. One that does not is killed."""
        self.table = table
        await self._each(lambda worker: worker.take_table(table))

    async def _all(self, kind: str, **details: Any) -> dict[int, Message]:
        """Order all workers to do something; the answers of those that live."""
        return await self._each(lambda worker: worker.orders.order(kind, **details))

    async def _each(self, what: Callable[[Worker], Coroutine[Any, Any, Message]]) -> dict[int, Message]:
        """Do something with all workers; the answers of those that live. One that gives none is killed."""
        alive = list(self._alive.items())
        answers = await asyncio.gather(*(what(worker) for _, worker in alive), return_exceptions=True)
        good = {}
        for (number, worker), answer in zip(alive, answers, strict=True):
            process = worker.process
            if isinstance(answer, dict):
                # What one that ended meanwhile had counted is among the retired: not twice.
                if self._alive.get(number) is worker:
                    good[number] = answer
            elif process.returncode is None:
                log.error("worker %d does not obey (%s); it is killed and replaced", process.pid, answer)
                # At once: it might come to itself and go on by an old table.
                process.kill()
                worker.orders.close()
        return good

    async def numbers(self) -> tuple[Message, dict[str, int]]:
        """All counters since the balancer started, and requests in flight by `service track backend`."""
        told = await self._all("numbers")
        self._last.update(told)
        if told:
            self._answered_at = asyncio.get_running_loop().time()
        counters = self._retired
        in_flight: dict[str, int] = {}
        for answer in self._last.values():
            counters = add_counters(counters, answer["counters"])
        for answer in told.values():
            for key, count in answer["in_flight"].items():
                in_flight[key] = in_flight.get(key, 0) + count
        return counters, in_flight

    async def cut(self, service: str, backend: str) -> int:
        """End the requests in flight to a backend; how many there were."""
        told = await self._all("cut", service=service, backend=backend)
        return sum(int(answer["cut"]) for answer in told.values())

    async def reopen_logs(self) -> None:
        await self._all("reopen")

    def is_answering(self) -> bool:
        """True if a worker told its numbers of late."""
        return asyncio.get_running_loop().time() - self._answered_at < ANSWERED_SECONDS

    @property
    def count(self) -> int:
        return len(self._alive)

    async def stop(self, listeners: Iterable[str], wait: bool) -> None:
        """
        Let every worker finish what is under way, and end. Without `wait` this returns when they accept
        nothing more: they finish by themselves. Until then they work by what they are told.
        """
        self._stopping = True
        self._begun.set()
        alive = list(self._alive.values())
        await self._all("stop")
        leaving = [asyncio.ensure_future(worker.orders.closed.wait()) for worker in alive]
        if leaving:
            await asyncio.wait(leaving, timeout=CLOSING_SECONDS + ANSWER_SECONDS)
        # Better refused than left waiting, if nobody comes.
        self._sockets.leave(listeners)
        if wait and self._tasks:
            await asyncio.wait(self._tasks)


def ignore(number: int, message: Message) -> None:
    """For nobody who listens."""


async def end(process: Process, at_once: bool) -> int:
    """Wait for a worker whose channel closed; one that does not end by itself is killed."""
    try:
        return await asyncio.wait_for(process.wait(), 0.2 if at_once else STOP_SECONDS + 5)
    except TimeoutError:
        process.kill()
        return await process.wait()


def add_counters(one: Message, other: Message) -> Message:
    """The sum of two dumps of counters."""
    requests = {key: list(row) for key, row in one.get("requests", {}).items()}
    for key, row in other.get("requests", {}).items():
        before = requests.get(key, [0.0] * (3 + len(BUCKETS)))
        requests[key] = [a + b for a, b in zip(before, row, strict=True)]
    result: Message = {"requests": requests}
    for kind in ("retries", "refusals", "mirrored", "failures", "passed_on", "kept_out", "turned_away"):
        first, second = one.get(kind, {}), other.get(kind, {})
        result[kind] = {name: first.get(name, 0) + second.get(name, 0) for name in {*first, *second}}
    return result
