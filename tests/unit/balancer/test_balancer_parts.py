"""Counters, exposition, health, routes and the access log, each by itself."""

import json
import random
from datetime import UTC, datetime, timedelta

import pytest

from balancer import limits
from balancer.accesslog import MAX_LINES, AccessLog
from balancer.counters import BUCKETS, RETRY_FLOOR, RETRY_RATIO, Counters
from balancer.exposition import buckets, traffic
from balancer.health import Condition
from balancer.reader import Address
from balancer.routes import Route
from balancer.services import Health
from balancer.workers import add_counters

WHO = ("shop", "stable", "s1")

# Counters.


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0, 0), (0.001, 0), (0.0011, 1), (0.05, 5), (59, 13), (60, 13), (61, 14)],
)
def test_a_latency_falls_into_the_bucket_that_bounds_it(seconds, bucket):
    counters = Counters()
    counters.finished(*WHO, 200, seconds)
    (row,) = counters.dump()["requests"].values()
    assert row[:2] == [1, seconds]
    assert row[2:].index(1) == bucket
    assert len(row) == 3 + len(BUCKETS)


def test_requests_are_counted_by_class_of_status():
    counters = Counters()
    for status in (200, 204, 301, 404, 499, 502):
        counters.finished(*WHO, status, 0.1)
    found = {key.split()[-1]: row[0] for key, row in counters.dump()["requests"].items()}
    assert found == {"2xx": 2, "3xx": 1, "4xx": 2, "5xx": 1}


def test_second_tries_have_a_budget_that_traffic_earns():
    counters = Counters()
    tries = 0
    while counters.may_retry("shop"):
        counters.retried("shop")
        tries += 1
    assert tries == RETRY_FLOOR
    assert counters.may_retry("other")
    for _ in range(round(1 / RETRY_RATIO)):
        counters.finished(*WHO, 200, 0.1)
    assert counters.may_retry("shop")
    counters.retried("shop")
    assert not counters.may_retry("shop")
    assert counters.dump()["retries"] == {"shop": tries + 1}


def test_the_budget_is_not_saved_up_without_end():
    counters = Counters()
    for _ in range(100_000):
        counters.finished(*WHO, 200, 0.1)
    tries = 0
    while counters.may_retry("shop"):
        counters.retried("shop")
        tries += 1
    assert tries == 100


def test_a_dump_survives_json_and_adds_up():
    one, other = Counters(), Counters()
    one.finished(*WHO, 200, 0.5)
    one.refused("shop")
    other.finished(*WHO, 200, 1.5)
    other.finished(*WHO, 500, 1.5)
    other.retried("shop")
    total = add_counters(*(json.loads(json.dumps(counters.dump())) for counters in (one, other)))
    assert total["requests"]["shop stable s1 2xx"][:2] == [2, 2.0]
    assert total["requests"]["shop stable s1 5xx"][0] == 1
    assert (total["refusals"], total["retries"]) == ({"shop": 1}, {"shop": 1})
    assert add_counters({}, total) == total
    assert one.dump()["requests"]["shop stable s1 2xx"][0] == 1


# Exposition.


def status(**tracks):
    rows = {track: {"backends": {name: {} for name in names}} for track, names in tracks.items()}
    shop = {"listen": "127.0.0.1:80", "hosts": [], "tls": None, "proxy_protocol": None, "tracks": rows}
    return {"services": {"shop": shop}}


def samples(metric):
    return {(s.name, *sorted(s.labels.items())): s.value for s in metric.samples}


def test_every_label_value_is_there_before_the_first_request():
    requests, seconds = traffic(status(stable=["s1"], canary=["c1"]), {})
    backends = {sample.labels["backend"] for sample in requests.samples}
    assert backends == {"s1", "c1", "none"}
    assert len(requests.samples) == 3 * 5
    assert {sample.value for sample in (*requests.samples, *seconds.samples)} == {0}


