"""Which server is read: pure, with a clock of the tests."""

import math
from dataclasses import replace

import pytest

from flags.resp import RedisError
from flags.standing import Heights, Report, Standing, choose, report

MASTER = Report("master", 1, "a", 100, 0.0, 0.0)
REPLICA = Report("slave", 1, "a", 100, 0.0, 0.0)
STALE = 5.0


def standing(told, now=0.0, term=1, heights=None):
    made = Standing()
    made.take(told, heights or Heights(), term, now, STALE)
    return made


def chosen(rows, current=None, term=1, confirmed=-math.inf, now=0.0):
    return choose(list(rows.items()), current, term, confirmed, now, STALE)


def test_the_first_that_is_up_to_date_is_chosen():
    rows = {"near": standing(REPLICA), "far": standing(REPLICA), "master": standing(MASTER)}
    assert chosen(rows) == "near"
    rows["near"] = standing(replace(REPLICA, down_seconds=60.0))
    assert chosen(rows) == "far"
    assert chosen(rows, current="near") == "far"


def test_a_server_whose_term_is_over_is_never_chosen():
    old = standing(replace(MASTER, term=1), term=2)
    assert chosen({"old": old}, term=2) is None
    assert chosen({"old": old}, current="old", term=2) is None
    assert chosen({"old": old, "new": standing(replace(MASTER, term=2), term=2)}, term=2) == "new"


def test_a_replica_just_cut_off_is_good_for_a_while_and_then_stale():
    one = standing(REPLICA)
    one.take(replace(REPLICA, down_seconds=3.0), Heights(), 1, 3.0, STALE)
    assert one.is_fresh(1, 3.0, STALE)
    one.take(replace(REPLICA, down_seconds=6.0), Heights(), 1, 6.0, STALE)
    assert not one.is_fresh(1, 6.0, STALE)
    # Alone it is still the best there is.
    assert chosen({"one": one}, current="one", confirmed=0.0, now=6.0) == "one"


def test_a_stale_server_is_read_only_if_it_knows_more_than_the_memory():
    hours = standing(replace(REPLICA, down_seconds=7200.0), now=10_000.0)
    assert hours.good_at == 2_800.0
    assert chosen({"one": hours}, confirmed=5_000.0, now=10_000.0) is None
    assert chosen({"one": hours}, confirmed=1_000.0, now=10_000.0) == "one"
    assert chosen({"one": hours}, now=10_000.0) == "one"


def test_of_stale_servers_the_least_stale_is_chosen():
    rows = {
        "hours": standing(replace(REPLICA, down_seconds=7200.0)),
        "minutes": standing(replace(REPLICA, down_seconds=60.0)),
        "for ever": standing(replace(REPLICA, down_seconds=math.inf)),
    }
    assert chosen(rows) == "minutes"
    assert chosen({"for ever": rows["for ever"]}) == "for ever"
    assert chosen({"for ever": rows["for ever"]}, confirmed=-9e9) is None


def test_a_replica_with_a_link_that_falls_behind_the_others_becomes_stale():
    heights, slow = Heights(), Standing()
    for second in range(12):
        heights.note("a", 100 + 10 * second, float(second))
        slow.take(replace(REPLICA, offset=100), heights, 1, second + 0.5, STALE)
    assert slow.good_at < 3
    assert not slow.is_fresh(1, 11.5, STALE)
    slow.take(replace(REPLICA, offset=500), heights, 1, 12.0, STALE)
    assert slow.is_fresh(1, 12.0, STALE)


def test_a_lag_within_a_second_is_none():
    heights, one = Heights(), Standing()
    for second in range(20):
        heights.note("a", 1000 * (second + 1), float(second))
        one.take(replace(REPLICA, offset=1000 * second + 500), heights, 1, second + 0.9, STALE)
        assert one.good_at == second + 0.9


def test_other_histories_of_writes_are_not_compared():
    heights = Heights()
    heights.note("b", 10**9, 0.0)
    assert standing(REPLICA, now=5.0, heights=heights).good_at == 5.0


def test_heights_stay_few_over_many_promotions_and_writes():
    heights = Heights()
    for number in range(10_000):
        heights.note(f"history-{number % 50}", number, number / 100)
    assert sum(len(rows) for rows in heights._seen.values()) < 2000
    assert len(heights._seen) <= 10


def test_a_master_that_is_silent_beyond_its_pings_makes_its_replica_stale():
    silent = standing(replace(REPLICA, quiet_seconds=17.0), now=100.0)
    assert silent.good_at == 93.0
    assert standing(replace(REPLICA, quiet_seconds=12.0), now=100.0).good_at == 100.0


INFO = (
    "# Replication\r\nrole:slave\r\nmaster_link_status:{link}\r\nmaster_last_io_seconds_ago:{io}\r\n"
    "slave_repl_offset:77\r\n{more}master_replid:abc\r\nmaster_repl_offset:77\r\n"
)


def test_a_replicas_report_is_read():
    told = report(INFO.format(link="up", io=3, more="").encode(), b"7")
    assert told == Report("slave", 7, "abc", 77, 0.0, 3.0)
    down = INFO.format(link="down", io=-1, more="master_link_down_since_seconds:61\r\n")
    assert report(down.encode(), None) == Report("slave", 0, "abc", 77, 61.0, 0.0)
    never = INFO.format(link="down", io=-1, more="master_link_down_since_seconds:-1\r\n")
    assert report(never.encode(), None).down_seconds == math.inf


def test_a_masters_report_is_read():
    info = b"# Replication\r\nrole:master\r\nmaster_replid:abc\r\nmaster_repl_offset:5\r\n"
    assert report(info, b"0") == Report("master", 0, "abc", 5, 0.0, 0.0)


@pytest.mark.parametrize("info", [b"", b"role:slave\r\n", b"\xff\xfe", b"role:master\r\nmaster_replid:a\r\n"])
def test_a_report_that_says_nothing_is_an_error(info):
    with pytest.raises(RedisError):
        report(info, b"1")


def test_a_term_that_is_no_number_is_an_error():
    with pytest.raises(RedisError):
        report(b"role:master\r\nmaster_replid:a\r\nmaster_repl_offset:1\r\n", b"many")
