"""The benchmark of a roll: what it makes of seconds, and what it gives Ansible."""

import ipaddress
import json
import re

import pytest
import yaml

from bench.rolling import ansible
from bench.rolling.results import Found, allowed, goals, report, told
from lab import settings

HOSTS = [f"itrust-{number}" for number in range(1, 6)]


def found(sluice=50.0):
    rolls = {"sluice": [sluice, 40.0, 60.0], "ansible": [100.0, 90.0, 110.0], "bare": [44.0, 36.0, 40.0]}
    return Found(rolls=rolls, draining=[5.0, 4.0, 6.0], plan=[3.0], highstate=[2.0] * 5)


def test_a_roll_may_take_a_share_of_ansibles_and_the_bare_batch_with_the_draining():
    assert allowed(found()) == {"ansible": 60.0, "bare": 55.0}
    assert [goal.kept for goal in goals(found())] == [True] * 4


def test_a_slow_roll_breaks_both_goals():
    slow = found()
    slow.rolls["sluice"] = [61.0]
    assert [goal.kept for goal in goals(slow)] == [False, False, True, True]


def test_what_was_not_measured_is_no_goal_kept():
    empty = Found()
    assert allowed(empty) == {"ansible": None, "bare": None}
    assert [goal.kept for goal in goals(empty)] == [None, None]
    assert "not measured" in report(empty, [])


def test_the_report_has_a_row_for_each_way_and_its_ratio_to_ours():
    rows = [line for line in report(found(), ["a note"]).splitlines() if line.startswith("|")][2:]
    assert [row.split(" | ")[1:] for row in rows] == [
        ["50.0", "1.00 |"],
        ["100.0", "2.00 |"],
        ["40.0", "0.80 |"],
    ]


def test_the_json_has_all_seconds():
    content = json.loads(json.dumps(told(found())))
    assert content["rolls"]["ansible"] == [100.0, 90.0, 110.0]
    assert len(content["goals"]) == 4


@pytest.fixture
def lab(tmp_path):
    machines = settings.read_fleet(ipaddress.ip_network("10.62.0.0/24"), "itrust")
    return settings.Lab("benchroll", "brbr", ipaddress.ip_network("10.62.0.0/24"), machines, fleet="itrust")


def test_each_host_drains_itself_with_the_token_that_the_lab_gave_it(lab, tmp_path):
    who = ansible.inventory(lab, HOSTS, tmp_path)["itrust"]
    assert list(who["hosts"]) == HOSTS
    assert who["hosts"]["itrust-3"] == {
        "ansible_host": "10.62.0.43",
        "balancer_token": "lab-fake-host-token-itrust-3",
    }
    assert who["vars"]["balancers"] == ["10.62.0.11"]


def test_ansible_updates_one_host_at_a_time_and_drains_it_first():
    fetch, update = yaml.safe_load((ansible.HERE / "playbook.yml").read_text())
    assert "serial" not in fetch
    assert update["serial"] == 1
    names = [task["name"] for task in update["tasks"]]
    assert names[0].startswith("Drain") and names[-2].startswith("Restore")
    # With the token in its headers nothing may be printed.
    assert all(task.get("no_log") for task in update["tasks"] if "headers" in json.dumps(task))


def test_ansible_keeps_its_connections_and_pipelines():
    told = (ansible.HERE / "ansible.cfg").read_text()
    assert "pipelining = True" in told and "ControlPersist" in told


def test_ansible_is_pinned_with_hashes_and_names_no_registry():
    lock = (ansible.HERE / "peers.lock").read_text()
    assert re.search(r"^ansible-core==\S+ \\$", lock, flags=re.M)
    assert not re.search(r"https?://|index-url", lock)
