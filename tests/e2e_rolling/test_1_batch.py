"""A fleet updated by hand, one host after the other, with users on it who stay logged in."""

from lab.demo_rolling.rolls import changed


def runs(rolling, version):
    return len(rolling.rolls.updated(version)) == len(rolling.rolls.hosts)


def test_five_hosts_run_the_first_version(rolling):
    assert runs(rolling, "v1")


def test_highstate_with_nothing_to_do_restarts_and_drains_nobody(rolling, users):
    starts, drains = rolling.rolls.starts(), rolling.drains()
    done = rolling.apply()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed=" not in done.stdout, done.stdout
    assert changed(starts, rolling.rolls.starts()) == []
    assert rolling.drains() == drains


def test_plain_batch_by_hand_updates_five_hosts_without_a_failed_request(rolling, users):
    drains = rolling.drains()
    rolling.declare("v2")
    done = rolling.apply()
    assert done.returncode == 0, done.stdout + done.stderr
    assert runs(rolling, "v2")
    assert rolling.drains() == drains + len(rolling.rolls.hosts)
    assert any(one.what == "write" for one in users.seen)
