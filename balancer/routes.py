"""A worker's view of the services: which backends there are, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from balancer import limits, policy, timeouts
from balancer.networks import Networks
from balancer.rules import Rules
from balancer.steering import Steering
from balancer.timeouts import Timeouts

if TYPE_CHECKING:
    from balancer.mirror import Mirror

# Before any time there is.
NEVER = float("-inf")


class Backend:
    """One host:port of a track, and what this worker knows of it."""

    __slots__ = (
        "errors",
        "host",
        "id",
        "in_flight",
        "port",
        "since",
        "suspect_until",
        "track",
        "usable",
        "watched",
    )

    def __init__(self, backend_id: str, track: str, host: str, port: int) -> None:
        self.id, self.track, self.host, self.port = backend_id, track, host, port
        self.usable = False
        self.in_flight = 0
        self.suspect_until = 0.0
        # When it came back into service.
        self.since = NEVER
        # Failures in a row; and whether the supervisor wants to hear of the next good answer.
        self.errors = 0
        self.watched = False


class Route:
    """One service: its tracks, the weights in force and the choice of a backend."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self.name = name
        # Proxies that are believed what they say of who asked; None: nobody is.
        self.trusted: Networks | None = None
        self.weights: dict[str, float] = {}
        self.tracks: dict[str, list[Backend]] = {}
        self.rules: Rules | None = None
        # Whether an answer of 502, 503 or 504 is a failure of the backend.
        self.gateway_errors = False
        self.timeouts = timeouts.DEFAULTS
        # What clients may switch to, and how long nothing may move then.
        self.protocols: frozenset[bytes] = frozenset()
        self.tunnel_idle_seconds = 0.0
        self._usable: dict[str, list[Backend]] = {}
        self._shares = policy.Shares()
        self._turns: dict[str, int] = {}
        self._is_in_turn = False
        # Slow start: how long it takes, until when any backend has not its whole share, and whose turn it is.
        self._slow_start = 0.0
        self._warm_at = NEVER
        self._warm_ups: dict[str, policy.WarmUp] = {}
        self._clock = clock
        self.alert = False
        # What it was made of, to be made anew only if that is other; None: all is a matter of shares.
        self._steering_told: dict[str, Any] = {}
        self.steering: Steering | None = None
        # Makes copies for the canary, if it is to get any.
        self.mirror: Mirror | None = None

    def apply(self, table: dict[str, Any]) -> list[Backend]:
        """Take over a new table; returns the backends that must get no further request."""
        self.rules = Rules(table["rules"]) if table.get("rules") else None
        upgrade = table.get("upgrade", {"protocols": (), "idle_seconds": 0.0})
        self.protocols = frozenset(name.encode() for name in upgrade["protocols"])
        self.tunnel_idle_seconds = upgrade["idle_seconds"]
        before = {(b.track, b.id, b.host, b.port): b for track in self.tracks.values() for b in track}
        self.gateway_errors = table.get("gateway_errors", False)
        self.timeouts = Timeouts(**table.get("timeouts", {}))
        self.tracks = {}
        for track, backends in table["tracks"].items():
            self.tracks[track] = []
            for backend_id, told in backends.items():
                host, port = told["address"]
                key = (track, backend_id, host, port)
                backend = before.pop(key, None) or Backend(backend_id, track, host, port)
                backend.usable = told["state"] == "up"
                backend.since = told.get("since") or NEVER
                backend.watched = backend.watched or told.get("watched", False)
                self.tracks[track].append(backend)
        self._trust(table.get("trust_forwarded_from", ()))
        self._usable = {track: [b for b in backends if b.usable] for track, backends in self.tracks.items()}
        usable = {track: bool(backends) for track, backends in self._usable.items()}
        self.weights = policy.effective_weights(table["weights"], table["alert"], usable)
        self.alert = table["alert"]
        self._is_in_turn = table.get("balance") == policy.ROUND_ROBIN
        self._slow_start = table.get("slow_start_seconds", 0.0)
        came_back = (b.since for backends in self._usable.values() for b in backends)
        self._warm_at = max(came_back, default=NEVER) + self._slow_start
        self._steer(table.get("steering", {}))
        for backend in before.values():
            backend.usable = False
        refused = [b for backends in self.tracks.values() for b in backends if not b.usable]
        return [*before.values(), *refused]

    def _trust(self, networks: list[str]) -> None:
        if not networks:
            self.trusted = None
        elif self.trusted is None or self.trusted.told != tuple(networks):
            self.trusted = Networks(networks)

    def _steer(self, told: dict[str, Any]) -> None:
        if told != self._steering_told:
            self._steering_told = told
            self.steering = Steering(told) if told else None
        if self.steering is not None:
            self.steering.weigh(self.weights)

    def choose(self, tried: Collection[Backend] = ()) -> Backend | None:
        """The backend for the next request, none of `tried`; None if nothing can serve it."""
        track = self.next_track()
        return None if track is None else self.choose_in(track, tried)

    def next_track(self) -> str | None:
        """The track whose turn it is by its share; None if nothing can serve."""
        return self._shares.choose(self.weights)

    def choose_in(self, track: str, tried: Collection[Backend] = ()) -> Backend | None:
        """A backend of this track, or else of another that may serve; None if there is none but `tried`."""
        found = self._among(track, tried)
        if found is not None:
            return found
        return self._elsewhere(tried)

    def again(self, tried: Sequence[Backend]) -> Backend | None:
        """
        Another backend for a request that the last of `tried` failed, of its track if there is one. It takes
        no turn of the shares: those are of requests, not of attempts.
        """
        track = tried[-1].track
        allowed = track == policy.STABLE or self.weights.get(track, 0.0) > 0
        return (self._among(track, tried) if allowed else None) or self._elsewhere(tried)

    def _elsewhere(self, tried: Collection[Backend]) -> Backend | None:
        """A backend of any track that may serve, stable first."""
        others = sorted(self.weights, key=lambda name: name != policy.STABLE)
        allowed = [name for name in others if self.weights[name] > 0 or name == policy.STABLE]
        for other in allowed:
            found = self._among(other, tried)
            if found is not None:
                return found
        return None

    def serves(self, backend: Backend) -> bool:
        """True while a new request may go to this backend."""
        return backend.usable and (backend.track == policy.STABLE or self.weights.get(backend.track, 0.0) > 0)

    def keeps(self, backend: Backend) -> bool:
        """True if a tunnel to this backend may stay: under an alert all traffic leaves the canary."""
        return backend.track == policy.STABLE or not self.alert

    def _among(self, track: str, tried: Collection[Backend]) -> Backend | None:
        usable = self._usable.get(track, [])
        if len(usable) == 1:
            # Suspect or not: there is no other.
            return None if usable[0] in tried else usable[0]
        candidates = [b for b in usable if b not in tried]
        if not candidates:
            return None
        now = self._clock()
        trusted = [b for b in candidates if b.suspect_until <= now]
        turn = self._turns[track] = self._turns.get(track, -1) + 1
        among = trusted or candidates
        if self._warm_at > now:
            among = self._warm(track, among, now)
        return among[turn % len(among)] if self._is_in_turn else policy.least_loaded(among, turn)

    def _warm(self, track: str, among: list[Backend], now: float) -> list[Backend]:
        """Those that the next request may go to, while one has not its whole share yet."""
        parts = {b.id: policy.part_of_share(b.since, now, self._slow_start) for b in among}
        chosen = self._warm_ups.setdefault(track, policy.WarmUp()).among(parts)
        return [b for b in among if b.id in chosen]

    def suspect(self, backend: Backend) -> None:
        """Leave a backend alone for a moment: it refused or broke a connection."""
        backend.suspect_until = self._clock() + limits.SUSPECT_SECONDS
