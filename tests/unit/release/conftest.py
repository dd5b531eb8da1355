"""A fleet and a service made of plain data, for testing decisions without machines."""

import pytest
from sluice_config import Probe, RedisServer, RedisServers, Service, Settings
from sluice_errors import ReleaseError
from sluice_fleet import Answer


class FakeFleet:
    """Two balancers and a canary that answer as told. `calls` holds what was asked of whom."""

    def __init__(self):
        self.groups = {"N@balancer": ["lb-1", "lb-2"], "N@checkbox_canary": ["canary-1"]}
        self.groups["N@checkbox_stable"] = ["checkbox-1"]
        self.state = {"lb-1": "up", "lb-2": "up"}
        self.alerts = {"lb-1": None, "lb-2": None}
        self.share = {"stable": 70, "canary": 30}
        # Balancer to the release it keeps users on their tracks for.
        self.positions = {}
        self.silent = set()
        self.probed = {"requests": 60, "errors": 0, "p95_ms": 3.0, "failures": [], "versions": []}
        self.on = {}
        self.calls = []

    def members(self, target):
        return self.groups[target]

    def needed(self, target, what):
        if not self.groups[target]:
            raise ReleaseError(f"There is no {what}")
        return self.groups[target]

    def address(self, _id):
        return "10.0.0.31"

    def call(self, ids, fun, *args, timeout=0, **kwargs):
        self.calls.append((fun, list(ids), args))
        return {
            id_: Answer(error="no answer within 5 s") if id_ in self.silent else Answer(self.one(id_, fun))
            for id_ in ids
        }

    def ask(self, ids, fun, *args, **kwargs):
        answers = self.call(ids, fun, *args, **kwargs)
        for id_, answer in answers.items():
            if answer.error:
                raise ReleaseError(f"{id_}: {fun} failed: {answer.error}")
        return {id_: answer.value for id_, answer in answers.items()}

    def one(self, id_, fun):
        if fun in self.on:
            return self.on[fun](id_)
        if fun == "balancer.drain":
            self.state[id_] = "drained"
        if fun == "balancer.restore":
            self.state[id_] = "up"
        if fun == "balancer.clear":
            self.alerts[id_] = None
        return {"balancer.status": self.status(id_), "probe.http": self.probed}.get(fun)

    def status(self, id_):
        effective = self.share if self.state[id_] == "up" else {"stable": 100, "canary": 0}
        hosts = {"stable": ("checkbox-1", "up"), "canary": ("canary-1", self.state[id_])}
        tracks = {
            track: {
                "weight_declared": self.share[track],
                "weight_effective": effective[track],
                "backends": {host: {"state": state}},
            }
            for track, (host, state) in hosts.items()
        }
        return {
            "redis": "connected",
            "services": {
                "checkbox": {
                    "alert": self.alerts[id_],
                    "tracks": tracks,
                    "affinity": {"release": self.positions[id_]} if id_ in self.positions else None,
                }
            },
        }


@pytest.fixture
def fleet():
    return FakeFleet()


@pytest.fixture
def settings(tmp_path):
    service = Service(
        name="checkbox",
        stable="N@checkbox_stable",
        canary="N@checkbox_canary",
        state="checkbox",
        source="git://example.org/checkbox",
        health_path="/health",
        port=80,
        probe=Probe(),
    )
    return Settings(
        ledger=str(tmp_path / "ledger.db"),
        redis=RedisServers((RedisServer("127.0.0.1", 1, id="redis-1"),)),
        alert_token="not-a-secret",
        alert_port=9902,
        balancers="N@balancer",
        services={"checkbox": service},
    )


@pytest.fixture
def pillar(fleet):
    return lambda _id: {"traffic": {"checkbox": fleet.share}}
