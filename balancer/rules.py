"""Rules for requests: deny, redirect, another method, a header set or removed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from balancer.answers import Answer
from balancer.paths import readings
from balancer.request import NOT_FORWARDED, BadRequest, Request

# What frames or routes a request, or is said by the balancer: no rule may touch it.
PROTECTED = NOT_FORWARDED | {b"content-length", b"expect", b"host"}


@dataclass(frozen=True)
class Redirect:
    """Where to go instead."""

    status: int
    to: str


@dataclass(frozen=True)
class Rule:
    """What is done with some requests. As it stands in the file, checked by `rulesfile`."""

    path: str | None = None
    path_prefix: str | None = None
    except_paths: Sequence[str] = ()
    methods: Sequence[str] = ()
    deny: int | None = None
    redirect: Redirect | None = None
    set_method: str | None = None
    set_header: Mapping[str, str] | None = None
    remove_header: Sequence[str] = ()

    @property
    def ends(self) -> bool:
        """True if no rule after it is looked at."""
        return self.deny is not None or self.redirect is not None

    def told(self) -> dict[str, Any]:
        """As JSON, for the workers."""
        return asdict(self)


def is_within(path: bytes, prefix: bytes) -> bool:
    """True if a path is the prefix or below it, by whole segments: `/a/b` is within `/a`, `/ab` is not."""
    bare = prefix.rstrip(b"/")
    return path.startswith(bare + b"/") or (path == bare != b"") or (path == b"*" and not bare)


class Match:
    """Which requests a rule is for."""

    __slots__ = ("_excepted", "_methods", "_path", "_prefix")

    def __init__(self, rule: Rule) -> None:
        self._methods = frozenset(method.encode() for method in rule.methods)
        self._path = rule.path.encode() if rule.path is not None else None
        self._prefix = (rule.path_prefix or "/").encode()
        self._excepted = frozenset(path.encode() for path in rule.except_paths)

    def __call__(self, method: bytes, paths: Iterable[bytes]) -> bool:
        """True if any reading of the path is meant: an exception holds only if there is no other reading."""
        if self._methods and method not in self._methods:
            return False
        if self._path is not None:
            return self._path in paths
        return any(is_within(path, self._prefix) and path not in self._excepted for path in paths)


class Action:
    """What a rule does."""

    __slots__ = ("answer", "gone", "method", "names", "set")

    def __init__(self, rule: Rule) -> None:
        self.answer: Answer | None = None
        if rule.deny is not None:
            self.answer = Answer(rule.deny, "a rule of the balancer says so")
        elif rule.redirect is not None:
            line = f"Location: {rule.redirect.to}\r\n".encode()
            self.answer = Answer(rule.redirect.status, f"see {rule.redirect.to}", (line,))
        self.method = rule.set_method.encode() if rule.set_method else b""
        self.set = [(name.encode(), value.encode()) for name, value in (rule.set_header or {}).items()]
        self.gone = frozenset(plain(name) for name, _ in self.set) | {
            plain(name.encode()) for name in rule.remove_header
        }

    def __call__(self, request: Request) -> None:
        """Change a request; `answer` is for the caller."""
        # What an answer to HEAD may not have, an answer to any other method would bring: a body.
        if self.method and request.method != b"HEAD":
            request.method = self.method
            if not request.chunked and request.length is None:
                # RFC 9110, 8.6: a method that has a body by nature must tell that there is none.
                request.headers.append((b"Content-Length", b"0"))
        if self.gone:
            request.headers = [pair for pair in request.headers if plain(pair[0]) not in self.gone]
        if self.set:
            # No client may have it removed again by calling it a header of its own hop.
            request.headers = [_without_options(pair, self.gone) for pair in request.headers]
            request.headers += self.set


def plain(name: bytes) -> bytes:
    """A header's name as an application may read it to whom `_` and `-`, and all letters' cases, are one."""
    return name.lower().replace(b"_", b"-")


def _without_options(pair: tuple[bytes, bytes], names: frozenset[bytes]) -> tuple[bytes, bytes]:
    name, value = pair
    if name.lower() != b"connection":
        return pair
    kept = [option for option in value.split(b",") if plain(option.strip()) not in names]
    return name, b",".join(kept)


class Rules:
    """The rules of one service, in their order."""

    def __init__(self, told: Iterable[Mapping[str, Any]]) -> None:
        """From what `Rule.told` said."""
        rules = [Rule(**{**row, "redirect": row["redirect"] and Redirect(**row["redirect"])}) for row in told]
        self._rules = [(Match(rule), Action(rule)) for rule in rules]
        # Headers that some rule sets or removes, as `plain` has them.
        self.touched = frozenset[bytes]().union(*(action.gone for _, action in self._rules))

    def apply(self, request: Request) -> None:
        """
        Change a request, or give it an answer. Every rule that matches the request as it came is applied, in
        order; the first that denies or redirects is the last. Raises BadRequest for a path beyond following.
        """
        method, paths = request.method, readings(request.target.partition(b"?")[0])
        if paths is None:
            raise BadRequest(400, "the path can be read in too many ways")
        for matches, act in self._rules:
            if matches(method, paths):
                if act.answer is not None:
                    request.answer = act.answer
                    return
                act(request)
