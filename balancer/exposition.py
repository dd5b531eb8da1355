"""/metrics in Prometheus' text format."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from prometheus_client import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from balancer import census
from balancer.counters import BUCKETS
from balancer.hosts import NONE
from balancer.mirror import RESULTS, TRACK
from balancer.monitor import STATES
from balancer.outcomes import REASONS

if TYPE_CHECKING:
    from balancer.supervisor import Supervisor

__all__ = ["CONTENT_TYPE", "render"]

LABELS = ["service", "track", "backend"]
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")


async def render(supervisor: Supervisor) -> bytes:
    """All metrics of this balancer, over all its workers."""
    counters, status = await supervisor.status.with_counters()
    there = [mirrored(supervisor, counters), *condition(status, counters, supervisor)]
    # With hundreds of backends it takes a twentieth of a second, and an alert must not wait for it.
    return await asyncio.to_thread(written, status, counters, there)


def written(status: dict[str, Any], counters: dict[str, Any], there: list[Metric]) -> bytes:
    """The text of the metrics that are there, and of those of numbers that do not change any more."""
    registry = CollectorRegistry(auto_describe=False)
    failed = failures(status, counters.get("failures", {}))
    registry.register(Fixed([*traffic(status, counters), *there, failed]))
    return generate_latest(registry)


class Fixed(Collector):
    """Metrics that are there already."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def backends(status: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """service, track, backend and what is known of it."""
    for service, told in status["services"].items():
        for track, row in told["tracks"].items():
            for backend, condition in row["backends"].items():
                yield service, track, backend, condition


def traffic(status: dict[str, Any], counters: dict[str, Any]) -> list[Metric]:
    """Requests and latencies. Every label value is there from the start, with 0."""
    requests = CounterMetricFamily("sluice_requests", "Requests answered.", labels=[*LABELS, "code"])
    seconds = HistogramMetricFamily(
        "sluice_request_seconds", "Time to the last byte of the answer.", labels=LABELS
    )
    empty = [0.0] * (3 + len(BUCKETS))
    rows: dict[str, list[float]] = counters.get("requests", {})
    # Requests that no backend could take are counted under `none`.
    named = [tuple(who) for *who, _ in backends(status)]
    named += [(service, NONE, NONE) for service in status["services"]]
    if any(told["hosts"] for told in status["services"].values()):
        # Requests whose Host no service has.
        named.append((NONE, NONE, NONE))
    known = {" ".join((*who, code)) for who in named for code in CLASSES}
    sums: dict[tuple[str, str, str], list[float]] = {}
    for key in sorted(known | set(rows)):
        service, track, backend, code = key.split(" ")
        row = rows.get(key, empty)
        requests.add_metric([service, track, backend, code], row[0])
        before = sums.get((service, track, backend), empty)
        sums[(service, track, backend)] = [a + b for a, b in zip(before, row, strict=True)]
    for who, row in sums.items():
        seconds.add_metric(list(who), buckets(row), sum_value=row[1])
    return [requests, seconds]


def mirrored(supervisor: Supervisor, counters: dict[str, Any]) -> Metric:
    """Copies of requests; with 0 for the services that have any made."""
    copies = CounterMetricFamily(
        "sluice_mirrored_requests",
        "Copies of stable's requests for the canary, by what became of them.",
        labels=[*LABELS, "result"],
    )
    known = {
        f"{service.name} {TRACK} {backend} {result}"
        for service in supervisor.config.services.values()
        for backend in (service.tracks.get(TRACK, {}) if service.mirror is not None else {})
        for result in RESULTS
    }
    rows = counters.get("mirrored", {})
    for key in sorted(known | set(rows)):
        copies.add_metric(key.split(" "), rows.get(key, 0))
    return copies


def failures(status: dict[str, Any], counted: dict[str, int]) -> Metric:
    """Attempts that failed, also of requests that another backend then answered."""
    metric = CounterMetricFamily(
        "sluice_upstream_failures", "Attempts that a backend failed.", labels=[*LABELS, "reason"]
    )
    known = {" ".join((*who, reason)) for *who, _ in backends(status) for reason in REASONS}
    for key in sorted(known | set(counted)):
        metric.add_metric(key.split(" "), counted.get(key, 0))
    return metric


def buckets(row: list[float]) -> list[tuple[str, float]]:
    """The cumulative buckets of a row of counters."""
    total, result = 0.0, []
    for bound, count in zip([*map(str, BUCKETS), "+Inf"], row[2:], strict=True):
        total += count
        result.append((bound, total))
    return result


def condition(status: dict[str, Any], counters: dict[str, Any], supervisor: Supervisor) -> list[Metric]:
    """Weights, alerts, backends, and what went wrong."""
    declared = GaugeMetricFamily(
        "sluice_weight_declared_percent", "Weight from the file.", labels=["service", "track"]
    )
    effective = GaugeMetricFamily(
        "sluice_weight_effective_percent", "Weight in force.", labels=["service", "track"]
    )
    alert = GaugeMetricFamily("sluice_alert", "1 while an alert stands.", labels=["service"])
    monitor = GaugeMetricFamily(
        "sluice_monitor_state", "1 for what the monitor found last.", labels=["service", "state"]
    )
    up = GaugeMetricFamily("sluice_backend_up", "1 if the backend gets requests.", labels=LABELS)
    flying = GaugeMetricFamily("sluice_in_flight_requests", "Requests under way.", labels=LABELS)
    ejections = CounterMetricFamily("sluice_ejections", "How often a backend was ejected.", labels=LABELS)
    lease = GaugeMetricFamily(
        "sluice_lease_seconds", "How long a lease of weights still holds; 0 without one.", labels=["service"]
    )
    retries = CounterMetricFamily("sluice_retries", "Second tries.", labels=["service"])
    away = CounterMetricFamily(
        "sluice_refused_connections", "Connections more than a limit allows.", labels=["reason"]
    )
    for reason in census.REASONS:
        away.add_metric([reason], counters.get("turned_away", {}).get(reason, 0))
    refusals = CounterMetricFamily(
        "sluice_refused_requests", "Requests that were not valid HTTP.", labels=["service"]
    )
    reloads = CounterMetricFamily("sluice_reloads", "Files taken over or refused.", labels=["result"])
    failures = CounterMetricFamily("sluice_auth_failures", "Wrong tokens and sessions.", labels=["door"])
    refused = GaugeMetricFamily(
        "sluice_config_refused",
        "1 while the file is refused and the last good one is in force.",
        value=1 if status["config"]["error"] else 0,
    )
    workers = GaugeMetricFamily("sluice_workers", "Worker processes.", value=status["workers"])
    for service, told in status["services"].items():
        alert.add_metric([service], 1 if told["alert"] else 0)
        lease.add_metric([service], told["lease"]["seconds_left"] if told["lease"] else 0)
        for state in STATES:
            monitor.add_metric([service, state], 1 if told["monitor"]["state"] == state else 0)
        retries.add_metric([service], counters.get("retries", {}).get(service, 0))
        refusals.add_metric([service], counters.get("refusals", {}).get(service, 0))
        for track, row in told["tracks"].items():
            declared.add_metric([service, track], row["weight_declared"])
            effective.add_metric([service, track], row["weight_effective"])
    for service, track, backend, known in backends(status):
        up.add_metric([service, track, backend], 1 if known["state"] == "up" else 0)
        flying.add_metric([service, track, backend], known["in_flight"])
        ejections.add_metric([service, track, backend], known["ejections"])
    for result, count in supervisor.reloads.items():
        reloads.add_metric([result], count)
    for door, count in supervisor.failures.counts.items():
        failures.add_metric([door], count)
    numbers = [up, flying, ejections, retries, refusals, away, reloads, failures]
    found = [declared, effective, lease, alert, monitor, *numbers, refused, workers]
    return [*found, *tls(status, counters), *redis(status, supervisor)]


def redis(status: dict[str, Any], supervisor: Supervisor) -> list[Metric]:
    """Which servers answer, what each is used for, and what went wrong."""
    up = GaugeMetricFamily("sluice_redis_up", "1 if the server answers.", labels=["server"])
    used = GaugeMetricFamily(
        "sluice_redis_used",
        "1 for the server that alerts are read from, and for the one that they are written to.",
        labels=["server", "use"],
    )
    failures = CounterMetricFamily("sluice_redis_failures", "What went wrong with Redis.", labels=["what"])
    for server, told in status["redis_servers"].items():
        up.add_metric([server], 1 if told["role"] else 0)
        for use in ("reads", "writes"):
            used.add_metric([server, use], 1 if told[use] else 0)
    for what, count in supervisor.redis.failures().items():
        failures.add_metric([what], count)
    return [up, used, failures]


def tls(status: dict[str, Any], counters: dict[str, Any]) -> list[Metric]:
    """Certificates, and connections that did not get as far as HTTP."""
    expiry = GaugeMetricFamily(
        "sluice_certificate_expiry_timestamp_seconds", "When the certificate expires.", labels=["service"]
    )
    refused = GaugeMetricFamily(
        "sluice_certificate_refused",
        "1 while the certificate or key on disk is refused; the last good pair, if any, is in force.",
        labels=["service"],
    )
    kept_out = CounterMetricFamily(
        "sluice_kept_out_connections",
        "Connections that did not get as far as HTTP.",
        labels=["listener", "reason"],
    )
    rows: dict[str, int] = dict(counters.get("kept_out", {}))
    for service, told in status["services"].items():
        listeners = [told["listen"], *([told["tls"]["listen"]] if told["tls"] else [])]
        for listener in listeners if told["proxy_protocol"] else ():
            rows.setdefault(f"{listener} proxy", 0)
        if told["tls"] is None:
            continue
        rows.setdefault(f"{told['tls']['listen']} tls", 0)
        refused.add_metric([service], 1 if told["tls"]["error"] else 0)
        if told["tls"]["expires_at"] is not None:
            expires = datetime.fromisoformat(told["tls"]["expires_at"])
            expiry.add_metric([service], expires.timestamp())
    for key, count in sorted(rows.items()):
        kept_out.add_metric(key.split(" "), count)
    return [expiry, refused, kept_out]
