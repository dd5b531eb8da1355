"""
Conditions on the attributes of a context, read once into functions.

A condition is true, false or unknown: unknown if the attribute is absent or of another type than the operand.
`not` of unknown is unknown, so nobody gets a feature because nothing is known about them. No regular
expressions: one of a dozen characters can take hours.
"""

from collections.abc import Callable, Mapping
from operator import ge, gt, le, lt
from typing import Any

from sluice_flag_answers import Context
from sluice_flag_document import Piece
from sluice_flag_versions import version

Condition = Callable[[Context], bool | None]
Test = Callable[[Any], bool | None]


def condition(piece: Piece) -> Condition:
    """The condition that a piece describes."""
    entries = piece.known({"attribute", *_GROUPS, *_TESTS})
    groups = [key for key in entries if key in _GROUPS]
    if groups and len(entries) == 1:
        return _GROUPS[groups[0]](entries[groups[0]])
    tests = [key for key in entries if key in _TESTS]
    if groups or len(tests) != 1 or "attribute" not in entries:
        raise piece.refuse(
            f"want an attribute with exactly one of {', '.join(_TESTS)}, or one of {', '.join(_GROUPS)} alone"
        )
    attribute = entries["attribute"].text("an attribute's name")
    test = _TESTS[tests[0]](entries[tests[0]])
    # An attribute that is null is absent.
    return lambda context: test(context.get(attribute))


def size(raw: Mapping[str, Any]) -> int:
    """How many attributes a condition that was read looks at."""
    if "not" in raw:
        return size(raw["not"])
    inner = raw.get("all") or raw.get("any")
    return sum(map(size, inner)) if inner else 1


def _group(decisive: bool) -> Callable[[Piece], Condition]:
    """`all` is decided by the first condition that is false, `any` by the first that is true."""

    def read(piece: Piece) -> Condition:
        inner = _conditions(piece)

        def holds(context: Context) -> bool | None:
            result: bool | None = not decisive
            for one in inner:
                found = one(context)
                if found is decisive:
                    return found
                if found is None:
                    result = None
            return result

        return holds

    return read


def _not(piece: Piece) -> Condition:
    inner = condition(piece)

    def holds(context: Context) -> bool | None:
        found = inner(context)
        return None if found is None else not found

    return holds


def _conditions(piece: Piece) -> list[Condition]:
    items = piece.items("a list of conditions")
    if not items:
        raise piece.unwanted("at least one condition")
    return [condition(item) for item in items]


def _equals(piece: Piece) -> Test:
    return _one_of([piece])


def _in(piece: Piece) -> Test:
    items = piece.items("a list of texts, numbers, true or false")
    if not items:
        raise piece.unwanted("at least one item: in an empty list is nothing")
    return _one_of(items)


def _one_of(pieces: list[Piece]) -> Test:
    """Equality within a type of JSON: to Python true is 1, here it is not."""
    for piece in pieces:
        if not isinstance(piece.raw, (str, bool, int, float)):
            raise piece.unwanted("text, a number, true or false")
    texts = frozenset(piece.raw for piece in pieces if isinstance(piece.raw, str))
    booleans = frozenset(piece.raw for piece in pieces if isinstance(piece.raw, bool))
    numbers = frozenset(piece.raw for piece in pieces if _is_number(piece.raw))

    def is_in(value: Any) -> bool | None:
        if isinstance(value, str):
            return value in texts if texts else None
        if isinstance(value, bool):
            return value in booleans if booleans else None
        if _is_number(value):
            return value in numbers if numbers else None
        return None

    return is_in


def _is_number(value: Any) -> bool:
    """True for a number of JSON, so not for NaN."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


def _exists(piece: Piece) -> Test:
    if not isinstance(piece.raw, bool):
        raise piece.unwanted("true or false")
    wanted = piece.raw
    return lambda value: (value is not None) is wanted


def _text(compare: Callable[[str, str], bool]) -> Callable[[Piece], Test]:
    def read(piece: Piece) -> Test:
        wanted = piece.text("text")
        return lambda value: compare(value, wanted) if isinstance(value, str) else None

    return read


def _order(compare: Callable[[Any, Any], bool]) -> Callable[[Piece], Test]:
    def read(piece: Piece) -> Test:
        limit = piece.raw
        if _is_number(limit):
            return lambda value: compare(value, limit) if _is_number(value) else None
        wanted = version(limit) if isinstance(limit, str) else None
        if wanted is None:
            raise piece.unwanted("a number, or a semantic version such as 2.1.0")

        def in_order(value: Any) -> bool | None:
            found = version(value) if isinstance(value, str) else None
            return None if found is None else compare(found, wanted)

        return in_order

    return read


_GROUPS: dict[str, Callable[[Piece], Condition]] = {"all": _group(False), "any": _group(True), "not": _not}
_TESTS: dict[str, Callable[[Piece], Test]] = {
    "equals": _equals,
    "in": _in,
    "starts_with": _text(str.startswith),
    "ends_with": _text(str.endswith),
    "contains": _text(str.__contains__),
    "below": _order(lt),
    "at_most": _order(le),
    "at_least": _order(ge),
    "above": _order(gt),
    "exists": _exists,
}
