"""What a lab is called, where its files live and which machines it has."""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

CHECKOUT = Path(__file__).resolve().parent.parent
FLEET_FILE = Path(__file__).with_name("fleet.toml")
NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
# A Linux network interface name has at most 15 characters.
BRIDGE = re.compile(r"[a-z][a-z0-9]{0,14}")


@dataclass(frozen=True)
class Machine:
    """One machine of a lab."""

    id: str
    address: str


@dataclass(frozen=True)
class Lab:
    """The settings of one lab; every name and path of it derives from these."""

    name: str
    bridge: str
    network: ipaddress.IPv4Network
    machines: tuple[Machine, ...]
    cache: Path = Path("/var/cache/sluice-lab")
    state_root: Path = Path("/var/lib/sluice-lab")

    @property
    def state(self) -> Path:
        return self.state_root / self.name

    @property
    def host_address(self) -> str:
        return str(self.network[1])

    @property
    def table(self) -> str:
        """The name of this lab's nftables table."""
        return "sluice_lab_" + self.name.replace("-", "_")

    def machine(self, machine_id: str) -> Machine:
        for machine in self.machines:
            if machine.id == machine_id:
                return machine
        known = ", ".join(m.id for m in self.machines)
        raise LabError(f"no machine '{machine_id}' in lab '{self.name}'; it has {known}")


def load(
    name: str | None = None,
    bridge: str | None = None,
    network: str | None = None,
    env: Mapping[str, str] = os.environ,
) -> Lab:
    """
    The lab's settings: arguments first, then SLUICE_LAB_NAME, _BRIDGE and _NETWORK, then the defaults
    `sluice`, `sluice0` and `10.57.0.0/24`.

    Raises LabError for a name, bridge or network that cannot be used.
    """
    name = name or env.get("SLUICE_LAB_NAME") or "sluice"
    bridge = bridge or env.get("SLUICE_LAB_BRIDGE") or "sluice0"
    network = network or env.get("SLUICE_LAB_NETWORK") or "10.57.0.0/24"
    if not NAME.fullmatch(name):
        raise LabError(f"lab name {name!r}: want small letters, digits and '-', at most 31")
    if not BRIDGE.fullmatch(bridge):
        raise LabError(f"bridge {bridge!r}: want small letters and digits, at most 15")
    return Lab(name, bridge, parse_network(network), read_fleet(parse_network(network)))


def parse_network(text: str) -> ipaddress.IPv4Network:
    """A private IPv4 network of at least 256 addresses; LabError for anything else."""
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise LabError(f"network {text!r}: {error}; want one like 10.57.0.0/24") from error
    if network.prefixlen > 24 or not network.is_private:
        raise LabError(f"network {text!r}: want a private network of /24 or larger, like 10.57.0.0/24")
    return network


def read_fleet(network: ipaddress.IPv4Network, path: Path = FLEET_FILE) -> tuple[Machine, ...]:
    """The machines of fleet.toml with their addresses in the network."""
    numbers: dict[str, int] = tomllib.loads(path.read_text())["machines"]
    for machine_id, number in numbers.items():
        if not NAME.fullmatch(machine_id) or not 2 <= number <= 254:
            raise LabError(f"{path.name}: {machine_id} = {number}: want a small-letter id and 2 to 254")
    if len(set(numbers.values())) != len(numbers):
        raise LabError(f"{path.name}: two machines have the same number")
    return tuple(Machine(machine_id, str(network[number])) for machine_id, number in numbers.items())
