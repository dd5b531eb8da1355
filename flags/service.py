"""The flag service: one process that reads Redis, answers, and tells how it is."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import Any

from tornado.httputil import HTTPInputError

from balancer.attempts import Failures
from balancer.sockets import BACKLOG
from flags import bridge, handlers
from flags.accesslog import RequestLog
from flags.certificate import Certificate
from flags.config import Config
from flags.door import Clock, Connection, Request
from flags.events import Events
from flags.heads import Fields
from flags.metrics import Counters
from flags.ofrep import GENERAL, PATH, PREFIX, Ofrep, encode
from flags.reading import Reading
from flags.snapshot import Snapshot
from flags.store import Store
from flags.tokens import Tokens

log = logging.getLogger(__name__)

# A restart that finds Redis answers with what Redis has, not with what it had.
FIRST_SECONDS = 2.0
# How often files are looked at, and connections for what takes too long.
LOOK_SECONDS = 1.0
# What is under way at a stop may end.
STOP_SECONDS = 2.0
WANT_TOKEN = "want a valid token: Authorization: Bearer ... or X-API-Key: ..."


# How what is asked for besides single flags is counted.
OTHER_ROUTES = {PATH: "flags", handlers.EVENTS.encode(): "events"}


class WrongTokens(Failures):
    """Counted, and told to wait if there are too many."""

    DOOR = "api"

    @property
    def total(self) -> int:
        return self.counts[self.DOOR]


class Service:
    """Everything there is of one process."""

    def __init__(self, config: Config, tokens: Tokens, certificate: Certificate | None) -> None:
        self.config, self.tokens, self.certificate = config, tokens, certificate
        self.now = time.monotonic
        self.clock = Clock()
        self.store = Store()
        self.reading = Reading(config.redis, config.stale_seconds, self.store)
        self.snapshot = Snapshot(config.state_dir / "snapshot.json", self.store)
        self.ofrep = Ofrep(self.store, self.reading)
        self.events = Events(self.store, config.limits.event_readers)
        self.counters = Counters()
        self.failures = WrongTokens()
        self.log = RequestLog(config.access_log)
        self.connections: set[Connection] = set()
        self.is_stopping = False
        self._application = handlers.application(self)
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, listener: socket.socket) -> None:
        """Returns when requests are answered."""
        self.snapshot.load()
        self.reading.start()
        try:
            async with asyncio.timeout(FIRST_SECONDS):
                await self.reading.loaded.wait()
        except TimeoutError:
            log.error("no Redis answered within %g s; starting with what is known", FIRST_SECONDS)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self, self.connections.discard),
            sock=listener,
            backlog=BACKLOG,
            ssl=self.certificate.context if self.certificate is not None else None,
        )
        chores = (self.snapshot.run(), self.events.beat(), self._look())
        self._tasks = [asyncio.ensure_future(chore) for chore in chores]

    async def stop(self) -> None:
        """Let what is under way end, and tell readers to come back."""
        self.is_stopping = True
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        self.events.stop()
        deadline = self.now() + STOP_SECONDS
        while self.connections and self.now() < deadline:
            for connection in [*self.connections]:
                connection.close_if_idle()
            await asyncio.sleep(0.02)
        for connection in [*self.connections]:
            connection.abort()
        await self.reading.stop()
        self.snapshot.write()
        self.log.flush()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()
            for connection in [*self.connections]:
                connection.check_time(self.now())
            self.log.flush()

    def look(self) -> None:
        """Take over tokens and certificate if they changed."""
        self.tokens.look()
        if self.certificate is not None:
            self.certificate.look()

    # For connections.

    def enter(self, connection: Connection) -> bool:
        """True if there may be one more."""
        if len(self.connections) >= self.config.limits.connections:
            self.counters.refused_connections += 1
            return False
        self.connections.add(connection)
        return True

    def evaluate(self, connection: Connection, request: Request) -> tuple[int, bytes, bytes] | None:
        """Status, body and headers of an evaluation; None if it is something else that is asked for."""
        target = request.target
        if request.method != b"POST" or not target.startswith(PREFIX) or len(target) == len(PREFIX):
            return None
        status, why, wait = self.check(connection, request)
        if status:
            told = self.headers_of(status, wait)
            lines = "".join(f"{name}: {value}\r\n" for name, value in told.items()).encode()
            return status, encode({"errorCode": GENERAL, "errorDetails": why}).encode(), lines
        try:
            status, body = self.ofrep.one(target, request.body)
        except Exception:
            # Its line would have the context in it: the traceback has not.
            log.exception("an evaluation failed")
            return 500, b'{"errorDetails":"the evaluation failed; see the log of the flag service"}', b""
        return status, body, b""

    def hand_on(self, connection: Connection, request: Request) -> None:
        """Have Tornado answer."""
        protocol = "https" if self.certificate is not None else "http"
        try:
            bridge.hand_on(self._application, connection, request, protocol)
        except HTTPInputError as error:
            why = encode({"errorCode": GENERAL, "errorDetails": str(error)[:200]}).encode()
            connection.answer(request, 400, why)

    def answered(self, connection: Connection, request: Request, status: int, size: int) -> None:
        """An answer was sent: count it, and take it down."""
        path = request.path
        route = "flag" if path.startswith(PREFIX) else OTHER_ROUTES.get(path, "other")
        seconds = self.now() - request.since
        self.counters.note(route, status, seconds)
        who = request.fields.who
        self.log.note(
            (who[1] if who is not None else None) or "",
            connection.address,
            request.method.decode(),
            path.decode("latin-1"),
            status,
            size,
            seconds * 1000,
        )

    def refused(self, connection: Connection, status: int) -> None:
        """Something came that was no request."""
        self.counters.note("other", status, 0.0)
        self.log.note("", connection.address, "", "", status, 0, 0.0)

    # Who may.

    def check(self, connection: Connection, request: Request, ticket: bytes = b"") -> tuple[int, str, float]:
        """
        Whether this may be asked: status, reason and seconds to wait; with status 0 the reason is the
        reader's name.
        """
        fields = request.fields
        known = fields.who
        if known is None or known[0] != self.tokens.generation:
            known = fields.who = (self.tokens.generation, self._holder(fields))
        reader = known[1] or (self.tokens.ticket_holder(ticket) if ticket else None)
        if reader is not None:
            return 0, reader, 0.0
        wait = self.failures.failed(WrongTokens.DOOR, connection.address, self.now())
        if wait:
            return 429, "too many wrong tokens", wait
        return 401, WANT_TOKEN, 0.0

    def _holder(self, fields: Fields) -> str | None:
        told = fields.by_name.get(b"authorization")
        if told is not None:
            scheme, _, token = told.partition(b" ")
            return self.tokens.holder(token.strip()) if scheme.lower() == b"bearer" else None
        key = fields.by_name.get(b"x-api-key")
        return self.tokens.holder(key) if key is not None else None

    @staticmethod
    def headers_of(status: int, wait: float) -> dict[str, str]:
        """What goes with a refusal."""
        if status == 429:
            return {"Retry-After": handlers.seconds(wait)}
        return {"WWW-Authenticate": "Bearer"}

    # How it is.

    def health(self) -> dict[str, Any]:
        """What GET /health tells; nothing in it is a secret."""
        reading, store, age = self.reading, self.store, self.reading.age()
        state = "stale" if reading.is_stale else "ok"
        return {
            "status": state if store.is_loaded else "no data",
            "flags": len(store.flags),
            "unreadable": store.unreadable,
            "version": store.fingerprint,
            "stale": reading.is_stale,
            "age_seconds": None if age is None else round(age, 1),
            "server": reading.source,
            "term": reading.term,
            "servers": {one.place.id: one.health(self.now()) for one in reading.servers},
            "serving": sorted(store.serving),
            "event_readers": len(self.events),
            "errors": self._errors(),
        }

    def _errors(self) -> dict[str, str]:
        """What somebody should look after."""
        found = {"tokens": self.tokens.error, "snapshot": self.snapshot.error}
        if self.certificate is not None:
            found["certificate"] = self.certificate.error
        return {what: error for what, error in found.items() if error}

    def summary(self) -> str:
        """One line for systemd."""
        told = self.health()
        source = told["server"] or "memory"
        return f"{told['status']}: {told['flags']} flags from {source}, {len(self.connections)} connections"
