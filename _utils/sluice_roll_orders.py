"""What can be ordered about rolls: begin one, resume it, take it back; and all that must be so before."""

import contextlib

import sluice_roll_job
import sluice_roll_plan
from sluice_config import checked_version, shown
from sluice_errors import RefusedError, ReleaseError
from sluice_ledger import Release, Version
from sluice_ledger_rolls import why_held
from sluice_ledger_versions import HALF_WAY
from sluice_roll import ABORT, UNDO, Roll, refuse_alerts
from sluice_roll_hosts import TRACK, Hosts
from sluice_roll_plan import FAILURES, Batches
from sluice_service import ServiceView


def wanted(view: ServiceView, given: object = None) -> Version:
    """
    Which version a roll is about: the given one, else the queued one, else the newest artifact.

    RefusedError if there is none, or if it was never built though the service is one that is built.
    """
    version = checked_version(given) if given is not None else _newest(view)
    artifact = view.ledger.artifact(view.name, version)
    if view.service.artifacts and artifact is None:
        known = ", ".join(one.version for one in view.ledger.artifacts(view.name)[-5:]) or "none"
        raise RefusedError(
            f"{view.name} {version} has no artifact in the ledger (newest: {known}). Build it, or name one."
        )
    if artifact is None:
        return Version(version)
    return Version(version, artifact.url, artifact.sha256)


def _newest(view: ServiceView) -> str:
    queued = view.ledger.queued(view.name)
    if queued:
        return queued.version
    built = view.ledger.artifacts(view.name)
    if built:
        return built[-1].version
    raise RefusedError(
        f"No version of {view.name} is known. Build one, or name it: "
        f'pillar=\'{{"service": "{view.name}", "version": "v2"}}\''
    )


def order(view: ServiceView) -> Batches:
    """The hosts in their batches; RefusedError if one is so large that too few would stay."""
    hosts, settings = Hosts(view).names(), view.service.roll
    first, last = (view.fleet.members(target) if target else [] for target in (settings.first, settings.last))
    planned = sluice_roll_plan.batches(sluice_roll_plan.ordered(hosts, first, last), settings.batches)
    sluice_roll_plan.refuse_too_large(planned, sluice_roll_plan.must_stay(settings.min_available, len(hosts)))
    return planned


def check(view: ServiceView, given: object = None, undone: Release | None = None) -> str:
    """
    A line that says what is ready for a roll; changes nothing.

    RefusedError with the first thing that is not. For one that takes back `undone` an alert is no reason
    against it, nor is that this one was left open.
    """
    try:
        version = wanted(view, given).version
        return f"{view.name} {version} can go to {_checked(view, version, undone)}"
    except ReleaseError as error:
        about = f"{view.name} {shown(given)}" if given is not None else f"the roll of {view.name}"
        raise RefusedError(f"{about} was refused, nothing was changed. {error}") from error


def _checked(view: ServiceView, version: str, undone: Release | None) -> str:
    if undone is None or undone.ended_at is not None:
        view.ledger.refuse_roll(view.name, version)
    planned, statuses = order(view), view.statuses()
    for balancer, status in statuses.items():
        Hosts(view).track(status, balancer)
    if undone is None:
        refuse_alerts(view, statuses)
    text = " | ".join(", ".join(batch) for batch in planned)
    return f"{text}; ready: {', '.join(statuses)}, redis"


def start(view: ServiceView, given: object, who: str, trigger: str) -> Roll:
    """Open a roll in the ledger, with all its hosts in their order."""
    version = wanted(view, given).version
    planned = [(host, number) for number, batch in enumerate(order(view), 1) for host in batch]
    return Roll(view, view.ledger.begin_roll(view.name, version, who, trigger, planned))


def held(view: ServiceView) -> Roll:
    """The roll that this process has opened; ReleaseError if there is none."""
    release = view.ledger.open_release(view.name, TRACK)
    if release is None or release.kind != "rolling" or not release.held_here:
        raise ReleaseError(
            f"{view.name}: this process holds no roll. Begin one: salt-run state.orchestrate rolling "
            f'pillar=\'{{"service": "{view.name}"}}\''
        )
    return Roll(view, release)