def test_latencies_of_all_classes_are_one_histogram():
    counters = Counters()
    counters.finished(*WHO, 200, 0.002)
    counters.finished(*WHO, 500, 3)
    _, seconds = traffic(status(stable=["s1"]), counters.dump())
    labels = (("backend", "s1"), ("service", "shop"), ("track", "stable"))
    found = samples(seconds)
    assert found[("sluice_request_seconds_count", *labels)] == 2
    assert found[("sluice_request_seconds_sum", *labels)] == pytest.approx(3.002)


def test_a_backend_that_left_is_still_counted():
    counters = Counters()
    counters.finished("shop", "stable", "gone", 200, 1)
    requests, _ = traffic(status(stable=["s1"]), counters.dump())
    assert [s.value for s in requests.samples if s.labels["backend"] == "gone"] == [1]


def test_buckets_are_cumulative_and_end_with_all():
    row = [6.0, 1.0, *range(1, len(BUCKETS) + 2)]
    found = buckets(row)
    counts = [count for _, count in found]
    assert counts == sorted(counts)
    assert found[0] == ("0.001", 1)
    assert found[-1] == ("+Inf", sum(row[2:]))


# Health.

HEALTH = Health("/", 200, 1, 1, rise=2, fall=3)


def condition(answers):
    """The condition after these answers (+ well, - not), and at which answers it changed."""
    found = Condition(Address("10.0.0.1", 80))
    changes = [n for n, answer in enumerate(answers) if found.note(answer == "+", "said", HEALTH)]
    return found.up, changes


@pytest.mark.parametrize(
    ("answers", "up", "changes"),
    [
        ("", False, []),
        ("-", False, []),
        # The first good answer is enough for a backend never seen well.
        ("+", True, [0]),
        ("--+", True, [2]),
        ("+--", True, [0]),
        ("+---", False, [0, 3]),
        ("+--+--", True, [0]),
        # Once it was down it must be well twice.
        ("+---+", False, [0, 3]),
        ("+---++", True, [0, 3, 5]),
        ("+---+-+-+-", False, [0, 3]),
    ],
)
def test_a_backend_goes_up_and_down_after_so_many_answers(answers, up, changes):
    assert condition(answers) == (up, changes)


# Routes.


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def route(clock):
    return Route("shop", clock)


def table(weights=(70, 30), alert=False, stable=("s1", "s2"), canary=("c1",), **states):
    return {
        "weights": dict(zip(("stable", "canary"), weights, strict=True)),
        "alert": alert,
        "tracks": {
            track: {name: {"address": ["10.0.0.1", 80], "state": states.get(name, "up")} for name in names}
            for track, names in {"stable": stable, "canary": canary}.items()
        },
    }


def chosen(route, count=100):
    names = [backend.id if (backend := route.choose()) else None for _ in range(count)]
    return {name: names.count(name) for name in set(names)}


def test_requests_are_shared_by_weight_and_evenly_within_a_track(route):
    route.apply(table())
    assert chosen(route) == {"s1": 35, "s2": 35, "c1": 30}


def test_under_an_alert_a_canary_is_never_chosen_whatever_failed_before(route):
    route.apply(table(alert=True))
    backends = {b.id: b for track in route.tracks.values() for b in track}
    assert chosen(route) == {"s1": 50, "s2": 50}
    assert route.choose([backends["s1"], backends["s2"]]) is None
    assert not route.serves(backends["c1"])
    assert route.serves(backends["s1"])


def test_a_drained_or_downed_backend_is_not_chosen(route):
    for state in ("drained", "down"):
        route.apply(table(s1=state))
        assert chosen(route) == {"s2": 70, "c1": 30}
    route.apply(table(c1="down"))
    assert chosen(route) == {"s1": 50, "s2": 50}


def test_with_nothing_up_nothing_is_chosen(route):
    route.apply(table(s1="down", s2="down", c1="down"))
    assert chosen(route) == {None: 100}


def test_a_second_try_goes_to_another_backend_and_to_stable_first(route):
    route.apply(table(weights=(0, 100)))
    first = route.choose()
    assert first.id == "c1"
    second = route.choose([first])
    assert second.track == "stable"
    assert route.choose([first, second]).id != second.id


def test_a_second_try_never_goes_to_a_canary_without_a_share(route):
    route.apply(table(weights=(100, 0)))
    stable = route.tracks["stable"]
    assert route.choose(stable) is None


