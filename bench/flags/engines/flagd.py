"""flagd's engine in Python, which its provider asks in process."""

import json

from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

from bench.flags.engines.timing import run
from bench.flags.flagset import Context, flagd_flags

CORE = FlagdCore()
CORE.set_flags(json.dumps(flagd_flags()))


def ask(name: str, context: EvaluationContext) -> bool:
    return CORE.resolve_boolean_value(name, False, context).value is True


def prepare(context: Context) -> EvaluationContext:
    rest = {key: value for key, value in context.items() if key != "targetingKey"}
    return EvaluationContext(context["targetingKey"], rest)


if __name__ == "__main__":
    run(ask, prepare)
