"""What a roll decides: the order of the hosts, their batches, who can be spared, when it is over. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from sluice_errors import RefusedError
from sluice_roll_config import RollSettings, Size

Batches = list[list[str]]
# Host states of the ledger that count against the budget.
FAILURES = ("failed", "reverted", "skipped")
# A plan is read before a roll: a file that is new from its first line to its last is not.
MOST_LINES = 40
MOST_LETTERS = 160


def count(size: Size, hosts: int) -> int:
    """How many of `hosts` a batch of this size takes: a share is rounded down, but one is always taken."""
    return size if isinstance(size, int) else max(1, hosts * int(size[:-1]) // 100)


def must_stay(size: Size, hosts: int) -> int:
    """How many of `hosts` must stay up: a share is rounded up."""
    return size if isinstance(size, int) else math.ceil(hosts * int(size[:-1]) / 100)


def ordered(hosts: Iterable[str], first: Iterable[str], last: Iterable[str]) -> list[str]:
    """`hosts` by name, those of `first` before and those of `last` after all others; last wins over first."""
    early, late = set(first), set(last)
    return sorted(hosts, key=lambda host: (host in late, host not in early, _natural(host)))


def _natural(host: str) -> list[tuple[int, str]]:
    """web-2 before web-10."""
    words, digits = [""], False
    for letter in host:
        if letter.isdecimal() != digits:
            words.append("")
            digits = not digits
        words[-1] += letter
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in words]


def batches(hosts: Sequence[str], sizes: Sequence[Size]) -> Batches:
    """`hosts` cut into batches of `sizes`, in their order; the last size repeats, shares are of all hosts."""
    cut: Batches = []
    done = 0
    while done < len(hosts):
        size = count(sizes[min(len(cut), len(sizes) - 1)], len(hosts))
        cut.append(list(hosts[done : done + size]))
        done += size
    return cut


def refuse_too_large(planned: Batches, minimum: int) -> None:
    """RefusedError if one of the batches would leave fewer than `minimum` hosts up, with all of them up."""
    hosts = sum(map(len, planned))
    for number, batch in enumerate(planned, 1):
        left = hosts - len(batch)
        # One host of one cannot be rolled without a gap; who declares so few wants it.
        if left < minimum:
            raise RefusedError(
                f"Batch {number} ({len(batch)} of {hosts} hosts) would leave {left} up, min_available wants "
                f"{minimum}. Make roll:batches smaller, or lower min_available."
            )


def not_spared(track: Mapping[str, Any], batch: Iterable[str], own: int) -> str | None:
    """
    Why a balancer cannot spare the hosts of `batch`, or None.

    `track` is what its status tells of the track (`backends`, `min_available`), `own` how many the roll
    itself wants up. Hosts that are not up take nothing from the users, so a batch of such is always spared.
    """
    up = {host for host, told in track.get("backends", {}).items() if told.get("state") == "up"}
    taken = up & set(batch)
    minimum = max(own, int(track.get("min_available") or 0))
    left = len(up - taken)
    if not taken or left >= minimum:
        return None
    return (
        f"{left} would be left up ({', '.join(sorted(up - taken)) or 'none'}), min_available wants {minimum}"
    )


def failures(states: Iterable[str]) -> int:
    """How many hosts count against the budget."""
    return sum(state in FAILURES for state in states)


def eta_seconds(took: Sequence[float], left: Sequence[int], settings: RollSettings) -> float | None:
    """
    How long the rest will take: as many batches as `left` has entries with hosts, each as the mean of those
    that `took` their seconds, and the soaks between them. None before the first has ended.
    """
    still = sum(1 for hosts in left if hosts)
    if not still:
        return 0.0
    return round(still * (fmean(took) + settings.soak_seconds), 1) if took else None


def changes(returned: Mapping[str, Any]) -> list[str]:
    """
    What a state run with test=True would change, or fail at, in the order of the states: a line per state,
    and below it what differs.
    """
    states = [state for state in returned.values() if isinstance(state, dict)]
    states.sort(key=lambda state: int(state.get("__run_num__", 0)))
    return [line for state in states if state.get("result") is not True for line in _lines(state)]


def _lines(state: Mapping[str, Any]) -> list[str]:
    said = " ".join(str(state.get("comment", "")).split())
    sign = "!" if state.get("result") is False else "~"
    differs = [f"    {line}" for line in _differences(state.get("changes"))]
    left = len(differs) - MOST_LINES
    return [
        _short(f"{sign} {state.get('__id__', 'a state')}: {said}"),
        *map(_short, differs[:MOST_LINES]),
        *([f"    ... {left} more lines"] if left > 0 else []),
    ]


def _differences(changed: object, about: str = "") -> list[str]:
    """The `changes` of a state as lines: what was and will be, diffs line by line."""
    if isinstance(changed, Mapping):
        if set(changed) == {"old", "new"}:
            return [f"{about}: {changed['old'] or 'nothing'} -> {changed['new'] or 'nothing'}"]
        return [line for key, value in changed.items() for line in _differences(value, _below(about, key))]
    first, *more = str(changed).splitlines() or [""]
    if not more:
        return [f"{about}: {first}" if about else first] if changed else []
    return [f"{about}:", *(f"  {line}" for line in (first, *more))]


def _below(about: str, key: object) -> str:
    return f"{about} {key}" if about else str(key)


def _short(line: str) -> str:
    return line if len(line) <= MOST_LETTERS else line[:MOST_LETTERS] + "..."
