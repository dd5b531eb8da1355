"""`python -m lab.demo_flags [--keep]`: run the demo of flags, tell what it found, take the lab down."""

from __future__ import annotations

import os
import sys

from lab import settings
from lab.demo.report import tell
from lab.demo_flags import report
from lab.demo_flags.story import Story
from lab.settings import Lab
from lab.stage import play

# A lab beside the other demo's; what the environment says comes first.
OWN = {
    "SLUICE_LAB_NAME": "flags",
    "SLUICE_LAB_BRIDGE": "flagsbr",
    "SLUICE_LAB_NETWORK": "10.58.0.0/24",
    "SLUICE_LAB_FLEET": "flags",
}
KEPT = "every answer was right, and nothing that was acknowledged is lost"
NEXT = """
The lab is still up. Try:
  python3 -m lab --name {name} ssh master
      salt-run flags.list
      salt-run flags.set key1 0 wait=True
      salt-run flags.servers
  curl -i http://{address}:3002/getPic
  python3 -m lab --name {name} down
"""


def main() -> int:
    """0 if every promise was kept, 1 if not, 130 after Ctrl-C. SENTINEL=1 leaves the failover to Sentinel."""
    sentinel = os.environ.get("SENTINEL") == "1"
    return play(
        "demo_flags",
        __doc__,
        lambda: settings.load(env=OWN | os.environ),
        lambda lab: tell(Story(lab, sentinel).run(), "demo-flags.json", report, KEPT),
        after,
    )


def after(lab: Lab) -> str:
    return NEXT.format(name=lab.name, address=lab.machine("checkbox-1").address)


if __name__ == "__main__":
    sys.exit(main())
