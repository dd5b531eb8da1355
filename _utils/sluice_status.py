"""What is on what with which weight: gather it, and say it in text."""

from typing import Any

import sluice_balancers
from sluice_config import Service, Settings
from sluice_errors import ReleaseError
from sluice_fleet import PING_SECONDS, Answer, Fleet
from sluice_ledger import Ledger
from sluice_redis import RedisError, alert_key
from sluice_redis_servers import at_master

Report = dict[str, Any]


def gather(settings: Settings, services: list[Service], fleet: Fleet) -> dict[str, Report]:
    """
    The report of each service, by name.

    Keys: `service`, `release` (id, version, state, reason, ... or None), `hosts` (id to track, version,
    error), `balancers` (id to alert, declared, effective, backends, error), `alert` (the first one found,
    with `where`, or None) and `problems` (what could not be found out).
    """
    ledger, balancers = Ledger(settings.ledger), fleet.members(settings.balancers)
    statuses = fleet.call(balancers, "balancer.status", timeout=PING_SECONDS) if balancers else {}
    return {service.name: _report(settings, service, fleet, ledger, statuses) for service in services}


def _report(
    settings: Settings, service: Service, fleet: Fleet, ledger: Ledger, statuses: dict[str, Answer]
) -> Report:
    problems: list[str] = []
    at_balancers = {id_: _balancer(answer, service.name, id_) for id_, answer in statuses.items()}
    hosts = _hosts(service, fleet)
    for id_, found in [*at_balancers.items(), *hosts.items()]:
        if found["error"]:
            problems.append(f"{id_}: {found['error']}")
    if not statuses:
        problems.append(f"there is no balancer: no accepted minion in {settings.balancers}")
    key = _redis_alert(settings, service.name, problems)
    release = ledger.last_release(service.name)
    return {
        "service": service.name,
        "release": vars(release) | {"steps": ledger.steps(release)} if release else None,
        "alert": _first_alert(key, at_balancers),
        "hosts": hosts,
        "balancers": at_balancers,
        "problems": problems,
    }


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


def _hosts(service: Service, fleet: Fleet) -> dict[str, Report]:
    tracks = {id_: track for track, target in service.targets.items() for id_ in fleet.members(target)}
    link = f"/srv/{service.name}/current"
    answers = fleet.call(tracks, "probe.version", link, timeout=PING_SECONDS) if tracks else {}
    return {
        id_: {
            "track": tracks[id_],
            "version": None if answer.error else answer.value,
            "error": answer.error,
        }
        for id_, answer in sorted(answers.items())
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
    lines = [report["service"]]
    lines.append(f"  release  {_release_text(report['release'])}")
    lines.append(f"  alert    {_alert_text(report)}")
    for id_, host in report["hosts"].items():
        version = "does not answer" if host["error"] else host["version"] or "nothing installed"
        lines.append(f"  host     {id_:<16} {host['track']:<7} {version}")
    for id_, found in report["balancers"].items():
        lines.append(f"  weights  {id_:<16} {_weights_text(found)}")
    return lines + [f"  PROBLEM  {problem}" for problem in report["problems"]]


def _release_text(release: Report | None) -> str:
    if release is None:
        return "none yet"
    ended = f", ended {release['ended_at']}" if release["ended_at"] else ""
    why = f": {release['reason']}" if release["reason"] else ""
    started = f"by {release['who']}, started {release['started_at']}"
    return f"{release['id']}: {release['version']} {release['state']}, {started}{ended}{why}"


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
