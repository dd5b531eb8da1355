"""
OpenFeature's remote evaluation protocol, OFREP 0.3: a request's context in, answers as JSON out.

The protocol: https://github.com/open-feature/protocol/blob/main/service/openapi.yaml.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

from sluice_flag_answers import DEFAULT, ERROR, INVALID_CONTEXT, TARGETING_KEY, Answer
from sluice_flag_evaluate import evaluate

from flags.reading import Reading
from flags.store import Known, Store, is_name

PATH = b"/ofrep/v1/evaluate/flags"
PREFIX = PATH + b"/"
# OFREP knows no other reasons; which one of ours it was stands in the metadata.
UNKNOWN = "UNKNOWN"
REASONS = {DEFAULT: UNKNOWN, ERROR: UNKNOWN}
PARSE_ERROR, GENERAL, FLAG_NOT_FOUND = "PARSE_ERROR", "GENERAL", "FLAG_NOT_FOUND"
# A context is some attributes of a user; deeper than this nothing asks.
MAX_DEPTH = 16
# As much of a name is told back.
MAX_SHOWN = 80
# An entity tag as it comes: quoted, weak, or bare as in OFREP's own example.
TAG = re.compile(r'(?:W/)?"([^"]*)"|([^\s,"]+)')

encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
Context = dict[str, Any]


class Bad(Exception):
    """What is wrong with a request, for its answer of 400."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(details)
        self.code, self.details = code, details


def _constant(told: str) -> NoReturn:
    raise ValueError(f"{told} is no JSON")


decode = json.JSONDecoder(parse_constant=_constant).decode


def read_context(body: bytes) -> Context:
    """The context in a request's body. Raises Bad."""
    try:
        told = decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise Bad(PARSE_ERROR, "the body is not JSON in UTF-8") from error
    if not isinstance(told, dict):
        raise Bad(PARSE_ERROR, "the body is not a JSON object")
    context = told.get("context")
    if not isinstance(context, dict):
        raise Bad(INVALID_CONTEXT, "want an object: 'context'")
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and not is_shallow(context):
        raise Bad(INVALID_CONTEXT, f"'context' is nested deeper than {MAX_DEPTH}")
    key = context.get(TARGETING_KEY)
    if key is None:
        # A client that has none may say so.
        context.pop(TARGETING_KEY, None)
    elif not isinstance(key, str):
        raise Bad(INVALID_CONTEXT, f"'{TARGETING_KEY}' is not text")
    return context


def is_shallow(context: Mapping[str, Any]) -> bool:
    """True if nothing in it is nested deeper than allowed."""
    waiting: list[tuple[Any, int]] = [(context, 1)]
    while waiting:
        found, depth = waiting.pop()
        if depth > MAX_DEPTH:
            return False
        inner = found.values() if isinstance(found, dict) else found
        waiting += [(one, depth + 1) for one in inner if isinstance(one, (dict, list))]
    return True


def name_of(target: bytes) -> str:
    """The flag's name in a target that begins with PREFIX; any text, also one that no flag can have."""
    key = target[len(PREFIX) :].partition(b"?")[0]
    return (unquote_to_bytes(key) if b"%" in key else key).decode(errors="replace")


def shown(name: str) -> str:
    """A name for an error: on one line, and not longer than a person reads."""
    return ascii(name[:MAX_SHOWN])[1:-1]


