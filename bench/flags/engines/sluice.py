"""Sluice's engine, as the flag service asks it."""

import time

from sluice_flag_evaluate import evaluate
from sluice_flag_rules import parse

from bench.flags.engines.timing import run
from bench.flags.flagset import NAMES, Context, sluice_document

FLAGS = {name: (parse(name, sluice_document(name)), "1") for name in NAMES}


def ask(name: str, context: Context) -> bool:
    flag, value = FLAGS[name]
    return evaluate(flag, value, context, time.time(), ()).value is True


if __name__ == "__main__":
    run(ask, lambda context: context)
