"""Rolls of five hosts that meet trouble, with users on them who stay logged in. They build on one another."""

from lab import fleet, machines
from lab.demo_rolling.rolls import changed
from lab.process import wait_until

ROLL_SECONDS = 400
BUILD_SECONDS = 180


def test_bad_version_stops_at_the_first_host_which_goes_back(rolling, users):
    starts, before = rolling.rolls.starts(), rolling.rolls.running()
    done = rolling.roll("v3-bad")
    assert done.returncode != 0
    assert "500 from /iTrust/login.jsp" in done.stdout
    assert "4 not begun" in done.stdout
    assert len(changed(starts, rolling.rolls.starts())) == 1
    assert rolling.rolls.running() == before
    assert rolling.rolls.rows()[-1].state == "stopped"


def test_host_that_loses_its_power_stops_a_roll_but_logs_nobody_out(rolling, users):
    last = rolling.rolls.last()
    rolling.begin("v4")
    rolling.rolls.wait_for_hosts(last, "updating", 1, ROLL_SECONDS)
    machines.stop(rolling.lab, "itrust-5", at_once=True)
    try:
        row = rolling.rolls.wait_for_end(last, ROLL_SECONDS, "stopped")
    finally:
        machines.start(rolling.lab, "itrust-5")
        machines.wait_for_boot(rolling.lab, "itrust-5")
    assert row.are("skipped") == ["itrust-5"]
    assert row.are("verified") == rolling.rolls.updated("v4") == ["itrust-2", "itrust-3", "itrust-4"]


def test_roll_goes_on_from_there_when_the_host_is_back(rolling, users):
    wait_until(lambda: "itrust-5" in fleet.ping(rolling.lab), "itrust-5", fleet.ANSWER_SECONDS)
    starts = rolling.rolls.starts()
    done = rolling.run("release.resume", "itrust")
    assert done.returncode == 0, done.stdout + done.stderr
    assert changed(starts, rolling.rolls.starts()) == ["itrust-1", "itrust-5"]
    assert len(rolling.rolls.updated("v4")) == len(rolling.rolls.hosts)


def test_push_is_built_and_rolled_and_resumed_when_the_master_lost_its_power(rolling, users):
    last = rolling.rolls.last()
    rolling.rolls.push("v6")
    row = rolling.rolls.wait_for_hosts(last, "verified", 2, BUILD_SECONDS + ROLL_SECONDS)
    machines.stop(rolling.lab, "master", at_once=True)
    machines.start(rolling.lab, "master")
    machines.wait_for_boot(rolling.lab, "master")
    hosts = set(fleet.ids(rolling.lab))
    wait_until(lambda: fleet.ping(rolling.lab) >= hosts, "every minion", fleet.ANSWER_SECONDS, pause=0.5)
    starts, before = rolling.rolls.starts(), rolling.rolls.updated(row.version)
    done = rolling.run("release.resume", "itrust")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(set(before) & set(changed(starts, rolling.rolls.starts()))) <= 1
    assert len(rolling.rolls.updated(row.version)) == len(rolling.rolls.hosts)
    assert rolling.rolls.rows(last)[0].state == "done"


def test_change_of_the_schema_was_made_once_by_the_roll(rolling):
    told = rolling.ok("itrust-1", "mariadb", "itrust", "-Ne", "SHOW COLUMNS FROM notes LIKE 'colour'")
    assert told.count("colour") == 1
