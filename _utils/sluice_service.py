"""One service as the master sees it: its hosts, its balancers, its share in pillar, its ledger."""

from collections.abc import Callable
from typing import Any

import sluice_balancers
from sluice_config import Service, Settings
from sluice_errors import ReleaseError
from sluice_fleet import PING_SECONDS, Fleet
from sluice_ledger import Ledger

# The slowest page of a service should be done by then; what is not is cut, as the balancer reports.
DRAIN_SECONDS = 30
# Master and Redis are near each other: a second is a Redis in trouble, not a slow one.
REDIS_SECONDS = 1.0

Pillar = Callable[[str], dict[str, Any]]


class ServiceView:
    """Everything a release of one service needs to reach."""

    def __init__(self, settings: Settings, service: object, fleet: Fleet, pillar: Pillar) -> None:
        self.settings = settings
        self.service: Service = settings.service(service)
        self.name = self.service.name
        self.fleet = fleet
        self.pillar = pillar
        self.ledger = Ledger(settings.ledger)

    def canaries(self) -> list[str]:
        """The canary hosts; ReleaseError if there is none."""
        if not self.service.canary:
            raise ReleaseError(
                f"{self.name} has no canary: it is rolled, with salt-run state.orchestrate rolling "
                f'pillar=\'{{"service": "{self.name}"}}\''
            )
        return self.fleet.needed(self.service.canary, f"canary host for {self.name}")

    def balancers(self) -> list[str]:
        """The balancers; ReleaseError if there is none."""
        return self.fleet.needed(self.settings.balancers, "balancer")

    def statuses(self) -> dict[str, Any]:
        """The status of every balancer; ReleaseError names the one that does not answer."""
        return self.fleet.ask(self.balancers(), "balancer.status", timeout=PING_SECONDS)

    def share(self, balancer: str) -> sluice_balancers.Weights:
        """The weights pillar declares for the service, to a thousandth as the balancers tell theirs."""
        pillar = self.pillar(balancer)
        if pillar.get("_errors"):
            raise ReleaseError(
                f"The pillar of {balancer} does not render: {'; '.join(map(str, pillar['_errors']))}. "
                f"Look with: salt-run pillar.show_pillar {balancer}"
            )
        weights = (pillar.get("traffic") or {}).get(self.name)
        if not isinstance(weights, dict):
            raise ReleaseError(f"Pillar has no weights in traffic:{self.name} for {balancer}; add them.")
        return {
            track: round(weight, 3) if isinstance(weight, float) else weight
            for track, weight in weights.items()
        }

    def drain_everywhere(self) -> str:
        """Drain each canary at each balancer and read it back; trouble is raised after all were tried."""
        canaries, balancers = self.canaries(), self.balancers()
        trouble = [line for canary in canaries for line in self._drain(canary, balancers)]
        answers = self.fleet.call(balancers, "balancer.status", timeout=PING_SECONDS)
        for id_, answer in answers.items():
            for canary in canaries if answer.error is None else []:
                state = sluice_balancers.backend_state(answer.value, self.name, "canary", canary)
                if state != "drained":
                    trouble.append(f"{id_} sees {canary} {state} (want drained)")
        if trouble:
            raise ReleaseError("; ".join(trouble))
        return f"{', '.join(canaries)} drained at {', '.join(balancers)}"

    def _drain(self, canary: str, balancers: list[str]) -> list[str]:
        answers = self.fleet.call(
            balancers, "balancer.drain", self.name, canary, DRAIN_SECONDS, timeout=DRAIN_SECONDS + 15
        )
        return [f"{id_}: {answer.error}" for id_, answer in answers.items() if answer.error]
