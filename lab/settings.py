"""What a lab is called, where its files live and which machines it has."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab import files
from lab.errors import LabError

CHECKOUT = Path(__file__).resolve().parent.parent
FLEET_FILE = Path(__file__).with_name("fleet.toml")
CACHE = Path("/var/cache/sluice-lab")
STATE_ROOT = Path("/var/lib/sluice-lab")
DEFAULTS = {"bridge": "sluice0", "network": "10.57.0.0/24", "fleet": "checkbox"}
# With a machine's id it makes a host name, which has at most 64 characters.
NAME = re.compile(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?")
ID = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
# A Linux network interface name has at most 15 characters.
BRIDGE = re.compile(r"[a-z][a-z0-9]{0,14}")
# RFC 1918. What else counts as private (loopback, link-local, documentation) is no network of machines.
PRIVATE = tuple(ipaddress.IPv4Network(one) for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))


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
    # Which of the fleet file's machines these are: `all`, or the name of a part.
    fleet: str = "checkbox"
    cache: Path = CACHE
    state_root: Path = STATE_ROOT

    @property
    def state(self) -> Path:
        return self.state_root / self.name

    @property
    def host_address(self) -> str:
        return str(self.network[1])

    @property
    def lock(self) -> str:
        """The lock of commands that change this lab; no name makes it one of the locks of all labs."""
        return f"lab-{self.name}"

    @property
    def table(self) -> str:
        """The name of this lab's nftables table."""
        return "sluice_lab_" + self.name.replace("-", "_")

    @property
    def group(self) -> str:
        """The control group with all of this lab's machines."""
        return f"sluice-lab.{self.name}"

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
    fleet: str | None = None,
    *,
    env: Mapping[str, str] = os.environ,
    state_root: Path = STATE_ROOT,
) -> Lab:
    """
    The lab's settings: arguments first, then SLUICE_LAB_NAME, _BRIDGE, _NETWORK and _FLEET, then what the lab
    of that name was made with, then the defaults `sluice`, `sluice0`, `10.57.0.0/24` and `checkbox`.

    Raises LabError for a name, bridge, network or fleet that cannot be used, or that differs from what a lab
    of that name was made with.
    """
    # An empty --name is a script's unset variable: it must not become the default lab.
    name = name if name is not None else env.get("SLUICE_LAB_NAME") or "sluice"
    if not NAME.fullmatch(name):
        raise LabError(f"lab name {name!r}: want small letters, digits and '-', at most 20")
    made = recorded(state_root / name)
    said = {"bridge": bridge or env.get("SLUICE_LAB_BRIDGE"),
            "network": network or env.get("SLUICE_LAB_NETWORK"),
            "fleet": fleet or env.get("SLUICE_LAB_FLEET")}
    values = {key: said[key] or made.get(key) or default for key, default in DEFAULTS.items()}
    for key, value in made.items():
        if values[key] != value:
            raise LabError(
                f"lab '{name}' was made with {key} {value}, not {values[key]}; "
                f"leave --{key} out, or run `lab --name {name} down` first"
            )
    if not BRIDGE.fullmatch(values["bridge"]):
        raise LabError(f"bridge {values['bridge']!r}: want small letters and digits, at most 15")
    parsed = parse_network(values["network"])
    cache = Path(env.get("SLUICE_LAB_CACHE") or CACHE)
    machines = read_fleet(parsed, values["fleet"])
    return Lab(name, values["bridge"], parsed, machines, values["fleet"], cache, state_root)


def recorded(state: Path) -> dict[str, str]:
    """The bridge, network and fleet that a lab was made with, empty if there is no such lab."""
    file = state / "settings.json"
    try:
        made = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise LabError(f"{file}: {error}; remove the file and run `lab down`") from error
    if not isinstance(made, dict):
        raise LabError(f"{file}: want an object, not {made!r}; remove the file and run `lab down`")
    return {key: str(made[key]) for key in DEFAULTS if key in made}


def record(lab: Lab) -> None:
    """Keep the lab's settings, so that its name is enough for every later command."""
    files.make_private(lab.state)
    made = {"bridge": lab.bridge, "network": str(lab.network), "fleet": lab.fleet}
    files.write(lab.state / "settings.json", json.dumps(made) + "\n")


def parse_network(text: str) -> ipaddress.IPv4Network:
    """A private IPv4 network of at least 256 addresses; LabError for anything else."""
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise LabError(f"network {text!r}: {error}; want one like 10.57.0.0/24") from error
    if network.prefixlen > 24 or not any(network.subnet_of(one) for one in PRIVATE):
        raise LabError(f"network {text!r}: want a private network of /24 or larger, like 10.57.0.0/24")
    return network


def read_fleet(
    network: ipaddress.IPv4Network, fleet: str = "all", path: Path = FLEET_FILE
) -> tuple[Machine, ...]:
    """
    The machines of fleet.toml with their addresses in the network.

    fleet (str)
        Which of them: `all`, or the name of a part in the file's table [fleets]. Default all.

    Raises LabError for a file that cannot be read as one, and for a part that is not there.
    """
    numbers, parts = _tables(path)
    for machine_id, number in numbers.items():
        if not ID.fullmatch(machine_id) or not isinstance(number, int) or not 2 <= number <= 254:
            raise LabError(f"{path.name}: {machine_id} = {number}: want a small-letter id and 2 to 254")
    if len(set(numbers.values())) != len(numbers):
        raise LabError(f"{path.name}: two machines have the same number")
    for part, ids in parts.items():
        if not isinstance(ids, list) or not ids or not all(one in list(numbers) for one in ids):
            raise LabError(f"{path.name}: fleet {part} = {ids}: want a list of ids of the table [machines]")
    known = {"all": list(numbers), **parts}
    if fleet not in known:
        raise LabError(f"no fleet {fleet!r} in {path.name}; it has {', '.join(known)}")
    return tuple(Machine(one, str(network[number])) for one, number in numbers.items() if one in known[fleet])


def _tables(path: Path) -> tuple[dict[str, int], dict[str, list[str]]]:
    """The tables [machines] and [fleets] of the file, the second one empty if it is not there."""
    try:
        told = tomllib.loads(path.read_text())
        return dict(told["machines"]), dict(told.get("fleets", {}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabError(f"{path}: {error}; want a table [machines] of id = number") from error
