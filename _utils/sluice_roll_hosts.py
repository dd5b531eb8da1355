"""The hosts of a roll: what they run, having them run their state, and whether they serve afterwards."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sluice_balancers
import sluice_states
from sluice_errors import ReleaseError
from sluice_fleet import Answer, one_line
from sluice_service import ServiceView

TRACK = "stable"
# Who is silent that long is asked whether it is still at its states; these may take as long as pillar says.
ASK_AGAIN_SECONDS = 15
# A host that has just started its application is busy, and to take it for dead stops the roll.
LOOK_SECONDS = 15
# The balancers look every second and want two good answers; the rest is for a loaded machine.
UP_SECONDS = 20
POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Look:
    """What a host runs, or why it cannot be told."""

    version: str | None = None
    # What was left of an update that did not end.
    half_way: str = ""
    error: str = ""

    def is_other(self, version: str) -> str | None:
        """Why it does not run `version`; None if it does."""
        if self.error:
            return self.error
        if self.half_way:
            return self.half_way
        return None if self.version == version else f"it runs {self.version or 'nothing'} (want {version})"


class Hosts:
    """The hosts of the stable track of one service."""

    def __init__(self, view: ServiceView) -> None:
        self.view = view
        self.fleet = view.fleet
        self.service = view.service

    def names(self) -> list[str]:
        """Their ids; ReleaseError if there is none."""
        return self.fleet.needed(self.service.stable, f"host of {self.view.name}")

    def looks(self, ids: Iterable[str]) -> dict[str, Look]:
        """What each runs."""
        answers = self.fleet.call(ids, "webapp.version", self.view.name, timeout=LOOK_SECONDS)
        return {id_: _look(answer) for id_, answer in answers.items()}

    def absent(self, ids: Iterable[str]) -> dict[str, str]:
        """Those that cannot be updated as they are not there, and why."""
        wanted = list(ids)
        accepted = set(self.fleet.members(self.service.stable))
        mined = self.fleet.addresses(self.service.stable)
        found = {id_: "its key is gone: it was removed" for id_ in wanted if id_ not in accepted}
        for id_ in wanted:
            if id_ in accepted and id_ not in mined:
                found[id_] = f"its address is not in the mine (salt {id_} mine.update)"
        return found

    def track(self, status: Mapping[str, Any], balancer: str) -> dict[str, Any]:
        """What the status of a balancer tells of the hosts; ReleaseError if it does not serve them."""
        told = sluice_balancers.service_status(dict(status), self.view.name, balancer)
        found = told["tracks"].get(TRACK)
        if not found:
            raise ReleaseError(f"{balancer} has no track {TRACK} of {self.view.name}.")
        return dict(found)

    def update(self, ids: list[str], version: str) -> dict[str, str | None]:
        """Have each run its state; None for those that run `version` and serve afterwards, else why not."""
        outcome = self._apply(ids)
        good = [id_ for id_, why in outcome.items() if why is None]
        return outcome | self.verified(good, version)

    def verified(self, ids: list[str], version: str) -> dict[str, str | None]:
        """None for those that run `version` and are up at every balancer, else why not."""
        outcome = {id_: look.is_other(version) for id_, look in self.looks(ids).items()} if ids else {}
        good = [id_ for id_, why in outcome.items() if why is None]
        return outcome | self._up(good)

    def wait_idle(self, ids: list[str]) -> None:
        """Until none of them runs states that a roll before this one has ordered, or the time is over."""
        deadline = time.monotonic() + self.service.roll.host_timeout_seconds
        while ids and time.monotonic() < deadline:
            answers = self.fleet.call(ids, "saltutil.is_running", "state.*", timeout=LOOK_SECONDS)
            ids = [id_ for id_, answer in answers.items() if answer.error is None and answer.value]
            time.sleep(POLL_SECONDS if ids else 0)

    def tried(self, ids: list[str], version: Mapping[str, Any]) -> dict[str, Answer]:
        """What the state of each would do for `version`; changes nothing."""
        pillar = {"release": {self.view.name: {TRACK: dict(version)}}}
        return self.fleet.call(ids, "state.apply", self.service.state, test=True, queue=True, pillar=pillar)

    def _apply(self, ids: list[str]) -> dict[str, str | None]:
        longest = self.service.roll.host_timeout_seconds
        answers = self.fleet.call(
            ids, "state.apply", self.service.state, queue=True, timeout=ASK_AGAIN_SECONDS, longest=longest
        )
        return {id_: sluice_states.refusal(answer) for id_, answer in answers.items()}

    def _up(self, ids: list[str]) -> dict[str, str | None]:
        """Wait until each is up at every balancer."""
        deadline = time.monotonic() + UP_SECONDS
        while True:
            outcome = dict.fromkeys(ids) | (self.not_up(ids, self.view.statuses()) if ids else {})
            if not any(outcome.values()) or time.monotonic() > deadline:
                return outcome
            time.sleep(POLL_SECONDS)

    def not_up(self, ids: Iterable[str], statuses: Mapping[str, Any]) -> dict[str, str | None]:
        """Those that a balancer does not see up, and which one."""
        found: dict[str, str | None] = {}
        for id_ in ids:
            for balancer, status in statuses.items():
                state = sluice_balancers.backend_state(status, self.view.name, TRACK, id_)
                if state != "up":
                    found.setdefault(id_, f"{balancer} sees it {state or 'not at all'} (want up)")
        return found


def _look(answer: Answer) -> Look:
    if answer.error is not None:
        return Look(error=answer.error)
    told = answer.value if isinstance(answer.value, dict) else {}
    version, left = told.get("version"), told.get("half_way")
    if isinstance(left, dict):
        why = f" ({one_line(left['reason'])})" if left.get("reason") else ""
        return Look(version, f"an update to {left.get('version')} ended at the step {left.get('step')}{why}")
    return Look(str(version) if version else None)
