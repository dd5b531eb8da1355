"""
Read a flag: `parse` turns a name and a document into a Flag that `sluice_flag_evaluate.evaluate` can ask.

Everything that can be done once is done here: conditions and shares become functions, answers are made
beforehand. The format is told in docs/reference/flag-rules.md. No Salt in here, and nothing but the standard
library: the same files are in the wheel of the flag service.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any

from sluice_config import SERVICE_NAME, shown
from sluice_flag_answers import (
    DEFAULT,
    DISABLED,
    ERROR,
    INVALID_CONTEXT,
    OFF,
    ON,
    REASONS,
    STATIC,
    TARGETING_KEY,
    TARGETING_MATCH,
    Answer,
    Context,
    Decide,
)
from sluice_flag_document import NAME, NAME_WANTED, FlagError, Piece, check_name, check_plain, load
from sluice_flag_match import Reader, Take
from sluice_flag_times import day, span

__all__ = ["Flag", "FlagError", "check_name", "check_value", "load", "parse"]

# What people tell apart at a glance; more is a setting, no flag.
MAX_VARIANTS = 32
VALUES = {"boolean": bool, "text": str, "number": (int, float), "object": Mapping}
DEFAULT_VARIANTS = {ON: True, OFF: False}


@dataclass(frozen=True)
class Flag:
    """
    A flag as its document has it. Made by `parse`, asked by `evaluate`.

    name, owner, description (str), expires (date or None)
        As in the document; "" where it says nothing.
    variants (mapping of str to JSON)
        Every variant with its value; always has `off`.
    fixed (mapping of str or None to Answer)
        What the flag's value alone decides.
    forced (mapping of str to mapping of str to Answer)
        For a value that names a variant: the answer of each reason for whoever is let through.
    unreadable, invalid (Answer)
        For any other value; and for a context that cannot be read.
    decide
        The rules, or None if there are none.
    """

    name: str
    owner: str
    description: str
    expires: date | None
    variants: Mapping[str, Any]
    fixed: Mapping[str | None, Answer] = field(repr=False)
    forced: Mapping[str | None, Mapping[str, Answer]] = field(repr=False)
    unreadable: Answer = field(repr=False)
    invalid: Answer = field(repr=False)
    decide: Decide | None = field(repr=False)


def parse(name: str, document: Mapping[str, Any]) -> Flag:
    """
    The flag that a document describes; `{}` is that of a flag without one.

    name
        The flag's, 1 to 64 letters, digits, `_`, `.` or `-`, the first a letter.
    document
        `owner`, `description`, `expires`, `variants`, `rules`, each optional, as JSON or YAML gives them.

    Raises FlagError with the path of what is wrong.
    """
    check_name(name)
    top = Piece(name, "", document)
    check_plain(top)
    parts = top.known({"owner", "description", "expires", "variants", "rules"})
    variants = _variants(parts["variants"]) if "variants" in parts else DEFAULT_VARIANTS
    # No rules at all are no rules, however that is written.
    decide = _rules(parts["rules"], variants) if document.get("rules", {}) != {} else None
    named = {variant: value for variant, value in variants.items() if variant != OFF}
    fixed: dict[str | None, Answer] = {off: Answer(variants[OFF], OFF, DISABLED) for off in (None, "0", OFF)}
    if decide is None:
        fixed |= {variant: Answer(value, variant, STATIC) for variant, value in named.items()}
        fixed |= {"1": fixed[ON]} if ON in fixed else {}
    return Flag(
        name=name,
        owner=_line(parts["owner"]) if "owner" in parts else "",
        description=_line(parts["description"]) if "description" in parts else "",
        expires=day(parts["expires"]) if "expires" in parts else None,
        variants=MappingProxyType(dict(variants)),
        fixed=fixed,
        forced={
            variant: {reason: Answer(value, variant, reason) for reason in REASONS}
            for variant, value in named.items()
        },
        unreadable=Answer(variants[OFF], OFF, ERROR),
        invalid=Answer(variants[OFF], OFF, ERROR, INVALID_CONTEXT),
        decide=decide,
    )


def check_value(flag: Flag, value: object) -> None:
    """Raise FlagError unless this may be the flag's plain value: 0, 1 or a variant's name, as text."""
    usable = ["0", *(["1"] if flag.decide or "1" in flag.fixed else []), *flag.variants]
    if not isinstance(value, str):
        raise FlagError(flag.name, "value", f"is no text; want one of {', '.join(usable)}")
    if value not in usable:
        raise Piece(flag.name, "value", value).unwanted(f"one of {', '.join(usable)}")


def _line(piece: Piece) -> str:
    text = piece.text("text")
    if not text.isprintable():
        raise piece.unwanted("one line of printable characters")
    return text


def _variants(piece: Piece) -> dict[str, Any]:
    entries = piece.entries()
    if len(entries) > MAX_VARIANTS:
        raise piece.refuse(f"{len(entries)} variants, want at most {MAX_VARIANTS}")
    if OFF not in entries:
        raise piece.refuse(f"no {OFF}: want its value too, for when the flag is off")
    kind = _kind(entries[OFF])
    for name, entry in entries.items():
        if not NAME.fullmatch(name):
            raise entry.refuse(f"not a variant's name; want {NAME_WANTED}")
        if _kind(entry) != kind:
            raise entry.unwanted(f"the same type as {OFF} has, {kind}: applications ask for one type")
    return {name: entry.raw for name, entry in entries.items()}


def _kind(piece: Piece) -> str:
    # Booleans first: to Python they are numbers.
    for kind, types in VALUES.items():
        if isinstance(piece.raw, types):  # type: ignore[arg-type]
            return kind
    raise piece.unwanted("true, false, text, a number or an object")


def _rules(piece: Piece, variants: Mapping[str, Any]) -> Decide:
    """The rules as one function: release, schedule, deny, allow, match, default, in this order."""
    parts = piece.known({"release", "from", "until", "deny", "allow", "match", "default"})
    closed = Answer(variants[OFF], OFF, DISABLED)
    reader = Reader(piece.flag, variants)
    takes = [*_schedule(piece, parts, closed), *_lists(parts, reader)]
    takes += reader.entries(parts["match"]) if "match" in parts else []
    release = _service(parts["release"]) if "release" in parts else None
    default = reader.served(_default(piece, parts, reader), DEFAULT)

    def decide(context: Context, now: float, serving: Container[str]) -> Answer:
        if release is not None and release not in serving:
            return closed
        for take in takes:
            answer = take(context, now)
            if answer is not None:
                return answer
        return default

    return decide


def _default(piece: Piece, parts: Mapping[str, Piece], reader: Reader) -> str:
    """The variant of whom no rule takes: on if all that the rules do is to close or to deny."""
    if "default" in parts:
        return reader.variant(parts["default"])
    return OFF if "allow" in parts or "match" in parts else reader.on(piece)


def _schedule(piece: Piece, parts: Mapping[str, Piece], closed: Answer) -> list[Take]:
    if not {"from", "until"} & set(parts):
        return []
    begin, end = span(piece, parts)
    # Asked this way round a time that is no number is outside.
    return [lambda context, now: None if begin <= now < end else closed]


def _lists(parts: Mapping[str, Piece], reader: Reader) -> list[Take]:
    """Deny and allow. A key in both is refused: nobody should have to know which comes first."""
    denied, allowed = (_keys(parts[name]) if name in parts else frozenset() for name in ("deny", "allow"))
    for key in sorted(denied & allowed):
        raise parts["allow"].refuse(f"{shown(key)} is in deny as well")
    answers = dict.fromkeys(denied, reader.served(OFF, TARGETING_MATCH))
    if "allow" in parts:
        answers |= dict.fromkeys(allowed, reader.served(reader.on(parts["allow"]), TARGETING_MATCH))

    def take(context: Context, now: float) -> Answer | None:
        key = context.get(TARGETING_KEY)
        return answers.get(key) if isinstance(key, str) else None

    return [take] if answers else []


def _service(piece: Piece) -> str:
    if not isinstance(piece.raw, str) or not SERVICE_NAME.match(piece.raw):
        raise piece.unwanted("a service's name: lower-case letters, digits, - and _")
    return piece.raw


def _keys(piece: Piece) -> frozenset[str]:
    return frozenset(item.text("a targeting key") for item in piece.items("a list of targeting keys"))
