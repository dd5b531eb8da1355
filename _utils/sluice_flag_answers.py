"""What evaluating a flag gives. Reasons and error codes are those of OpenFeature and its OFREP."""

from collections.abc import Callable, Container, Mapping
from typing import Any, NamedTuple

STATIC = "STATIC"
DEFAULT = "DEFAULT"
TARGETING_MATCH = "TARGETING_MATCH"
SPLIT = "SPLIT"
DISABLED = "DISABLED"
ERROR = "ERROR"
REASONS = (STATIC, DEFAULT, TARGETING_MATCH, SPLIT, DISABLED, ERROR)

TARGETING_KEY_MISSING = "TARGETING_KEY_MISSING"
INVALID_CONTEXT = "INVALID_CONTEXT"

TARGETING_KEY = "targetingKey"
ON = "on"
OFF = "off"

Context = Mapping[str, Any]


class Answer(NamedTuple):
    """
    What a flag is for a context.

    value
        The variant's value: a boolean, text, a number or an object. Answers share it: do not change it.
    variant (str)
        Its name, always one that the flag declares.
    reason (str)
        Why: one of REASONS.
    error (str or None)
        The OFREP error code of a context that is at fault, TARGETING_KEY_MISSING or INVALID_CONTEXT. The
        value is the one for off then.
    """

    value: Any
    variant: str
    reason: str
    error: str | None = None


# From a context, the time in epoch seconds, and the services whose canary serves.
Decide = Callable[[Context, float, Container[str]], Answer]
