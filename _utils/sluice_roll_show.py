"""A plan of a roll, and what happens in one: gathered for programs, and as text for people."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import sluice_roll_orders
import sluice_roll_plan
import sluice_states
from sluice_errors import ReleaseError
from sluice_ledger import Release
from sluice_roll_hosts import TRACK, Hosts
from sluice_service import ServiceView
from sluice_text import printable

# How long the bus is listened to before the ledger is asked whether the roll's process still lives.
LISTEN_SECONDS = 2.0
Told = dict[str, Any]


def plan(view: ServiceView, given: object = None) -> Told:
    """
    What a roll would do: `service`, `version`, `batches`, `hosts` (id to `now`, `changes`, `error`) and
    `problems` (why it could not begin now). Nothing is changed.
    """
    version, batches = sluice_roll_orders.wanted(view, given), sluice_roll_orders.order(view)
    return {
        "service": view.name,
        "version": version.version,
        "batches": batches,
        "hosts": _hosts(view, [host for batch in batches for host in batch], asdict(version)),
        "problems": _problems(view, given),
    }


def _hosts(view: ServiceView, ids: list[str], version: Told) -> Told:
    hosts = Hosts(view)
    looks = hosts.looks(ids)
    there = [id_ for id_ in ids if not looks[id_].error]
    wanted = {key: value for key, value in version.items() if value is not None}
    tried = hosts.tried(there, wanted) if there else {}
    return {id_: _host(looks[id_], tried.get(id_)) for id_ in ids}


def _host(look: Any, answer: Any) -> Told:
    told = {"now": look.version, "half_way": look.half_way, "changes": [], "error": look.error}
    if answer is None:
        return told
    if isinstance(answer.value, dict) and answer.value:
        return told | {"changes": sluice_roll_plan.changes(answer.value)}
    return told | {"error": sluice_states.refusal(answer) or "its state told nothing"}


def _problems(view: ServiceView, given: object) -> list[str]:
    try:
        sluice_roll_orders.check(view, given)
    except ReleaseError as error:
        return [str(error)]
    return []


def plan_text(told: Told) -> str:
    """The plan as an operator reads it."""
    lines = [f"{told['service']} to {told['version']}"]
    for number, batch in enumerate(told["batches"], 1):
        lines.append(f"  batch {number}")
        for host in batch:
            lines += _host_lines(host, told["hosts"][host], told["version"])
    return "\n".join(lines + [f"  PROBLEM  {problem}" for problem in told["problems"]])


def _host_lines(host: str, told: Told, version: str) -> Iterator[str]:
    if told["error"]:
        yield f"    {host:<14} does not tell: {told['error']}"
        return
    now = told["now"] or "nothing"
    what = f"{now} -> {version}" if now != version else f"{now} already"
    yield f"    {host:<14} {what}{'' if told['changes'] else ', no change'}"
    if told["half_way"]:
        yield f"      {told['half_way']}"
    yield from (f"      {line}" for line in told["changes"])


def event_text(what: str, told: Mapping[str, Any]) -> str:
    """One event of a roll in a line. What is in it comes from the bus, so it is shown as text only."""
    eta = told.get("eta_seconds")
    left = f", about {eta:.0f} s left" if isinstance(eta, (int, float)) and eta else ""
    progress = f"[{told.get('done')}/{told.get('total')}{left}]"
    about = {
        "host": f"{told.get('host')} {told.get('state')}",
        "batch": f"next: {', '.join(map(str, told.get('hosts') or []))}",
        "soak": f"watching for {told.get('seconds')} s",
        "started": f"roll {told.get('release')} to {told.get('version')} walks",
        "stopped": str(told.get("state")),
    }.get(what, what)
    note = f": {told['note']}" if told.get("note") else ""
    return printable(f"{progress} {about}{note}")


def watch(view: ServiceView, events: Iterator[tuple[str, Told] | None], say: Any) -> Release | None:
    """
    Say what happens until the roll that is open has ended; the roll, or None if none was open.

    `events` gives (what, data), or None when nothing came for a while.
    """
    current = view.ledger.open_release(view.name, TRACK)
    if current is None:
        return view.ledger.last_release(view.name, TRACK)
    for event in events:
        if event and event[1].get("release") == current.id:
            say(event_text(*event))
        now = view.ledger.release(current.id)
        if now.ended_at or not (now.held_elsewhere or now.held_here):
            return now
    return current


def outcome(view: ServiceView, release: Release | None) -> tuple[bool, str]:
    """Whether it ended well, and a line about it."""
    if release is None:
        return False, f"{view.name} was never rolled"
    line = f"roll {release.id} of {view.name} to {release.version}: {release.state}"
    if release.ended_at is None:
        return False, f"{line}, but its process is gone. Go on with: salt-run release.resume {view.name}"
    return release.state == "done", f"{line}{': ' + release.reason if release.reason else ''}"