def test_a_suspect_is_left_alone_for_a_moment_if_there_is_another(route, clock):
    route.apply(table(weights=(100, 0)))
    one, two = route.tracks["stable"]
    route.suspect(one)
    assert chosen(route) == {"s2": 100}
    route.suspect(two)
    assert set(chosen(route)) == {"s1", "s2"}
    clock.now += limits.SUSPECT_SECONDS
    assert chosen(route) == {"s1": 50, "s2": 50}


def test_a_suspect_that_is_the_only_one_is_used_all_the_same(route):
    route.apply(table(weights=(100, 0), s2="down"))
    one, two = route.tracks["stable"]
    route.suspect(one)
    assert chosen(route) == {"s1": 100}
    assert route.choose([one]) is None
    route.apply(table(weights=(100, 0)))
    assert chosen(route) == {"s2": 100}
    route.suspect(two)
    assert set(chosen(route)) == {"s1", "s2"}


def test_the_only_backend_of_a_track_is_not_tried_twice(route):
    route.apply(table(weights=(50, 50), stable=("s1",)))
    (one,), (canary,) = route.tracks["stable"], route.tracks["canary"]
    assert route.choose([one]) is canary
    assert route.choose([canary]) is one
    assert route.choose([one, canary]) is None


def test_a_new_table_keeps_what_is_known_of_backends_that_stay(route):
    route.apply(table())
    one = route.tracks["stable"][0]
    one.in_flight = 5
    gone = route.apply(table(stable=("s1", "s3")))
    assert route.tracks["stable"][0] is one
    assert one.in_flight == 5
    assert [backend.id for backend in gone] == ["s2"]
    assert not gone[0].usable


def test_a_backend_at_a_new_address_is_a_new_one(route):
    route.apply(table())
    one = route.tracks["stable"][0]
    moved = table()
    moved["tracks"]["stable"]["s1"]["address"] = ["10.0.0.2", 80]
    assert one in route.apply(moved)
    assert route.tracks["stable"][0] is not one
    assert not route.serves(one)


# The access log.


LINE = {
    "service": "shop",
    "track": "stable",
    "backend": "s1",
    "client": "127.0.0.1",
    "method": "GET",
    "path": "/",
    "status": 200,
    "bytes": 160,
    "ms": 1.25,
    "id": "a1-b2",
}
# What a format, JSON or a reader of lines could trip over, and every byte there is.
HOSTILE = [
    '"', '","x":"', "\\", '\\"', "\\u0000", "\n", "\r\n{}", "\x00", "\x1b[31m", "\x7f", "\x85",
    "\u2028", "\xff", "%s", "%", "%(ts)s", "{}", "{0}", "", " ", "\t", "/" * 8192,
    bytes(range(256)).decode("latin-1"),
]  # fmt: skip
TEXTS = [name for name, value in LINE.items() if isinstance(value, str)]


def logged(path, *lines):
    """What a log with these lines reads like, parsed; a field not given is as in LINE."""
    log = AccessLog(path)
    for fields in lines:
        log.add(**{**LINE, **fields})
    log.flush()
    raw = path.read_bytes()
    assert raw.isascii()
    assert raw.endswith(b"\n")
    return [json.loads(line) for line in raw.splitlines()]


def test_a_line_has_its_fields_in_order_and_a_time_of_day_in_utc(tmp_path):
    before = datetime.now(UTC)
    (told,) = logged(tmp_path / "access.log", {})
    after = datetime.now(UTC)
    assert list(told) == ["ts", *LINE]
    ts = told.pop("ts")
    assert told == LINE
    assert ts == datetime.fromisoformat(ts).isoformat(timespec="milliseconds")
    assert before - timedelta(milliseconds=1) <= datetime.fromisoformat(ts) <= after
    assert ts.endswith("+00:00")


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (0.0, "1970-01-01T00:00:00.000+00:00"),
        (951_782_399.9999, "2000-02-28T23:59:59.999+00:00"),
        (951_782_400.001, "2000-02-29T00:00:00.001+00:00"),
        # The clock was set back.
        (951_782_399.5, "2000-02-28T23:59:59.500+00:00"),
        (951_782_399.75, "2000-02-28T23:59:59.750+00:00"),
    ],
)
def test_the_time_is_told_to_the_millisecond_that_began(tmp_path, clock, now, told):
    log = AccessLog(tmp_path / "access.log", clock)
    for clock.now in (951_782_400.5, now):
        log.add(**LINE)
    log.flush()
    assert json.loads((tmp_path / "access.log").read_text().splitlines()[1])["ts"] == told


