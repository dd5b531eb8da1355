"""The lab itself: up from anything, down to nothing, two at once. In labs of its own, with few machines."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab import checkout, disks, files, fleet, machines, network, pids, precheck, settings
from lab.errors import LabError
from lab.process import wait_until
from tests.support import labs

REPO = Path(__file__).resolve().parents[2]
# What the master's pillar names; without the others an `up` takes half the time.
SALTED = ("master", "redis-1", "git-1", "checkbox-1")
BARE = ("master", "git-1")

# A lab command that is killed right before it runs its Nth command: argv is a lab's settings and N.
DYING = """
import os, signal, sys
from tests.e2e.test_0_lab import boot, make
left = int(sys.argv[4])
def look(event, args):
    global left
    if event == "subprocess.Popen":
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(look)
boot(make(*sys.argv[1:4]))
"""
UP = """
import sys
from lab import fleet
from tests.e2e.test_0_lab import SALTED, make
fleet.up(make(*sys.argv[1:4], ids=SALTED))
"""
# In a machine: 0 if the address and port can be reached.
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"


def make(name, bridge, subnet=None, ids=BARE):
    """The settings of a lab with few machines; without a subnet on one that is free here."""
    lab = settings.load(name, bridge, subnet, env={}) if subnet else labs.settings_of(name, bridge)
    return dataclasses.replace(lab, machines=tuple(m for m in lab.machines if m.id in ids))


def words(lab):
    return [lab.name, lab.bridge, str(lab.network)]


def boot(lab):
    """What `up` does before it comes to Salt."""
    precheck.check(lab)
    with files.locked(lab.lock):
        fleet.boot(lab)


def start(script, lab, *more):
    """Run a script with a lab's settings in a process of its own."""
    command = [sys.executable, "-c", script, *words(lab), *more]
    return subprocess.Popen(command, cwd=REPO, stderr=subprocess.PIPE, text=True)


def cli(lab, *arguments, text=None):
    """The command line as Debian's own Python runs it."""
    command = ["/usr/bin/python3", "-m", "lab", "--name", lab.name, *arguments]
    return subprocess.run(command, cwd=REPO, input=text, capture_output=True, text=True, timeout=120,
                          check=False)


def seen_by_the_kernel(lab):
    """Everything of a lab that this computer still shows, found without the lab's own means."""
    state, found = str(lab.state), []
    for process in Path("/proc").glob("[0-9]*"):
        if not pids.process(int(process.name)):  # gone, or a zombie that its parent has not noticed yet
            continue
        for what in ("cmdline", "cgroup"):
            try:
                text = (process / what).read_text(errors="replace")
            except OSError:
                continue
            if f"{state}/" in text or f"/{lab.group}/" in text:
                found.append(f"{process.name}: {text[:80]!r}")
    mounts = Path("/proc/mounts").read_text().splitlines()
    found += [line for line in mounts if f"{state}/" in line or f".precheck-{lab.name}." in line]
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    found += [line for line in links.splitlines() if lab.bridge in line or f"vb-{lab.name}-" in line]
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    found += [line for line in tables.splitlines() if line.endswith(f" {lab.table}")]
    found += map(str, Path("/sys/fs/cgroup").glob(f"**/{lab.group}"))
    found += map(str, [*lab.state_root.glob(lab.name), *lab.state_root.glob(f".precheck-{lab.name}.*")])
    found += map(str, Path("/run/systemd/nspawn/propagate").glob(f"{lab.name}-*"))
    return found


def reaches(lab, machine, address, port):
    """Whether a machine can open a connection."""
    done = machines.exec_in(lab, machine, ["python3", "-c", CONNECT, address, str(port)], timeout=20)
    return done.returncode == 0


def is_applying_states(lab):
    """Whether a state run is at work on the master: Salt keeps a file for each that has begun."""
    running = ["sh", "-c", "grep -l state.apply /var/cache/salt/minion/proc/*"]
    return machines.exec_in(lab, "master", running).returncode == 0


def pids_of(lab):
    return {row["id"]: row["pid"] for row in fleet.status(lab)}


