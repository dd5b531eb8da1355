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
    """What a state run with test=True would change, or fail at: a line per state, in its order."""
    states = [state for state in returned.values() if isinstance(state, dict)]
    states.sort(key=lambda state: int(state.get("__run_num__", 0)))
    return [_line(state) for state in states if state.get("result") is not True]


def _line(state: Mapping[str, Any]) -> str:
    said = " ".join(str(state.get("comment", "")).split())
    shown = said if len(said) <= 100 else said[:100] + "..."
    sign = "!" if state.get("result") is False else "~"
    return f"{sign} {state.get('__id__', 'a state')}: {shown}"
