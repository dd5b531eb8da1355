"""
The lab's bridge, and the way out of it: masquerading in an nftables table of its own.

The bridge carries the lab's name as its alias, so `down` removes the lab's own and never another's. A lab's
machines can reach what this computer can; nobody but this computer can reach them, also no other lab.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.process import run, tail
from lab.settings import Lab, recorded

INTERFACES = Path("/sys/class/net")
TABLES = "sluice_lab_"


def rules(lab: Lab) -> str:
    """The lab's nftables table; loading it again replaces it."""
    return f"""\
table ip {lab.table}
delete table ip {lab.table}
table ip {lab.table} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ip saddr {lab.network} oifname != "{lab.bridge}" masquerade
  }}
  chain forward {{
    type filter hook forward priority filter;
    iifname "{lab.bridge}" accept
    iifname != "{lab.bridge}" oifname "{lab.bridge}" ct state new drop
    oifname "{lab.bridge}" accept
  }}
}}
"""


def up(lab: Lab) -> None:
    """Make the bridge, its address and the rules, whatever of them is there already."""
    check(lab)
    if not has_bridge(lab):
        run(["ip", "link", "add", lab.bridge, "type", "bridge"])
    run(["ip", "link", "set", lab.bridge, "alias", alias(lab)])
    prefix = lab.network.prefixlen
    run(["ip", "address", "replace", f"{lab.host_address}/{prefix}", "dev", lab.bridge])
    run(["ip", "link", "set", lab.bridge, "up"])
    run(["nft", "-f", "-"], input=rules(lab))


def down(lab: Lab) -> None:
    """Remove the lab's bridge with its cables, and the rules."""
    for bridge in own_bridges(lab):
        for port in (INTERFACES / bridge / "brif").glob("*"):
            remove(port.name)
        remove(bridge)
    if lab.table in tables():
        run(["nft", "delete", "table", "ip", lab.table])


def unplug(machine_name: str) -> None:
    """
    Remove the cable of a machine that has stopped, if it is still there.

    It goes with the machine's network namespace, but connections that the machine left open keep that one
    for minutes; until then the machine could not be started again.
    """
    # systemd-nspawn names it after the machine, as alternative name where that is too long for a name.
    remove(f"vb-{machine_name}")


def remove(interface: str) -> None:
    """Remove an interface. One that is not there is fine: a cable goes with its machine, at any moment."""
    words = ["ip", "link", "delete", interface]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0 and "Cannot find device" not in done.stderr:
        raise LabError(f"{' '.join(words)}: exit code {done.returncode}\n{tail(done.stderr)}")


def alias(lab: Lab) -> str:
    """What marks the bridge as this lab's."""
    return f"sluice-lab {lab.name}"


def own_bridges(lab: Lab) -> list[str]:
    """The interfaces with this lab's alias, and the bridge of an `up` that was cut off before it gave one."""
    marked = [path.name for path in INTERFACES.iterdir() if read_alias(path.name) == alias(lab)]
    cut_off = recorded(lab.state).get("bridge") == lab.bridge and is_bare(lab.bridge)
    return marked or ([lab.bridge] if cut_off else [])


def is_bare(interface: str) -> bool:
    """True for a bridge as `ip link add` leaves it: no address, no ports, nobody's name on it."""
    place = INTERFACES / interface
    if not (place / "bridge").exists() or read_alias(interface) or any((place / "brif").iterdir()):
        return False
    described = json.loads(run(["ip", "-j", "address", "show", "dev", interface]))
    return not any(one["family"] == "inet" for one in described[0]["addr_info"])


def read_alias(interface: str) -> str:
    try:
        return (INTERFACES / interface / "ifalias").read_text().strip()
    except OSError:
        return ""


def check(lab: Lab) -> None:
    """LabError if the bridge's name or the network's addresses are in use for something else."""
    check_bridge(lab)
    check_routes(lab)


def check_bridge(lab: Lab) -> None:
    """LabError if an interface of the bridge's name is not this lab's."""
    if not has_bridge(lab) or read_alias(lab.bridge) == alias(lab) or is_bare(lab.bridge):
        return
    owner = read_alias(lab.bridge) or "something else"
    raise LabError(f"interface {lab.bridge} belongs to {owner}; choose another one with --bridge")


def check_routes(lab: Lab) -> None:
    """LabError if this computer already uses addresses of the lab's network for something else."""
    taken = overlaps(lab, json.loads(run(["ip", "-4", "-j", "route", "show"])))
    if taken:
        raise LabError(
            f"network {lab.network} overlaps with {', '.join(taken)}; choose another one with --network"
        )


def overlaps(lab: Lab, routes: list[dict[str, Any]]) -> list[str]:
    """`NETWORK on INTERFACE` of each route (as `ip -j route` tells them) in the way of the lab's network."""
    found = []
    for route in routes:
        if route["dst"] == "default" or route.get("dev") == lab.bridge:
            continue
        taken = ipaddress.IPv4Network(route["dst"])
        # Shorter ones stand for the default route: some VPNs split it in two.
        if taken.prefixlen >= 8 and taken.overlaps(lab.network):
            found.append(f"{route['dst']} on {route.get('dev', 'another interface')}")
    return found


def has_bridge(lab: Lab) -> bool:
    return (INTERFACES / lab.bridge).exists()


def tables() -> set[str]:
    """The nftables tables of all labs on this computer."""
    listed = subprocess.run(["nft", "list", "tables", "ip"], capture_output=True, text=True, check=False)
    names = {line.split()[-1] for line in listed.stdout.splitlines() if line.strip()}
    return {name for name in names if name.startswith(TABLES)}
