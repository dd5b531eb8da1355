"""`python -m bench.rolling [--keep]`: measure a roll of five hosts beside Ansible and a bare batch (root)."""

from __future__ import annotations

import json
import os
import sys

from bench.machine import CHECKOUT, machine, neighbours
from bench.rolling.results import goals, report, told
from bench.rolling.session import Session
from lab import settings
from lab.settings import Lab
from lab.stage import play

BUILD = CHECKOUT / "build"
ROUNDS = 3
# A lab beside all others; what the environment says comes first.
OWN = {
    "SLUICE_LAB_NAME": "benchroll",
    "SLUICE_LAB_BRIDGE": "brbr",
    "SLUICE_LAB_NETWORK": "10.62.0.0/24",
    "SLUICE_LAB_FLEET": "itrust",
}


def main() -> int:
    """0 if every goal was kept, 1 if not, 130 after Ctrl-C."""
    return play("bench_rolling", __doc__, lambda: settings.load(env=OWN | os.environ), measure, after)


def measure(lab: Lab) -> int:
    """Measure, print the Markdown, write the JSON."""
    notes = neighbours(os.getloadavg()[0], len(os.sched_getaffinity(0)))
    found, about = Session(lab, BUILD / "bench-rolling", ROUNDS).run(), machine()
    head = f"{about['cores']} cores, {about['cpu']}, commit {about['commit']}, {about['at']}."
    (BUILD / "bench-rolling.json").write_text(
        json.dumps({"machine": about, "notes": notes, **told(found)}, indent=1) + "\n"
    )
    print(report(found, [head, f"Medians of {ROUNDS} rounds in turns.", *notes]))
    return 0 if all(goal.kept for goal in goals(found)) else 1


def after(lab: Lab) -> str:
    return f"The lab is still up: python3 -m lab --name {lab.name} down removes it."


if __name__ == "__main__":
    sys.exit(main())
