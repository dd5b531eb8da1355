"""What makes a clone of the image one machine: name, address, hosts, and its Salt identity.

The master's and the minions' key pairs are made here and placed on both sides before anything boots, so
no key is ever accepted on trust; each minion also knows the master's fingerprint.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from lab import machines
from lab.process import run
from lab.settings import Lab, Machine


def write_system(lab: Lab, machine: Machine) -> None:
    """Name, address, hosts and resolver."""
    root = machines.root(lab, machine.id)
    (root / "etc/hostname").write_text(machine.id + "\n")
    (root / "etc/hosts").write_text(hosts(lab))
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    network = root / "etc/systemd/network/10-host0.network"
    network.parent.mkdir(parents=True, exist_ok=True)
    network.write_text(
        f"[Match]\nName=host0\n[Network]\nAddress={machine.address}/{lab.network.prefixlen}\n"
        f"Gateway={lab.host_address}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
    )


def hosts(lab: Lab) -> str:
    """/etc/hosts with every machine of the lab."""
    lines = ["127.0.0.1 localhost", f"{lab.host_address} lab-host"]
    return "\n".join(lines + [f"{m.address} {m.id}" for m in lab.machines]) + "\n"


def make_keys(lab: Lab) -> None:
    """A key pair for the master and one for every minion, kept in the lab's state."""
    keys = lab.state / "keys"
    keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ["_master", *(machine.id for machine in lab.machines)]:
        private, public = keys / f"{name}.pem", keys / f"{name}.pub"
        if not public.exists():
            run(["openssl", "genrsa", "-out", private, "2048"])
            private.chmod(0o400)
            run(["openssl", "rsa", "-in", private, "-pubout", "-out", public])


def fingerprint(public_key: str) -> str:
    """The fingerprint of a public key as `salt.utils.crypt.pem_finger` tells it: sha256 over the lines
    between BEGIN and END, line ends included."""
    body = "".join(line + "\n" for line in public_key.strip().splitlines()[1:-1])
    digest = hashlib.sha256(body.encode()).hexdigest()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def write_minion(lab: Lab, machine: Machine) -> None:
    """The minion's keys, id, master and the master's fingerprint."""
    keys, root = lab.state / "keys", machines.root(lab, machine.id)
    pki = root / "etc/salt/pki/minion"
    pki.mkdir(parents=True, exist_ok=True, mode=0o700)
    install(keys / f"{machine.id}.pem", pki / "minion.pem", 0o400)
    install(keys / f"{machine.id}.pub", pki / "minion.pub", 0o644)
    finger = fingerprint((keys / "_master.pub").read_text())
    master = lab.machine("master").address
    (root / "etc/salt/minion.d/lab.conf").write_text(
        f"# Written by the lab.\nid: {machine.id}\nmaster: {master}\nmaster_finger: '{finger}'\n"
    )


def write_master(lab: Lab) -> None:
    """The master's keys, and every minion's public key as accepted beforehand."""
    keys = lab.state / "keys"
    pki = machines.root(lab, "master") / "etc/salt/pki/master"
    (pki / "minions").mkdir(parents=True, exist_ok=True)
    pki.chmod(0o700)
    install(keys / "_master.pem", pki / "master.pem", 0o400)
    install(keys / "_master.pub", pki / "master.pub", 0o644)
    for machine in lab.machines:
        install(keys / f"{machine.id}.pub", pki / "minions" / machine.id, 0o644)


def install(source: Path, target: Path, mode: int) -> None:
    """Copy a file over whatever is there."""
    target.unlink(missing_ok=True)
    shutil.copy(source, target)
    target.chmod(mode)
