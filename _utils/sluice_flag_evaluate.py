"""Ask a flag: `evaluate` says what it is for a context. A pure function; see docs/reference/flag-rules.md."""

from collections.abc import Container

from sluice_flag_answers import OFF, Answer, Context
from sluice_flag_rules import Flag


def evaluate(flag: Flag, value: str | None, context: Context, now: float, serving: Container[str]) -> Answer:
    """
    What a flag is for somebody.

    flag
        From `sluice_flag_rules.parse`.
    value
        The flag's plain value: `0`, `1` or a variant's name; None if there is none. Whatever else it is, the
        flag is off.
    context
        Attributes of whoever asks; `targetingKey` is the name of the user, session or host. May be empty.
    now
        Epoch seconds.
    serving
        The services whose canary serves without an alert.

    Never raises. Depends on nothing but its arguments, so every host gives the same answer.
    """
    answer = flag.fixed.get(value)
    if answer is not None:
        return answer
    if flag.decide is None or not (value == "1" or value in flag.forced):
        return flag.unreadable
    try:
        answer = flag.decide(context, now, serving)
    except Exception:  # No mapping, or a key that cannot be written as UTF-8: in doubt off.
        return flag.invalid
    # A value that names a variant changes which one is served, not to whom.
    return answer if value == "1" or answer.variant == OFF else flag.forced[value][answer.reason]
