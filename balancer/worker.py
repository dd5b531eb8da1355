"""A worker process: accepts connections and moves bytes; does what the supervisor says.

Started by the supervisor as `python -m balancer.worker CHANNEL_FD SOCKETS_FD ACCESS_LOG`.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from balancer import channel, limits, memory, mirror, moving
from balancer.accepting import Accepting, Factory
from balancer.census import Census
from balancer.doorman import Doorman
from balancer.exchange import Exchange
from balancer.frontend import Client
from balancer.hosts import NONE, Names
from balancer.leaving import leave
from balancer.networks import Networks
from balancer.plane import Plane
from balancer.routes import Route
from balancer.timeouts import TICK_SECONDS
from balancer.tls import server_context

# The table of a service that is no more.
NOTHING: dict[str, Any] = {"tracks": {}, "weights": {}, "alert": False}


class Worker(Plane):
    """Everything one worker process knows."""

    def __init__(self, loop: asyncio.AbstractEventLoop, access_log: Path | None) -> None:
        super().__init__(loop, access_log)
        self.routes: dict[str, Route] = {}
        # Requests whose Host no service has are this one's, in log and metrics.
        self.nowhere = Route(NONE, self.clock)
        self.listeners: dict[str, Names] = {}
        # Connections that have not got as far as HTTP.
        self.coming_in: dict[asyncio.Task[None], None] = {}
        self.accepting: Accepting | None = None
        # The latest table of all services.
        self._services: dict[str, Any] = {}
        # Set once the first table is there and the supervisor knows of this worker.
        self.serving = asyncio.Event()

    def route(self, name: str) -> Route:
        return self.routes.setdefault(name, Route(name, self.clock))

    def names(self, address: str) -> Names:
        """The services at a listener."""
        return self.listeners.setdefault(address, Names(self.nowhere))

    def serve(self, address: str, how: dict[str, Any], one: socket.socket) -> Doorman | None:
        """Accept what has more before it than HTTP; None for what has not, see `plain`."""
        if not how:
            return None
        tls = "tls" in how
        context = server_context(how["tls"]) if tls else None
        proxies = Networks(how["proxies"]) if "proxies" in how else None
        make = functools.partial(Client, self, self.names(address), b"https" if tls else b"http")
        refused = functools.partial(self.metrics.kept_out, address)
        return Doorman(one, context, proxies, make, refused, self.coming_in)

    def plain(self, address: str) -> Factory:
        """What a connection to a listener is served by."""
        return functools.partial(Client, self, self.names(address))

    # Orders of the supervisor.

    def carry_out(self, order: dict[str, Any]) -> dict[str, Any]:
        """Do what an order says and return its answer."""
        handle = {
            "table": self._table,
            "numbers": self._numbers,
            "cut": self._cut,
            "serve": self._serve,
            "stop": self._stop,
            "reopen": self._reopen,
        }[order["kind"]]
        return handle(order)

    def _table(self, order: dict[str, Any]) -> dict[str, Any]:
        services: dict[str, Any] = order["services"]
        self._services = services
        for name in self.routes.keys() - services.keys():
            self._forget(self.routes.pop(name))
        for name, table in services.items():
            route = self.route(name)
            for backend in route.apply(table):
                self.pool.drop(backend)
            mirror.follow(route, table.get("mirror"), self.metrics)
            moving.move(route, table, self.clients)
        limits.now.take_over(order["limits"])
        self._share_listeners(services)
        self.cut_tunnels(lambda exchange: not exchange.may_stay)
        if self.accepting is not None:
            self.accepting.follow(order["listeners"])
        return {}

    def cut_tunnels(self, which: Callable[[Exchange], bool]) -> None:
        for exchange in [one for one in self.tunnels if which(one)]:
            exchange.stop(503, "the backend was taken out of service")

    def trust_stable_only(self) -> None:
        """Work on as if an alert stood for every service."""
        for name, table in self._services.items():
            route = self.route(name)
            for backend in route.apply({**table, "alert": True}):
                self.pool.drop(backend)
            mirror.follow(route, None, self.metrics)
        self.cut_tunnels(lambda exchange: not exchange.may_stay)

    def _forget(self, route: Route) -> None:
        """The service is no more: what is under way ends, and what comes after it on a connection is 503."""
        self.cut_tunnels(lambda exchange: exchange.route is route)
        for backend in route.apply(NOTHING):
            self.pool.drop(backend)
        mirror.follow(route, None, self.metrics)

    def _share_listeners(self, services: dict[str, Any]) -> None:
        """Have each listener lead to the services that are there by this table."""
        shared: dict[str, list[tuple[Route, list[str], int]]] = {}
        for name, table in services.items():
            for address, redirect in table["listen"].items():
                shared.setdefault(address, []).append((self.route(name), table["hosts"], redirect))
        # Connections that came in at a listener that is gone go on: to them nothing changes.
        self.listeners = {address: names for address, names in self.listeners.items() if address in shared}
        for address, found in shared.items():
            self.names(address).take_over(found)

    def _numbers(self, order: dict[str, Any]) -> dict[str, Any]:
        in_flight = {
            f"{route.name} {backend.track} {backend.id}": backend.in_flight
            for route in self.routes.values()
            for track in route.tracks.values()
            for backend in track
        }
        return {"counters": self.metrics.dump(), "in_flight": in_flight, "connections": len(self.clients)}

    def _cut(self, order: dict[str, Any]) -> dict[str, Any]:
        wanted = [
            backend
            for track in self.route(order["service"]).tracks.values()
            for backend in track
            if backend.id == order["backend"]
        ]
        return {"cut": sum(client.cut(backend) for backend in wanted for client in list(self.clients))}

    def _serve(self, order: dict[str, Any]) -> dict[str, Any]:
        self.serving.set()
        return {}

    def _stop(self, order: dict[str, Any]) -> dict[str, Any]:
        self.stopping = True
        self.serving.set()
        return {}

    def _reopen(self, order: dict[str, Any]) -> dict[str, Any]:
        self.access_log.reopen()
        return {}

    async def tick(self) -> None:
        """Time limits and the log, a few times a second; memory, now and then."""
        give_back_at = self.clock() + memory.GIVE_BACK_SECONDS
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = self.clock()
            for client in list(self.clients):
                client.check_time(now)
            self.pool.sweep(now)
            self.access_log.flush()
            if now >= give_back_at:
                memory.give_back()
                give_back_at = now + memory.GIVE_BACK_SECONDS


async def run(worker: Worker, end: socket.socket, line: socket.socket) -> None:
    """Serve until the supervisor says stop or is gone."""
    accepting = worker.accepting = Accepting(line, worker.plain, worker.serve)
    orders = asyncio.ensure_future(channel.obey(end, worker.carry_out, worker.outcomes.attach))
    # Nothing is accepted before: an early request would find no backend, or one that is alerted by now.
    serving = asyncio.ensure_future(worker.serving.wait())
    await asyncio.wait([orders, serving], return_when=asyncio.FIRST_COMPLETED)
    opening = asyncio.ensure_future(accepting.keep_open())
    ticking = asyncio.ensure_future(worker.tick())
    while not orders.done() and not worker.stopping:
        await asyncio.wait([orders], timeout=0.05)
    await leave(worker, accepting, orders)
    for task in (opening, ticking):
        task.cancel()
    worker.access_log.flush()


def connections_at_most() -> int:
    """How many clients a worker can serve: each may need a connection to a backend as well."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, (files - limits.OTHER_FILES) // 2)


def main(argv: list[str]) -> None:
    """The worker's process."""
    # Only the supervisor is told to stop; it tells its workers.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format=f"worker {os.getpid()}: %(levelname)s %(message)s")
    end = socket.socket(fileno=int(argv[0]))
    line = socket.socket(fileno=int(argv[1]))
    access_log = Path(argv[2]) if argv[2] else None
    census = Census(int(argv[3]), int(argv[4]), connections_at_most())

    async def start() -> None:
        worker = Worker(asyncio.get_running_loop(), access_log)
        worker.census = census
        await run(worker, end, line)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(start())


if __name__ == "__main__":
    main(sys.argv[1:])
