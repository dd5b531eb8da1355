"""The life of a whole lab: up, down, status."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from lab import checkout, identity, images, machines, network, precheck, repositories
from lab.errors import LabError
from lab.process import run, say, step, wait_until
from lab.settings import Lab

ANSWER_SECONDS = 90


@contextmanager
def locked(lab: Lab) -> Iterator[None]:
    """Only one `up` or `down` at a time on this computer."""
    lab.state_root.mkdir(parents=True, exist_ok=True)
    with open(lab.state_root / "lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("waiting for another lab command to end ...")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def each(lab: Lab, do: Callable[[str], object]) -> None:
    """Do something to every machine, in parallel; all errors in one LabError."""
    with ThreadPoolExecutor(len(lab.machines)) as pool:
        futures = [pool.submit(do, machine.id) for machine in lab.machines]
    errors = [future.exception() for future in futures]
    told = [str(error) for error in errors if isinstance(error, LabError)]
    for error in errors:
        if error is not None and not isinstance(error, LabError):
            raise error
    if told:
        raise LabError("\n".join(told))


def up(lab: Lab) -> None:
    """
    Bring the fleet to where every minion answers the master, from whatever is there already.

    Raises LabError with what is missing or which step failed; what had been reached stays, and another
    `up` goes on from it.
    """
    precheck.check(lab)
    with locked(lab):
        image = choose_image(lab)
        with step(f"network {lab.bridge} {lab.network}"):
            network.up(lab)
        prepare(lab, image)
        with step(f"boot of {len(lab.machines)} machines"):
            each(lab, lambda machine_id: machines.start(lab, machine_id))
            each(lab, lambda machine_id: machines.wait_for_boot(lab, machine_id))
        with step("checkout on the master"):
            checkout.push(lab)
        with step("Salt master, from this repository's own state"):
            bootstrap_master(lab)
        with step("minions"):
            each(lab, lambda machine_id: start_minion(lab, machine_id))
            wait_for_minions(lab)
    say(f"lab '{lab.name}' is up: the master is at {lab.machine('master').address}")


def choose_image(lab: Lab) -> str:
    """The image of this lab: the one its running machines use, else the newest recipe's."""
    chosen = lab.state / "image"
    if not chosen.exists() or not any(machines.leader(lab, m.id) for m in lab.machines):
        lab.state.mkdir(parents=True, exist_ok=True)
        chosen.write_text(str(images.ensure_image(lab)))
    return chosen.read_text()


def prepare(lab: Lab, image: str) -> None:
    """Disks and identities of the machines that are not running."""
    identity.make_keys(lab)
    for machine in lab.machines:
        if machines.leader(lab, machine.id):
            continue
        machines.mount(lab, machine.id, images.Path(image))
        identity.write_system(lab, machine)
        identity.write_minion(lab, machine)
        if machine.id == "master":
            identity.write_master(lab)
        if machine.id == repositories.SERVER:
            repositories.write(lab)


def bootstrap_master(lab: Lab) -> None:
    """Provision the master as a user would on theirs: masterless, from the checkout."""
    apply = ["salt-call", "--local", "-c", "/srv/sluice/conf/local/lab", "--retcode-passthrough",
             "--state-output=changes", "state.apply", "master"]
    machines.check_in(lab, "master", apply, timeout=300)


def start_minion(lab: Lab, machine_id: str) -> None:
    machines.check_in(lab, machine_id, ["systemctl", "enable", "--now", "salt-minion"], timeout=90)


def wait_for_minions(lab: Lab) -> None:
    """Wait until every minion answers the master."""
    wanted = {machine.id for machine in lab.machines}
    answered: set[str] = set()

    def all_answer() -> bool:
        answered.update(ping(lab))
        return answered >= wanted

    try:
        wait_until(all_answer, "every minion to answer", ANSWER_SECONDS, pause=0.5)
    except LabError as error:
        silent = ", ".join(sorted(wanted - answered))
        raise LabError(f"{error}: nothing from {silent}. See `python3 -m lab logs {silent.split(',')[0]}`") from error


def ping(lab: Lab) -> set[str]:
    """The ids of the minions that answer now."""
    command = ["salt", "--static", "--out=json", "--timeout=5", "*", "test.ping"]
    said = machines.exec_in(lab, "master", command, timeout=60).stdout
    try:
        answers = json.loads(said)
    except ValueError:
        return set()
    return {minion for minion, answer in answers.items() if answer is True}


def highstate(lab: Lab) -> None:
    """Apply every machine's states; LabError with what failed."""
    with step("highstate of the fleet"):
        apply = ["salt", "--state-output=changes", "--state-verbose=False", "--timeout=300", "*", "state.apply"]
        machines.check_in(lab, "master", apply, timeout=600)


def down(lab: Lab) -> None:
    """Remove every process, mount, disk, bridge and rule of this lab, whatever happened before."""
    missing = precheck.missing_root()
    if missing:
        raise LabError(f"lab down: {missing[0]}")
    with locked(lab), step(f"removal of lab '{lab.name}'"):
        each(lab, lambda machine_id: machines.stop(lab, machine_id, at_once=True))
        for point in machines.mount_points(lab.state):
            run(["umount", "--lazy", point])
        shutil.rmtree(lab.state, ignore_errors=True)
        network.down(lab)


def status(lab: Lab) -> list[dict[str, object]]:
    """One row per machine: id, address, state (`running` or `stopped`) and pid."""
    rows: list[dict[str, object]] = []
    for machine in lab.machines:
        pid = machines.leader(lab, machine.id)
        state = "running" if pid else "stopped"
        rows.append({"id": machine.id, "address": machine.address, "state": state, "pid": pid})
    return rows
