"""What makes a clone of the image one machine: name, address, hosts, and its Salt identity.

The master's and the minions' key pairs are made here and placed on both sides before anything boots, so
no key is ever accepted on trust; each minion also knows the master's fingerprint.
"""

from __future__ import annotations

import hashlib

from lab import disks, files, host
from lab.process import run
from lab.settings import CHECKOUT, Lab, Machine

MASTER = "master"


def write_system(lab: Lab, machine: Machine, inherited: host.Inherited) -> None:
    """Name, address, hosts, resolver, and what it inherits from this computer."""
    root = disks.root(lab, machine.id)
    inherited.write(root)
    files.write(root / "etc/hostname", machine.id + "\n")
    files.write(root / "etc/hosts", hosts(lab))
    files.write(root / "etc/resolv.conf", host.resolver())
    files.write(root / "etc/systemd/network/10-host0.network", network_unit(lab, machine))


def network_unit(lab: Lab, machine: Machine) -> str:
    """A fixed address, and this computer as the way out."""
    return (
        f"[Match]\nName=host0\n[Network]\nAddress={machine.address}/{lab.network.prefixlen}\n"
        f"Gateway={lab.host_address}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
    )


def hosts(lab: Lab) -> str:
    """/etc/hosts with every machine of the lab."""
    lines = ["127.0.0.1 localhost", f"{lab.host_address} lab-host"]
    return "\n".join(lines + [f"{m.address} {m.id}" for m in lab.machines]) + "\n"


def own_addresses(lab: Lab) -> tuple[str, ...]:
    """Every name and address of the lab."""
    return (lab.host_address, *(part for m in lab.machines for part in (m.id, m.address)))


def make_keys(lab: Lab) -> None:
    """A key pair for the master and one for every minion, kept in the lab's state."""
    keys = lab.state / "keys"
    files.make_private(keys)
    for name in ["_master", *(machine.id for machine in lab.machines)]:
        # The public key is written last: where it is, the pair is whole.
        if not (keys / f"{name}.pub").exists():
            private = run(["openssl", "genrsa", "2048"])
            files.write(keys / f"{name}.pem", private, 0o400)
            files.write(keys / f"{name}.pub", run(["openssl", "rsa", "-pubout"], input=private))


def fingerprint(public_key: str) -> str:
    """The fingerprint of a public key as `salt.utils.crypt.pem_finger` tells it: sha256 over the lines
    between BEGIN and END, line ends included."""
    body = "".join(line + "\n" for line in public_key.strip().splitlines()[1:-1])
    digest = hashlib.sha256(body.encode()).hexdigest()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def write_minion(lab: Lab, machine: Machine) -> None:
    """
    The minion's keys, id, master and the master's fingerprint; and the settings that its first highstate
    would give it, so that they hold from its first start on.
    """
    keys, root = lab.state / "keys", disks.root(lab, machine.id)
    pki = root / "etc/salt/pki/minion"
    files.make_private(pki)
    files.write(pki / "minion.pem", (keys / f"{machine.id}.pem").read_bytes(), 0o400)
    files.write(pki / "minion.pub", (keys / f"{machine.id}.pub").read_bytes())
    files.write(root / "etc/salt/minion.d/lab.conf", minion_settings(lab, machine))
    for fragment in sorted((CHECKOUT / "conf/minion.d").glob("*.conf")):
        files.write(root / "etc/salt/minion.d" / fragment.name, fragment.read_bytes())


def minion_settings(lab: Lab, machine: Machine) -> str:
    """Who the minion is, and by what it knows its master."""
    finger = fingerprint((lab.state / "keys/_master.pub").read_text())
    master = lab.machine(MASTER).address
    return f"# Written by the lab.\nid: {machine.id}\nmaster: {master}\nmaster_finger: '{finger}'\n"


def write_master(lab: Lab) -> None:
    """The master's keys, and every minion's public key as accepted beforehand."""
    keys = lab.state / "keys"
    pki = disks.root(lab, MASTER) / "etc/salt/pki/master"
    files.make_private(pki)
    files.write(pki / "master.pem", (keys / "_master.pem").read_bytes(), 0o400)
    files.write(pki / "master.pub", (keys / "_master.pub").read_bytes())
    for machine in lab.machines:
        files.write(pki / "minions" / machine.id, (keys / f"{machine.id}.pub").read_bytes())
