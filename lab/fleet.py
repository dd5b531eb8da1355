"""The life of a whole lab: up, down, status."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterable

from lab import (
    cgroups,
    checkout,
    compiled,
    disks,
    files,
    host,
    identity,
    images,
    kernel,
    machines,
    network,
    pids,
    precheck,
    repositories,
)
from lab.errors import LabError
from lab.process import say, step, wait_until
from lab.settings import Lab, record

ANSWER_SECONDS = 90
# The master's first state run takes 4 s; a loaded computer may take a minute.
STATE_RUN_SECONDS = 300
# Held while a lab takes or gives back what all labs share: kernel settings, addresses.
HOST_LOCK = "host"


def each(ids: Iterable[str], do: Callable[[str], object]) -> None:
    """Do something to every machine, in parallel; all errors in one LabError."""
    errors: list[Exception] = []

    def one(machine_id: str) -> None:
        try:
            do(machine_id)
        except Exception as error:
            errors.append(error)

    # Daemons, so that Ctrl-C ends the command now and not when the last machine is done.
    threads = [threading.Thread(target=one, args=(machine_id,), daemon=True) for machine_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        if not isinstance(error, LabError):
            raise error
    if errors:
        raise LabError("\n".join(str(error) for error in errors))


def ids(lab: Lab) -> list[str]:
    return [machine.id for machine in lab.machines]


def up(lab: Lab) -> None:
    """
    Bring the fleet to where every minion answers the master, from whatever is there already.

    Raises LabError with what is missing or which step failed; what had been reached stays, and another
    `up` goes on from it.
    """
    precheck.check(lab)
    with files.locked(lab.lock):
        boot(lab)
        with step("checkout on the master"):
            checkout.push(lab)
        compiled.push(lab)
        with step("Salt master, from this repository's own state"):
            bootstrap_master(lab)
        with step("minions"):
            each(ids(lab), lambda machine_id: start_minion(lab, machine_id))
            wait_for_minions(lab)
    say(f"lab '{lab.name}' is up: the master is at {lab.machine(identity.MASTER).address}")


def boot(lab: Lab) -> None:
    """The network and every machine, without Salt; the caller holds the lab's lock."""
    network.check(lab)
    record(lab)
    choose_image(lab)
    with step(f"network {lab.bridge} {lab.network}"), files.locked(HOST_LOCK):
        kernel.prepare(lab)
        network.up(lab)
    with step(f"boot of {len(lab.machines)} machines"):
        prepare(lab)
        each(ids(lab), lambda machine_id: machines.start(lab, machine_id))
        each(ids(lab), lambda machine_id: machines.wait_for_boot(lab, machine_id))


def choose_image(lab: Lab) -> None:
    """Keep the image that the lab's disks are made on, or take today's; a disk cannot change its image."""
    chosen = lab.state / "image"
    if chosen.exists() and any((lab.state / "machines").glob("*/upper")):
        if chosen.read_text() != str(images.layers(lab).image):
            say(f"lab '{lab.name}' goes on with its own image; after `lab down` it takes today's")
        return
    files.write(chosen, str(images.ensure_image(lab)))


def prepare(lab: Lab) -> None:
    """Disks and identities of the machines that are not running."""
    identity.make_keys(lab)
    inherited = host.inherited(identity.own_addresses(lab))
    for machine in lab.machines:
        if machines.leader(lab, machine.id):
            continue
        disks.mount(lab, machine.id)
        identity.write_system(lab, machine, inherited)
        identity.write_minion(lab, machine)
        if machine.id == identity.MASTER:
            identity.write_master(lab)
        if machine.id == repositories.SERVER:
            repositories.write(lab)


def bootstrap_master(lab: Lab) -> None:
    """Provision the master as a user would on theirs: masterless, from the checkout."""
    settings = "conf/local/lab"
    for needed in (f"{settings}/minion", "salt/master/init.sls"):
        if not (disks.root(lab, identity.MASTER) / "srv/sluice" / needed).exists():
            raise LabError(f"the checkout has no {needed} to make a master with; restore it, then `lab up`")
    call = ["salt-call", "--local", "-c", f"/srv/sluice/{settings}", "--retcode-passthrough"]

    def idle() -> bool:
        ask = [*call, "--out=json", "saltutil.is_running", "state.*"]
        return bool(json.loads(machines.check_in(lab, identity.MASTER, ask))["local"] == [])

    # An `up` that was cut off may have left its own run at work. Salt's queue is no help without a minion:
    # 3008.3 answers with queue=True that all is well and never does it, and with a number waits for ever.
    wait_until(idle, "the end of a state run on the master", STATE_RUN_SECONDS, pause=1)
    apply = [*call, "--state-output=changes", "--state-verbose=False", "state.apply", "master"]
    machines.check_in(lab, identity.MASTER, apply, timeout=STATE_RUN_SECONDS)


def start_minion(lab: Lab, machine_id: str) -> None:
    machines.check_in(lab, machine_id, ["systemctl", "enable", "--now", "salt-minion"], timeout=90)