@pytest.mark.parametrize("name", TEXTS)
def test_whatever_is_in_a_text_the_line_reads_back_the_same(tmp_path, name):
    told = logged(tmp_path / "access.log", *({name: text} for text in HOSTILE))
    assert [line[name] for line in told] == HOSTILE
    assert all({**line, name: LINE[name], "ts": 0} == {**LINE, "ts": 0} for line in told)


def test_any_bytes_in_all_texts_at_once_read_back_the_same(tmp_path):
    dice = random.Random(20261124)
    lines = [
        {
            **{name: dice.randbytes(dice.randrange(40)).decode("latin-1") for name in TEXTS},
            "status": dice.randrange(100, 600),
            "bytes": dice.choice([0, 1, 2**31, 2**63]),
            "ms": round(dice.choice([0, 0.01, 3, 60_000]) * dice.random(), 2),
        }
        for _ in range(3000)
    ]
    told = logged(tmp_path / "access.log", *lines)
    assert [{name: line[name] for name in LINE} for line in told] == lines


def test_two_backends_are_never_taken_for_one_another(tmp_path):
    names = [
        ("shop", "stable", "s1"),
        ("shop", "canary", "s1"),
        ("cart", "stable", "s1"),
        ("shop", "none", "none"),
    ]
    lines = [dict(zip(("service", "track", "backend"), who, strict=True)) for who in names * 2]
    told = logged(tmp_path / "access.log", *lines)
    assert [(line["service"], line["track"], line["backend"]) for line in told] == names * 2


def test_milliseconds_are_rounded_to_two_places(tmp_path):
    told = logged(tmp_path / "access.log", *({"ms": ms} for ms in (0.0, 0.004, 0.005001, 12.3456, 60_000.0)))
    assert [line["ms"] for line in told] == [0, 0, 0.01, 12.35, 60_000]


def test_lines_wait_for_the_flush_and_are_written_once(tmp_path):
    path = tmp_path / "access.log"
    log = AccessLog(path)
    log.add(**LINE)
    assert path.read_text() == ""
    log.flush()
    log.flush()
    assert len(path.read_text().splitlines()) == 1
    assert path.stat().st_mode & 0o777 == 0o640


def test_many_lines_do_not_wait_for_the_flush(tmp_path):
    path = tmp_path / "access.log"
    log = AccessLog(path)
    for _ in range(MAX_LINES - 1):
        log.add(**LINE)
    assert path.read_text() == ""
    log.add(**LINE)
    assert len(path.read_text().splitlines()) == MAX_LINES


def test_two_workers_share_a_file(tmp_path):
    logs = [AccessLog(tmp_path / "access.log") for _ in range(2)]
    for number in range(10):
        logs[number % 2].add(**{**LINE, "bytes": number})
        logs[number % 2].flush()
    lines = (tmp_path / "access.log").read_text().splitlines()
    assert [json.loads(line)["bytes"] for line in lines] == list(range(10))


def test_a_moved_file_is_opened_anew_and_loses_no_line(tmp_path):
    path = tmp_path / "access.log"
    log = AccessLog(path)
    log.add(**{**LINE, "bytes": 1})
    path.rename(tmp_path / "moved")
    log.reopen()
    log.add(**{**LINE, "bytes": 2})
    log.flush()
    assert json.loads((tmp_path / "moved").read_text())["bytes"] == 1
    assert json.loads(path.read_text())["bytes"] == 2


def test_a_log_that_cannot_be_written_stops_no_request(tmp_path):
    log = AccessLog(tmp_path / "no" / "access.log")
    log.add(**LINE)
    log.flush()
    silent = AccessLog(None)
    silent.add(**LINE)
    silent.flush()
