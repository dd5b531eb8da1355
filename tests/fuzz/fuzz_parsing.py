"""
Looks for bytes that the balancer's front reads otherwise than h11 does, guided by coverage of both.

    PYTHONPATH=.:tests/functional/balancer python tests/fuzz/fuzz_parsing.py CORPUS -max_total_time=60

The options are libFuzzer's. The first byte of an input says how the rest comes: below 128 at once, else in
pieces chosen from that byte as a seed.
"""

import random
import sys

import atheris

with atheris.instrument_imports(include=["balancer", "h11"]):
    from inprocess import Front, check

from variants import changed, pieces

FRONT = Front()


class Wrong(Exception):
    """The balancer did what `check` forbids."""


def one_input(data):
    if not data:
        return
    parts = pieces(random.Random(data[0]), data[1:]) if data[0] >= 128 else [data[1:]]
    if wrong := check(FRONT, parts):
        raise Wrong(f"{wrong}\nsent: {parts!r}")


def mutate(data, max_size, seed):
    """Half of the time a change that knows HTTP, else one of libFuzzer's own."""
    dice = random.Random(seed)
    if len(data) < 2 or dice.random() < 0.5:
        return atheris.Mutate(data, max_size)
    return (data[:1] + changed(dice, data[1:]))[:max_size]


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input, custom_mutator=mutate)
    atheris.Fuzz()
