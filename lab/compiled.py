"""The balancer's wheel with the compiled part: made on this computer, once for each state of the sources."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab import disks, files, identity
from lab.errors import LabError
from lab.process import run, say, step
from lab.settings import CHECKOUT, Lab

SCRIPT = CHECKOUT / "salt/master/files/publish-balancer"
# Where the master's state looks for it.
WHEELS = "var/lib/sluice/wheels"
# The wheels of the last states of the sources; each has 2 MB.
KEPT = 5


def push(lab: Lab, source: Path = CHECKOUT) -> None:
    """Have the wheel on the master; without a compiler here the master publishes the pure one alone."""
    total = run([SCRIPT, "--sources", source]).strip()
    place = disks.root(lab, identity.MASTER).resolve() / WHEELS / total
    try:
        wheel = ready(lab, source, total)
    except LabError as error:
        say(f"   the balancer goes without its compiled part: {str(error).splitlines()[-1]}")
        return
    files.write(place / wheel.name, wheel.read_bytes())


def ready(lab: Lab, source: Path, total: str) -> Path:
    """The wheel in the cache, built now if it is not there. Raises LabError if it cannot be built."""
    cached = lab.cache / f"compiled-{total[:12]}"
    files.make_private(lab.cache)
    with files.locked("compiled"):
        if not cached.exists():
            with step("the balancer's compiled part (half a minute, once for each change of it)"):
                building = cached.with_suffix(".building")
                shutil.rmtree(building, ignore_errors=True)
                run([SCRIPT, "--compile", source, building], timeout=600)
                building.rename(cached)
        for old in sorted(lab.cache.glob("compiled-*"), key=lambda path: -path.stat().st_mtime)[KEPT:]:
            shutil.rmtree(old)
        return next(cached.glob("*.whl"))
