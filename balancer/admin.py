"""The admin API, the alert door and the hosts' door, as Tornado applications."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from tornado.web import Application, HTTPError, RequestHandler

from balancer import exposition
from balancer.alerts import Alert, clean, now
from balancer.api import Api, NotFound, Open, deadline_of, errors_as_answers
from balancer.gate import Gate
from balancer.hostdoor import DrainOwn, OwnBackend, RestoreOwn
from balancer.leases import LEAST_SECONDS, MOST_SECONDS
from balancer.openapi import description
from balancer.pages import page_routes
from balancer.reader import ConfigError
from balancer.sessions import Sessions
from balancer.supervisor import Supervisor
from balancer.tokens import Tokens

# An order is a few names; a monitor that sends more has something wrong with it.
MAX_BODY_BYTES = 64 * 1024
SEQUENCE = re.compile(r"-1|[0-9]{1,15}")


class Status(Api):
    async def get(self) -> None:
        self.finish(await self.supervisor.status.tell())


class PastSamples(Api):
    """GET /history: what was counted in the last minutes, or what is new since a sample."""

    async def get(self) -> None:
        since = self.get_query_argument("since", "-1")
        if not SEQUENCE.fullmatch(since):
            raise HTTPError(400, reason="'since' is not the number of a sample")
        self.finish(self.supervisor.history.told(int(since)))


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
        told = self.body_of(service=str, backend=str, deadline_seconds=(int, float), force=bool)
        seconds, force = deadline_of(told), told.get("force", False)
        service, backend = told["service"], told["backend"]
        with errors_as_answers():
            if not force:
                self.supervisor.draining.check(service, backend)
            self.log_change("drain", service=service, backend=backend, force=force)
            self.finish(await self.supervisor.draining.drain(service, backend, seconds))


class Restore(Api):
    """POST /restore."""

    async def post(self) -> None:
        told = self.body_of(service=str, backend=str)
        await self.restore(told["service"], told["backend"])


class SetWeights(Api):
    """POST /weights: other weights for a while, or for longer."""

    async def post(self) -> None:
        told = self.body_of(service=str, weights=dict, lease_seconds=(int, float))
        for name in ("weights", "lease_seconds"):
            if name not in told:
                raise HTTPError(400, reason=f"'{name}' is missing")
        service, seconds = told["service"], float(told["lease_seconds"])
        if not LEAST_SECONDS <= seconds <= MOST_SECONDS:
            raise HTTPError(400, reason=f"'lease_seconds' is not {LEAST_SECONDS:g} to {MOST_SECONDS:g}")
        with errors_as_answers():
            await self.supervisor.leasing.give(service, told["weights"], seconds, self.who)
        self.log_change("weights", service=service, weights=told["weights"], lease_seconds=seconds)
        self.finish(self.supervisor.status.weights_of(service))


class EndLease(Api):
    """DELETE /weights/<service>: the declared weights again."""

    async def delete(self, service: str) -> None:
        with errors_as_answers():
            ended = await self.supervisor.leasing.end(service)
        if ended:
            self.log_change("end of lease", service=service)
        self.finish({"ended": ended, **self.supervisor.status.weights_of(service)})


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
        self.finish(await self.supervisor.status.tell())


class Metrics(Open):
    """GET /metrics."""

    async def get(self) -> None:
        self.set_header("Content-Type", exposition.CONTENT_TYPE)
        self.finish(await exposition.render(self.supervisor))


class Described(Open):
    """GET /openapi.json."""

    async def get(self) -> None:
        self.finish(description())


class Alive(Open):
    """GET /health."""

    async def get(self) -> None:
        self.finish({"status": "ok"})


def admin_application(supervisor: Supervisor, tokens: Tokens) -> Application:
    """Everything; for loopback, or an address that operators alone can reach."""
    sessions = Sessions()
    gate = Gate("api", tokens, supervisor.failures, sessions, lambda: supervisor.config.admin_hosts)
    routes = [
        (r"/status", Status),
        (r"/history", PastSamples),
        (r"/alert", RaiseAlert),
        (r"/alert/([a-z0-9_-]+)", ClearAlert),
        (r"/drain", Drain),
        (r"/restore", Restore),
        (r"/weights", SetWeights),
        (r"/weights/([a-z0-9_-]+)", EndLease),
        (r"/reload", Reload),
        (r"/metrics", Metrics),
        (r"/health", Alive),
        (r"/openapi.json", Described),
    ]
    return application(supervisor, gate, [*routes, *page_routes()])


def alert_application(supervisor: Supervisor, tokens: Tokens) -> Application:
    """The alert door and the hosts' door alone; for the network."""
    gate = Gate("alert", tokens, supervisor.failures)
    routes: list[tuple[str, type[RequestHandler]]] = [
        (r"/alert", RaiseAlert),
        (r"/backend/([a-z0-9_-]+)", OwnBackend),
        (r"/drain", DrainOwn),
        (r"/restore", RestoreOwn),
    ]
    return application(supervisor, gate, routes)


def application(
    supervisor: Supervisor, gate: Gate, routes: Sequence[tuple[str, type[RequestHandler]]]
) -> Application:
    shared = {"supervisor": supervisor, "gate": gate}
    return Application(
        [(path, handler, shared) for path, handler in routes],
        default_handler_class=NotFound,
        default_handler_args=shared,
        log_function=no_log,
        # Host to how many of its drains are waited for.
        waiting=Counter(),
    )


def no_log(handler: RequestHandler) -> None:
    """Changes are in the audit log; reading is not worth a line."""
