"""The last ten minutes of each track, from counters."""

import json
import sys

from balancer import history
from balancer.counters import BUCKETS
from balancer.history import FIELDS, SAMPLE_SECONDS, SAMPLES, History
from balancer.reader import Address
from balancer.services import Health, Service

HEALTH = Health("/", 200, 1, 1, 2, 2)


def service(name="shop", tracks=("stable", "canary")):
    backends = {track: {f"{track}-1": Address("127.0.0.1", 80)} for track in tracks}
    return Service(name, Address("127.0.0.1", 80), dict.fromkeys(tracks, 50.0), HEALTH, backends)


SHOP = [service()]


def row(count, bucket=0):
    """So many answers, all in one bucket."""
    buckets = [float(count) if n == bucket else 0.0 for n in range(1 + len(BUCKETS))]
    return [float(count), 0.1 * count, *buckets]


def rows(**tracks):
    """`stable=(2xx, 5xx)` as counters."""
    found = {}
    for track, (good, bad) in tracks.items():
        found[f"shop {track} {track}-1 2xx"] = row(good)
        found[f"shop {track} {track}-1 5xx"] = row(bad)
    return found


def column(taken, name, track="stable", since=-1):
    return taken.told(since)["services"]["shop"][track][name]


def test_a_sample_has_rate_errors_and_times():
    taken = History()
    taken.take(0.0, SHOP, rows(stable=(100, 0)))
    taken.take(2.0, SHOP, rows(stable=(115, 5)))
    assert column(taken, "rate") == [10.0]
    assert column(taken, "errors") == [0.25]
    assert column(taken, "p50") == [0.5]
    assert column(taken, "p99") == [0.99]


def test_the_first_look_is_no_sample_for_it_counts_since_the_start():
    taken = History()
    taken.take(0.0, SHOP, rows(stable=(1_000_000, 0)))
    assert taken.told(-1)["next"] == 0
    assert taken.told(-1)["services"] == {}


def test_without_requests_errors_and_times_are_unknown_not_good():
    taken = History()
    taken.take(0.0, SHOP, {})
    taken.take(2.0, SHOP, {})
    assert [column(taken, name) for name in FIELDS] == [[0.0], [None], [None], [None]]


def test_looks_in_between_make_no_sample():
    taken = History()
    for tenth in range(100):
        taken.take(tenth / 10, SHOP, {})
    assert taken.next == 5


def test_a_worker_that_died_with_its_counters_leaves_a_gap_and_no_negative_rate():
    taken = History()
    for now, count in ((0.0, 100), (2.0, 50), (4.0, 60)):
        taken.take(now, SHOP, rows(stable=(count, 0)))
    assert column(taken, "rate") == [None, 5.0]


def test_what_no_backend_could_take_is_a_track_of_its_own():
    taken = History()
    taken.take(0.0, SHOP, {})
    taken.take(2.0, SHOP, {"shop none none 5xx": row(8)})
    assert column(taken, "rate", "none") == [4.0]
    assert column(taken, "rate", "stable") == [0.0]


def test_only_what_is_new_is_told():
    taken = History()
    for n in range(6):
        taken.take(2.0 * n, SHOP, rows(stable=(n * n, 0)))
    assert taken.told(-1)["next"] == 5
    assert column(taken, "rate") == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert column(taken, "rate", since=2) == [3.5, 4.5]
    assert column(taken, "rate", since=4) == []
    assert column(taken, "rate", since=1000) == []


def test_ten_minutes_are_kept_and_no_more():
    taken = History()
    for n in range(2 * SAMPLES):
        taken.take(SAMPLE_SECONDS * n, SHOP, rows(stable=(n, 0)))
    assert SAMPLES * SAMPLE_SECONDS == 600
    assert len(column(taken, "rate")) == SAMPLES


def test_a_service_that_is_gone_is_forgotten_and_a_track_that_came_starts_with_its_own_samples():
    taken = History()
    stable_only = [service(tracks=("stable",)), service("other")]
    for n in range(3):
        taken.take(2.0 * n, stable_only, rows(stable=(n, 0)))
    taken.take(6.0, SHOP, rows(stable=(3, 0), canary=(2, 0)))
    assert set(taken.told(-1)["services"]) == {"shop"}
    assert len(column(taken, "rate", "stable")) == 3
    assert column(taken, "rate", "canary") == [1.0]


def test_memory_and_answer_of_a_full_ring_are_what_the_docstring_says():
    taken = History()
    for n in range(SAMPLES + 1):
        taken.take(2.0 * n, SHOP, rows(stable=(n * 7, n), canary=(n * 3, n), none=(0, n)))
    ring = taken._rings[("shop", "stable")]
    size = sum(sys.getsizeof(point) + sum(map(sys.getsizeof, point)) for point in ring)
    assert size < 70_000
    assert len(json.dumps(taken.told(-1))) < 60_000


def test_a_sample_sums_over_backends_and_classes():
    many = {f"shop stable stable-{n} {kind}xx": row(n) for n in range(300) for kind in (2, 4, 5)}
    assert set(history.summed(many)) == {("shop", "stable")}
    assert history.summed(many)[("shop", "stable")][0] == 3 * sum(range(300))
