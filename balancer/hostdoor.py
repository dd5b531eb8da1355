"""The hosts' door: a host asks after, drains and restores the backend of its own id, and nothing else.

What it is told is about itself, and how many of its track are up; who the others are is not for it to know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from tornado.web import HTTPError

from balancer.api import Api, deadline_of, errors_as_answers
from balancer.draining import NotSpared
from balancer.gate import Caller

# A host drains once; a few more for calls that were cut off and come again. Each costs the supervisor a look
# at every worker 50 times a second for as long as it waits.
MAX_WAITING = 4


class OfHost(Api):
    """A handler for hosts: `who` is the backend."""

    counted_as = "host"

    def check_may(self, caller: Caller) -> None:
        if caller.via != "host":
            raise HTTPError(403, reason="this is for the hosts' own tokens, host_tokens in pillar")

    def check_own(self, service: str, backend: str) -> None:
        """HTTPError for another backend, or for a service that this one is none of."""
        if backend != self.who:
            raise HTTPError(403, reason=f"this token may only drain and restore {self.who}")
        settings = self.supervisor.config.services.get(service)
        if settings is None or not any(self.who in backends for backends in settings.tracks.values()):
            self.not_found()

    def not_found(self) -> NoReturn:
        """The same for a service that is not there and for one of others."""
        why = f"there is no such service with a backend {self.who}; is its address mined?"
        raise HTTPError(404, reason=why)


class OwnBackend(OfHost):
    """GET /backend/<service>."""

    async def get(self, service: str) -> None:
        self.finish(await self.supervisor.status.of_backend(service, self.who) or self.not_found())


class DrainOwn(OfHost):
    """POST /drain: as at the admin API, but without `force`."""

    async def post(self) -> None:
        told = self.body_of(service=str, backend=str, deadline_seconds=(int, float))
        seconds, service, backend = deadline_of(told), told["service"], told["backend"]
        self.check_own(service, backend)
        with errors_as_answers(), self.waiting():
            try:
                self.supervisor.draining.check(service, backend)
            except NotSpared as error:
                raise HTTPError(409, reason=error.brief) from error
            self.log_change("drain", service=service, backend=backend)
            self.finish(await self.supervisor.draining.drain(service, backend, seconds))

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """One of the few drains that a host may wait for at a time."""
        waiting: Counter[str] = self.application.settings["waiting"]
        if waiting[self.who] >= MAX_WAITING:
            self.too_many()
        waiting[self.who] += 1
        try:
            yield
        finally:
            waiting[self.who] -= 1

    def too_many(self) -> NoReturn:
        self.told = {"Retry-After": "1"}
        raise HTTPError(429, reason=f"{MAX_WAITING} drains of {self.who} are waited for; let one of them end")


class RestoreOwn(OfHost):
    """POST /restore: as at the admin API."""

    async def post(self) -> None:
        told = self.body_of(service=str, backend=str)
        self.check_own(told["service"], told["backend"])
        await self.restore(told["service"], told["backend"])
