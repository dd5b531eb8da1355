"""Takes settings out of parsed JSON and notes every mistake with its path."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
ADDRESS = re.compile(r"(?:(?P<four>[0-9.]+)|\[(?P<six>[0-9a-fA-F:.]+)\]):(?P<port>[0-9]{1,5})")


class ConfigError(Exception):
    """Everything that is wrong with a file, one line per mistake, each with its path."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


@dataclass(frozen=True)
class Address:
    """Where to listen or to connect: an IP address and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_file(path: Path) -> bytes:
    """The bytes of a file. Raises ConfigError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error


def read_json(raw: bytes) -> object:
    """What the bytes say. Raises ConfigError."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ConfigError([f"not JSON: {error}"]) from error


class Reader:
    """Takes values out of parsed JSON, noting each mistake instead of stopping at the first."""

    def __init__(self) -> None:
        self.mistakes: list[str] = []

    def wrong(self, path: str, value: object, want: str) -> None:
        self.mistakes.append(f"{path}: is {json.dumps(value, default=str)[:80]}, want {want}")

    def table(self, value: object, path: str, known: set[str] | None = None) -> dict[str, Any]:
        """A JSON object; keys outside `known` are mistakes."""
        if not isinstance(value, dict):
            self.wrong(path, value, "an object")
            return {}
        for key in sorted(set(value) - known) if known is not None else ():
            self.mistakes.append(
                f"{path}.{key}: not a known key, want one of {', '.join(sorted(known or ()))}"
            )
        return value

    def number(self, value: object, path: str, low: float, high: float) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
            self.wrong(path, value, f"a number, {low:g} to {high:g}")
            return low
        return float(value)

    def whole(self, value: object, path: str, low: int, high: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.wrong(path, value, f"a whole number, {low} to {high}")
            return low
        return value

    def text(self, value: object, path: str, want: str, check: Callable[[str], object]) -> str:
        if not isinstance(value, str) or not check(value):
            self.wrong(path, value, want)
            return ""
        return value

    def address(self, value: object, path: str) -> Address:
        found = parse_address(value)
        if found is None:
            self.wrong(path, value, "an IP address and a port, like 10.0.0.1:80")
            return Address("0.0.0.0", 0)
        return found

    def file(self, value: object, path: str) -> Path:
        return Path(self.text(value, path, "an absolute path", lambda text: text.startswith("/")))


def parse_address(value: object) -> Address | None:
    """`10.0.0.1:80` or `[::1]:80`; None for anything else, names included."""
    found = ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    try:
        four, six = found["four"], found["six"]
        ip = ipaddress.IPv4Address(four) if four else ipaddress.IPv6Address(six)
    except ValueError:
        return None
    port = int(found["port"])
    return Address(str(ip), port) if 0 < port < 65536 else None
