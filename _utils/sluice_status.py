"""What is on what with which weight: gather it, and say it in text."""

from collections.abc import Iterable, Iterator
from typing import Any

import sluice_balancers
import sluice_ledger_show
from sluice_config import Settings
from sluice_errors import ReleaseError
from sluice_fleet import PING_SECONDS, Answer
from sluice_ledger import Ledger, Pin, Release
from sluice_ledger_orders import pin_line
from sluice_redis import RedisError, alert_key
from sluice_redis_servers import at_master
from sluice_roll_hosts import Hosts, Look
from sluice_service import ServiceView
from sluice_text import printable

Report = dict[str, Any]


def gather(views: list[ServiceView]) -> dict[str, Report]:
    """
    The report of each service, by name.

    Keys: `service`, `release` (the last canary) and `roll` (the last one begun), each as
    sluice_ledger_show.show gives it or None, `queued` (the roll that waits, or None), `pin` (version, who,
    reason, at, or None), `hosts` (id to track, version, half_way, error), `balancers` (id to alert, declared,
    effective, backends, error), `alert` (the first one found, with `where`, or None) and `problems` (what
    could not be found out).
    """
    if not views:
        return {}
    fleet, settings = views[0].fleet, views[0].settings
    balancers = fleet.members(settings.balancers)
    statuses = fleet.call(balancers, "balancer.status", timeout=PING_SECONDS) if balancers else {}
    return {view.name: _report(view, statuses) for view in views}


def _report(view: ServiceView, statuses: dict[str, Answer]) -> Report:
    problems: list[str] = []
    at_balancers = {id_: _balancer(answer, view.name, id_) for id_, answer in statuses.items()}
    hosts = _hosts(view)
    for id_, found in [*at_balancers.items(), *hosts.items()]:
        if found["error"]:
            problems.append(f"{id_}: {found['error']}")
    if not statuses:
        problems.append(f"there is no balancer: no accepted minion in {view.settings.balancers}")
    key = _redis_alert(view.settings, view.name, problems)
    return {
        "service": view.name,
        **_of_ledger(view.ledger, view.name),
        "alert": _first_alert(key, at_balancers),
        "hosts": hosts,
        "balancers": at_balancers,
        "problems": problems,
    }


def _of_ledger(ledger: Ledger, service: str) -> Report:
    pin = ledger.pinned(service)
    return {
        "release": _shown(ledger, ledger.last_release(service, "canary")),
        "roll": _shown(ledger, ledger.last_release(service, "stable")),
        "queued": _shown(ledger, ledger.queued(service)),
        "pin": vars(pin) if pin else None,
    }


def _shown(ledger: Ledger, release: Release | None) -> Report | None:
    return sluice_ledger_show.show(ledger, release.id) if release else None


def _balancer(answer: Answer, service: str, id_: str) -> Report:
    empty: Report = {"alert": None, "declared": {}, "effective": {}, "backends": {}, "error": None}
    if answer.error is not None:
        return empty | {"error": answer.error}
    try:
        tracks = sluice_balancers.service_status(answer.value, service, id_)["tracks"]
    except ReleaseError as error:
        return empty | {"error": str(error)}
    return {
        "alert": sluice_balancers.alert(answer.value, service),
        "declared": sluice_balancers.weights(answer.value, service, "declared"),
        "effective": sluice_balancers.weights(answer.value, service, "effective"),
        "backends": {
            name: backend["state"] for track in tracks.values() for name, backend in track["backends"].items()
        },
        "error": (answer.value.get("config") or {}).get("error"),
    }


def _hosts(view: ServiceView) -> dict[str, Report]:
    targets = view.service.targets.items()
    tracks = {id_: track for track, target in targets for id_ in view.fleet.members(target)}
    looks = _looks(view, tracks) if tracks else {}
    return {
        id_: {
            "track": tracks[id_],
            "version": look.version,
            "half_way": look.half_way,
            "error": look.error or None,
        }
        for id_, look in sorted(looks.items())
    }


def _looks(view: ServiceView, ids: Iterable[str]) -> dict[str, Look]:
    """What each host runs: artifacts lie in other places than what is built on the host itself."""
    if view.service.artifacts:
        return Hosts(view).looks(ids)
    link = f"/srv/{view.name}/current"
    answers = view.fleet.call(ids, "probe.version", link, timeout=PING_SECONDS)
    return {
        id_: Look(error=answer.error) if answer.error else Look(answer.value)
        for id_, answer in answers.items()
    }


def _redis_alert(settings: Settings, service: str, problems: list[str]) -> str | None:
    try:
        with at_master(settings.redis, 1.0) as redis:
            found = redis.call("GET", alert_key(service))
            return None if found is None else str(found)
    except RedisError as error:
        problems.append(str(error))
        return None


def _first_alert(key: str | None, at_balancers: dict[str, Report]) -> Report | None:
    for id_, found in at_balancers.items():
        if found["alert"]:
            return {"where": id_, **found["alert"]}
    return {"where": "redis", **sluice_balancers.kept_alert(key)} if key is not None else None


def text(reports: dict[str, Report]) -> str:
    """The reports as an operator reads them."""
    return "\n\n".join("\n".join(_lines(report)) for report in reports.values())


def _lines(report: Report) -> list[str]:
    lines = [report["service"], *_release_lines(report)]
    lines.append(f"  alert    {_alert_text(report)}")
    for id_, host in report["hosts"].items():
        lines.append(f"  host     {id_:<16} {host['track']:<7} {_host_text(host)}")
    for id_, found in report["balancers"].items():
        lines.append(f"  weights  {id_:<16} {_weights_text(found)}")
    return lines + [f"  PROBLEM  {problem}" for problem in report["problems"]]


def _release_lines(report: Report) -> Iterator[str]:
    release, roll, queued = report["release"], report["roll"], report["queued"]
    if release or not roll:
        yield f"  release  {_release_text(release) if release else 'none yet'}"
    if roll:
        yield f"  roll     {_release_text(roll)}"
        done = sum(host["state"] == "verified" for host in roll["hosts"])
        yield f"           {done} of {len(roll['hosts'])} hosts verified"
    if queued:
        by = sluice_ledger_show.by_text(queued)
        yield f"  queued   {queued['id']}: {queued['version']}, by {by}, since {queued['started_at']}"
    if report["pin"]:
        yield f"  PINNED   {pin_line(Pin(**report['pin']))}"


def _release_text(release: Report) -> str:
    ended = f", ended {release['ended_at']}" if release["ended_at"] else ""
    why = f": {printable(release['reason'])}" if release["reason"] else ""
    started = f"by {sluice_ledger_show.by_text(release)}, started {release['started_at']}"
    state = sluice_ledger_show.state_text(release)
    return f"{release['id']}: {release['version']} {state}, {started}{ended}{why}"


def _host_text(host: Report) -> str:
    if host["error"]:
        return "does not answer"
    return f"{host['version'] or 'nothing installed'}{', ' + host['half_way'] if host['half_way'] else ''}"


def _alert_text(report: Report) -> str:
    found = report["alert"]
    if found is None:
        return "none found" if report["problems"] else "none"
    return sluice_balancers.alert_text(report["service"], found, found["where"])


def _weights_text(found: Report) -> str:
    if not found["effective"]:
        return "does not answer"
    declared = found["declared"]
    shares = [f"{track} {now} (declared {declared[track]})" for track, now in found["effective"].items()]
    states = [f"{name} {state}" for name, state in found["backends"].items()]
    return ", ".join(shares) + "  [" + ", ".join(states) + "]"
