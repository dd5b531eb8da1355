"""The supervisor: holds the truth about weights, alerts and backends, and has every worker work by it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict
from pathlib import Path

from balancer import affinitykeys, alerts, config
from balancer.affinitykeys import Keys
from balancer.alerts import Alert, State
from balancer.attempts import Failures
from balancer.certificates import Certificates
from balancer.channel import Message
from balancer.comebacks import Comebacks
from balancer.config import Config
from balancer.draining import Draining
from balancer.ejecting import Ejecting
from balancer.health import Checks
from balancer.history import History
from balancer.leasing import Leasing
from balancer.monitor import Monitor
from balancer.reader import ConfigError
from balancer.redistalk import RedisTalk
from balancer.services import Service
from balancer.sockets import Sockets
from balancer.status import Status
from balancer.tokens import TokenError, Tokens, read_bytes
from balancer.workers import Workers

log = logging.getLogger(__name__)

# How often the file is looked at; a reload by signal or call does not wait for it.
WATCH_SECONDS = 0.25
FIRST_HEALTH_SECONDS = 1.0


class UnknownName(Exception):
    """There is no such service or backend."""


class Supervisor:
    """One balancer on one machine."""

    def __init__(
        self,
        path: Path,
        loaded: Config,
        sockets: Sockets,
        tokens: Tokens,
        error: str | None = None,
    ) -> None:
        """`error` says why not the file at `path` but its last good version was loaded, or not all tokens."""
        self._path = path
        self._tokens = tokens
        self.config = loaded
        self.keys = Keys(loaded)
        if self.keys.mistake is not None:
            log.error("%s; users keep their track only as long as this balancer runs", self.keys.mistake)
        self.config_error = "; ".join(filter(None, (error, self.keys.mistake))) or None
        # The sha256 of the file that all workers work by.
        self.in_force = loaded.sha256
        self.started_at = self.loaded_at = alerts.now()
        self.reloads = {"applied": 0, "refused": 0}
        self.state = State(loaded.state_dir / "state.json")
        self.checks = Checks(self.push)
        self.comebacks = Comebacks()
        self._sockets = sockets
        self.ejecting = Ejecting(self)
        self.workers = Workers(loaded, sockets, self.ejecting.told)
        self.leasing = Leasing(self)
        self.draining = Draining(self)
        self.status = Status(self)
        self.monitor = Monitor()
        self.history = History()
        self.failures = Failures()
        # How many alerts were cleared: what was read in Redis before that counts no more.
        self.clears = 0
        self.redis = RedisTalk(self)
        self.certificates = Certificates(loaded.services)
        kept = (*tokens.raw_at_start, *self.keys.raw_at_start)
        raw = loaded.raw if error is None else read_bytes(path)
        self._seen = (raw, kept, self.certificates.seen_at_start)
        self._pushing = asyncio.Lock()
        self._reloading = asyncio.Lock()
        self._pushes: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start checks, workers and doors; returns when requests are answered."""
        self.state.load()
        self.leasing.follow(self.config)
        if self._seen[0] == self.config.raw:
            self._keep_last_good()
        self.workers.spawn()
        await self.checks.follow(self.config)
        await self.checks.first_answers(FIRST_HEALTH_SECONDS)
        await self.workers.begin(self.table())
        self.comebacks.begin()
        await self.push()
        self.redis.open()
        self._tasks.append(asyncio.ensure_future(self._watch_file()))
        self._tasks.append(asyncio.ensure_future(self._collect()))

    async def stop(self, wait: bool) -> None:
        """Let the workers finish what is under way, and end; without `wait` they finish by themselves."""
        await self.workers.stop(self.config.listeners, wait)
        for task in self._tasks:
            task.cancel()
        self.redis.close()
        self.checks.stop()

    # The table that workers work by.

    def table(self) -> Message:
        """What every worker must know of every service and listener."""
        services, listeners = self.config.services, self.config.listeners
        return {
            "services": {name: self._service_table(service) for name, service in services.items()},
            "limits": self.config.limits.told(),
            "listeners": {
                text: listener.table(self.certificates.pem) for text, listener in listeners.items()
            },
        }

    def _service_table(self, service: Service) -> Message:
        return {
            # Address to the port of https that requests there are sent to, or 0.
            "listen": {str(door.address): service.redirect_port(door) for door in service.doors},
            "hosts": service.hosts,
            "trust_forwarded_from": service.trust_forwarded_from,
            "gateway_errors": service.ejection.gateway_errors,
            "timeouts": asdict(service.timeouts),
            "weights": self.leasing.weights(service),
            "alert": self.state.alert(service.name) is not None,
            "upgrade": vars(service.upgrade),
            "rules": [rule.told() for rule in service.rules],
            "steering": self.keys.steering(service),
            "balance": service.balance,
            "slow_start_seconds": service.slow_start_seconds,
            "mirror": vars(service.mirror) if service.mirror is not None else None,
            "tracks": {
                track: {
                    backend: {
                        "address": [address.host, address.port],
                        **self._condition(service.name, track, backend),
                        "watched": self.ejecting.ejections.is_watched((service.name, track, backend)),
                    }
                    for backend, address in backends.items()
                }
                for track, backends in service.tracks.items()
            },
        }

    def _condition(self, service: str, track: str, backend: str) -> Message:
        state = self.backend_state(service, track, backend)
        return {"state": state, "since": self.comebacks.note((service, track, backend), state)}

    def backend_state(self, service: str, track: str, backend: str) -> str:
        """`drained`, `down`, `ejected` or `up`."""
        if backend in self.state.drained.get(service, ()):
            return "drained"
        key = (service, track, backend)
        if not self.checks.is_up(key):
            return "down"
        return "ejected" if self.ejecting.is_ejected(key) else "up"

    def states(self, service: Service, track: str) -> dict[str, str]:
        """The state of every backend of a track."""
        return {name: self.backend_state(service.name, track, name) for name in service.tracks.get(track, ())}

    async def push(self) -> None:
        """Have every worker work by the truth of now."""
        async with self._pushing:
            await self._apply()

    def push_soon(self) -> None:
        """`push` where nobody waits for it."""
        task = asyncio.ensure_future(self.push())
        self._pushes.add(task)
        task.add_done_callback(self._pushes.discard)

    async def settle(self) -> None:
        """Returns when every worker works by the truth of now: what is told must not be ahead of them."""
        async with self._pushing:
            while self.workers.table != self.table():
                await self._apply()

    async def _apply(self) -> None:
        self.ejecting.take_back()
        pairs = self.certificates.pairs
        await self.workers.apply(self.table())
        self.certificates.in_force = pairs
        self.redis.write_soon()

    # Alerts.

    async def raise_alert(self, service: str, alert: Alert) -> Alert:
        """
        Raise an alert, unless one stands; returns the one that stands, in force and on disk.

        Raises OSError if it is in force but could not be written; `_collect` goes on trying.
        """
        self.known(service)
        standing = self.state.alert(service)
        if standing is None:
            standing = self.state.alerts[service] = alert
            self.state.unsaved = True
            log.warning("alert for %s by %s through %s: %s", service, alert.by, alert.door, alert.reason)
            self.redis.write_soon()
            await self.push()
        else:
            # Whoever raised it may still be at it.
            await self.settle()
        if self.state.unsaved:
            self.state.save()
        return standing

    async def alert_from_redis(self, service: str, alert: Alert) -> None:
        """An alert key is there."""
        if service in self.config.services:
            await self._raise_unasked(service, alert)

    async def _raise_unasked(self, service: str, alert: Alert) -> None:
        """`raise_alert` where nobody waits for the answer: a full disk is for the log."""
        try:
            await self.raise_alert(service, alert)
        except OSError as error:
            log.error("the alert for %s is in force, but not on disk: %s", service, error)

    async def clear_alert(self, service: str, by: str) -> bool:
        """End the alert of a service; True if there was one. Raises OSError, and it stands, if unwritten."""
        self.known(service)
        before = dict(self.state.alerts)
        cleared = self.state.clear(service, set(self.config.services))
        if cleared:
            try:
                self.state.save()
            except OSError:
                self.state.alerts = before
                raise
            self.clears += 1
            self.monitor.start_anew(service)
            log.warning("alert for %s cleared by %s", service, by)
        await self.push()
        return cleared

    def known(self, service: str, backend: str | None = None) -> None:
        if service not in self.config.services:
            known = ", ".join(sorted(self.config.services)) or "none"
            raise UnknownName(f"unknown service; known: {known}")
        ids = {b for backends in self.config.services[service].tracks.values() for b in backends}
        if backend is not None and backend not in ids:
            raise UnknownName(f"unknown backend of {service}; known: {', '.join(sorted(ids))}")

    # The file.

    async def reload(self) -> bool:
        """
        Take over the file and the tokens if all of them are good; in force when this returns. True if any
        is other than before. Raises ConfigError for a bad one, with the last good ones still in force.
        """
        async with self._reloading:
            return await self._reload()

    async def _reload(self) -> bool:
        try:
            self._seen = self._on_disk()
            raw = self._seen[0]
            fresh = config.load(self._path) if raw is None else config.parse(raw)
            self._check_fixed(fresh)
            known, secrets = self._tokens.read(), affinitykeys.read(fresh)
            pairs = self.certificates.read(fresh.services)
            if pairs.mistakes:
                raise ConfigError(pairs.mistakes)
            self._listen(fresh)
        except (ConfigError, TokenError) as error:
            mistakes = error.mistakes if isinstance(error, ConfigError) else [str(error)]
            self.config_error = "; ".join(mistakes)
            self.reloads["refused"] += 1
            log.error("%s refused, the last good one stays in force: %s", self._path, self.config_error)
            raise ConfigError(mistakes) from error
        self.config_error = None
        other_tokens = self._tokens.take_over(known)
        if other_tokens:
            log.warning(
                "other tokens are in force: admin and %d that may raise alerts, %d of hosts",
                len(known.alert),
                len(known.hosts),
            )
        other_secrets = self.keys.take_over(secrets)
        other_pairs = self.certificates.take_over(fresh.services, pairs)
        if fresh.sha256 != self.config.sha256:
            await self._take_over(fresh)
            return True
        if other_secrets:
            log.warning("other secrets of affinity are in force: every user counts as new")
        if other_secrets or other_pairs:
            await self.push()
        return other_tokens or other_secrets or other_pairs

    def _on_disk(self) -> tuple[bytes | None, tuple[bytes | None, ...], tuple[str, ...]]:
        """The bytes of the file, and of the files of tokens and secrets; digests of certificates and keys."""
        secrets = (*self._tokens.raw(), *self.keys.raw(self.config))
        return read_bytes(self._path), secrets, self.certificates.on_disk(self.config.services)

    async def _take_over(self, fresh: Config) -> None:
        self.ejecting.forget_moved(fresh)
        self.leasing.follow(fresh)
        other_redis = fresh.redis != self.config.redis
        self.config = fresh
        if other_redis:
            self.redis.open()
        self.comebacks.keep(
            {
                (service.name, track, backend)
                for service in fresh.services.values()
                for track, backends in service.tracks.items()
                for backend in backends
            }
        )
        await self.checks.follow(fresh)
        # New backends are asked before they are judged; the old ones go on serving meanwhile.
        await self.checks.first_answers(FIRST_HEALTH_SECONDS)
        await self.push()
        self._sockets.keep_only([*fresh.listeners, *map(str, fresh.api_addresses)])
        self.in_force, self.loaded_at = fresh.sha256, alerts.now()
        self.reloads["applied"] += 1
        self._keep_last_good()
        log.info("%s is in force (%s)", self._path, fresh.sha256[:12])

    def _check_fixed(self, fresh: Config) -> None:
        """Refuse a change of what is set up once, when the balancer starts."""
        old, new = fixed(self.config), fixed(fresh)
        mistakes = [
            f"{path}: changed from {old.get(path, 'none')} to {new.get(path, 'none')},"
            " takes a restart of the balancer"
            for path in sorted({*old, *new})
            if old.get(path) != new.get(path)
        ]
        if mistakes:
            raise ConfigError(mistakes)

    def _listen(self, fresh: Config) -> None:
        """Listen where the file has it new, all of it or nothing. Raises ConfigError."""
        mistakes = []
        for text, listener in fresh.listeners.items():
            if text not in self.config.listeners:
                try:
                    self._sockets.open(listener.address, fresh.workers)
                except OSError as error:
                    mistakes.append(f"{listener.where}: {error}")
        if mistakes:
            self._sockets.keep_only([*self.config.listeners, *map(str, self.config.api_addresses)])
            raise ConfigError(mistakes)

    def _keep_last_good(self) -> None:
        kept = self.config.state_dir / "last-good.json"
        fresh = kept.with_suffix(".new")
        try:
            fresh.write_bytes(self.config.raw)
            fresh.replace(kept)
        except OSError as error:
            log.error("%s: %s; a start with a bad file would find no last good one", kept, error)

    async def _watch_file(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self._on_disk() != self._seen:
                try:
                    await self.reload()
                except ConfigError:
                    continue

    async def _collect(self) -> None:
        """Fetch the workers' counters often, so that little is lost with one that dies."""
        while True:
            await asyncio.sleep(1)
            counters, _ = await self.workers.numbers()
            rows = counters.get("requests", {})
            self.history.take(asyncio.get_running_loop().time(), self.config.services.values(), rows)
            await self._look(counters)
            self.leasing.look()
            if self.state.unsaved:
                try:
                    self.state.save()
                except OSError as error:
                    log.error("alerts, drained backends and leases are not on disk: %s", error)

    async def _look(self, counters: Message) -> None:
        """Let the monitor judge the canaries by the counters; door four."""
        services = self.config.services
        alerted = [name for name in services if self.state.alert(name) is not None]
        now = asyncio.get_running_loop().time()
        given_up = self.ejecting.given_up()
        for service, reason in self.monitor.look(services.values(), alerted, counters, now, given_up):
            alert = Alert(alerts.clean(reason), "balancer", alerts.now(), "monitor")
            await self._raise_unasked(service, alert)


def fixed(loaded: Config) -> dict[str, object]:
    """What a running balancer cannot change, by its path in the file."""
    return {
        "$.workers": loaded.workers,
        "$.admin.listen": loaded.admin_listen,
        "$.admin.token_file": loaded.admin_token_file,
        "$.alert.listen": loaded.alert_listen,
        "$.alert.tokens_file": loaded.alert_tokens_file,
        "$.alert.host_tokens_file": loaded.host_tokens_file,
        "$.state_dir": loaded.state_dir,
        "$.access_log": loaded.access_log,
    }
