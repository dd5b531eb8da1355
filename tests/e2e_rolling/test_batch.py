"""A fleet updated by hand, one host after the other, with users on it who stay logged in."""

import time

from lab import fleet, machines
from lab.demo_rolling.rolls import changed
from lab.process import wait_until


def runs(rolling, version):
    return len(rolling.rolls.updated(version)) == len(rolling.rolls.hosts)


def test_five_hosts_run_the_first_version(rolling):
    assert runs(rolling, "v1")


def test_highstate_with_nothing_to_do_restarts_and_drains_nobody(rolling, users):
    starts, began = rolling.rolls.starts(), time.monotonic()
    done = rolling.apply()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed=" not in done.stdout, done.stdout
    assert changed(starts, rolling.rolls.starts()) == []
    # Salt takes most of it. A host that was drained and started would take ten seconds more each.
    assert time.monotonic() - began < 8 * len(rolling.rolls.hosts)


def test_plain_batch_by_hand_updates_five_hosts_without_a_failed_request(rolling, users):
    rolling.declare("v2")
    done = rolling.apply()
    assert done.returncode == 0, done.stdout + done.stderr
    assert runs(rolling, "v2")
    assert any(one.what == "write" for one in users.seen)


def test_bad_version_stops_at_the_first_host_which_goes_back(rolling, users):
    rolling.declare("v3-bad")
    starts = rolling.rolls.starts()
    done = rolling.apply("--failhard")
    assert done.returncode != 0
    assert "500 from /iTrust/login.jsp" in done.stdout
    assert "Reverted: v2 runs, was verified and is in service again." in done.stdout
    assert len(changed(starts, rolling.rolls.starts())) == 1
    assert runs(rolling, "v2")


def test_version_that_never_starts_is_reverted(rolling, users):
    rolling.declare("v5-never")
    done = rolling.apply_on("itrust-3")
    assert done.returncode != 0
    assert "Reverted: v2 runs" in done.stdout
    assert runs(rolling, "v2")


def test_artifact_server_that_is_gone_changes_nothing(rolling, users):
    rolling.declare("v4")
    rolling.stop_serving()
    starts = rolling.rolls.starts()
    try:
        done = rolling.apply_on("itrust-3")
    finally:
        rolling.serve()
    assert done.returncode != 0
    assert "v4.war" in done.stdout
    assert changed(starts, rolling.rolls.starts()) == []
    assert runs(rolling, "v2")


def test_users_stay_logged_in_when_a_host_loses_its_power(rolling, users):
    machines.stop(rolling.lab, "itrust-5", at_once=True)
    try:
        seen = len(users.seen)
        wait_until(lambda: len(users.seen) > seen + 5 * users.count, "users who go on", 60)
    finally:
        machines.start(rolling.lab, "itrust-5")
        machines.wait_for_boot(rolling.lab, "itrust-5")
    wait_until(lambda: "itrust-5" in fleet.ping(rolling.lab), "itrust-5", fleet.ANSWER_SECONDS)


def test_change_of_the_schema_is_made_once_in_a_batch(rolling, users):
    rolling.declare("v6")
    done = rolling.apply("--failhard")
    assert done.returncode == 0, done.stdout + done.stderr
    assert runs(rolling, "v6")
    told = rolling.ok("itrust-1", "mariadb", "itrust", "-Ne", "SHOW COLUMNS FROM notes LIKE 'colour'")
    assert told.count("colour") == 1
