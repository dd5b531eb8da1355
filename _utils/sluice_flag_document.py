"""
Read a flag's document piece by piece: every piece knows its path, so that an error can tell it.

A document comes from a person, a state or a Redis value: nothing of it is believed. What is no plain JSON,
too long or too deep is refused before anything else is looked at.
"""

import difflib
import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sluice_config import shown
from sluice_errors import ReleaseError

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
NAME_WANTED = "1 to 64 letters, digits, _, . or -, the first a letter"
# A document goes to every reader as a whole at every change, which is to take milliseconds. Enough for 1,500
# targeting keys; larger groups are an attribute's business.
MAX_BYTES = 65_536
# Deeper than anybody can read conditions, far from the end of Python's stack.
MAX_DEPTH = 16
# Beyond it other languages' readers of JSON round a number (RFC 8259, 6).
MAX_INTEGER = 2**53 - 1
# YAML has a mind of its own about these, and pillar and states are YAML.
QUOTE_WORDS = "in YAML quote 'on' and 'off'"
QUOTE_TIMES = "in YAML quote dates and times"
# An attribute's name, a targeting key, an operand.
MAX_TEXT = 1024


class FlagError(ReleaseError):
    """A flag's name, value or document cannot be used; `path` says where, such as `rules.match[0].if`."""

    def __init__(self, flag: str, path: str, wrong: str) -> None:
        super().__init__(f"flag {flag}: {path + ': ' if path else ''}{wrong}")
        self.path = path


@dataclass(frozen=True)
class Piece:
    """A piece of a document, with where it stands."""

    flag: str
    path: str
    raw: Any

    def refuse(self, wrong: str) -> FlagError:
        """The error that says what is wrong here."""
        return FlagError(self.flag, self.path, wrong)

    def unwanted(self, want: str) -> FlagError:
        """The error that says what is here and what should be."""
        return self.refuse(f"{shown(self.raw)}, want {want}")

    def entries(self, want: str = "an object") -> dict[str, "Piece"]:
        """The entries of an object, by key."""
        if not isinstance(self.raw, Mapping):
            raise self.unwanted(want)
        within = f"{self.path}." if self.path else ""
        return {key: Piece(self.flag, within + _step(key), raw) for key, raw in self.raw.items()}

    def known(self, keys: Collection[str]) -> dict[str, "Piece"]:
        """The entries of an object that may have no other keys than these."""
        entries = self.entries()
        for key, piece in entries.items():
            if key not in keys:
                near = difflib.get_close_matches(key, keys, 1)
                hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(keys))}"
                raise piece.refuse(f"unknown key; {hint}")
        return entries

    def items(self, want: str) -> list["Piece"]:
        """The items of a list."""
        if not isinstance(self.raw, (list, tuple)):
            raise self.unwanted(want)
        return [Piece(self.flag, f"{self.path}[{at}]", raw) for at, raw in enumerate(self.raw)]

    def text(self, want: str) -> str:
        """A string of 1 to 1,024 characters."""
        if not isinstance(self.raw, str) or not 0 < len(self.raw) <= MAX_TEXT:
            raise self.unwanted(f"{want} of 1 to {MAX_TEXT} characters")
        return self.raw


def _step(key: str) -> str:
    """A key in a path: as it is where it is harmless in a message, else escaped and shortened."""
    return key if NAME.fullmatch(key) else shown(key)


def check_name(name: object) -> None:
    """Raise FlagError if this cannot be a flag's name. Those of internal keys have a colon: they cannot."""
    if not isinstance(name, str):
        raise FlagError(f"of type {type(name).__name__}", "", f"not a flag's name; want {NAME_WANTED}")
    if not NAME.fullmatch(name):
        raise FlagError(shown(name), "", f"not a flag's name; want {NAME_WANTED}")


def load(name: str, text: str | bytes) -> Any:
    """
    A document out of its JSON text, as Redis holds it. FlagError if it is none.

    For `parse`, which checks the rest. An object with the same key twice is refused: readers disagree on it.
    """
    if len(text) > MAX_BYTES:
        raise FlagError(name, "", f"a document of {len(text)} bytes, want at most {MAX_BYTES}")
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise FlagError(name, "", f"nested too deep, want at most {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise FlagError(name, "", f"not JSON ({error})") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {shown(next(key for key in made if keys.count(key) > 1))} stands twice")
    return made


def check_plain(top: Piece) -> None:
    """
    Raise FlagError unless all of it is plain JSON within the limits.

    The size is counted on the way: with YAML's anchors a few lines can stand for more than any memory holds.
    """
    size = 0
    waiting = [(top, 0)]
    while waiting:
        piece, depth = waiting.pop()
        size += _size(piece)
        if size > MAX_BYTES:
            raise top.refuse(f"too large, want at most {MAX_BYTES} bytes of JSON")
        if depth > MAX_DEPTH:
            raise top.refuse(f"nested too deep, want at most {MAX_DEPTH} levels")
        waiting += [(inner, depth + 1) for inner in _inner(piece)]


def _size(piece: Piece) -> int:
    """The bytes of this piece as `json.dumps` writes it, without what is in it; FlagError if it cannot."""
    raw = piece.raw
    if isinstance(raw, (Mapping, list, tuple)):
        # Two brackets, and a colon and a comma, each with a blank, for every entry.
        return 2 + 4 * len(raw)
    if isinstance(raw, int) and abs(raw) > MAX_INTEGER:
        # Not shown: its digits may be more than Python prints.
        raise piece.refuse(f"a number beyond {MAX_INTEGER}")
    if isinstance(raw, float) and not math.isfinite(raw):
        raise piece.unwanted("a number")
    if isinstance(raw, str) and not _is_unicode(raw):
        raise piece.unwanted("text that can be written as UTF-8")
    if raw is not None and not isinstance(raw, (str, int, float)):
        raise piece.unwanted(f"JSON: an object, a list, text, a number, true, false or null; {QUOTE_TIMES}")
    return len(json.dumps(raw))


def _is_unicode(text: str) -> bool:
    """False for text with half a surrogate pair, which JSON can spell but nothing can write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _inner(piece: Piece) -> list[Piece]:
    if isinstance(piece.raw, (list, tuple)):
        return piece.items("a list")
    if not isinstance(piece.raw, Mapping):
        return []
    for key in piece.raw:
        if not isinstance(key, str):
            raise piece.refuse(f"a key that is no text but {type(key).__name__}; {QUOTE_WORDS}")
    return [*(Piece(piece.flag, piece.path, key) for key in piece.raw), *piece.entries().values()]