def wait_for_minions(lab: Lab) -> None:
    """Wait until every minion answers the master."""
    answered: set[str] = set()

    def all_answer() -> bool:
        answered.update(ping(lab))
        return answered.issuperset(ids(lab))

    try:
        wait_until(all_answer, "every minion answers", ANSWER_SECONDS, pause=0.5)
    except LabError as error:
        silent = [machine_id for machine_id in ids(lab) if machine_id not in answered]
        see = f"see `lab logs {silent[0]} -u salt-minion`"
        raise LabError(f"{error}: nothing from {', '.join(silent)}; {see}") from error


def ping(lab: Lab) -> set[str]:
    """The ids of the minions that answer now."""
    command = ["salt-run", "--out=json", "manage.up", "timeout=5", "gather_job_timeout=5"]
    said = machines.exec_in(lab, identity.MASTER, command, timeout=60).stdout
    try:
        return set(json.loads(said))
    except ValueError:
        return set()


def highstate(lab: Lab) -> None:
    """Apply every machine's states; LabError with what failed."""
    with step("highstate of the fleet"):
        apply = ["salt", "--state-output=changes", "--state-verbose=False", "--timeout=300",
                 "*", "state.apply"]
        machines.check_in(lab, identity.MASTER, apply, timeout=600)


def down(lab: Lab) -> None:
    """
    Remove every process, mount, disk, bridge and rule of this lab, whatever happened before.

    Raises LabError naming what would not go.
    """
    if precheck.missing_root():
        raise LabError("`lab down` needs root: run it with sudo")
    with files.locked(lab.lock), step(f"removal of lab '{lab.name}'"):
        # Twice: a machine that an `up` started in the moment it was killed may show only now.
        left = remove(lab) and remove(lab)
        if left:
            raise LabError("these would not go; end what uses them and run `lab down` again:\n  * "
                           + "\n  * ".join(left))


def remove(lab: Lab) -> list[str]:
    """Remove everything; what would not go, and what is still there."""
    trouble = [error for part in (remove_machines, remove_network, remove_files)
               if (error := failure(part, lab))]
    return [*trouble, *leftovers(lab)]


def failure(part: Callable[[Lab], None], lab: Lab) -> str | None:
    """Run a part of `down`; its error, so that the other parts run all the same."""
    try:
        part(lab)
    except (LabError, OSError) as error:
        return str(error)
    return None


def remove_machines(lab: Lab) -> None:
    each(made_ids(lab), lambda machine_id: machines.cut_off(lab, machine_id))
    cgroups.remove(lab.group)


def remove_network(lab: Lab) -> None:
    with files.locked(HOST_LOCK):
        network.down(lab)
        if not network.tables():
            kernel.restore(lab)


def remove_files(lab: Lab) -> None:
    """The lab's state last: it tells which bridge is the lab's."""
    precheck.discard(lab)
    with files.locked_if_free("images") as free:
        if free:
            images.end_interrupted_build(lab)
    disks.discard(lab.state)


def made_ids(lab: Lab) -> set[str]:
    """The machines of the fleet file and all others that this lab was made with."""
    homes = {path.name for path in (lab.state / "machines").glob("*")}
    groups = {path.name for folder in cgroups.folders(lab.group) for path in folder.glob("*/")}
    return {*ids(lab), *homes, *groups}


def leftovers(lab: Lab) -> list[str]:
    """What is still there of a lab."""
    found = [f"process {pid}: {' '.join(pids.command(pid))[:80]}" for pid in sorted(cgroups.pids(lab.group))]
    found += [f"control group {lab.group}"] if cgroups.exists(lab.group) else []
    found += [f"mount {point}" for point in disks.mount_points(lab.state)]
    found += [f"directory {lab.state}"] if lab.state.exists() else []
    found += [f"bridge {bridge}" for bridge in network.own_bridges(lab)]
    found += [f"nftables table {lab.table}"] if lab.table in network.tables() else []
    return found


def status(lab: Lab) -> list[dict[str, object]]:
    """One row per machine: id, address, state (`running` or `stopped`) and pid."""
    rows: list[dict[str, object]] = []
    for machine in lab.machines:
        pid = machines.leader(lab, machine.id)
        state = "running" if pid else "stopped"
        rows.append({"id": machine.id, "address": machine.address, "state": state, "pid": pid})
    return rows


def log_words(lab: Lab, machine_id: str, lines: int, options: list[str]) -> list[str]:
    """
    The words that show a machine's journal; from its disk while it is down, its console if that is all.

    lines (int)
        How many of the last lines.
    options (list of str)
        More options of journalctl; a console knows none of them.
    """
    lab.machine(machine_id)
    journal = ["journalctl", "--no-pager", "-n", str(lines), *options]
    if machines.leader(lab, machine_id):
        return machines.enter(lab, machine_id, journal)
    kept = disks.home(lab, machine_id) / "upper/var/log/journal"
    if kept.is_dir() and shutil.which("journalctl"):
        return [*journal, "--directory", str(kept)]
    if machines.console(lab, machine_id).exists():
        return ["tail", "-n", str(lines), str(machines.console(lab, machine_id))]
    raise LabError(f"{machine_id} of lab '{lab.name}' was never started; run `lab up`")
