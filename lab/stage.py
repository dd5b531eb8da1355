"""What every demo does around its story: check, take the lab down whatever happens, tell errors in a line."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable

from lab import fleet, precheck
from lab.errors import LabError
from lab.process import say
from lab.settings import Lab


def play(
    name: str, about: str, load: Callable[[], Lab], show: Callable[[Lab], int], after: Callable[[Lab], str]
) -> int:
    """
    Run a demo with the command line's `--keep`; its exit code: that of `show`, 1 after an error, 130 after
    Ctrl-C.

    show
        Runs the story and tells what it found: 0 if every promise was kept.
    after
        What to try next, said if the lab stays up.
    """
    parser = argparse.ArgumentParser(prog=f"lab.{name}", description=about)
    parser.add_argument("--keep", action="store_true", help="leave the lab up and say what to try next")
    args = parser.parse_args()
    title = name.replace("_", " ")
    # A demo that is told to end takes its lab down as one that is interrupted does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        lab = load()
        precheck.check(lab)
        try:
            code = show(lab)
        finally:
            if not args.keep:
                fleet.down(lab)
    except LabError as error:
        say(f"{title}: {error}")
        return 1
    except KeyboardInterrupt:
        say(f"{title}: interrupted; `lab down` removes what is still there")
        return 130
    if args.keep:
        say(after(lab))
    return code
