"""/metrics in Prometheus' text format."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from sluice_flag_answers import INVALID_CONTEXT, REASONS, TARGETING_KEY_MISSING

from balancer.exposition import CONTENT_TYPE, Fixed
from flags.ofrep import FLAG_NOT_FOUND, PARSE_ERROR

if TYPE_CHECKING:
    from flags.service import Service

__all__ = ["CONTENT_TYPE", "Counters", "render"]

RESULTS = (*REASONS, FLAG_NOT_FOUND, PARSE_ERROR, INVALID_CONTEXT, TARGETING_KEY_MISSING)
# An evaluation takes some ten microseconds, all flags some milliseconds.
BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0)
ROUTES = ("flag", "flags", "events", "other")
CODES = ("200", "304", "400", "401", "404", "405", "408", "413", "429", "500")


class Counters:
    """What is counted at each request."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, int], int] = {(r, int(c)): 0 for r in ROUTES for c in CODES}
        self.seconds = {route: [0] * (len(BUCKETS) + 1) for route in ROUTES}
        self.sums = dict.fromkeys(ROUTES, 0.0)
        self.refused_connections = 0

    def note(self, route: str, status: int, seconds: float) -> None:
        key = (route, status)
        self.requests[key] = self.requests.get(key, 0) + 1
        self.seconds[route][bisect.bisect_left(BUCKETS, seconds)] += 1
        self.sums[route] += seconds


def render(service: Service) -> bytes:
    """All metrics of this process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Fixed([*_traffic(service), *_data(service), *_redis(service), *_condition(service)]))
    return generate_latest(registry)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _traffic(service: Service) -> list[Metric]:
    evaluations = CounterMetricFamily(
        "sluice_flags_evaluations",
        "Evaluations by reason, and those that failed by error code.",
        labels=["result"],
    )
    counts = service.ofrep.counts
    for result in sorted({*RESULTS, *counts}):
        evaluations.add_metric([result], counts.get(result, 0))
    requests = CounterMetricFamily("sluice_flags_requests", "Requests answered.", labels=["route", "code"])
    for (route, code), count in sorted(service.counters.requests.items()):
        requests.add_metric([route, str(code)], count)
    seconds = HistogramMetricFamily(
        "sluice_flags_request_seconds", "From the whole request to the whole answer.", labels=["route"]
    )
    for route, row in service.counters.seconds.items():
        seconds.add_metric([route], _buckets(row), sum_value=service.counters.sums[route])
    return [evaluations, requests, seconds]


def _buckets(row: list[int]) -> list[tuple[str, float]]:
    total, result = 0, []
    for bound, count in zip([*map(str, BUCKETS), "+Inf"], row, strict=True):
        total += count
        result.append((bound, float(total)))
    return result


def _data(service: Service) -> list[Metric]:
    store, age = service.store, service.reading.age()
    return [
        _gauge("sluice_flags_known", "Flags in memory.", len(store.flags)),
        _gauge("sluice_flags_unreadable", "Flags that are off for their document.", store.unreadable),
        _counter("sluice_flags_changes", "Changes of flags taken over.", store.changes),
        _gauge(
            "sluice_flags_data_age_seconds",
            "How old the data may be; NaN if nobody knows.",
            float("nan") if age is None else age,
        ),
        _gauge("sluice_flags_stale", "1 while answers are marked as stale.", service.reading.is_stale),
        _gauge("sluice_flags_loaded", "1 if anything is known.", store.is_loaded),
    ]


def _redis(service: Service) -> list[Metric]:
    up = GaugeMetricFamily("sluice_flags_redis_up", "1 if the server answers.", labels=["server"])
    used = GaugeMetricFamily("sluice_flags_redis_in_use", "1 for the server that is read.", labels=["server"])
    connects = CounterMetricFamily("sluice_flags_redis_connects", "Connections made.", labels=["server"])
    for server in service.reading.servers:
        up.add_metric([server.place.id], server.answers)
        used.add_metric([server.place.id], server.place.id == service.reading.source)
        connects.add_metric([server.place.id], server.connects)
    return [up, used, connects]


def _condition(service: Service) -> list[Metric]:
    events, certificate = service.events, service.certificate
    found = [
        _gauge("sluice_flags_event_readers", "Readers of the event stream.", len(events)),
        _counter("sluice_flags_events", "Events sent to all of them.", events.sent),
        _counter(
            "sluice_flags_event_readers_dropped", "Readers cut off because they did not read.", events.dropped
        ),
        _gauge("sluice_flags_connections", "Connections of clients.", len(service.connections)),
        _counter(
            "sluice_flags_refused_connections",
            "Connections more than the limit.",
            service.counters.refused_connections,
        ),
        _counter("sluice_flags_auth_failures", "Requests without a valid token.", service.failures.total),
        _gauge(
            "sluice_flags_tokens_refused",
            "1 while the file of tokens is refused.",
            bool(service.tokens.error),
        ),
        _gauge(
            "sluice_flags_snapshot_failing",
            "1 while the snapshot cannot be written.",
            bool(service.snapshot.error),
        ),
    ]
    if certificate is not None:
        found.append(
            _gauge(
                "sluice_flags_certificate_expiry_timestamp_seconds",
                "When the certificate expires.",
                certificate.expires_at,
            )
        )
        found.append(
            _gauge(
                "sluice_flags_certificate_refused",
                "1 while the files on disk are refused.",
                bool(certificate.error),
            )
        )
    return found
