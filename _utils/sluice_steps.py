"""
The steps of a release, in the order of salt/canary.sls.

Each returns what it did in a line. A step that fails ends the release in the ledger, keeps the canary
drained, and raises one ReleaseError that says all of it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import sluice_balancers
import sluice_probe
import sluice_states
from sluice_config import checked_version
from sluice_errors import ReleaseError
from sluice_ledger import Release
from sluice_service import ServiceView

# A service that is not up a minute after its states succeeded is not coming.
HEALTHY_SECONDS = 60
# The balancers look every second and want two good answers; the rest is for a loaded machine.
IN_FORCE_SECONDS = 20
POLL_SECONDS = 0.5
# 60 requests of at most 2 s each, four at a time, twice over.
PROBE_SECONDS = 60


class Steps(ServiceView):
    """A release of one service, as this process does it."""

    def start(self, version: object, who: str) -> str:
        """Open the release in the ledger; from here on the canary host is to run `version`."""
        release = self.ledger.begin(self.name, checked_version(version), who)
        if release.state == "serving":
            return f"release {release.id}: {self.name} {release.version} serves already; making sure of it"
        self.ledger.note(release, "start", f"by {who}")
        return f"release {release.id}: {self.name} {release.version}"

    def drain(self) -> str:
        """No new requests to the canary, and none in flight, at any balancer."""
        release = self._held()
        if release.state == "serving":
            return f"{release.version} serves already, so the canary keeps its share"
        with self._recorded(release, "drain"):
            done = self.drain_everywhere()
        self.ledger.note(release, "drain", done)
        return done

    def fail(self, returned: dict[str, object]) -> ReleaseError:
        """End the release because the installation failed; the error to raise says why."""
        release = self._held()
        reasons = {id_: sluice_states.failure(states) for id_, states in returned.items()}
        lines = [f"{id_}: {why}" for id_, why in reasons.items() if why]
        fallback = f"the states of {self.name} failed on {', '.join(self.canaries())}, see above"
        return self._failed(release, "install", "; ".join(lines) or fallback)

    def verify(self) -> str:
        """The canary is up, and probes from every balancer find it good enough."""
        release = self._held()
        with self._recorded(release, "verify"):
            done = "; ".join(self._verify(canary, release.version) for canary in self.canaries())
        self.ledger.note(release, "verify", done)
        return done

    def _verify(self, canary: str, version: str) -> str:
        address = self.fleet.address(canary)
        self._wait_healthy(canary, address)
        port, limits = self.service.port, self.service.probe
        results = self.fleet.ask(
            self.balancers(),
            "probe.http",
            address,
            port,
            list(limits.paths),
            count=limits.count,
            version_header=limits.version_header,
            timeout=PROBE_SECONDS,
        )
        for balancer, result in results.items():
            why = sluice_probe.problem(result, limits, version)
            if why:
                raise ReleaseError(f"{canary} is not good enough, probed from {balancer}: {why}")
        lines = [f"{id_} {sluice_probe.summary(result)}" for id_, result in results.items()]
        return f"{canary} probed from {'; '.join(lines)}"

    def _wait_healthy(self, canary: str, address: str) -> None:
        port, path = self.service.port, self.service.health_path
        waited = self.fleet.ask(
            self.balancers(),
            "probe.wait",
            address,
            port,
            path,
            seconds=HEALTHY_SECONDS,
            timeout=HEALTHY_SECONDS + 15,
        )
        for balancer, why in waited.items():
            if why:
                raise ReleaseError(
                    f"{canary} is not healthy: {balancer} got {why} from http://{address}:{port}{path} "
                    "(want 200)"
                )

    def admit(self) -> str:
        """The balancers may send requests to the canary."""
        release, canaries, balancers = self._held(), self.canaries(), self.balancers()
        with self._recorded(release, "admit"):
            self._tell_positions(release)
            for canary in canaries:
                self.fleet.ask(balancers, "balancer.restore", self.name, canary)
            self._held()  # an abort that came in between must win
        done = f"{', '.join(canaries)} restored at {', '.join(balancers)}"
        self.ledger.note(release, "admit", done)
        return done

    def _tell_positions(self, release: Release) -> None:
        """Balancers that keep users on their tracks do so for this release, before anyone comes in."""
        behind = self._behind(release)
        if not behind:
            return
        refused = sluice_states.apply_balancer(self.fleet, list(behind))
        for id_, found in self._behind(release).items():
            raise ReleaseError(
                f"{id_} keeps users on their tracks for release {found} (want {release.id}): "
                f"{refused.get(id_) or 'its pillar names another one'}"
            )

    def _behind(self, release: Release) -> dict[str, str]:
        """The balancers that have not heard of a release, and of which they have."""
        found = {
            id_: sluice_balancers.positions_for(status, self.name) for id_, status in self.statuses().items()
        }
        return {id_: other for id_, other in found.items() if other not in (None, str(release.id))}

    def confirm(self) -> str:
        """The weights of pillar are in force at every balancer, read back; the release serves."""
        release = self._held()
        with self._recorded(release, "confirm"):
            shares = {balancer: self.share(balancer) for balancer in self.balancers()}
            self._wait_in_force(shares)
            self._held()
        done = "; ".join(
            f"{id_} gives {sluice_balancers.weights_text(share)}" for id_, share in shares.items()
        )
        self.ledger.note(release, "confirm", done)
        self.ledger.serve(release)
        return f"{self.name} {release.version} serves: {done}"

    def _wait_in_force(self, shares: dict[str, sluice_balancers.Weights]) -> None:
        deadline = time.monotonic() + IN_FORCE_SECONDS
        while True:
            why = self._not_in_force(shares)
            if why is None:
                return
            if time.monotonic() > deadline or why.startswith("An alert stands"):
                raise ReleaseError(why)
            time.sleep(POLL_SECONDS)

    def _not_in_force(self, shares: dict[str, sluice_balancers.Weights]) -> str | None:
        canaries = self.canaries()
        for id_, status in self.statuses().items():
            why = sluice_balancers.not_in_force(status, self.name, canaries, shares[id_], id_)
            if why:
                return why
        return None

    def _held(self) -> Release:
        """The release this process opened; ReleaseError if it was aborted or never begun."""
        release = self.ledger.open_release(self.name)
        if release and release.held_here:
            return release
        last = self.ledger.last_release(self.name)
        ended = (
            f"release {last.id} {last.state}: {last.reason}" if last and last.ended_at else "none was begun"
        )
        raise ReleaseError(f"{self.name}: this orchestration holds no open release ({ended}).")

    @contextmanager
    def _recorded(self, release: Release, step: str) -> Iterator[None]:
        """Whatever goes wrong inside ends the release as failed, with the canary drained."""
        try:
            yield
        except ReleaseError as error:
            raise self._failed(release, step, str(error)) from error

    def _failed(self, release: Release, step: str, reason: str) -> ReleaseError:
        self.ledger.end(release, "failed", f"{step}: {reason}")
        try:
            kept = f"Traffic stays off the canary: {self.drain_everywhere()}."
        except ReleaseError as error:
            kept = f"It could not be drained ({error}): run salt-run release.abort {self.name}."
        return ReleaseError(
            f"{self.name} {release.version} failed at the step '{step}'. {reason.rstrip('.')}. {kept} "
            f"Correct the cause and run the orchestration again."
        )
