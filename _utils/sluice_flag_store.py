"""
Flags in Redis: read them, and change one of them with its history in a single transaction.

A flag is up to three keys: its value under its own name, a JSON document, and a list of who changed what.
What stands there may come from anybody with redis-cli, so it is shown only after `shown_text`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sluice_flag_document
from sluice_errors import RefusedError, ReleaseError
from sluice_redis import Command, Redis, RedisError, Reply
from sluice_text import printable

DOCUMENT_PREFIX = "sluice:flag:"
HISTORY_PREFIX = "sluice:history:"
# What an operator looks back on. 100 times twice the largest document is what one reply may hold.
HISTORY_ENTRIES = 100
# Of a deleted flag; long enough to find out who did it, and names that nobody uses any more do not pile up.
DELETED_SECONDS = 90 * 86400
# Two operators at once are two tries. More are a program that sets the flag in a loop.
TRIES = 5
# Large enough to need few round trips, small enough that Redis serves others in between.
SCAN_COUNT = 1000
READ_AT_ONCE = 500
# For each of these round trips, in the worst case with 100 large entries of history each.
READ_SECONDS = 10.0
# A name or an address; more is somebody who wants to fill a screen.
SHOWN_CHARACTERS = 100
# Longer than any value of a flag: of what else stands under its name only so much is read.
VALUE_BYTES = 256
OF_THE_DOCUMENT = {"rules": ("rules", "variants"), "describe": ("owner", "description", "expires")}
# Who it was when the history does not know.
OUTSIDE_BY = "redis-cli or another program"
KINDS = ("set", "describe", "rules", "delete")

Document = dict[str, Any]
Answer = Reply | RedisError


@dataclass(frozen=True)
class Entry:
    """One line of a flag's history. `what` is `set`, `describe`, `rules` or `delete`; `at` epoch seconds."""

    at: float
    by: str
    what: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Flag:
    """A flag as Redis holds it. `value`, `document`: None if there is none, or none that can be read."""

    name: str
    value: str | None = None
    document: Document | None = None
    history: tuple[Entry, ...] = ()
    # What of it cannot be read, in words; empty if all of it can.
    problem: str = ""

    @property
    def exists(self) -> bool:
        """True if there is a value or a document."""
        return self.value is not None or self.document is not None or bool(self.problem)

    def of(self, key: str) -> Any:
        """An entry of the document, or None."""
        return (self.document or {}).get(key)

    @property
    def last_value(self) -> Entry | None:
        """The latest change of the value that the history tells of."""
        return next((entry for entry in self.history if entry.what in ("set", "delete")), None)

    @property
    def changed_outside(self) -> bool:
        """True if the value is not the one that the history ends with: somebody used redis-cli."""
        last = self.last_value
        return self.value != (last.after if last else None)


@dataclass(frozen=True)
class Wanted:
    """What a flag is to become; both None to delete it."""

    value: str | None
    document: Document | None


@dataclass(frozen=True)
class Change:
    """What was done: the flag before and after, and the entries that its history got."""

    before: Flag
    after: Flag
    entries: tuple[Entry, ...]


Edit = Callable[[Flag], Wanted]


