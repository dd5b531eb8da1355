"""Ask an engine many times, and print what one evaluation costs as a line of JSON."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from bench.flags.flagset import ON_OFF, RULED, Context, contexts

PEOPLE = 1000
# Of processor time, for each of the two flags. The rest of the command line is for nothing else.
SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5

Prepared = TypeVar("Prepared")


def run(ask: Callable[[str, Prepared], bool], prepare: Callable[[Context], Prepared]) -> None:
    """
    Measure an engine.

    ask
        Is this flag on for these people? What an application calls.
    prepare
        A context as the engine wants it; made before, for an application has one already.
    """
    people = [prepare(context) for context in contexts(PEOPLE)]
    on_off, everybody = cost(ask, ON_OFF, people)
    ruled, share = cost(ask, RULED, people)
    print(
        json.dumps({"on_off_us": on_off, "ruled_us": ruled, "on_off_share": everybody, "ruled_share": share})
    )


def cost(ask: Callable[[str, Prepared], bool], flag: str, people: Sequence[Prepared]) -> tuple[float, float]:
    """Microseconds of processor time for one evaluation, the loop included, and the share that was on."""
    on = sum(ask(flag, one) for one in people)
    found = []
    end = time.process_time() + SECONDS
    while time.process_time() < end:
        began = time.process_time_ns()
        for one in people:
            ask(flag, one)
        found.append((time.process_time_ns() - began) / 1000 / len(people))
    return statistics.median(found), on / len(people)
