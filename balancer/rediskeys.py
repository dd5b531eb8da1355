"""The keys that a balancer writes into Redis: alerts it knows, for the others; and that its canary serves."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from balancer.alerts import Alert, clean
from balancer.redischoice import Look
from balancer.redisline import TROUBLE, Line

log = logging.getLogger(__name__)

ALERT, CANARY = KINDS = ("alert", "canary")
# Writes a key.
Write = Callable[[Redis, str], Awaitable[None]]
PREFIXES = {ALERT: "sluice:alert:", CANARY: "sluice:canary:"}
# What depends on a canary goes off this long after the last balancer that could tell of it: three tries.
CANARY_SECONDS = 30
RENEW_SECONDS = 10.0


class AlertKeys:
    """Which alerts the master has been told of."""

    def __init__(self) -> None:
        self._told: dict[str, Alert] = {}

    def due(self, standing: Mapping[str, Alert]) -> dict[str, Alert]:
        """The alerts that it is to be told of, by service."""
        self._told = {name: alert for name, alert in self._told.items() if standing.get(name) == alert}
        return {name: alert for name, alert in standing.items() if name not in self._told}

    def told(self, service: str, alert: Alert) -> None:
        """It has the key."""
        self._told[service] = alert

    def begin_anew(self) -> None:
        """It may have lost everything, or is another one."""
        self._told.clear()


class CanaryKeys:
    """
    Which canaries the master has been told of, and when.

    Balancers share a key: one whose canary stops serving deletes it, and the others write it again within
    RENEW_SECONDS. What depends on it is off meanwhile, which is the safe side.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Service to the text of its key, and until when it need not be renewed.
        self._told: dict[str, tuple[str, float]] = {}

    def due(self, serving: Mapping[str, float]) -> dict[str, str | None]:
        """
        What is to be written, by service; None: the key is to be deleted. `serving` are weights in percent.
        """
        found: dict[str, str | None] = dict.fromkeys(self._told.keys() - serving.keys())
        for service, weight in serving.items():
            text, until = self._told.get(service, ("", 0.0))
            if text != f"{weight:g}" or self._clock() >= until:
                found[service] = f"{weight:g}"
        return found

    def trying(self, service: str, text: str | None) -> None:
        """It will be written: even if no answer comes, it may be there, and have to be deleted."""
        if text is not None:
            self._told[service] = (text, 0.0)

    def told(self, service: str, text: str | None) -> None:
        """It is written, or deleted."""
        if text is None:
            self._told.pop(service, None)
        else:
            self._told[service] = (text, self._clock() + RENEW_SECONDS)

    def begin_anew(self) -> None:
        """All of it is due: the master may be another one."""
        self._told = {service: (text, 0.0) for service, (text, _) in self._told.items()}


class Writer:
    """Tells the master; what cannot be told now is told at a later call."""

    def __init__(self) -> None:
        self.alerts, self._canaries = AlertKeys(), CanaryKeys()
        # Whom, and over which of the lines to it.
        self._to: tuple[Line[Look], int] | None = None
        self._failing: set[str] = set()
        self.failures = dict.fromkeys(KINDS, 0)

    async def write(
        self, line: Line[Look], standing: Mapping[str, Alert], serving: Mapping[str, float]
    ) -> None:
        """Tell the master of alerts that stand, and of canaries that serve. Raises TROUBLE if it hangs."""
        if self._to != (line, line.number):
            self._to = (line, line.number)
            self.alerts.begin_anew()
            self._canaries.begin_anew()
        for service, alert in self.alerts.due(standing).items():
            if await self._tell(line, ALERT, service, partial(raise_alert, alert)):
                self.alerts.told(service, alert)
        for service, text in self._canaries.due(serving).items():
            self._canaries.trying(service, text)
            if await self._tell(line, CANARY, service, partial(set_canary, text)):
                self._canaries.told(service, text)

    async def _tell(self, line: Line[Look], kind: str, service: str, write: Write) -> bool:
        try:
            await write(line.client, PREFIXES[kind] + service)
        except TROUBLE as error:
            self._note(line, kind, service, error)
            if isinstance(error, ResponseError):
                return False
            raise
        self._failing.discard(kind)
        return True

    def _note(self, line: Line[Look], kind: str, service: str, error: Exception) -> None:
        self.failures[kind] += 1
        # It may not be the master any more.
        line.look_soon()
        if kind not in self._failing:
            self._failing.add(kind)
            said = clean(str(error), "no answer")
            log.error("%s: key %s%s is not written: %s; trying again", line, PREFIXES[kind], service, said)


async def raise_alert(alert: Alert, client: Redis, key: str) -> None:
    """Not over what is there: the first word stands."""
    value = json.dumps({"reason": alert.reason, "by": alert.by, "at": alert.at})
    await client.set(key, value, nx=True)


async def set_canary(text: str | None, client: Redis, key: str) -> None:
    """Write its weight for a while, or delete the key."""
    if text is None:
        await client.delete(key)
    else:
        await client.set(key, text, ex=CANARY_SECONDS)