class Ofrep:
    """Answers from memory, whatever happens to Redis."""

    def __init__(self, store: Store, reading: Reading) -> None:
        self._store, self._reading = store, reading
        # Evaluations by reason, and failures by error code.
        self.counts: dict[str, int] = {}

    # One flag.

    def one(self, target: bytes, body: bytes) -> tuple[int, bytes]:
        """Status and body for one flag."""
        known = self._store.flags.get(target[len(PREFIX) :].decode("latin-1"))
        if known is None:
            name = name_of(target)
            known = self._store.flags.get(name)
            if known is None:
                return self._not_found(name)
        try:
            context = read_context(body)
        except Bad as bad:
            return 400, self._failure(known.name, bad.code, bad.details)
        answer = self._evaluate(known, context, time.time())
        if answer.error is not None:
            return 400, self._failure(known.name, answer.error, self._why(answer.error))
        return 200, self._body(known, answer)

    def _evaluate(self, known: Known, context: Context, now: float) -> Answer:
        if known.flag is None:
            return UNREADABLE
        return evaluate(known.flag, known.raw.value, context, now, self._store.serving)

    def _body(self, known: Known, answer: Answer) -> bytes:
        self.counts[answer.reason] = self.counts.get(answer.reason, 0) + 1
        if self._reading.is_stale:
            return encode(success(known, answer, self._stale_marks())).encode()
        key = (answer.variant, answer.reason)
        body = known.bodies.get(key)
        if body is None:
            body = known.bodies[key] = encode(success(known, answer, {})).encode()
        return body

    def _stale_marks(self) -> dict[str, Any]:
        """What says that answers may be old, and how old."""
        age = self._reading.age()
        return {"stale": True} if age is None else {"stale": True, "ageSeconds": math.ceil(age)}

    def _not_found(self, name: str) -> tuple[int, bytes]:
        if is_name(name):
            details = f"there is no flag {name}"
        else:
            details = f"'{shown(name)}' cannot be a flag's name: want 1 to 64 letters, digits, _ . -"
        return 404, self._failure(shown(name), FLAG_NOT_FOUND, details)

    def _failure(self, name: str, code: str, details: str) -> bytes:
        self.counts[code] = self.counts.get(code, 0) + 1
        return encode({"key": name, "errorCode": code, "errorDetails": details}).encode()

    @staticmethod
    def _why(code: str) -> str:
        if code == INVALID_CONTEXT:
            return "the context has something that the flag's rules cannot compare"
        return f"the flag's rules want a '{TARGETING_KEY}' in the context"

    # All flags.

    def all(self, body: bytes, streams: list[dict[str, Any]]) -> tuple[bytes, str]:
        """Body and entity tag for all flags. Raises Bad."""
        context, now = read_context(body), time.time()
        rows = [self._row(known, context, now) for known in self._store.flags.values()]
        marks = self._stale_marks() if self._reading.is_stale else {}
        # Not the age: it would be another answer every second.
        tag = hashlib.blake2b(b",".join([*rows, encode(list(marks)).encode()]), digest_size=12).hexdigest()
        metadata = {"version": self._store.fingerprint, **marks}
        rest = encode({"eventStreams": streams, "metadata": metadata})[1:].encode()
        return b'{"flags":[%b],%b' % (b",".join(rows), rest), f'"{tag}"'

    def _row(self, known: Known, context: Context, now: float) -> bytes:
        answer = self._evaluate(known, context, now)
        if answer.error is not None:
            return self._failure(known.name, answer.error, self._why(answer.error))
        self.counts[answer.reason] = self.counts.get(answer.reason, 0) + 1
        key = (answer.variant, answer.reason)
        row = known.bodies.get(key)
        if row is None:
            row = known.bodies[key] = encode(success(known, answer, {})).encode()
        return row


# For a flag whose document cannot be read: nothing of it is known but that it is off.
UNREADABLE = Answer(False, "off", ERROR)


def success(known: Known, answer: Answer, marks: dict[str, Any]) -> dict[str, Any]:
    """An evaluation that worked, as OFREP has it."""
    metadata: dict[str, Any] = dict(marks)
    if answer.reason in REASONS:
        metadata["reason"] = answer.reason
    if answer.reason == ERROR:
        metadata["problem"] = known.problem or "its value is neither 0, 1 nor a variant that it declares"
    told = {
        "key": known.name,
        "value": answer.value,
        "reason": REASONS.get(answer.reason, answer.reason),
        "variant": answer.variant,
    }
    return told | {"metadata": metadata} if metadata else told


def matches(tags: str, tag: str) -> bool:
    """True if an If-None-Match names this entity tag."""
    return tags.strip() == "*" or tag.strip('"') in [a or b for a, b in TAG.findall(tags)]
