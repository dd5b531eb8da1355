"""Flags on a fleet: one master, who may write, what applications show, and that no password is ever shown."""

import contextlib
import json
import re
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import pytest
import redis as redis_py

from lab import cgroups, machines, pids
from lab.demo_flags.judge import kind, shown
from lab.demo_flags.servers import Servers
from lab.process import wait_until

REPO = Path(__file__).resolve().parents[2]
FLAG = "key1"
HOSTS = ("checkbox-1", "checkbox-2")
OFREP_TOKEN = "lab-fake-flags-checkbox"
SECRETS = sorted(
    {
        found
        for path in (REPO / "pillar/lab/secrets").glob("*.sls")
        for found in re.findall(r"lab-fake-[a-z0-9-]+", path.read_text())
    }
)
# Written anew by a highstate if a line too many is in them, with a diff if a state forgot to hide it.
SECRET_FILES = {
    "master": ["/etc/sluice/release.json"],
    "lb-1": ["/etc/sluice/redis.password", "/etc/sluice/admin.token"],
    "redis-2": ["/etc/redis/users.acl"],
    "checkbox-1": ["/etc/sluice/flags.tokens.json", "/etc/sluice/flags.redis.password"],
    "checkbox-2": ["/etc/sluice/checkbox.env"],
}
# Runs on the master: every event of its bus, one a line, until its input ends.
LISTENER = """
import json, sys, threading, salt.config, salt.utils.event
opts = salt.config.master_config("/etc/salt/master")
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
with salt.utils.event.get_master_event(opts, opts["sock_dir"], listen=True) as bus:
    print("listening", flush=True)
    while not ended.is_set():
        event = bus.get_event(wait=1, full=True)
        if event:
            print(json.dumps(event, default=repr), flush=True)
"""


@pytest.fixture(scope="module")
def servers(fleet):
    """All three, linked, redis-1 the master; and so again afterwards."""
    one = Servers(fleet.lab)
    one.wait_linked()
    if one.master() != "redis-1":  # a lab that was kept
        promote(fleet, one, "redis-1")
    yield one
    one.close()


@pytest.fixture(autouse=True)
def flag_on(fleet, servers):
    """Every test finds the flag as pillar declares it, and leaves it so."""
    yield
    servers[servers.must_have_master()].set(FLAG, "1")


def shows(fleet, host):
    """What an application host shows, asked as a user's browser would."""
    address = fleet.lab.machine(host).address
    with urllib.request.urlopen(f"http://{address}:3002/getPic", timeout=5) as answer:
        return kind(answer.read())


def wait_for_all(fleet, value):
    what = shown(value)
    wait_until(lambda: all(shows(fleet, host) == what for host in HOSTS), f"{what} on every host", 5, 0.01)


def promote(fleet, servers, id_):
    fleet.ok("master", "salt-run", "flags.promote", id_, timeout=120)
    wait_until(lambda: servers.master() == id_, f"{id_} is the master", 30)
    servers.wait_linked()


def test_highstate_makes_one_master_and_two_replicas_and_the_declared_flag(fleet, servers):
    assert servers.master() == "redis-1"
    assert sorted(servers.replicas()) == ["redis-2", "redis-3"]
    assert {servers[id_].get(FLAG) for id_ in servers.hosts} == {"1"}
    wait_for_all(fleet, "1")


def test_flip_shows_on_every_application_host(fleet, servers):
    for value in ("0", "1"):
        servers["redis-1"].set(FLAG, value)
        wait_for_all(fleet, value)


def test_set_on_a_replica_answers_readonly(fleet, servers):
    for id_ in servers.replicas():
        with pytest.raises(redis_py.ReadOnlyError, match="write against a read only replica"):
            servers[id_].set(FLAG, "0")


@pytest.mark.parametrize("host", ["redis-2", "checkbox-2"])
def test_flag_set_elsewhere_is_refused_with_the_masters_name(fleet, host):
    done = fleet.on("master", "salt", host, "flag.set", FLAG, "0")
    assert done.returncode != 0
    assert "redis-1" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    wait_for_all(fleet, "1")


def test_flags_set_with_wait_is_done_when_every_server_has_it(fleet, servers):
    fleet.ok("master", "salt-run", "flags.set", FLAG, "0", "wait=True")
    assert {servers[id_].get(FLAG) for id_ in servers.hosts} == {"0"}
    wait_for_all(fleet, "0")


