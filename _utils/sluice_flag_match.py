"""
The entries of `match`: a condition, and how many of those for whom it is true are taken.

Each is read once into a function that gives an answer, or None for those it does not take.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sluice_flag_answers import (
    ERROR,
    OFF,
    ON,
    SPLIT,
    TARGETING_KEY,
    TARGETING_KEY_MISSING,
    TARGETING_MATCH,
    Answer,
    Context,
)
from sluice_flag_buckets import BUCKETS, PER_PERCENT, bucket_of
from sluice_flag_conditions import Condition, condition, size
from sluice_flag_document import MAX_TEXT, QUOTE_WORDS, Piece
from sluice_flag_times import span

# From a context and the time.
Take = Callable[[Context, float], Answer | None]
# The share of the users at a time, in buckets.
Share = Callable[[float], int]

# Somebody must be able to read them, and each may cost an evaluation some microseconds.
MAX_ENTRIES = 100
MAX_CONDITIONS = 200
PERCENTAGE_WANTED = "a percentage: a number from 0 to 100, in steps of 0.001"


@dataclass(frozen=True)
class Entry:
    """One entry: whom it is for, the least and the most it takes of them (in buckets), and what it does."""

    path: str
    whom: str | None
    least: int
    most: int
    take: Take


class Reader:
    """Reads the entries of one flag."""

    def __init__(self, flag: str, variants: Mapping[str, Any]) -> None:
        self._variants = variants
        # For a context without a targeting key where one decides: nobody knows in which share it is.
        self._missing = Answer(variants[OFF], OFF, ERROR, TARGETING_KEY_MISSING)
        self._bucket = bucket_of(flag)

    def entries(self, piece: Piece) -> list[Take]:
        """All entries in their order. FlagError if one is wrong, or can never be reached."""
        items = piece.items("a list of entries")
        if len(items) > MAX_ENTRIES:
            raise piece.refuse(f"{len(items)} entries, want at most {MAX_ENTRIES}")
        entries: list[Entry] = []
        conditions = 0
        for item in items:
            entry = self._entry(item)
            conditions += size(item.raw["if"]) if entry.whom else 0
            if conditions > MAX_CONDITIONS:
                raise item.refuse(f"with it there are {conditions} conditions, want at most {MAX_CONDITIONS}")
            for earlier in entries:
                _check_reached(item, entry, earlier)
            entries.append(entry)
        return [entry.take for entry in entries]

    def variant(self, piece: Piece) -> str:
        """The name of a declared variant."""
        if not isinstance(piece.raw, str) or piece.raw not in self._variants:
            hint = f"; {QUOTE_WORDS}" if isinstance(piece.raw, bool) else ""
            raise piece.unwanted(f"a declared variant: {', '.join(self._variants)}{hint}")
        return piece.raw

    def on(self, piece: Piece) -> str:
        """The variant of who is let through with no word about which."""
        if ON not in self._variants:
            raise piece.refuse(
                f"no variant {ON} is declared: want an entry of match that says which to serve"
            )
        return ON

    def _entry(self, piece: Piece) -> Entry:
        parts = piece.known({"if", "serve", *_SHARES})
        shares = [key for key in parts if key in _SHARES]
        if len(shares) > 1:
            raise piece.refuse(f"{' and '.join(shares)}, want one of them")
        if not parts:
            raise piece.refuse(f"empty, want some of: if, serve, {', '.join(_SHARES)}")
        holds = condition(parts["if"]) if "if" in parts else None
        whom = json.dumps(parts["if"].raw, sort_keys=True) if "if" in parts else None
        least, most, take = (
            _SHARES[shares[0]](self, piece, parts) if shares else self._everybody(piece, parts)
        )
        return Entry(piece.path, whom, least, most, _on_condition(holds, take) if holds else take)

    def served(self, variant: str, reason: str) -> Answer:
        """The answer with a declared variant."""
        return Answer(self._variants[variant], variant, reason)

    def _served(self, piece: Piece, parts: Mapping[str, Piece], reason: str) -> Answer:
        return self.served(self.variant(parts["serve"]) if "serve" in parts else self.on(piece), reason)

    def _everybody(self, piece: Piece, parts: Mapping[str, Piece]) -> tuple[int, int, Take]:
        answer = self._served(piece, parts, TARGETING_MATCH)
        return BUCKETS, BUCKETS, lambda context, now: answer

    def _percentage(self, piece: Piece, parts: Mapping[str, Piece]) -> tuple[int, int, Take]:
        share = _buckets(parts["percentage"])
        answer = self._served(piece, parts, SPLIT)
        if share in (0, BUCKETS):
            # Nobody's key decides.
            decided = answer if share else None
            return share, share, lambda context, now: decided
        return share, share, self._by_bucket(lambda found, now: answer if found < share else None)

    def _ramp(self, piece: Piece, parts: Mapping[str, Piece]) -> tuple[int, int, Take]:
        first, last, share = _ramp(parts["ramp"])
        answer = self._served(piece, parts, SPLIT)
        return first, last, self._by_bucket(lambda found, now: answer if found < share(now) else None)

    def _split(self, piece: Piece, parts: Mapping[str, Piece]) -> tuple[int, int, Take]:
        if "serve" in parts:
            raise piece.refuse("serve and split, want one of them: a split says itself what it serves")
        limits = self._limits(parts["split"])
        split = self._by_bucket(lambda found, now: next(answer for end, answer in limits if found < end))
        return BUCKETS, BUCKETS, split

    def _by_bucket(self, choose: Callable[[int, float], Answer | None]) -> Take:
        missing, find = self._missing, self._bucket

        def take(context: Context, now: float) -> Answer | None:
            key = context.get(TARGETING_KEY)
            return choose(find(key), now) if isinstance(key, str) and 0 < len(key) <= MAX_TEXT else missing

        return take

    def _limits(self, piece: Piece) -> list[tuple[int, Answer]]:
        """The portions of a split, each with the first bucket behind it."""
        limits: list[tuple[int, Answer]] = []
        end = 0
        for item in piece.items("a list of portions such as {serve: red, percentage: 30}"):
            parts = item.known({"serve", "percentage"})
            if len(parts) < 2:
                raise item.refuse("want serve and percentage")
            end += _buckets(parts["percentage"])
            limits.append((end, self._served(item, parts, SPLIT)))
        if end != BUCKETS:
            raise piece.refuse(f"the percentages sum to {end / PER_PERCENT:g}, want 100")
        return limits


_SHARES: dict[str, Callable[[Reader, Piece, Mapping[str, Piece]], tuple[int, int, Take]]] = {
    "percentage": Reader._percentage,
    "ramp": Reader._ramp,
    "split": Reader._split,
}


def _on_condition(holds: Condition, take: Take) -> Take:
    return lambda context, now: take(context, now) if holds(context) else None


def _check_reached(piece: Piece, entry: Entry, earlier: Entry) -> None:
    """An entry finds nobody whom an earlier one for the same people took: all entries see the same bucket."""
    for_the_same = earlier.whom is None or earlier.whom == entry.whom
    # A share of 0 is for nobody by itself: a rollout that is prepared.
    if for_the_same and (earlier.least == BUCKETS or 0 < entry.most <= earlier.least):
        raise piece.refuse(f"is never reached: {earlier.path} takes everybody it is for")


def _buckets(piece: Piece) -> int:
    """A percentage in buckets."""
    raw = piece.raw
    if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not 0 <= raw <= 100:
        raise piece.unwanted(PERCENTAGE_WANTED)
    exact = raw * PER_PERCENT
    # A third of a step is no rounding error.
    if abs(exact - round(exact)) > 1e-6:
        raise piece.unwanted(PERCENTAGE_WANTED)
    return round(exact)


def _ramp(piece: Piece) -> tuple[int, int, Share]:
    """The first and the last share of a ramp, and the one at any time, by whole buckets."""
    parts = piece.known({"from", "until", "first", "last"})
    begin, end = span(piece, parts, needed=True)
    first = _buckets(parts["first"]) if "first" in parts else 0
    last = _buckets(parts["last"]) if "last" in parts else BUCKETS
    if first >= last:
        raise piece.refuse(
            f"from {first / PER_PERCENT:g} to {last / PER_PERCENT:g} percent, want it to rise: "
            "to take a feature back set a percentage, or the flag to 0"
        )

    def share(now: float) -> int:
        if now >= end:
            return last
        # Also for a time that is no number: in doubt the smaller share.
        if not now > begin:
            return first
        return first + int((last - first) * ((now - begin) / (end - begin)))

    return first, last, share
