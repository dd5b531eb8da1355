"""`python -m lab.demo_rolling [--keep]`: run the demo of rolling updates, tell what it found."""

from __future__ import annotations

import os
import sys

from lab import settings
from lab.demo.report import tell
from lab.demo_rolling import report
from lab.demo_rolling.rolls import WORK
from lab.demo_rolling.story import PORT, Story
from lab.settings import Lab
from lab.stage import play

# A lab beside the other demos'; what the environment says comes first.
OWN = {
    "SLUICE_LAB_NAME": "rolling",
    "SLUICE_LAB_BRIDGE": "rlbr",
    "SLUICE_LAB_NETWORK": "10.59.0.0/24",
    "SLUICE_LAB_FLEET": "itrust",
}
KEPT = "no request failed, no write was lost, nobody was logged out"
NEXT = """
The lab is still up. Try:
  python3 -m lab --name {name} ssh master
      salt-run release.history itrust
      salt-run release.plan itrust
      salt -b 1 -N itrust state.apply                              # nothing to do: drains nobody
  python3 -m lab --name {name} exec git-1 -- git -C {work} push origin v6:main    # changes the schema
  http://{address}:{port}/iTrust/                                  # 9000000001 / pw
  python3 -m lab --name {name} down
"""


def main() -> int:
    """0 if every promise was kept, 1 if not, 130 after Ctrl-C."""
    return play(
        "demo_rolling",
        __doc__,
        lambda: settings.load(env=OWN | os.environ),
        lambda lab: tell(Story(lab).run(), "demo-rolling.json", report, KEPT),
        after,
    )


def after(lab: Lab) -> str:
    return NEXT.format(name=lab.name, address=lab.machine("lb-1").address, port=PORT, work=WORK)


if __name__ == "__main__":
    sys.exit(main())
