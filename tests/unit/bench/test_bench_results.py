"""From what wrk says to medians, goals and a table."""

import pytest

from bench.balancer.errors import BenchError
from bench.balancer.results import Loaded, Round, goals, make_round, median, parse_wrk, table

SAID = """Running 1s test @ http://127.0.0.1:1234/160B
  1 threads and 64 connections
{"requests": 5000, "microseconds": 2000000, "bytes": 1, "failed": 3, "p50": 90, "p99": 400, "p999": 800}
"""


def a_round(cpu=20.0, p99=1000.0, **numbers):
    given = {
        "requests": 1000,
        "failed": 0,
        "requests_per_second": 500.0,
        "p50_us": 100.0,
        "p99_us": p99,
        "p999_us": 2000.0,
        "cpu_us_per_request": cpu,
        "cores_used": 0.5,
        "rss_bytes": 10_000_000,
    }
    return Round(**{**given, **numbers})


def test_the_result_line_of_wrk_is_found_among_what_else_it_prints():
    assert parse_wrk(SAID) == Loaded(5000, 3, 2.0, 90, 400, 800)


def test_without_a_result_line_wrks_own_words_are_the_error():
    with pytest.raises(BenchError, match="unable to connect"):
        parse_wrk("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_cpu_per_request_is_what_was_used_by_what_was_answered():
    one = make_round(parse_wrk(SAID), cpu_seconds=0.5, rss_bytes=7)
    assert (one.cpu_us_per_request, one.cores_used, one.requests_per_second) == (100.0, 0.25, 2500.0)


def test_a_round_without_any_answer_has_no_cpu_per_request():
    assert make_round(Loaded(0, 64, 2.0, 0, 0, 0), 0.5, 7).cpu_us_per_request is None


def test_each_number_gets_its_own_median_and_no_failure_hides_in_it():
    merged = median([a_round(10, 3, failed=0), a_round(30, 1, failed=5), a_round(20, 2, failed=0)])
    assert (merged.cpu_us_per_request, merged.p99_us, merged.failed) == (20, 2, 5)


def test_the_median_of_what_was_never_measured_is_none():
    assert median([a_round(None), a_round(None)]).cpu_us_per_request is None


@pytest.mark.parametrize(
    ("sluice", "haproxy", "node", "kept"),
    [
        (a_round(24.0, 1250), a_round(20.0, 1000), a_round(240.0), [True, True, True]),
        (a_round(24.1, 1250), a_round(20.0, 1000), a_round(250.0), [False, True, True]),
        (a_round(24.0, 1251), a_round(20.0, 1000), a_round(239.0), [True, False, False]),
    ],
)
def test_goals_are_kept_up_to_their_limit(sluice, haproxy, node, kept):
    found = goals({"sluice": sluice, "haproxy": haproxy, "node": node})
    assert [goal.kept for goal in found] == kept
    assert ["NOT kept" not in goal.line() for goal in found] == kept


def test_a_goal_without_its_proxy_is_not_measured():
    found = goals({"sluice": a_round(), "haproxy": a_round()})
    assert [goal.kept for goal in found] == [True, None, True]
    assert "not measured" in found[1].line()


def test_the_table_begins_with_the_cheapest_and_ends_without_a_proxy():
    measured = {"direct": a_round(None), "node": a_round(300.0), "haproxy": a_round(20.0)}
    titles = {"direct": "(no proxy)", "node": "http-proxy", "haproxy": "HAProxy"}
    rows = table(measured, titles).splitlines()[2:]
    assert [row.split(" | ")[:3] for row in rows] == [
        ["| HAProxy", "20.0", "1.00"],
        ["| http-proxy", "300.0", "15.00"],
        ["| (no proxy)", "-", "-"],
    ]


def test_every_row_of_the_table_has_a_cell_for_every_column():
    lines = table({"haproxy": a_round(), "direct": a_round(None)}, {"haproxy": "a", "direct": "b"})
    assert len({line.count("|") for line in lines.splitlines()}) == 1
