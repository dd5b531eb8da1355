"""
Which minion ids a nodegroup holds, decided from the id alone.

Salt's own matcher also takes grains and pillar. Here they are refused: a role decides who gets a secret,
a version or a voice in an alert, and a minion writes its own grains. Syntax: id globs, `E@` regex, `L@`
lists, `N@` nodegroups, `and`, `or`, `not` and parentheses between blanks, as in Salt's compound matcher.
"""

import fnmatch
import re
from collections.abc import Iterable, Mapping

from sluice_errors import ConfigError

Nodegroups = Mapping[str, object]
# Deeper nesting than this is a loop in somebody's config.
MAX_DEPTH = 10


def members(expression: str, ids: Iterable[str], nodegroups: Nodegroups) -> list[str]:
    """The ids that `expression` holds, sorted. ConfigError if it cannot be decided from ids."""
    return sorted(id_ for id_ in ids if matches(expression, id_, nodegroups))


def matches(expression: str, minion_id: str, nodegroups: Nodegroups) -> bool:
    """True if `expression` holds `minion_id`. ConfigError if it cannot be decided from the id."""
    return _Matcher(minion_id, nodegroups).decide(_words(expression), 0)


def _words(definition: object) -> list[str]:
    if isinstance(definition, str):
        return definition.split()
    if isinstance(definition, list) and all(isinstance(word, str) for word in definition):
        # A list without operators means "any of these", as Salt reads it.
        words = [str(word) for word in definition]
        return words if {"and", "or", "not"} & set(words) else " or ".join(words).split()
    raise ConfigError(f"nodegroup {definition!r}: want a string or a list of strings")


class _Matcher:
    """A small recursive descent parser: or < and < not < word."""

    def __init__(self, minion_id: str, nodegroups: Nodegroups) -> None:
        self.minion_id = minion_id
        self.nodegroups = nodegroups

    def decide(self, words: list[str], depth: int) -> bool:
        if depth > MAX_DEPTH:
            raise ConfigError("nodegroups refer to each other in a loop")
        rest = list(words)
        answer = self._any(rest, depth)
        if rest:
            raise ConfigError(f"cannot read the target {' '.join(words)!r} at {rest[0]!r}")
        return answer

    def _any(self, words: list[str], depth: int) -> bool:
        answer = self._all(words, depth)
        while words and words[0] == "or":
            words.pop(0)
            answer = self._all(words, depth) or answer
        return answer

    def _all(self, words: list[str], depth: int) -> bool:
        answer = self._one(words, depth)
        while words and words[0] == "and":
            words.pop(0)
            answer = self._one(words, depth) and answer
        return answer

    def _one(self, words: list[str], depth: int) -> bool:
        if not words:
            raise ConfigError("a target ends where a minion id was expected")
        word = words.pop(0)
        if word == "not":
            return not self._one(words, depth)
        if word == "(":
            answer = self._any(words, depth)
            if not words or words.pop(0) != ")":
                raise ConfigError("a target has an opening parenthesis without its closing one")
            return answer
        return self._word(word, depth)

    def _word(self, word: str, depth: int) -> bool:
        kind, _, value = word.partition("@") if "@" in word else ("", "", word)
        if kind == "":
            return fnmatch.fnmatchcase(self.minion_id, value)
        if kind == "E":
            return re.match(value, self.minion_id) is not None
        if kind == "L":
            return self.minion_id in value.split(",")
        if kind == "N":
            if value not in self.nodegroups:
                raise ConfigError(f"there is no nodegroup {value!r}")
            return self.decide(_words(self.nodegroups[value]), depth + 1)
        raise ConfigError(f"{word!r}: a role may only be given by minion id (globs, E@, L@, N@)")
