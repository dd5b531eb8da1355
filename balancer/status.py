"""What is told of a balancer: to people, to the admin API, to metrics and to systemd."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from balancer import __version__, alerts, heads
from balancer.channel import Message
from balancer.draining import some
from balancer.policy import effective_weights
from balancer.services import Service

if TYPE_CHECKING:
    from balancer.supervisor import Supervisor


class Status:
    """The supervisor's truth in words and numbers; see docs/reference/balancer.md."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._truth = supervisor

    async def tell(self) -> dict[str, Any]:
        """What the admin API tells; see docs/reference/balancer.md."""
        _, status = await self.with_counters()
        return status

    async def with_counters(self) -> tuple[Message, dict[str, Any]]:
        """All counters since the balancer started, and the status."""
        counters, flying = await self._truth.workers.numbers()
        await self._truth.settle()
        return counters, self._with(flying)

    def _with(self, flying: dict[str, int]) -> dict[str, Any]:
        services = {s.name: self._service_status(s, flying) for s in self._truth.config.services.values()}
        told = {
            "sha256": self._truth.in_force,
            "loaded_at": self._truth.loaded_at,
            "error": self._truth.config_error,
        }
        return {
            "balancer": self.who_am_i(),
            "config": told,
            "workers": self._truth.workers.count,
            "redis": self._truth.redis.state,
            "redis_servers": self._truth.redis.servers(),
            "services": services,
        }

    def who_am_i(self) -> dict[str, Any]:
        """Which balancer this is, and its clock: what an operator looks at must be what he means."""
        return {
            "host": socket.gethostname(),
            "version": __version__,
            "compiled": heads.COMPILED,
            "started_at": self._truth.started_at,
            "at": alerts.now(),
        }

    def summary(self) -> str:
        """How it goes, in one line."""
        workers = f"{self._truth.workers.count} of {self._truth.config.workers} workers"
        parts = [workers, f"{len(self._truth.config.services)} services"]
        alerted = [name for name in self._truth.config.services if self._truth.state.alert(name) is not None]
        if alerted:
            parts.append(f"alert for {some(alerted)}")
        if self._truth.config_error:
            parts.append(f"the file is refused: {self._truth.config_error}")
        return alerts.clean("; ".join(parts))

    def _service_status(self, service: Service, flying: dict[str, int]) -> dict[str, Any]:
        weights = self.effective(service)
        alert, lease = self._truth.state.alert(service.name), self._truth.leasing.told(service.name)
        return {
            "listen": str(service.listen),
            "hosts": list(service.hosts),
            "tls": self._truth.certificates.status(service),
            "proxy_protocol": service.proxy_protocol and list(service.proxy_protocol.networks),
            "alert": vars(alert) if alert else None,
            "lease": lease,
            "affinity": {"release": service.affinity.release} if service.affinity else None,
            "monitor": vars(self._truth.monitor.finding(service, alert is not None)),
            "tracks": {
                track: {
                    "weight_declared": tidy(service.weights[track]),
                    "weight_leased": tidy(lease["weights"][track]) if lease else None,
                    "weight_effective": tidy(weights.get(track, 0.0)),
                    "min_available": service.needed(track),
                    "backends": {
                        backend: {
                            "address": str(address),
                            "state": self._truth.backend_state(service.name, track, backend),
                            "in_flight": flying.get(f"{service.name} {track} {backend}", 0),
                            "health": self._truth.checks.conditions[(service.name, track, backend)].said,
                            **self._truth.ejecting.status((service.name, track, backend)),
                        }
                        for backend, address in backends.items()
                    },
                }
                for track, backends in service.tracks.items()
            },
        }

    async def of_backend(self, service: str, backend: str) -> dict[str, Any] | None:
        """What a host may know: its own backend, and of its track no names. None if there is no such."""
        told = (await self.tell())["services"].get(service, {"tracks": {}})
        for track, found in told["tracks"].items():
            if backend in found["backends"]:
                own = found["backends"][backend]
                return {
                    "service": service,
                    "backend": backend,
                    "track": track,
                    **{key: own[key] for key in ("state", "in_flight", "health")},
                    "up": sum(one["state"] == "up" for one in found["backends"].values()),
                    **{key: found[key] for key in ("min_available", "weight_declared", "weight_effective")},
                    "alert": told["alert"] and told["alert"]["reason"],
                }
        return None

    def weights_of(self, service: str) -> dict[str, Any]:
        """The weights of a service: declared, leased and in force."""
        settings = self._truth.config.services[service]
        declared, effective = settings.weights, self.effective(settings)
        return {
            "declared": {track: tidy(weight) for track, weight in declared.items()},
            "lease": self._truth.leasing.told(service),
            "effective": {track: tidy(weight) for track, weight in effective.items()},
        }

    def effective(self, service: Service) -> dict[str, float]:
        """The weights in force, by the same rule the workers use."""
        usable = {track: "up" in self._truth.states(service, track).values() for track in service.tracks}
        return effective_weights(
            self._truth.leasing.weights(service),
            self._truth.state.alert(service.name) is not None,
            usable,
        )


def tidy(weight: float) -> float:
    """70.0 as 70: weights read as they were written."""
    return int(weight) if weight == int(weight) else round(weight, 3)