def resume(view: ServiceView) -> str:
    """Take over the roll whose process is gone, or that was stopped, and go on with it to its end."""
    release = _resumable(view)
    # What this would end it with at once is told before anything is changed.
    Roll(view, release).check_alerts()
    roll = Roll(view, view.ledger.take_over(release))
    repeated = _looked_at(roll)
    roll.walk()
    again = f"; begun before and repeated: {', '.join(repeated)}" if repeated else ""
    return f"{roll.finish()}{again}"


def _resumable(view: ServiceView) -> Release:
    last = view.ledger.last_release(view.name, TRACK)
    if last is None or last.kind != "rolling" or last.state not in HALF_WAY:
        ended = f"the last one, {last.id} to {last.version}, is {last.state}" if last else "there was none"
        raise RefusedError(f"{view.name}: no roll is left to go on with ({ended}).")
    if last.held_elsewhere:
        raise RefusedError(why_held(last))
    return last


def _looked_at(roll: Roll) -> list[str]:
    """Find out what became of the hosts that were begun; those that are to be updated once more."""
    rows = roll.ledger.hosts(roll.release)
    for row in rows:
        if row.state in FAILURES:
            roll.mark(row.host, "pending", f"{row.state} before the roll was taken over")
    begun = [row.host for row in rows if row.state == "updating"]
    there = [host for host in begun if host not in roll.hosts.absent(begun)]
    roll.hosts.wait_idle(there)
    outcome = roll.hosts.verified(there, roll.release.version)
    for host, why in outcome.items():
        if why is None:
            roll.mark(host, "verified", "it ran the version when the roll was taken over")
    return [host for host, why in outcome.items() if why is not None]


def undo(view: ServiceView, id_: object, who: str) -> str:
    """Roll back to the version before a roll, as a roll of its own; by default before the last one."""
    undone = _undoable(view, id_)
    check(view, undone.previous, undone)
    if undone.ended_at is None:
        view.ledger.end(undone, "stopped", f"taken back by {who}")
    roll = start(view, undone.previous, who, f"{UNDO}{undone.id}")
    roll.walk()
    return roll.finish()


def _undoable(view: ServiceView, id_: object) -> Release:
    found = view.ledger.last_release(view.name, TRACK) if id_ is None else view.ledger.release(id_)
    if found is None or found.kind != "rolling" or found.service != view.name:
        raise RefusedError(f"{view.name}: there is no roll to take back; see salt-run release.history")
    if found.state not in (*HALF_WAY, "done"):
        raise RefusedError(f"{view.name}: roll {found.id} is {found.state}, there is nothing to take back.")
    if found.held_elsewhere:
        raise RefusedError(why_held(found))
    if found.previous is None:
        raise RefusedError(
            f"{view.name}: before roll {found.id} no version was rolled, so there is no way back."
        )
    return found


def abort(view: ServiceView, who: str) -> str:
    """Stop a roll after its current host; one whose process is gone is ended at once."""
    release = view.ledger.open_release(view.name, TRACK)
    if release is None:
        return f"{view.name}: no roll was open"
    asked = f"aborted by {who}"
    if release.held_elsewhere:
        view.ledger.note(release, ABORT, asked)
        return f"{view.name}: roll {release.id} of {release.version} stops after the hosts it is at"
    view.ledger.end(release, "aborted", asked)
    return f"{view.name}: roll {release.id} of {release.version} aborted; its process was gone"


def begin_queued(view: ServiceView) -> str | None:
    """Start the roll that waits for its turn, if no other is open; its version, or None."""
    queued = view.ledger.queued(view.name)
    if queued is None or view.ledger.open_release(view.name, TRACK) is not None:
        return None
    sluice_roll_job.start(view.fleet.opts, view.name, queued.version)
    return queued.version


def refused(view: ServiceView, given: object, who: str, why: str) -> None:
    """
    The ledger says why nothing was rolled: of a roll that waited, which does not wait for ever, and of one
    that a pin was in the way of, so that who pinned it sees who wanted what.
    """
    queued, pin = view.ledger.queued(view.name), view.ledger.pinned(view.name)
    if queued and given in (None, queued.version):
        if view.ledger.open_release(view.name, TRACK) is None:
            view.ledger.end(queued, "refused", why)
    elif pin:
        # What is no version at all stays out of the ledger.
        with contextlib.suppress(ReleaseError):
            version = wanted(view, given).version
            if version != pin.version:
                view.ledger.refuse(view.name, version, who, f"operator {who}", why)
