"""
What people and Salt's command line give for a flag, checked before anything is touched.

Salt parses arguments as YAML: `on` arrives as True, `1` as a number, `[a]` as a list.
"""

import datetime
import difflib
import math
from collections.abc import Iterable
from typing import Any

import sluice_flag_rules
from sluice_config import shown
from sluice_errors import RefusedError
from sluice_flag_store import Document, Flag, shown_text

INTERNAL = "sluice:"
# How people write on and off, in any case; other texts are names of variants, or nothing.
WORDS = {"on": "1", "true": "1", "1": "1", "off": "0", "false": "0", "0": "0"}
ON_OFF = "want 1 or 0 (on, off, true, false)"
NEAR_NAMES = 3
# Redis servers are there or not within moments; whoever waits for a person may wait for a day.
MIN_SECONDS, MAX_SECONDS = 0.1, 86400


def name_of(raw: object) -> str:
    """A flag's name; RefusedError or FlagError if it cannot be one, or is one of Sluice's own keys."""
    if isinstance(raw, str) and raw.startswith(INTERNAL):
        raise RefusedError(f"{shown(raw)} is a key of Sluice itself, not a flag; {_instead(raw)}")
    if not isinstance(raw, str):
        raise RefusedError(
            f"{shown(raw)} is not a flag's name, want text. If Salt made something else of it, quote it "
            "twice: '\"on\"'"
        )
    sluice_flag_rules.check_name(raw)
    return raw


def watched_name(raw: object) -> str | None:
    """The flag to watch; None for all."""
    return None if raw == "all" else name_of(raw)


def _instead(key: str) -> str:
    if key.startswith("sluice:alert:"):
        return "alerts are cleared with: salt-run release.clear SERVICE"
    return "name the flag alone, such as key1"


def value_of(raw: object, flag: Flag) -> str:
    """
    The text that Redis is to hold: `0`, `1` or the name of a variant that the flag declares.

    Where a flag declares no variants, on and off may be written as words and YAML's booleans. Where it does,
    a variant may be called `on` or `true`, and nobody knows what was written for True: there they are
    refused. Raises RefusedError or FlagError.
    """
    variants = flag.of("variants")
    text = _variant(raw) if variants else WORDS.get(str(raw).lower()) if _is_word(raw) else None
    if text == "0":
        # Though its document be broken: turning a flag off must not depend on it.
        return text
    if text is None:
        raise RefusedError(f"{flag.name}: {shown(raw)} is not one of its values; {_values(variants)}")
    sluice_flag_rules.check_value(sluice_flag_rules.parse(flag.name, flag.document or {}), text)
    return text


def _is_word(raw: object) -> bool:
    return isinstance(raw, (bool, int, str))


def _variant(raw: object) -> str | None:
    """The name of a variant; numbers may be names, but what was written for True nobody knows."""
    return str(raw) if _is_word(raw) and not isinstance(raw, bool) else None


def _values(variants: object) -> str:
    if not isinstance(variants, dict):
        return ON_OFF
    return f"want 1, 0, or one of its variants: {', '.join(map(shown_text, sorted(variants)))}"


def described(flag: Flag, owner: object, description: object, expires: object) -> Document:
    """The flag's document with these entries changed: None leaves one as it is, an empty text removes it."""
    given = {"owner": owner, "description": description, "expires": _day(expires)}
    return _merged(flag, {key: value for key, value in given.items() if value is not None})


def ruled(flag: Flag, rules: object, variants: object) -> Document:
    """The flag's document with other rules or variants: None leaves them as they are, `{}` removes them."""
    given = {"rules": rules, "variants": variants}
    return _merged(flag, {key: value for key, value in given.items() if value is not None})


def _merged(flag: Flag, given: Document) -> Document:
    for key, value in given.items():
        if not isinstance(value, (dict if key in ("rules", "variants") else str)):
            raise RefusedError(f"{flag.name}: {key} is {shown(value)}, want {_wanted(key)}")
    merged = {key: value for key, value in ((flag.document or {}) | given).items() if value not in ("", {})}
    parsed = sluice_flag_rules.parse(flag.name, merged)
    if flag.value is not None and _declares(flag):
        # One that is not declared any more would turn the flag off, unseen.
        sluice_flag_rules.check_value(parsed, flag.value)
    return merged


def _declares(flag: Flag) -> bool:
    """True if the flag's value is one of those that its document allows."""
    try:
        sluice_flag_rules.check_value(sluice_flag_rules.parse(flag.name, flag.document or {}), flag.value)
    except sluice_flag_rules.FlagError:
        return False
    return True


def _wanted(key: str) -> str:
    if key in ("rules", "variants"):
        return "an object in braces; see docs/reference/flag-rules.md"
    return "a day as YYYY-MM-DD" if key == "expires" else "text"


def _day(raw: object) -> object:
    """YAML makes a date of a day in a state file."""
    is_day = isinstance(raw, datetime.date) and not isinstance(raw, datetime.datetime)
    return raw.isoformat() if is_day else raw  # type: ignore[attr-defined]


def is_stale(flag: Flag, now: float) -> bool:
    """True if the day has come that it was meant for until (UTC)."""
    expires = flag.of("expires")
    today = datetime.datetime.fromtimestamp(now, datetime.UTC).date().isoformat()
    return isinstance(expires, str) and expires <= today


def who(user: object, id_: str) -> str:
    """`alice@redis-1`: who gave the order, and at which minion."""
    return shown_text(f"{user or 'unknown'}@{id_}")


def seconds_of(what: str, raw: Any) -> float:
    """A time in seconds up to a day, whatever the command line made of it; RefusedError if none."""
    try:
        number = float(raw)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(raw, bool) or not MIN_SECONDS <= number <= MAX_SECONDS:
        raise RefusedError(f"{what} is {shown(raw)}, want seconds from {MIN_SECONDS} to {MAX_SECONDS}")
    return number


def flag_of(what: str, raw: object) -> bool:
    """A yes or no; RefusedError if it is something else."""
    if not isinstance(raw, bool):
        raise RefusedError(f"{what} is {shown(raw)}, want True or False")
    return raw


def unknown(name: str, names: Iterable[str], hint: str = "") -> RefusedError:
    """The error for a flag that is not there, with names that look like it."""
    near = difflib.get_close_matches(name, list(names), NEAR_NAMES, 0.6)
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    return RefusedError(f"There is no flag {name}.{meant}{' ' + hint if hint else ''}")
