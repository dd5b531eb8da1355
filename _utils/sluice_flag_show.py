"""Flags as data for programs and as text for people. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sluice_flag_input import is_stale
from sluice_flag_spread import Done, Seen
from sluice_flag_store import OUTSIDE_BY, Change, Entry, Flag, differences, shown_text, shown_value

# Of a description or a rule in a line of the history.
DETAIL_CHARACTERS = 60
# The longest line that a document may hold.
TEXT_CHARACTERS = 1024
OUTSIDE = f"changed since by {OUTSIDE_BY}"
PARTS = ("owner", "description", "expires", "variants", "rules")
Told = dict[str, Any]


def told(flag: Flag, now: float) -> Told:
    """All of a flag as data, as `flag.get` tells it."""
    last = flag.history[0] if flag.history else None
    return {
        "value": _clean(flag.value),
        **{key: _clean(flag.of(key)) for key in PARTS if flag.of(key) is not None},
        "stale": is_stale(flag, now),
        "changed": when(last.at) if last else None,
        "by": last.by if last else None,
        "outside": flag.changed_outside,
        **({"problem": flag.problem} if flag.problem else {}),
    }


def told_done(done: Done) -> Told:
    """A change as data: flag, value, was, changed (bool), master, and what replicas and servers said."""
    change = done.change
    servers = {id_: one.ms for id_, one in done.seen.items()}
    return {
        "flag": change.after.name,
        "value": change.after.value,
        "was": change.before.value,
        "changed": bool(change.entries),
        "master": done.master,
        **({"replicas": done.replicas} if done.replicas is not None else {}),
        **({"servers_ms": servers, "ms": done.ms} if servers else {}),
    }


def line(done: Done) -> str:
    """A change as a line."""
    said = sentence(done.change)
    if done.seen:
        return f"{said}, on every server: {reached(done.seen)}; {done.ms:g} ms in all"
    if not done.change.entries:
        return said
    replicas = f" and {done.replicas} replica{'' if done.replicas == 1 else 's'}" if done.replicas else ""
    return f"{said} on {done.master}{replicas}"


def told_entry(entry: Entry) -> Told:
    """One line of a history as data."""
    return {
        "at": when(entry.at),
        "by": entry.by,
        "what": entry.what,
        "from": _clean(entry.before),
        "to": _clean(entry.after),
    }


def when(at: float) -> str:
    """A time as people and programs read it, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def listing(flags: Sequence[Flag], now: float) -> str:
    """A table of flags."""
    if not flags:
        return "There are no flags yet. To make one: salt-run flags.set key1 0 new=True"
    rows = [(flag.name, shown_value(flag.value), *_about(flag), _notes(flag, now)) for flag in flags]
    stale = sum(is_stale(flag, now) for flag in flags)
    count = f"{len(flags)} flag{'' if len(flags) == 1 else 's'}{f', {stale} STALE' if stale else ''}"
    return f"{table(('flag', 'value', 'owner', 'expires', 'changed', 'by', ''), rows)}\n{count}"


def _about(flag: Flag) -> tuple[str, str, str, str]:
    last = flag.history[0] if flag.history else None
    owner, expires = _text(flag.of("owner")), _text(flag.of("expires"))
    return owner, expires, when(last.at) if last else "-", last.by if last else "-"


def _notes(flag: Flag, now: float) -> str:
    notes = [
        "STALE" if is_stale(flag, now) else "",
        "rules" if flag.of("rules") else "",
        OUTSIDE if flag.changed_outside else "",
        flag.problem,
    ]
    return ", ".join(filter(None, notes))


def one(flag: Flag, now: float, servers: Mapping[str, str] | None = None) -> str:
    """All of one flag."""
    lines = [f"{flag.name} is {shown_value(flag.value)}" if flag.exists else f"{flag.name} is deleted"]
    for key in PARTS:
        if flag.of(key) is not None:
            stale = " (STALE)" if key == "expires" and is_stale(flag, now) else ""
            lines.append(f"  {key:<12} {_text(flag.of(key), 10_000)}{stale}")
    if flag.history:
        lines.append(f"  {'changed':<12} {when(flag.history[0].at)} by {flag.history[0].by}")
    if flag.changed_outside:
        lines.append(f"  {'outside':<12} {OUTSIDE}")
    if flag.problem:
        lines.append(f"  {'PROBLEM':<12} {flag.problem}")
    for id_, value in (servers or {}).items():
        lines.append(f"  {id_:<12} {value}{'' if value == shown_value(flag.value) else '  DIFFERS'}")
    return "\n".join(lines)


def history(flag: Flag) -> str:
    """Who changed what when, newest first."""
    rows = [(when(entry.at), entry.by, entry.what, _step(entry)) for entry in flag.history]
    if flag.changed_outside:
        came = f"{shown_value(_last(flag))} -> {shown_value(flag.value)}"
        rows.insert(0, ("since then" if rows else "-", OUTSIDE_BY, "set", came))
    return table(("when", "by", "what", "from -> to"), rows) if rows else f"{flag.name} has no history yet"


def told_history(flag: Flag) -> list[Told]:
    """The same as data; a change made outside comes first, with no time."""
    came = {
        "at": None,
        "by": OUTSIDE_BY,
        "what": "set",
        "from": _clean(_last(flag)),
        "to": _clean(flag.value),
    }
    return ([came] if flag.changed_outside else []) + [told_entry(entry) for entry in flag.history]


def event(name: str, entry: Entry) -> str:
    """One change as a line."""
    return f"{when(entry.at)}  {name}  {entry.what}  {_step(entry)}  by {entry.by}"


def sentence(change: Change) -> str:
    """What was done, in a few words."""
    name, was, now = change.after.name, change.before.value, change.after.value
    whats = [entry.what for entry in change.entries]
    if not whats:
        return f"nothing to change, {name} is {shown_value(now)}"
    if "delete" in whats:
        return f"{name} is deleted (was {shown_value(was)})"
    set_to = f"set to {shown_value(now)} (was {shown_value(was)})"
    words = {"describe": "described", "rules": "given its rules", "set": set_to}
    return f"{name} is {' and '.join(words[what] for what in whats)}"


def reached(seen: Mapping[str, Seen]) -> str:
    """`redis-2 0.8 ms, redis-3 1.4 ms` of those that have the value."""
    return ", ".join(f"{id_} {one.ms:g} ms" for id_, one in seen.items() if one.ms is not None)


def missed(seen: Mapping[str, Seen]) -> str:
    """`redis-2 has 0` of those that do not."""
    return "; ".join(one.said for one in seen.values() if one.ms is None)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns, as wide as they have to be."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join("  ".join(cells).rstrip() for cells in padded)


def _last(flag: Flag) -> object:
    """The value that the history ends with."""
    return flag.last_value.after if flag.last_value else None


def _clean(value: Any) -> Any:
    """A text as printable characters, for data is printed too; all else as it is."""
    return shown_text(value, TEXT_CHARACTERS) if isinstance(value, str) else value


def _step(entry: Entry) -> str:
    if entry.what in ("set", "delete"):
        return f"{shown_value(entry.before)} -> {shown_value(entry.after)}"
    steps = differences(entry).items()
    return "; ".join(f"{shown_text(str(key))}: {_text(old)} -> {_text(new)}" for key, (old, new) in steps)


def _text(value: object, limit: int = DETAIL_CHARACTERS) -> str:
    """A value of a document as one printable line."""
    if value is None or value == "":
        return "-"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shown_text(text, limit)
