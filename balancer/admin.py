"""The admin API and the alert door, as Tornado applications."""

from __future__ import annotations

import json
import logging
from typing import Any

from tornado.web import Application, HTTPError, RequestHandler

from balancer import exposition
from balancer.alerts import Alert, clean, now
from balancer.reader import ConfigError
from balancer.supervisor import NotSpared, Supervisor, UnknownName
from balancer.tokens import ADMIN, Tokens

log = logging.getLogger(__name__)

# An order is a few names; a monitor that sends more has something wrong with it.
MAX_BODY_BYTES = 64 * 1024
DRAIN_SECONDS = 30.0


class Api(RequestHandler):
    """What all handlers share: JSON in and out, tokens, and errors in one form."""

    admin_only = True

    def initialize(self, supervisor: Supervisor, tokens: Tokens) -> None:
        self.supervisor, self.tokens = supervisor, tokens
        self.who = ""

    def set_default_headers(self) -> None:
        self.set_header("Server", "sluice-balancer")

    def prepare(self) -> None:
        who = self.tokens.holder(self.request.headers.get("Authorization", ""))
        if who is None:
            self.set_header("WWW-Authenticate", "Bearer")
            raise HTTPError(401, reason="want a valid token: Authorization: Bearer ...")
        if self.admin_only and who != ADMIN:
            raise HTTPError(403, reason="this token may only raise alerts")
        self.who = who

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.finish({"error": self._reason})

    def body(self, **fields: type | tuple[type, ...]) -> dict[str, Any]:
        """The JSON body with these fields; HTTPError 400 for anything else."""
        try:
            told = json.loads(self.request.body)
        except (ValueError, RecursionError) as error:
            raise HTTPError(400, reason="the body is not JSON") from error
        if not isinstance(told, dict):
            raise HTTPError(400, reason="the body is not a JSON object")
        for name, kind in fields.items():
            if name in told and not is_a(told[name], kind):
                raise HTTPError(400, reason=f"'{name}' has the wrong type")
        for name in ("service", "backend"):
            if name in fields and name not in told:
                raise HTTPError(400, reason=f"'{name}' is missing")
        return told

    def log_change(self, what: str, **details: object) -> None:
        """One line in the audit log for a change."""
        log.warning(
            "audit: %s", json.dumps({"what": what, "by": self.who, "from": self.request.remote_ip, **details})
        )


class Status(Api):
    async def get(self) -> None:
        self.finish(await self.supervisor.status())


class RaiseAlert(Api):
    """POST /alert: any token may."""

    admin_only = False

    async def post(self) -> None:
        told = self.body(service=str, reason=str)
        alert = Alert(clean(told.get("reason")), self.who, now(), "http")
        with errors_as_answers():
            standing = await self.supervisor.raise_alert(told["service"], alert)
        if standing is alert:
            self.log_change("alert", service=told["service"], reason=alert.reason)
        self.finish({"alert": vars(standing)})


class ClearAlert(Api):
    """DELETE /alert/<service>."""

    async def delete(self, service: str) -> None:
        with errors_as_answers():
            cleared = await self.supervisor.clear_alert(service, self.who)
        if cleared:
            self.log_change("clear", service=service)
        self.finish({"cleared": cleared})


class Drain(Api):
    """POST /drain: returns when nothing is in flight to the backend, or at once if it cannot be spared."""

    async def post(self) -> None:
        told = self.body(service=str, backend=str, deadline_seconds=(int, float), force=bool)
        seconds = float(told.get("deadline_seconds", DRAIN_SECONDS))
        if not 0 <= seconds <= 3600:
            raise HTTPError(400, reason="'deadline_seconds' is not 0 to 3600")
        service, backend, force = told["service"], told["backend"], told.get("force", False)
        with errors_as_answers():
            if not force:
                self.supervisor.check_drain(service, backend)
            self.log_change("drain", service=service, backend=backend, force=force)
            self.finish(await self.supervisor.drain(service, backend, seconds))


class Restore(Api):
    """POST /restore."""

    async def post(self) -> None:
        told = self.body(service=str, backend=str)
        self.log_change("restore", service=told["service"], backend=told["backend"])
        with errors_as_answers():
            self.finish({"restored": await self.supervisor.restore(told["service"], told["backend"])})


class Reload(Api):
    """POST /reload: the table in force, or what is wrong with the file or the tokens."""

    async def post(self) -> None:
        try:
            if await self.supervisor.reload():
                self.log_change("reload")
        except ConfigError as error:
            self.set_status(400)
            self.finish(
                {"error": "the file is refused, the last good one stays in force", "mistakes": error.mistakes}
            )
            return
        self.finish(await self.supervisor.status())


class Metrics(Api):
    """GET /metrics, without a token: it holds no secrets."""

    def prepare(self) -> None:
        return

    async def get(self) -> None:
        self.set_header("Content-Type", exposition.CONTENT_TYPE)
        self.finish(await exposition.render(self.supervisor))


class Alive(Api):
    """GET /health, without a token."""

    def prepare(self) -> None:
        return

    async def get(self) -> None:
        self.finish({"status": "ok"})


class NotFound(Api):
    def prepare(self) -> None:
        raise HTTPError(404, reason="no such path")


class errors_as_answers:  # noqa: N801 (used like a function)
    """Within it an unknown name is the client's mistake, and a full disk is told as such."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UnknownName):
            raise HTTPError(404, reason=str(error)) from error
        if isinstance(error, NotSpared):
            raise HTTPError(409, reason=str(error)) from error
        if isinstance(error, OSError):
            # An alert or a drain is in force all the same; a clear or a restore is not.
            raise HTTPError(500, reason=f"the state could not be written: {error.strerror}") from error


def is_a(value: object, kind: type | tuple[type, ...]) -> bool:
    """isinstance, but true and false are no numbers."""
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def admin_application(supervisor: Supervisor, tokens: Tokens) -> Application:
    """Everything; for loopback."""
    shared = {"supervisor": supervisor, "tokens": tokens}
    routes = [
        (r"/status", Status),
        (r"/alert", RaiseAlert),
        (r"/alert/([a-z0-9_-]+)", ClearAlert),
        (r"/drain", Drain),
        (r"/restore", Restore),
        (r"/reload", Reload),
        (r"/metrics", Metrics),
        (r"/health", Alive),
    ]
    return Application(
        [(path, handler, shared) for path, handler in routes],
        default_handler_class=NotFound,
        default_handler_args=shared,
        log_function=no_log,
    )


def alert_application(supervisor: Supervisor, tokens: Tokens) -> Application:
    """The alert door alone; for the network."""
    shared = {"supervisor": supervisor, "tokens": tokens}
    return Application(
        [(r"/alert", RaiseAlert, shared)],
        default_handler_class=NotFound,
        default_handler_args=shared,
        log_function=no_log,
    )


def no_log(handler: RequestHandler) -> None:
    """Changes are in the audit log; reading is not worth a line."""
