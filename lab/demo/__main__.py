"""`python -m lab.demo [--keep]`: run the demo, show what it found, and take the lab down again."""

from __future__ import annotations

import sys

from lab import settings
from lab.demo import report
from lab.demo.story import Story
from lab.stage import play

KEPT = "every request was answered, and the alert took all traffic back every time"
NEXT = """
The lab is still up. Try:
  python3 -m lab ssh master
      salt-run release.status checkbox
      sed -i 's/70/80/; s/30/20/' /srv/sluice/pillar/lab/traffic.sls    # the ratio; it applies by itself
      salt 'canary-*' event.send release/checkbox/alert '{{"reason": "try me"}}'
      salt-run release.clear checkbox
      salt-run release.abort checkbox                                   # v2 goes; now ship a bad version
      salt-run state.orchestrate canary pillar='{{"service": "checkbox", "version": "v2-bad"}}'
  curl -i http://{address}/getPic
  make lab-down
"""


def main() -> int:
    """0 if every promise was kept, 1 if not, 130 after Ctrl-C."""
    return play(
        "demo",
        __doc__,
        settings.load,
        lambda lab: report.tell(Story(lab).run(), "demo.json", report, KEPT),
        lambda lab: NEXT.format(address=lab.machine("lb-1").address),
    )


if __name__ == "__main__":
    sys.exit(main())
