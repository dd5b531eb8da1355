"""Tornado's handlers: all flags, the event stream, health, metrics, and everything that is refused."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Any, cast

from tornado.web import Application, HTTPError, RequestHandler

from flags import metrics
from flags.bridge import Bridge
from flags.ofrep import GENERAL, Bad, encode, matches

if TYPE_CHECKING:
    from flags.service import Service

log = logging.getLogger(__name__)

# After so long without anybody looking, a client may close its stream (OFREP's default).
INACTIVITY_SECONDS = 120
EVENTS = "/events"


class Handler(RequestHandler):
    """What all have in common: JSON, and errors in OFREP's form."""

    def initialize(self, service: Service) -> None:
        self.service = service
        self.reader = ""
        # Headers of an error's answer.
        self.told: dict[str, str] = {}

    def compute_etag(self) -> None:
        """Tornado's own tags are of no use here."""

    def log_exception(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Without Tornado's line, which has the query: a ticket may be in it."""
        if not isinstance(error, HTTPError):
            log.error("a request for %s failed", self.request.path, exc_info=error)

    def need_token(self, ticket: bytes = b"") -> None:
        bridge = cast(Bridge, self.request.connection)
        status, why, wait = self.service.check(bridge.connection, bridge.request, ticket)
        if status:
            self.told = self.service.headers_of(status, wait)
            raise HTTPError(status, reason=why)
        self.reader = why

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if status_code == 405:
            self.told["Allow"] = ", ".join(sorted(self.methods()))
        for name, value in self.told.items():
            self.set_header(name, value)
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        why = (error.reason if isinstance(error, HTTPError) else None) or self._reason
        self.set_status(status_code)
        self.set_header("Content-Type", "application/json")
        self.finish(encode({"errorCode": GENERAL, "errorDetails": why}))

    def methods(self) -> list[str]:
        missing = RequestHandler._unimplemented_method
        return [name for name in self.SUPPORTED_METHODS if getattr(type(self), name.lower()) is not missing]


class AllFlags(Handler):
    """POST /ofrep/v1/evaluate/flags: all of them for one context."""

    def post(self) -> None:
        self.need_token()
        service = self.service
        if not service.store.is_loaded:
            raise HTTPError(500, reason="no flag is known yet: no Redis answered since the start")
        endpoint = {"requestUri": f"{EVENTS}?ticket={service.tokens.ticket(self.reader)}"}
        streams = [{"type": "sse", "endpoint": endpoint, "inactivityDelaySec": INACTIVITY_SECONDS}]
        self.set_header("Content-Type", "application/json")
        try:
            body, tag = service.ofrep.all(self.request.body, streams)
        except Bad as bad:
            self.set_status(400)
            self.finish(encode({"errorCode": bad.code, "errorDetails": bad.details}))
            return
        self.set_header("ETag", tag)
        if matches(self.request.headers.get("If-None-Match", ""), tag):
            self.set_status(304)
            self.finish()
            return
        self.finish(body)


class OneFlag(Handler):
    """Other methods than POST, which is answered elsewhere."""

    def prepare(self) -> None:
        self.told["Allow"] = "POST"
        raise HTTPError(405)

    def methods(self) -> list[str]:
        return ["POST"]


class Stream(Handler):
    """GET /events."""

    async def get(self) -> None:
        self.need_token(self.get_query_argument("ticket", "").encode())
        if self.service.events.is_full:
            self.told = {"Retry-After": "10"}
            raise HTTPError(429, reason="as many read the event stream as may")
        bridge = cast(Bridge, self.request.connection)
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.set_header("Content-Type", "text/event-stream")
        # Proxies that gather answers (nginx does) would hold events back.
        self.set_header("X-Accel-Buffering", "no")
        self.flush()
        self._bridge = bridge
        self.service.events.add(self, self.request.headers.get("Last-Event-ID"))
        try:
            await self._over
        finally:
            self.service.events.remove(self)

    def on_connection_close(self) -> None:
        if hasattr(self, "_over") and not self._over.done():
            self._over.set_result(None)

    # For Events.

    @property
    def unsent(self) -> int:
        return self._bridge.connection.unsent

    def send(self, data: bytes) -> None:
        self._bridge.write(data)

    def cut(self) -> None:
        if self.service.is_stopping and not self.unsent:
            # An orderly end: the reader comes back, to the next process.
            if not self._over.done():
                self._over.set_result(None)
        else:
            self._bridge.connection.abort()


class Health(Handler):
    """GET /health: 200 while anything is known, however old it is; 503 if nothing is."""

    def get(self) -> None:
        if not self.service.store.is_loaded:
            self.set_status(503)
        self.set_header("Content-Type", "application/json")
        self.finish(encode(self.service.health()))

    head = get


class Metrics(Handler):
    """GET /metrics."""

    def get(self) -> None:
        self.set_header("Content-Type", metrics.CONTENT_TYPE)
        self.finish(metrics.render(self.service))


class NotFound(Handler):
    """There is nothing else."""

    def prepare(self) -> None:
        raise HTTPError(404, reason="no such path")


def application(service: Service) -> Application:
    shared = {"service": service}
    routes = [
        (r"/ofrep/v1/evaluate/flags/?", AllFlags),
        (r"/ofrep/v1/evaluate/flags/.+", OneFlag),
        (EVENTS, Stream),
        (r"/health", Health),
        (r"/metrics", Metrics),
    ]
    return Application(
        [(path, handler, shared) for path, handler in routes],
        default_handler_class=NotFound,
        default_handler_args=shared,
        # The connection does it, for all requests alike.
        log_function=lambda handler: None,
    )


def seconds(wait: float) -> str:
    """For Retry-After."""
    return str(max(1, math.ceil(wait)))