def evaluate(fleet, host, user):
    """What the flag service of an application host says of the flag for a user."""
    request = urllib.request.Request(
        f"http://{fleet.lab.machine(host).address}:8016/ofrep/v1/evaluate/flags/{FLAG}",
        json.dumps({"context": {"targetingKey": user}}).encode(),
        {"Authorization": f"Bearer {OFREP_TOKEN}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def test_rule_gives_some_users_the_flag_and_the_same_ones_on_every_host(fleet):
    users = [f"user-{number}" for number in range(60)]
    rules = json.dumps({"match": [{"percentage": 50}]})
    fleet.ok("master", "salt-run", "flags.rules", FLAG, rules)
    try:
        reason = "SPLIT"
        wait_until(
            lambda: any(evaluate(fleet, HOSTS[0], u)["reason"] == reason for u in users), "the rule", 10
        )
        wait_until(
            lambda: any(evaluate(fleet, HOSTS[1], u)["reason"] == reason for u in users), "the rule", 10
        )
        told = [[evaluate(fleet, host, user)["value"] for user in users] for host in HOSTS]
        assert told[0] == told[1]
        assert set(told[0]) == {True, False}
    finally:
        fleet.ok("master", "salt-run", "flags.rules", FLAG, "{}")


def test_promotion_is_not_undone_by_a_highstate(fleet, servers):
    promote(fleet, servers, "redis-3")
    try:
        servers["redis-3"].set(FLAG, "0")
        wait_for_all(fleet, "0")
        said = fleet.ok("master", "salt", "--static", "--out=json", "redis-*", "state.apply", timeout=300)
        changes = {
            m: [n for n, s in states.items() if s["changes"]] for m, states in json.loads(said).items()
        }
        assert changes == {"redis-1": [], "redis-2": [], "redis-3": []}
        assert servers.master() == "redis-3"
        assert sorted(servers.replicas()) == ["redis-1", "redis-2"]
    finally:
        promote(fleet, servers, "redis-1")


def test_alert_reaches_the_balancer_from_a_promoted_master(fleet, servers):
    promote(fleet, servers, "redis-2")
    try:
        servers["redis-2"].set("sluice:alert:checkbox", "from the new master")

        def known():
            said = fleet.ok("lb-1", "curl", "-sf", "http://127.0.0.1:9901/metrics")
            return re.search(r'sluice_alert\w*{[^}]*service="checkbox"[^}]*} 1', said)

        wait_until(lambda: known() is not None, "the balancer knows of the alert", 15)
    finally:
        promote(fleet, servers, "redis-1")
        fleet.ok("master", "salt-run", "release.clear", "checkbox")


@contextlib.contextmanager
def everything_said(fleet):
    """All that is on the master's bus, and all words of all processes of the lab, while it lasts."""
    events, arguments, ended = [], set(), threading.Event()
    words = machines.enter(fleet.lab, "master", ["/opt/salt/bin/python", "-c", LISTENER])
    listener = subprocess.Popen(
        words,
        env=machines.environment(fleet.lab, "master"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    def look():
        while not ended.wait(0.05):
            arguments.update(" ".join(pids.command(pid)) for pid in cgroups.pids(fleet.lab.group))

    assert listener.stdout.readline().strip() == "listening"
    threads = [
        threading.Thread(target=lambda: events.extend(listener.stdout), daemon=True),
        threading.Thread(target=look, daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield events, arguments
    finally:
        ended.set()
        listener.stdin.close()
        listener.wait(30)
        for thread in threads:
            thread.join(30)
        listener.stdout.close()


def found(texts):
    """The secrets in texts, each with the place."""
    return [(secret, text[:300]) for text in texts for secret in SECRETS if secret in text]


def test_no_secret_of_the_lab_is_anywhere_after_a_full_highstate(fleet):
    assert len(SECRETS) > 12
    for machine, files in SECRET_FILES.items():
        if any(machine == one.id for one in fleet.lab.machines):
            fleet.ok(machine, "sh", "-c", 'for file in "$@"; do echo >> "$file"; done', "sh", *files)
    with everything_said(fleet) as (events, arguments):
        returns = fleet.ok("master", "salt", "--static", "--out=json", "*", "state.apply", timeout=600)
        time.sleep(2)  # what comes after the last return
    assert len(events) > len(fleet.lab.machines)
    assert any("salt-minion" in words for words in arguments)
    states = json.loads(returns)
    written = {m: {one["name"] for one in states[m].values() if one["changes"]} for m in states}
    for machine in states.keys() & SECRET_FILES.keys():
        assert set(SECRET_FILES[machine]) <= written[machine]
    assert found([returns, *events, *arguments]) == []


@pytest.mark.parametrize(
    "words",
    [
        ["grep", "-rlF", "-f", "-", "/var/log"],
        ["grep", "-rlF", "-f", "-", "/var/cache/salt/master/jobs", "/var/cache/salt/minion/proc"],
        ["sh", "-c", "cat > /run/words; journalctl --no-pager -o cat | grep -F -f /run/words; rm /run/words"],
    ],
    ids=["logs", "returns", "journals"],
)
def test_no_secret_of_the_lab_is_kept(fleet, words):
    for machine in fleet.lab.machines:
        said = fleet.on(machine.id, *words, text="\n".join(SECRETS) + "\n", timeout=120)
        assert said.stdout == "", machine.id
