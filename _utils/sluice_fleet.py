"""
The machines, seen from the master: who is there, where they are, and asking them to do something.

The one `sluice_*` module that calls Salt. It takes the master's options as an argument, not as a dunder.
"""

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import salt.cache  # type: ignore[import-untyped]
import salt.client  # type: ignore[import-untyped]
import salt.exceptions  # type: ignore[import-untyped]
import salt.utils.event  # type: ignore[import-untyped]
import salt.utils.minions  # type: ignore[import-untyped]
import sluice_balancers
import sluice_nodegroups
from sluice_errors import ReleaseError

MINE_FUNCTION = "sluice_address"
# A minion that is alive answers a ping in well under a second; five cover a loaded one.
PING_SECONDS = 5
CALL_SECONDS = 30
# How long to ask a silent minion whether it is still at it (Salt's default of 10 is for big fleets).
GATHER_SECONDS = 4
# A minion that says it is still at it is slow, or waits for another run; not much longer, or it is stuck.
STILL_AT_IT_SECONDS = 60
# Between two looks at what came in.
LOOK_SECONDS = 0.01


@dataclass(frozen=True)
class Answer:
    """What one minion said. `error` is None if all went well."""

    value: Any = None
    error: str | None = None


class Fleet:
    """The accepted minions of the master whose options these are."""

    def __init__(self, opts: dict[str, Any]) -> None:
        self.opts = opts
        self.nodegroups: dict[str, object] = opts.get("nodegroups") or {}

    def members(self, target: str) -> list[str]:
        """The accepted minions that `target` holds, by id."""
        found = salt.utils.minions.CkMinions(self.opts).check_minions("*", "glob")
        return sluice_nodegroups.members(target, found["minions"], self.nodegroups)

    def needed(self, target: str, what: str) -> list[str]:
        """The same, but ReleaseError if there is none."""
        found = self.members(target)
        if not found:
            raise ReleaseError(
                f"There is no {what}: no accepted minion in {target}. Accept its key (salt-key -L) or "
                "correct the nodegroup."
            )
        return found

    def addresses(self, target: str) -> dict[str, str]:
        """The address of each host in `target` that the mine has a usable one for. No network, no pillar."""
        cache = salt.cache.factory(self.opts)
        ids = sluice_nodegroups.members(target, cache.list("mine"), self.nodegroups)
        found = {id_: sluice_balancers.mine_address(_mined(cache.fetch("mine", id_))) for id_ in ids}
        return {id_: address for id_, address in found.items() if address}

    def address(self, id_: str) -> str:
        """The address of one host; ReleaseError if the mine has none."""
        found = self.addresses(f"L@{id_}").get(id_)
        if not found:
            raise ReleaseError(f"The address of {id_} is not known. Refresh it: salt {id_} mine.update")
        return found

    def call(
        self,
        ids: Iterable[str],
        fun: str,
        *args: object,
        timeout: int = CALL_SECONDS,
        longest: int = 0,
        **kwargs: object,
    ) -> dict[str, Answer]:
        """
        Run `fun` on the minions `ids` and wait. Every id is in the result, silent ones with an error.

        Who has not answered after `timeout` seconds is asked whether it is still at it. If it is, it is
        waited for until `longest` seconds are over, a minute after `timeout` by default, and no longer: a run
        that never ends must not keep a thread of the reactor. ReleaseError if the master does not answer.
        """
        wanted, longest = list(ids), longest or timeout + STILL_AT_IT_SECONDS
        with _master_needed(fun), salt.client.LocalClient(mopts=self.opts) as client:
            coming = client.cmd_iter_no_block(
                wanted,
                fun,
                arg=args,
                kwarg=kwargs,
                tgt_type="list",
                timeout=timeout,
                gather_job_timeout=GATHER_SECONDS,
            )
            with contextlib.closing(coming):
                got, ended = _collected(coming, time.monotonic() + longest)
        why = f"no answer within {timeout} s (is its salt-minion running?)"
        if not ended:
            why = f"no end after {longest} s; see what it is at with saltutil.running"
        return {id_: _answer(got.get(id_), why) for id_ in wanted}

    def events(self, prefix: str, wait: float) -> Iterator[tuple[str, dict[str, Any]] | None]:
        """
        The events of the master's bus whose tag begins with `prefix`, as rest of the tag and data; None
        whenever nothing came for `wait` seconds.
        """
        with salt.utils.event.get_master_event(self.opts, self.opts["sock_dir"], listen=True) as bus:
            while True:
                event = bus.get_event(wait=wait, tag=prefix, full=True, auto_reconnect=True)
                yield (event["tag"].removeprefix(prefix), event["data"]) if event else None

    def fire(self, tag: str, data: dict[str, Any]) -> None:
        """An event on the master's bus. Who listens is not known, so a bus that is not there is no error."""
        with (
            contextlib.suppress(Exception),
            salt.utils.event.get_master_event(self.opts, self.opts["sock_dir"], listen=False) as bus,
        ):
            bus.fire_event(data, tag)

    def ask(
        self,
        ids: Iterable[str],
        fun: str,
        *args: object,
        timeout: int = CALL_SECONDS,
        longest: int = 0,
        **kwargs: object,
    ) -> dict[str, Any]:
        """Like `call`, but returns the values; ReleaseError with the first error if there was one."""
        answers = self.call(ids, fun, *args, timeout=timeout, longest=longest, **kwargs)
        for id_, answer in answers.items():
            if answer.error is not None:
                raise ReleaseError(f"{id_}: {fun} failed: {answer.error}")
        return {id_: answer.value for id_, answer in answers.items()}


def _mined(data: object) -> object:
    return data.get(MINE_FUNCTION) if isinstance(data, dict) else None


def _collected(coming: Iterable[dict[str, Any] | None], until: float) -> tuple[dict[str, Any], bool]:
    """What minions return, None meaning nothing yet; and whether they came to an end by then."""
    got: dict[str, Any] = {}
    for some in coming:
        got.update(some or {})
        if not some:
            if time.monotonic() > until:
                return got, False
            time.sleep(LOOK_SECONDS)
    return got, True


def _answer(got: object, why_none: str) -> Answer:
    if not isinstance(got, dict) or "ret" not in got or got.get("out") == "no_return":
        return Answer(error=why_none)
    if got.get("retcode", 0) != 0:
        return Answer(got["ret"], error=one_line(got["ret"]))
    return Answer(got["ret"])


@contextlib.contextmanager
def _master_needed(fun: str) -> Iterator[None]:
    """What Salt raises when its master is gone, or too busy to publish, as an error for users."""
    try:
        yield
    except salt.exceptions.SaltException as error:
        why = one_line(error, 100)
        raise ReleaseError(f"{fun}: the master did not answer ({why}). Is salt-master running?") from error


def one_line(value: object, limit: int = 400) -> str:
    """The gist of what a minion returned as an error: no traceback, one line."""
    lines = [line.strip() for line in str(value).splitlines() if line.strip()]
    is_trace = bool(lines) and lines[0].startswith(("Traceback", "The minion function"))
    text = lines[-1] if is_trace else " ".join(lines)
    text = text.removeprefix("ERROR: ").removeprefix("Error: ")
    return text if len(text) <= limit else text[:limit] + "..."
