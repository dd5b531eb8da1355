"""Ejections as the supervisor decides on them: by what workers tell, and by who can be spared."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, Any

from balancer import alerts
from balancer.channel import Message
from balancer.ejection import Ejections, Key
from balancer.policy import STABLE

if TYPE_CHECKING:
    from balancer.config import Config
    from balancer.services import Service
    from balancer.supervisor import Supervisor

log = logging.getLogger(__name__)

# An ejection's end is looked at just after it, never before.
PAST_SECONDS = 0.001


class Ejecting:
    """What the supervisor does about backends that fail requests."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self.ejections = Ejections()

    def is_ejected(self, key: Key) -> bool:
        return self.ejections.is_ejected(key, monotonic())

    def told(self, worker: int, message: Message) -> None:
        """What a worker says of its own accord: backends that failed requests, or are well again."""
        if message.get("kind") != "outcomes":
            return
        changed = [
            self._outcome(worker, (service, track, backend), errors, said)
            for service, track, backend, errors, said in message["backends"]
        ]
        if any(changed):
            self._supervisor.push_soon()

    def _outcome(self, worker: int, key: Key, errors: int, said: str) -> bool:
        """Take in one backend's failures in a row at one worker; True if it is ejected by them."""
        name, track, backend = key
        service = self._supervisor.config.services.get(name)
        if service is None or backend not in service.tracks.get(track, {}):
            return False
        now = monotonic()
        if errors == 0:
            self.ejections.well(key, now)
            return False
        due = self.ejections.is_due(key, worker, errors, now, service.ejection)
        if not due or not self._can_spare(service, track, backend):
            return False
        seconds = self.ejections.eject(key, now, service.ejection, said)
        log.warning("backend %s is ejected for %g s: %s", "/".join(key), seconds, said)
        asyncio.get_running_loop().call_later(seconds + PAST_SECONDS, self._supervisor.push_soon)
        return True

    def _can_spare(self, service: Service, track: str, backend: str) -> bool:
        """True if the track can do without a backend that is up."""
        states = self._supervisor.states(service, track)
        ejected = sum(state == "ejected" for state in states.values())
        others = [name for name, state in states.items() if state == "up" and name != backend]
        may = ejected < service.ejection.spared(track, len(states))
        return states[backend] == "up" and may and (track != STABLE or bool(others))

    def take_back(self) -> None:
        """Where no backend of stable is up, those that are only ejected are better than none."""
        for service in self._supervisor.config.services.values():
            states = self._supervisor.states(service, STABLE)
            if "up" in states.values():
                continue
            for name in (name for name, state in states.items() if state == "ejected"):
                log.warning("backend %s/%s/%s is taken back: no other is up", service.name, STABLE, name)
                self.ejections.end((service.name, STABLE, name))

    def given_up(self) -> dict[str, str]:
        """
        Service to words, where every backend of the canary that is well by its checks is ejected, and not for
        the first time in a row: that may have been a restart.
        """
        found = {}
        for service in self._supervisor.config.services.values():
            states = self._supervisor.states(service, "canary")
            ejected = [name for name, state in states.items() if state == "ejected"]
            records = [self.ejections.get((service.name, "canary", name)) for name in ejected]
            if "up" in states.values() or not any(record.times > 1 for record in records):
                continue
            said = (f"{name} ejected again ({r.reason})" for name, r in zip(ejected, records, strict=True))
            found[service.name] = f"canary has no backend left that answers: {', '.join(said)}"
        return found

    def forget_moved(self, fresh: Config) -> None:
        """A backend at another address is another one: its ejections are not this one's."""
        for name, service in self._supervisor.config.services.items():
            stays = fresh.services[name].tracks if name in fresh.services else {}
            for track, backends in service.tracks.items():
                for backend, address in backends.items():
                    if stays.get(track, {}).get(backend) != address:
                        self.ejections.forget((name, track, backend))

    def status(self, key: Key) -> dict[str, Any]:
        """Until when a backend is ejected, why, and for which time in a row; and how often it was."""
        record = self.ejections.get(key)
        told = None
        if self.is_ejected(key):
            until = alerts.after(record.until - monotonic())
            told = {"until": until, "reason": record.reason, "times": record.times}
        return {"ejected": told, "ejections": record.total}