def shown_text(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """`text` as so many printable characters: what Redis holds may be meant for somebody's terminal."""
    clean = printable(text[: limit + 1])
    return clean if len(clean) <= limit else clean[:limit] + "..."


def shown_value(value: object) -> str:
    """A flag's value as people read it."""
    return "absent" if value is None else shown_text(str(value)) or "(empty)"


def read(redis: Redis, name: str) -> Flag:
    """One flag with all of its history."""
    return next(read_many(redis, [name], HISTORY_ENTRIES))


def read_many(redis: Redis, names: Iterable[str], history: int = 1) -> Iterator[Flag]:
    """
    Flags by name, each with at least the newest `history` entries (all, where those tell of no value).

    In pipelines of some hundred names, so that neither Redis nor the other side waits long.
    """
    waiting = list(names)
    while waiting:
        some, waiting = waiting[:READ_AT_ONCE], waiting[READ_AT_ONCE:]
        redis.extend(READ_SECONDS)
        replies = redis.pipeline([words for name in some for words in _reading(name, history)])
        flags = [_flag(name, *replies[4 * at : 4 * at + 4]) for at, name in enumerate(some)]
        yield from _with_last_value(redis, flags, history)


def names(redis: Redis) -> list[str]:
    """The names of all flags, sorted; other keys are left out. Redis serves others meanwhile."""
    found: set[str] = set()
    cursor = "0"
    while True:
        redis.extend(READ_SECONDS)
        reply = redis.call("SCAN", cursor, "COUNT", str(SCAN_COUNT))
        if not isinstance(reply, list) or len(reply) != 2 or not isinstance(reply[1], list):
            raise RedisError(f"{redis.where} answers SCAN with something else than keys")
        found.update(str(key).removeprefix(DOCUMENT_PREFIX) for key in reply[1])
        cursor = str(reply[0])
        if cursor == "0":
            return sorted(name for name in found if sluice_flag_document.NAME.fullmatch(name))


def change(redis: Redis, name: str, edit: Edit, by: str, now: float) -> Change:
    """
    Make of a flag what `edit` says of it, with its history, in one transaction; nothing if it is that.

    `edit` gets the flag as it is and is asked again if somebody changed it meanwhile. What it raises, and
    what Redis refuses, leaves everything as it was.
    """
    for _ in range(TRIES):
        redis.call("WATCH", name, DOCUMENT_PREFIX + name, HISTORY_PREFIX + name)
        planned = plan(redis, name, edit, by, now)
        if not planned.entries:
            redis.call("UNWATCH")
            return planned
        try:
            redis.transaction(_writing(planned))
            return planned
        except RedisError as error:
            if not error.code:
                raise ReleaseError(
                    f"{error}. Whether {name} was changed is not known; look with: salt-run flags.get {name}"
                ) from error
            if error.code != "CHANGED":
                raise
    raise RefusedError(
        f"{name} was changed by others {TRIES} times in a row; nothing was written. "
        f"See who with: salt-run flags.history {name}"
    )


def plan(redis: Redis, name: str, edit: Edit, by: str, now: float) -> Change:
    """What `change` would do, without doing it."""
    before = _of_right_types(redis, name)
    wanted = edit(before)
    after = replace(before, value=wanted.value, document=wanted.document or None)
    return Change(before, after, _entries(before, after, by, now))


def _of_right_types(redis: Redis, name: str) -> Flag:
    """The flag, if it can be written: in a transaction a key of another type is refused and the rest done."""
    replies = redis.pipeline(_reading(name, 1))
    keys = (name, DOCUMENT_PREFIX + name, HISTORY_PREFIX + name)
    for key, reply in zip(keys, replies[1:], strict=True):
        if isinstance(reply, RedisError) and reply.code == "WRONGTYPE":
            kind = redis.call("TYPE", key)
            raise RefusedError(
                f"{name}: the key {key} in Redis holds a {kind}, which is no part of a flag; nothing was "
                f"written. If nobody needs it, remove it by hand: redis-cli DEL {key}"
            )
    return _flag(name, *replies)


def _reading(name: str, history: int) -> list[Command]:
    return [
        ("EXISTS", name),
        ("GETRANGE", name, "0", str(VALUE_BYTES - 1)),
        ("GETRANGE", DOCUMENT_PREFIX + name, "0", str(sluice_flag_document.MAX_BYTES)),
        ("LRANGE", HISTORY_PREFIX + name, "0", str(history - 1)),
    ]


def _writing(planned: Change) -> list[Command]:
    before, after, name = planned.before, planned.after, planned.after.name
    commands: list[Command] = []
    document = DOCUMENT_PREFIX + name
    if _is_gone(after):
        commands.append(("DEL", name, document))
    if after.value is not None and after.value != before.value:
        commands.append(("SET", name, after.value))
    if not _is_gone(after) and not _same(after.document, before.document):
        text = json.dumps(after.document, ensure_ascii=False)
        commands.append(("SET", document, text) if after.document else ("DEL", document))
    history = HISTORY_PREFIX + name
    commands.append(("LPUSH", history, *(_dumped(entry) for entry in planned.entries)))
    commands.append(("LTRIM", history, "0", str(HISTORY_ENTRIES - 1)))
    commands.append(("EXPIRE", history, str(DELETED_SECONDS)) if _is_gone(after) else ("PERSIST", history))
    return commands


def _entries(before: Flag, after: Flag, by: str, now: float) -> tuple[Entry, ...]:
    """What differs, oldest first."""
    if _is_gone(after):
        return (Entry(now, by, "delete", before.value, None),) if before.exists else ()
    found = []
    for what, keys in OF_THE_DOCUMENT.items():
        old, new = _part(before.document, keys), _part(after.document, keys)
        if not _same(old, new):
            found.append(Entry(now, by, what, old, new))
    if after.value != before.value:
        found.append(Entry(now, by, "set", before.value, after.value))
    return tuple(found)


def _is_gone(flag: Flag) -> bool:
    return flag.value is None and flag.document is None


def differences(entry: Entry) -> dict[str, tuple[Any, Any]]:
    """What a change changed: `value`, or entries of the document, each with what was and what is."""
    if entry.what in ("set", "delete"):
        return {"value": (entry.before, entry.after)}
    before = entry.before if isinstance(entry.before, dict) else {}
    after = entry.after if isinstance(entry.after, dict) else {}
    pairs = {key: (before.get(key), after.get(key)) for key in {**before, **after}}
    return {key: pair for key, pair in pairs.items() if not _same(*pair)}


def _same(one: object, other: object) -> bool:
    """True if both are the same JSON; for Python 1 and true are equal, for a variant's value they are not."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _part(document: Document | None, keys: Iterable[str]) -> Document:
    return {key: document[key] for key in keys if document and key in document}


def _dumped(entry: Entry) -> str:
    told = {"at": entry.at, "by": entry.by, "what": entry.what, "from": entry.before, "to": entry.after}
    return json.dumps(told, ensure_ascii=False)


def _flag(name: str, exists: Answer, value: Answer, document: Answer, history: Answer) -> Flag:
    problems = []
    if isinstance(exists, RedisError):
        raise exists
    for what, reply in (("its value", value), ("its document", document), ("its history", history)):
        if isinstance(reply, RedisError):
            if reply.code != "WRONGTYPE":
                raise reply
            problems.append(f"the key of {what} is of another type")
    parsed, wrong = _document(name, document)
    return Flag(
        name,
        value if exists and isinstance(value, str) else None,
        parsed,
        tuple(_history(history)),
        "; ".join([*problems, *wrong]),
    )


def _document(name: str, reply: Answer) -> tuple[Document | None, list[str]]:
    if not isinstance(reply, str) or not reply:
        return None, []
    try:
        found = sluice_flag_document.load(name, reply)
    except sluice_flag_document.FlagError as error:
        return None, [f"its document cannot be read: {shown_text(str(error))}"]
    if not isinstance(found, dict):
        return None, ["its document is no JSON object"]
    return found, []


def _history(reply: Answer) -> Iterator[Entry]:
    """The entries that are such; what somebody else pushed there is left out."""
    for text in reply if isinstance(reply, list) else []:
        try:
            told = json.loads(text) if isinstance(text, str) else None
        except (ValueError, RecursionError):
            continue
        if isinstance(told, Mapping) and told.get("what") in KINDS and _is_time(told.get("at")):
            by = shown_text(str(told.get("by")))
            yield Entry(float(told["at"]), by, told["what"], told.get("from"), told.get("to"))


def _is_time(at: object) -> bool:
    # Up to the year 9999, which is what a date can be made of.
    return isinstance(at, (int, float)) and not isinstance(at, bool) and 0 <= at < 253402300800


def _with_last_value(redis: Redis, flags: list[Flag], history: int) -> Iterator[Flag]:
    """The flags, with all of the history for those whose newest entries say nothing of the value."""
    short = [flag for flag in flags if not flag.last_value and len(flag.history) >= history]
    commands = [("LRANGE", HISTORY_PREFIX + flag.name, "0", "-1") for flag in short]
    replies = iter(redis.pipeline(commands) if commands else [])
    whole = {flag.name: tuple(_history(next(replies))) for flag in short}
    for flag in flags:
        yield replace(flag, history=whole.get(flag.name, flag.history))
