"""What all handlers of the admin side share: JSON in and out, who may, and errors in one form."""

from __future__ import annotations

import json
import logging
import math
import time
from typing import Any, NoReturn

from tornado.web import HTTPError, RequestHandler

from balancer.alerts import clean
from balancer.draining import NotSpared
from balancer.gate import Caller, Gate, is_same_origin
from balancer.leases import BadWeights
from balancer.supervisor import Supervisor, UnknownName
from balancer.tokens import ADMIN

log = logging.getLogger(__name__)

DRAIN_SECONDS = 30.0
READING = ("GET", "HEAD")
WANT_TOKEN = "want a valid token: Authorization: Bearer ..."


class Api(RequestHandler):
    """A handler of JSON."""

    admin_only = True
    # What a wrong token is counted as, if not as the door's.
    counted_as: str | None = None

    def initialize(self, supervisor: Supervisor, gate: Gate) -> None:
        self.supervisor, self.gate = supervisor, gate
        self.who = self.via = ""
        # Headers of an error's answer.
        self.told: dict[str, str] = {}

    def set_default_headers(self) -> None:
        self.set_header("Server", "sluice-balancer")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def prepare(self) -> None:
        self.check_host()
        caller = self.gate.knows(self.request, time.monotonic())
        if caller is None:
            self.refuse(WANT_TOKEN)
        self.check_may(caller)
        self.who, self.via = caller.who, caller.via
        if caller.via == "page":
            self.check_origin()

    def check_may(self, caller: Caller) -> None:
        """HTTPError for somebody who is known, but may not."""
        if caller.via == "host":
            raise HTTPError(403, reason=f"this token may only drain and restore {caller.who}")
        if self.admin_only and caller.who != ADMIN:
            raise HTTPError(403, reason="this token may only raise alerts")

    def check_host(self) -> None:
        """Answer only to addresses and to the names that the file gives."""
        if not self.gate.is_reached_well(self.request):
            raise HTTPError(421, reason="not a name of this balancer; use its address or set admin.hosts")

    def check_origin(self) -> None:
        """Take orders of the balancer's own page only."""
        if not is_same_origin(self.request, required=self.request.method not in READING):
            raise HTTPError(403, reason="this comes from another page")

    def refuse(self, said: str) -> NoReturn:
        """Answer a wrong token: with 401, or with 429 while too many come."""
        door = self.counted_as or self.gate.door_of(self.request)
        address = self.request.remote_ip or ""
        wait = self.gate.failures.failed(door, address, time.monotonic())
        if wait:
            self.told = {"Retry-After": str(math.ceil(wait)), "Connection": "close"}
            raise HTTPError(429, reason="too many wrong tokens")
        # Only these are in the log: it does not grow with somebody who guesses.
        self.audit("wrong token", door=door)
        self.told = {"WWW-Authenticate": "Bearer"}
        raise HTTPError(401, reason=said)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if status_code == 405:
            self.told["Allow"] = ", ".join(methods_of(type(self)))
        for name, value in self.told.items():
            self.set_header(name, value)
        # In the body, where it may be long and have any character; the status line is the standard's.
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        self.set_status(status_code)
        self.finish({"error": (error.reason if isinstance(error, HTTPError) else None) or self._reason})

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

    def body_of(self, **fields: type | tuple[type, ...]) -> dict[str, Any]:
        """The JSON body with these fields and no other: `deadline` is not to be taken for no deadline."""
        told = self.body(**fields)
        for name in told.keys() - fields.keys():
            shown = clean(name, "a field without a name", 40)
            raise HTTPError(400, reason=f"{ascii(shown)} is not known, want {', '.join(fields)}")
        return told

    async def restore(self, service: str, backend: str) -> None:
        """Put a backend back into service, and answer whether it was drained."""
        with errors_as_answers():
            restored = await self.supervisor.draining.restore(service, backend)
        if restored:
            self.log_change("restore", service=service, backend=backend)
        self.finish({"restored": restored})

    def log_change(self, what: str, **details: object) -> None:
        """One line in the audit log for a change."""
        self.audit(what, via=self.via, **details)

    def audit(self, what: str, **details: object) -> None:
        by = {"by": self.who} if self.who else {}
        told = {"what": what, **by, "from": self.request.remote_ip, **details}
        log.warning("audit: %s", json.dumps(told))


class Open(Api):
    """Without a token: nothing in it is a secret."""

    def prepare(self) -> None:
        self.check_host()


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
        if isinstance(error, BadWeights):
            raise HTTPError(400, reason=str(error)) from error
        if isinstance(error, OSError):
            # An alert or a drain is in force all the same; a clear, a restore or a lease is not.
            raise HTTPError(500, reason=f"the state could not be written: {error.strerror}") from error


def deadline_of(told: dict[str, Any]) -> float:
    """How long a drain may wait, in seconds; HTTPError 400 for what is no such time."""
    seconds = float(told.get("deadline_seconds", DRAIN_SECONDS))
    if not 0 <= seconds <= 3600:
        raise HTTPError(400, reason="'deadline_seconds' is not 0 to 3600")
    return seconds


def is_a(value: object, kind: type | tuple[type, ...]) -> bool:
    """isinstance, but true and false are no numbers."""
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def methods_of(handler: type[RequestHandler]) -> list[str]:
    """The methods that a handler has an answer for."""
    missing = RequestHandler._unimplemented_method
    return [name for name in handler.SUPPORTED_METHODS if getattr(handler, name.lower()) is not missing]