@pytest.fixture(scope="module")
def life():
    """A lab whose first `up` was killed while Salt made the master, and whose second one went on."""
    lab = make("life", "lifebr", ids=SALTED)
    fleet.down(lab)
    try:
        first, said = start(UP, lab), []
        with first.stderr:
            for line in first.stderr:
                said.append(line)
                if line.startswith("-> Salt master"):
                    wait_until(lambda: is_applying_states(lab), "the master's state run", 60, pause=0.02)
                    first.kill()
        assert first.wait(120) == -signal.SIGKILL, "".join(said)
        fleet.up(lab)
        yield lab
    finally:
        fleet.down(lab)


@pytest.fixture
def other():
    """A lab that is not there yet, and that is gone after the test whatever the test left of it."""
    lab = make("life2", "life2br")
    fleet.down(lab)
    try:
        yield lab
    finally:
        fleet.down(lab)
        assert seen_by_the_kernel(lab) == []


def test_up_goes_on_from_one_that_was_killed(life):
    assert {row["state"] for row in fleet.status(life)} == {"running"}
    assert fleet.ping(life) == set(SALTED)


def test_minions_are_known_by_keys_that_were_placed_beforehand(life):
    listed = machines.check_in(life, "master", ["salt-key", "--out=json", "--list=all"])
    keys = json.loads(listed)
    assert sorted(keys["minions"]) == sorted(SALTED)
    assert keys["minions_pre"] == keys["minions_rejected"] == keys["minions_denied"] == []


def test_second_up_changes_nothing(life):
    def running():
        show = ["systemctl", "show", "--value", "--property=MainPID", "salt-minion"]
        return pids_of(life), [machines.check_in(life, one, show) for one in SALTED]

    before = running()
    fleet.up(life)
    assert running() == before


def test_up_starts_a_machine_that_was_cut_off_and_leaves_the_others(life):
    before = pids_of(life)
    machines.exec_in(life, "git-1", ["touch", "/root/kept"])
    machines.stop(life, "git-1", at_once=True)
    assert pids_of(life) == {**before, "git-1": None}
    fleet.up(life)
    after = pids_of(life)
    assert after.pop("git-1") not in (None, before.pop("git-1"))
    assert after == before
    assert machines.exec_in(life, "git-1", ["test", "-e", "/root/kept"]).returncode == 0


