"""What /getPic may show when: the flips of a run, and the judgement of every answer."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass

from lab.load import PNG, Answer

# An answer that was begun so long after the SET's OK and shows the old value is wrong. It is five times the
# propagation that 99 of 100 flips keep; less than anybody notices; and more than a busy computer takes from a
# process that has work.
LATE_SECONDS = 0.050


def kind(body: bytes) -> str:
    """What /getPic shows: `picture`, `NULL`, or nothing that it should."""
    if body.startswith(PNG):
        return "picture"
    return "NULL" if body == b"NULL" else ""


def shown(value: str) -> str:
    """What /getPic has to show for a flag's value."""
    return "picture" if value == "1" else "NULL"


@dataclass(frozen=True)
class Flip:
    """A SET that was answered: its value, when it was sent and when its OK was there (epoch, seconds)."""

    value: str
    started: float
    acked: float


def wrong(answers: Iterable[Answer], flips: list[Flip]) -> list[Answer]:
    """
    The answers that are neither a picture nor NULL, or were begun more than 50 ms after a SET's OK and show
    what was before.

    flips
        In order of time; the first is what held when the answers began.
    """
    starts = [flip.started for flip in flips]
    return [one for one in answers if not one.problem and one.kind not in _allowed(one, flips, starts)]


def _allowed(answer: Answer, flips: list[Flip], starts: list[float]) -> set[str]:
    """A value may be shown from the moment its SET was sent until 50 ms after the next one's OK."""
    last = bisect.bisect_right(starts, answer.ended) - 1
    allowed: set[str] = set()
    for number in range(last, -1, -1):
        allowed.add(shown(flips[number].value))
        if answer.started > flips[number].acked + LATE_SECONDS:
            break
    return allowed
