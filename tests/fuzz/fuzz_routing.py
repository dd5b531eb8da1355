"""
Looks for tables and orders under which a request goes where it must not.

    PYTHONPATH=. python tests/fuzz/fuzz_routing.py CORPUS -max_total_time=60

The options are libFuzzer's. The bytes of an input are a story: tables that come, requests, failures, time.
"""

import sys

import atheris

with atheris.instrument_imports(include=["balancer"]):
    from balancer.routes import Route

STATES = ["up", "down", "drained"]


class Wrong(Exception):
    """A choice that no rule allows."""


class Story:
    """A route, the table it was told last, and what it must do with it."""

    def __init__(self, data):
        self._dice = atheris.FuzzedDataProvider(data)
        self._now = 0.0
        self._route = Route("shop", lambda: self._now)
        self._table = None

    def run(self):
        self.take_table()
        # An input has some hundred bytes, and each order takes at least one.
        while self._dice.remaining_bytes():
            order = self._dice.ConsumeIntInRange(0, 5)
            (self.take_table, self.ask, self.ask, self.retry, self.fail, self.wait)[order]()

    def take_table(self):
        canary = self._dice.ConsumeIntInRange(0, 1000) / 10
        self._table = {
            "weights": {"stable": 100.0 - canary, "canary": canary},
            "alert": self._dice.ConsumeBool(),
            "tracks": {track: self._backends(track) for track in ("stable", "canary")},
        }
        refused = self._route.apply(self._table)
        if any(self._route.serves(backend) for backend in refused):
            raise Wrong("a backend is refused and serves")
        total = sum(self._route.weights.values())
        if not (abs(total - 100) < 1e-6 or total == 0) or min(self._route.weights.values()) < 0:
            raise Wrong(f"weights {self._route.weights}")

    def _backends(self, track):
        ports = range(self._dice.ConsumeIntInRange(0, 3))
        return {
            f"{track}-{port}": {"address": ("127.0.0.1", port), "state": self._dice.PickValueInList(STATES)}
            for port in ports
        }

    def _may_serve(self):
        """The names that may get a request now, from the table alone."""
        table = self._table
        up = {
            track: {name for name, told in backends.items() if told["state"] == "up"}
            for track, backends in table["tracks"].items()
        }
        if table["alert"] or table["weights"]["canary"] == 0:
            return up["stable"]
        return up["stable"] | up["canary"]

    def ask(self, tried=()):
        may = self._may_serve() - {backend.id for backend in tried}
        chosen = self._route.choose(tried)
        if chosen is None:
            if may:
                raise Wrong(f"nobody was chosen, though {sorted(may)} may serve: {self._table}")
            return None
        if chosen.id not in may or not self._route.serves(chosen):
            raise Wrong(f"{chosen.id} was chosen, only {sorted(may)} may serve: {self._table}")
        if self._dice.ConsumeBool():
            chosen.in_flight += 1
        return chosen

    def retry(self):
        """A request that fails at one backend after the other ends at last."""
        tried = []
        while (chosen := self.ask(tried)) is not None:
            tried.append(chosen)

    def fail(self):
        chosen = self.ask()
        if chosen is not None:
            self._route.suspect(chosen)

    def wait(self):
        self._now += self._dice.ConsumeIntInRange(0, 20) / 10


def one_input(data):
    Story(data).run()


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
