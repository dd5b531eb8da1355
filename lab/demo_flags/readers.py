"""Users who look at the picture on every application host, all the time."""

from __future__ import annotations

from lab.demo_flags.judge import kind
from lab.load import Answer, Check, Load, get
from lab.settings import Lab

# Each host, requests per second through its nginx; two cores carry this beside everything else.
RATE = 50.0
# Whatever it shows is judged afterwards, by the flips.
LOOK = get("/getPic", lambda body: True, kind)


class Readers:
    """A load on every application host of a lab."""

    def __init__(self, lab: Lab) -> None:
        self.hosts = {m.id: m.address for m in lab.machines if m.id.startswith("checkbox-")}
        checks: tuple[Check, ...] = (LOOK,)
        self._loads = {id_: Load(host, 80, RATE, lab.network, checks) for id_, host in self.hosts.items()}

    def start(self) -> None:
        for load in self._loads.values():
            load.start()

    def stop(self) -> None:
        for load in self._loads.values():
            load.stop()

    def answers(self, id_: str) -> list[Answer]:
        """All that a host has answered until now."""
        return list(self._loads[id_].answers)

    def failed(self) -> list[str]:
        """Host and problem of every request that got no answer, or one that is none."""
        return [f"{id_}: {answer.problem}" for id_, load in self._loads.items() for answer in load.failed()]

    def shows(self) -> dict[str, str]:
        """What each host showed last."""
        return {id_: load.answers[-1].kind if load.answers else "" for id_, load in self._loads.items()}
