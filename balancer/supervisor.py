"""The supervisor: holds the truth about weights, alerts and backends, and has every worker work by it."""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
from pathlib import Path
from typing import Any

from balancer import alerts, config
from balancer.alerts import Alert, State
from balancer.channel import Message
from balancer.config import Address, Config, ConfigError, Service
from balancer.health import Checks
from balancer.policy import effective_weights
from balancer.redisdoor import RedisDoor
from balancer.workers import Workers

log = logging.getLogger(__name__)

# How often the file is looked at; a reload by signal or call does not wait for it.
WATCH_SECONDS = 0.25
DRAIN_POLL_SECONDS = 0.02
FIRST_HEALTH_SECONDS = 1.0


class UnknownName(Exception):
    """There is no such service or backend."""


class Supervisor:
    """One balancer on one machine."""

    def __init__(self, path: Path, loaded: Config, listeners: dict[str, socket.socket]) -> None:
        self._path = path
        self.config = loaded
        self.config_error: str | None = None
        self.loaded_at = alerts.now()
        self.reloads = {"applied": 0, "refused": 0}
        self.state = State(loaded.state_dir / "state.json")
        self.checks = Checks(self.push)
        self.workers = Workers(loaded, listeners)
        self.redis: RedisDoor | None = None
        self._seen: bytes | None = None
        self._pushing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start checks, workers and doors; returns when requests are answered."""
        self.state.load()
        self._keep_last_good()
        await self.checks.follow(self.config)
        await self.checks.first_answers(FIRST_HEALTH_SECONDS)
        await self.workers.start(self.table())
        await self.push()
        if self.config.redis is not None:
            self.redis = RedisDoor(self.config.redis, lambda: sorted(self.config.services), self._from_redis)
            for service, alert in self.state.alerts.items():
                if service in self.config.services:
                    self.redis.tell(service, alert)
            self._tasks.append(asyncio.ensure_future(self.redis.run()))
        self._tasks.append(asyncio.ensure_future(self._watch_file()))
        self._tasks.append(asyncio.ensure_future(self._collect()))

    async def stop(self) -> None:
        """Finish what is under way, and end."""
        for task in self._tasks:
            task.cancel()
        self.checks.stop()
        await self.workers.stop()

    # The table that workers work by.

    def table(self) -> Message:
        """What every worker must know of every service."""
        return {name: self._service_table(service) for name, service in self.config.services.items()}

    def _service_table(self, service: Service) -> Message:
        return {
            "weights": service.weights,
            "alert": self.state.alert(service.name) is not None,
            "tracks": {
                track: {
                    backend: {
                        "address": [address.host, address.port],
                        "state": self.backend_state(service.name, track, backend),
                    }
                    for backend, address in backends.items()
                }
                for track, backends in service.tracks.items()
            },
        }

    def backend_state(self, service: str, track: str, backend: str) -> str:
        """`drained`, `up` or `down`."""
        if backend in self.state.drained.get(service, ()):
            return "drained"
        return "up" if self.checks.is_up((service, track, backend)) else "down"

    async def push(self) -> None:
        """Have every worker work by the truth of now."""
        async with self._pushing:
            await self.workers.apply(self.table())

    # Alerts.

    async def raise_alert(self, service: str, alert: Alert) -> Alert:
        """Raise an alert, unless one stands; returns the one that stands. In force when this returns."""
        self._known(service)
        standing = self.state.alert(service)
        if standing is not None:
            return standing
        self.state.alerts[service] = alert
        log.warning("alert for %s by %s through %s: %s", service, alert.by, alert.door, alert.reason)
        await self.push()
        self.state.save()
        if self.redis is not None and alert.door != "redis":
            self.redis.tell(service, alert)
        return alert

    async def _from_redis(self, service: str, alert: Alert) -> None:
        if service in self.config.services:
            await self.raise_alert(service, alert)

    async def clear_alert(self, service: str, by: str) -> bool:
        """End the alert of a service; True if there was one."""
        self._known(service)
        if self.redis is not None:
            self.redis.forget(service)
        cleared = self.state.clear(service, set(self.config.services))
        if cleared:
            log.warning("alert for %s cleared by %s", service, by)
            self.state.save()
            await self.push()
        return cleared

    # Drain and restore.

    async def drain(self, service: str, backend: str, deadline_seconds: float) -> dict[str, int]:
        """
        Send no new request to a backend and wait for those in flight; what is left after
        `deadline_seconds` is cut off. Returns how many are in flight (0) and how many were cut.
        """
        self._known(service, backend)
        self.state.drained.setdefault(service, set()).add(backend)
        await self.push()
        self.state.save()
        deadline = asyncio.get_running_loop().time() + deadline_seconds
        while await self.in_flight(service, backend):
            if asyncio.get_running_loop().time() >= deadline:
                return {"in_flight": 0, "cut": await self.workers.cut(service, backend)}
            await asyncio.sleep(DRAIN_POLL_SECONDS)
        return {"in_flight": 0, "cut": 0}

    async def restore(self, service: str, backend: str) -> bool:
        """Put a drained backend back into service; True if it was drained."""
        self._known(service, backend)
        drained = self.state.drained.get(service, set())
        if backend not in drained:
            return False
        drained.discard(backend)
        self.state.save()
        await self.push()
        return True

    async def in_flight(self, service: str, backend: str) -> int:
        _, flying = await self.workers.numbers()
        return sum(n for key, n in flying.items() if key.split()[0] == service and key.split()[2] == backend)

    def _known(self, service: str, backend: str | None = None) -> None:
        if service not in self.config.services:
            known = ", ".join(sorted(self.config.services)) or "none"
            raise UnknownName(f"unknown service; known: {known}")
        ids = {b for backends in self.config.services[service].tracks.values() for b in backends}
        if backend is not None and backend not in ids:
            raise UnknownName(f"unknown backend of {service}; known: {', '.join(sorted(ids))}")

    # The file.

    async def reload(self) -> None:
        """Take over the file if it is good. Raises ConfigError, with the last good one still in force."""
        try:
            raw = self._path.read_bytes()
            self._seen = raw
            fresh = config.parse(raw)
            self._check_listeners(fresh)
        except (OSError, ConfigError) as error:
            mistakes = error.mistakes if isinstance(error, ConfigError) else [str(error)]
            self.config_error = "; ".join(mistakes)
            self.reloads["refused"] += 1
            log.error("%s refused, the last good one stays in force: %s", self._path, self.config_error)
            raise ConfigError(mistakes) from error
        self.config_error = None
        if fresh.sha256 != self.config.sha256:
            self.config, self.loaded_at = fresh, alerts.now()
            self.reloads["applied"] += 1
            await self.checks.follow(fresh)
            # New backends are asked before they are judged; those that stay go on serving meanwhile.
            await self.push()
            self._keep_last_good()
            log.info("%s is in force (%s)", self._path, fresh.sha256[:12])

    def _check_listeners(self, fresh: Config) -> None:
        old, new = addresses(self.config), addresses(fresh)
        if old != new or fresh.workers != self.config.workers or fresh.redis != self.config.redis:
            raise ConfigError(["listeners, workers and redis change only with a restart of the balancer"])

    def _keep_last_good(self) -> None:
        kept = self.config.state_dir / "last-good.json"
        fresh = kept.with_suffix(".new")
        if self._path.exists() and config.load(self._path).sha256 == self.config.sha256:
            shutil.copyfile(self._path, fresh)
            fresh.replace(kept)

    async def _watch_file(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                raw = self._path.read_bytes()
            except OSError:
                continue
            if raw != self._seen:
                try:
                    await self.reload()
                except ConfigError:
                    continue

    async def _collect(self) -> None:
        """Fetch the workers' counters often, so that little is lost with one that dies."""
        while True:
            await asyncio.sleep(1)
            await self.workers.numbers()

    async def status(self) -> dict[str, Any]:
        """What the admin API tells; see docs/reference/balancer.md."""
        _, flying = await self.workers.numbers()
        redis = "off" if self.redis is None else "connected" if self.redis.connected else "disconnected"
        services = {s.name: self._service_status(s, flying) for s in self.config.services.values()}
        told = {"sha256": self.config.sha256, "loaded_at": self.loaded_at, "error": self.config_error}
        return {"config": told, "workers": self.workers.count, "redis": redis, "services": services}

    def _service_status(self, service: Service, flying: dict[str, int]) -> dict[str, Any]:
        weights = self.effective(service)
        alert = self.state.alert(service.name)
        return {
            "alert": vars(alert) if alert else None,
            "tracks": {
                track: {
                    "weight_declared": tidy(service.weights[track]),
                    "weight_effective": tidy(weights.get(track, 0.0)),
                    "backends": {
                        backend: {
                            "address": str(address),
                            "state": self.backend_state(service.name, track, backend),
                            "in_flight": flying.get(f"{service.name} {track} {backend}", 0),
                            "health": self.checks.conditions[(service.name, track, backend)].said,
                        }
                        for backend, address in backends.items()
                    },
                }
                for track, backends in service.tracks.items()
            },
        }

    def effective(self, service: Service) -> dict[str, float]:
        """The weights in force, by the same rule the workers use."""
        usable = {
            track: any(self.backend_state(service.name, track, backend) == "up" for backend in backends)
            for track, backends in service.tracks.items()
        }
        return effective_weights(service.weights, self.state.alert(service.name) is not None, usable)


def addresses(loaded: Config) -> dict[str, Address | None]:
    """Where a configuration listens, by purpose."""
    return {
        "admin": loaded.admin_listen,
        "alert": loaded.alert_listen,
        **{f"service {name}": service.listen for name, service in loaded.services.items()},
    }


def tidy(weight: float) -> float:
    """70.0 as 70: weights read as they were written."""
    return int(weight) if weight == int(weight) else round(weight, 3)
