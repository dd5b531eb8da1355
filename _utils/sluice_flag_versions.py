"""Semantic versions in their order, https://semver.org/spec/v2.0.0.html."""

import re

# Nothing that calls itself a version is longer, and numbers of any length would be slow to read.
MAX_LENGTH = 128

_NUMBER = r"(0|[1-9][0-9]*)"
_PART = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_PART}(?:\.{_PART})*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)

# Compares as its version does: the three numbers, then a release after its pre-releases, then their parts.
Version = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]


def version(text: str) -> Version | None:
    """What to compare a version by, or None for what is no semantic version, such as `2.1` or `v2.1.0`."""
    found = _VERSION.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if found is None:
        return None
    major, minor, patch, before = found.groups()
    parts = tuple(_part(part) for part in before.split(".")) if before else ()
    return int(major), int(minor), int(patch), not before, parts


def _part(text: str) -> tuple[bool, int, str]:
    """Numbers come before words, and among themselves by size (semver.org, 11.4)."""
    return (False, int(text), "") if text.isdigit() else (True, 0, text)
