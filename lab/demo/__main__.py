"""`python -m lab.demo [--keep]`: run the demo, show what it found, and take the lab down again."""

from __future__ import annotations

import argparse
import sys

from lab import fleet, precheck, settings
from lab.demo import report
from lab.demo.story import Story
from lab.errors import LabError
from lab.process import say
from lab.settings import CHECKOUT

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
    parser = argparse.ArgumentParser(prog="lab.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the lab up and say what to try next")
    args = parser.parse_args()
    try:
        lab = settings.load()
        precheck.check(lab)
        try:
            code = tell(Story(lab).run())
        finally:
            if not args.keep:
                fleet.down(lab)
    except LabError as error:
        say(f"demo: {error}")
        return 1
    except KeyboardInterrupt:
        say("demo: interrupted; `make lab-down` removes what is still there")
        return 130
    if args.keep:
        say(NEXT.format(address=lab.machine("lb-1").address))
    return code


def tell(result: dict[str, object]) -> int:
    """Write build/demo.json, print the table and the verdict."""
    path = CHECKOUT / "build" / "demo.json"
    report.write(result, path)
    print(report.table(result))
    print(f"  written to {path.relative_to(CHECKOUT)}")
    found = report.problems(result)
    for problem in found:
        print(f"  NOT KEPT: {problem}")
    if not found:
        print("  every request was answered, and the alert took all traffic back every time")
    sys.stdout.flush()
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
