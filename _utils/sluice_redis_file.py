"""redis.conf as text: made once, read, edited, and whether two texts of a setting mean the same."""

import re
from collections.abc import Mapping

# Settings of several words; all others are one, in quotes if need be.
MANY = frozenset({"bind", "client-output-buffer-limit", "oom-score-adj-values", "save"})
SECRET = frozenset({"masterauth"})
SIZE = re.compile(r"(\d{1,18})(b|kb?|mb?|gb?)?\Z", re.IGNORECASE)
UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1024, "m": 10**6, "mb": 1024**2, "g": 10**9, "gb": 1024**3}
# The first line of a file that Salt made. Redis keeps comments when it writes the file.
SEEDED = "# Made by Salt (salt/redis). Redis writes it anew as it goes: edit pillar, not this file."
# That of a release of Sluice that wrote the whole file each time.
SEEDED_BEFORE = "# Managed by Salt (salt/redis)."


def same(name: str, one: str, other: str) -> bool:
    """Whether two texts of a setting mean the same to Redis: `16mb` and `16777216` do."""
    if name in SECRET:
        return one == other
    if name == "notify-keyspace-events":
        return set(one) == set(other)
    left, right = one.split(), other.split()
    return len(left) == len(right) and all(
        a == b or bytes_of(a) == bytes_of(b) is not None for a, b in zip(left, right, strict=True)
    )


def bytes_of(text: str) -> int | None:
    """A number with a unit of redis.conf, or None if it is none."""
    found = SIZE.match(text)
    return int(found[1]) * UNITS[(found[2] or "").lower()] if found else None


def quoted(value: str) -> str:
    """A value as redis.conf wants it: in quotes where it would else be cut into words."""
    if value and re.fullmatch(r"[A-Za-z0-9_./:,@%+=-]+", value):
        return value
    known = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(known.get(one, one) for one in value) + '"'


def line(name: str, value: str) -> str:
    """A line of redis.conf."""
    return f"{name} {value if value and name in MANY else quoted(value)}"


def parsed(text: str) -> dict[str, str]:
    """The settings in the text of a redis.conf; of several lines for one the last."""
    found = {}
    for row in text.splitlines():
        name, _, value = row.strip().partition(" ")
        if name and not name.startswith("#"):
            found[name.lower()] = unquoted(value.strip())
    return found


def unquoted(value: str) -> str:
    """A value without the quotes of redis.conf."""
    if len(value) < 2 or value[0] != value[-1] or value[0] not in "\"'":
        return value
    if value[0] == "'":
        return value[1:-1].replace("\\'", "'")
    known = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b"}

    def plain(found: re.Match[str]) -> str:
        return chr(int(found[1], 16)) if found[1] else known.get(found[2], found[2])

    return re.sub(r"\\(?:x([0-9a-fA-F]{2})|(.))", plain, value[1:-1])


def seed(settings: Mapping[str, str], follows: tuple[str, int] | None) -> str:
    """
    The first redis.conf. Redis and Sentinel write it anew as they go; Salt reads it and changes it live.

    follows
        Host and port of the master, None for the master itself.
    """
    rows = [SEEDED, *(line(name, value) for name, value in sorted(settings.items()))]
    if follows:
        rows.append(f"replicaof {follows[0]} {follows[1]}")
    return "\n".join(rows) + "\n"


def is_ours(text: str) -> bool:
    """Whether Salt made this redis.conf, and not the package."""
    return text.startswith((SEEDED, SEEDED_BEFORE))


def edited(text: str, settings: Mapping[str, str]) -> str:
    """A redis.conf with these settings in place of those it has, and all else as it is."""
    left, rows = dict(settings), []
    for row in text.splitlines():
        name = row.strip().partition(" ")[0].lower()
        if name not in settings:
            rows.append(row)
        elif name in left:
            rows.append(line(name, left.pop(name)))
    return "\n".join([*rows, *(line(name, value) for name, value in left.items())]) + "\n"
