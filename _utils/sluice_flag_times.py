"""Times in a flag's document: ISO 8601 with a time zone, in epoch seconds once read."""

import math
import re
from collections.abc import Mapping
from datetime import date, datetime

from sluice_flag_document import Piece

TIME_WANTED = "a time with its zone, such as 2026-12-01T08:00:00+01:00 or 2026-12-01T07:00:00Z"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def moment(piece: Piece) -> float:
    """The epoch seconds of a time. Without a zone it would be another time on every host: refused."""
    if not isinstance(piece.raw, str) or not _TIME.fullmatch(piece.raw):
        raise piece.unwanted(TIME_WANTED)
    try:
        return datetime.fromisoformat(piece.raw).timestamp()
    except ValueError as error:
        raise piece.refuse(f"{piece.raw}: {error}; want {TIME_WANTED}") from None


def day(piece: Piece) -> date:
    """A day, `YYYY-MM-DD`."""
    if not isinstance(piece.raw, str) or not _DATE.fullmatch(piece.raw):
        raise piece.unwanted("a day as YYYY-MM-DD")
    try:
        return date.fromisoformat(piece.raw)
    except ValueError as error:
        raise piece.refuse(f"{piece.raw}: {error}; want a day as YYYY-MM-DD") from None


def span(piece: Piece, parts: Mapping[str, Piece], needed: bool = False) -> tuple[float, float]:
    """`from` and `until` of a piece, the end not included; without them from or to eternity unless needed."""
    if needed and not {"from", "until"} <= set(parts):
        raise piece.refuse("want from and until")
    begin = moment(parts["from"]) if "from" in parts else -math.inf
    end = moment(parts["until"]) if "until" in parts else math.inf
    if begin >= end:
        raise parts["until"].refuse(f"{parts['until'].raw} is not after from, {parts['from'].raw}")
    return begin, end
