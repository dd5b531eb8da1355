"""The lab's bridge, and the way out of it: masquerading in an nftables table of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab.process import run
from lab.settings import Lab

FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


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
    oifname "{lab.bridge}" accept
  }}
}}
"""


def up(lab: Lab) -> None:
    """Make the bridge, its address and the rules, whatever of them is there already."""
    if not has_bridge(lab):
        run(["ip", "link", "add", lab.bridge, "type", "bridge"])
    prefix = lab.network.prefixlen
    run(["ip", "address", "replace", f"{lab.host_address}/{prefix}", "dev", lab.bridge])
    run(["ip", "link", "set", lab.bridge, "up"])
    run(["nft", "-f", "-"], input=rules(lab))
    remember_forwarding(lab)
    FORWARD.write_text("1")


def down(lab: Lab) -> None:
    """Remove the bridge and the rules, and forwarding if it was off before the first lab."""
    if has_bridge(lab):
        run(["ip", "link", "delete", lab.bridge])
    if has_table(lab):
        run(["nft", "delete", "table", "ip", lab.table])
    before = lab.state_root / "ip_forward.before"
    others = [path for path in lab.state_root.glob("*/") if path != lab.state]
    if before.exists() and not others:
        FORWARD.write_text(before.read_text())
        before.unlink()


def has_bridge(lab: Lab) -> bool:
    return Path("/sys/class/net", lab.bridge).exists()


def has_table(lab: Lab) -> bool:
    listed = subprocess.run(["nft", "list", "table", "ip", lab.table], capture_output=True, check=False)
    return listed.returncode == 0


def remember_forwarding(lab: Lab) -> None:
    """Keep what ip_forward was before the first lab; the last `down` puts it back."""
    before = lab.state_root / "ip_forward.before"
    if not before.exists():
        before.parent.mkdir(parents=True, exist_ok=True)
        before.write_text(FORWARD.read_text())