def test_exec_gives_the_commands_output_input_and_exit_code(life):
    done = cli(life, "exec", "git-1", "--", "sh", "-c", 'hostname; cat; echo "$1" >&2; exit 7', "x", "a  b",
               text="given\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, "git-1\ngiven\n", "a  b\n")


def test_exec_of_a_command_that_is_not_there_fails_in_words(life):
    done = cli(life, "exec", "git-1", "--", "no-such-command")
    assert done.returncode != 0
    assert "no-such-command" in done.stderr
    assert "Traceback" not in done.stderr


def test_command_that_takes_too_long_is_ended_inside_the_machine_too(life):
    with pytest.raises(LabError, match="git-1: sleep 4321: no end after 1 s"):
        machines.exec_in(life, "git-1", ["sleep", "4321"], timeout=1)
    assert machines.exec_in(life, "git-1", ["pgrep", "-xf", "sleep 4321"]).returncode == 1


def test_logs_are_shown_also_of_a_machine_that_is_down(life):
    mark = f"mark-{os.getpid()}"
    machines.check_in(life, "git-1", ["systemd-cat", "-t", "marker", "echo", mark])
    wait_until(lambda: mark in cli(life, "logs", "git-1", "-n", "50").stdout, "the mark", 10)
    assert mark not in cli(life, "logs", "git-1", "-u", "salt-minion").stdout
    assert cli(life, "stop", "git-1").returncode == 0
    assert mark in cli(life, "logs", "git-1").stdout
    assert cli(life, "exec", "git-1", "true").returncode == 1
    assert cli(life, "start", "git-1").returncode == 0
    assert cli(life, "exec", "git-1", "true").returncode == 0


def test_status_tells_every_machine(life):
    rows = json.loads(cli(life, "status", "--json").stdout)
    assert {row["id"] for row in rows if row["state"] == "running"} == set(SALTED)
    assert {row["id"]: row["pid"] for row in rows if row["pid"]} == pids_of(life)


def test_push_undoes_an_edit_on_the_master(life):
    machines.check_in(life, "master", ["touch", "/srv/sluice/stray"])
    assert checkout.push(life) == 1
    assert checkout.push(life) == 0


def test_two_labs_do_not_see_each_other(life, other):
    before = pids_of(life)
    boot(other)
    here, there = life.machine("git-1").address, other.machine("git-1").address
    wait_until(lambda: reaches(other, "master", there, 9418), "git-1 of the second lab", 20)
    assert reaches(life, "master", here, 9418)
    assert not reaches(other, "master", here, 9418)
    assert not reaches(life, "master", there, 9418)
    assert cli(other, "status", "--json").stdout.count("running") == len(BARE)
    fleet.down(other)
    assert seen_by_the_kernel(other) == []
    assert pids_of(life) == before
    assert fleet.ping(life) == set(SALTED)


@pytest.mark.parametrize("own_bridge,message", [
    (True, "overlaps with {network} on lifebr"),
    (False, "belongs to sluice-lab life;"),
])
def test_lab_in_the_way_of_another_is_refused_and_leaves_nothing(life, other, own_bridge, message):
    bridge, subnet = (other.bridge, life.network) if own_bridge else (life.bridge, other.network)
    with pytest.raises(LabError, match=message.format(network=life.network)):
        boot(make(other.name, bridge, str(subnet)))
    assert not other.state.exists()
    assert {row["state"] for row in fleet.status(life)} == {"running"}


def test_other_network_than_the_lab_was_made_with_is_refused(life):
    done = cli(life, "--network", "10.163.0.0/24", "up")
    assert done.returncode == 1
    assert f"was made with network {life.network}" in done.stderr


# Of about thirty: between the bridge and its alias, in a key pair, between the mounts, at the machines.
@pytest.mark.parametrize("commands", [7, 12, 20, 25, 26])
def test_down_leaves_nothing_of_a_boot_that_was_killed(other, commands):
    dying = start(DYING, other, str(commands))
    said = dying.communicate(timeout=120)[1]
    assert dying.returncode == -signal.SIGKILL, said
    fleet.down(other)
    assert seen_by_the_kernel(other) == []


def test_down_leaves_nothing_of_a_broken_lab(other):
    boot(other)
    # A command left behind in a machine, a user in its directory, a dead nspawn, no bridge, no rules.
    machines.check_in(other, "git-1", ["sh", "-c", "setsid sleep 4321 >/dev/null 2>&1 &"])
    user = subprocess.Popen(["sleep", "600"], cwd=disks.root(other, "master") / "etc")
    try:
        for one in machines.remains(other, "git-1"):
            if machines.is_nspawn(other, "git-1", one.pid):
                pids.send(one, signal.SIGKILL)
        subprocess.run(["ip", "link", "delete", other.bridge], check=True)
        subprocess.run(["nft", "delete", "table", "ip", other.table], check=True)
        (other.state / "settings.json").unlink()
        fleet.down(other)
        assert user.poll() is None
        assert seen_by_the_kernel(other) == []
    finally:
        user.kill()
        user.wait()


def test_boot_mends_a_broken_lab(other):
    boot(other)
    subprocess.run(["ip", "link", "delete", other.bridge], check=True)
    subprocess.run(["nft", "delete", "table", "ip", other.table], check=True)
    machines.stop(other, "git-1", at_once=True)
    disks.unmount(disks.home(other, "git-1"))
    boot(other)
    assert {row["state"] for row in fleet.status(other)} == {"running"}
    assert other.bridge in network.own_bridges(other)


def test_down_of_nothing_is_fine_and_says_so_by_its_exit_code(other):
    assert cli(other, "down").returncode == 0
    assert cli(other, "down").returncode == 0


def test_interrupted_up_says_how_to_go_on(other):
    command = [sys.executable, "-m", "lab", *(f"--{key}={value}" for key, value in
               zip(("name", "bridge", "network"), words(other), strict=True)), "up"]
    process = subprocess.Popen(command, cwd=REPO, stderr=subprocess.PIPE, text=True)
    said = []
    with process.stderr:
        for line in process.stderr:
            said.append(line)
            if line.startswith("-> boot"):
                process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert "`lab up` goes on from here" in said[-1]
    assert "Traceback" not in "".join(said)
