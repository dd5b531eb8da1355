"""The status of a balancer as a text for people. Pure; what an older balancer does not tell is left out."""

from collections.abc import Iterator, Mapping
from typing import Any

Told = Mapping[str, Any]


def text(status: Told) -> str:
    """All of a status, services by name."""
    services = status.get("services", {})
    parts = ["\n".join(head(status))]
    parts += ["\n".join(service(name, services[name])) for name in sorted(services)]
    return "\n\n".join(parts)


def head(status: Told) -> Iterator[str]:
    """Which balancer it is, and what is wrong with it as a whole."""
    own, config = status.get("balancer", {}), status.get("config", {})
    workers = status.get("workers")
    facts = [
        f"version {own['version']}" if "version" in own else "",
        f"{workers} worker{'' if workers == 1 else 's'}",
        f"Redis {status.get('redis')}{_server(status.get('redis_servers', {}))}",
        f"file of {config.get('loaded_at')}",
    ]
    yield f"{own.get('host', 'balancer')}: {', '.join(filter(None, facts))}"
    if config.get("error"):
        yield f"FILE REFUSED, the last good one is in force: {config['error']}"


def _server(servers: Told) -> str:
    """Which of them alerts are read from."""
    return "".join(f" ({name})" for name in sorted(servers) if servers[name].get("reads"))


def service(name: str, told: Told) -> Iterator[str]:
    """One service."""
    yield f"{name}{_where(told)}"
    tls, alert, lease = told.get("tls"), told.get("alert"), told.get("lease")
    if tls and tls.get("error"):
        kept = "the last good one is in force" if tls.get("sha256") else "there is no other"
        yield f"  CERTIFICATE REFUSED, {kept}: {tls['error']}"
    if alert:
        by = f"{alert.get('by')} ({alert.get('door')})"
        yield f"  ALERT since {alert.get('at')} by {by}: {alert.get('reason')}"
    if lease:
        weights = ", ".join(f"{track} {weight:g}%" for track, weight in sorted(lease["weights"].items()))
        yield f"  lease: {weights} until {lease['until']} by {lease['by']}"
    if told.get("affinity"):
        yield f"  affinity: release {told['affinity'].get('release')}"
    monitor = told.get("monitor", {})
    yield f"  monitor: {monitor.get('state')}, {monitor.get('said')}"
    for track in sorted(told.get("tracks", {}), reverse=True):
        yield from _track(track, told["tracks"][track])


def _where(told: Told) -> str:
    """` at 0.0.0.0:80, https at 0.0.0.0:443, for shop.example`, as far as it is told."""
    parts = [
        f"at {told['listen']}" if told.get("listen") else "",
        f"https at {told['tls'].get('listen')}" if told.get("tls") else "",
        f"for {', '.join(told['hosts'])}" if told.get("hosts") else "",
    ]
    said = ", ".join(filter(None, parts))
    return f" {said}" if said else ""


def _track(name: str, told: Told) -> Iterator[str]:
    leased = told.get("weight_leased")
    lease = f", leased {leased:g}%" if leased is not None else ""
    backends = told.get("backends", {})
    yield f"  {name} {told['weight_effective']:g}% (declared {told['weight_declared']:g}%{lease})"
    rows = [
        (host, one["address"], one["state"], f"{one['in_flight']} in flight", _health(one))
        for host, one in sorted(backends.items())
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)] if rows else []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield f"    {'  '.join([*cells, row[4]])}"
    if not rows:
        yield "    no backends"


def _health(told: Told) -> str:
    """What the last check said; for one that is ejected, why and until when."""
    out = told.get("ejected")
    return f"until {out['until']}: {out['reason']}" if out else str(told.get("health"))
