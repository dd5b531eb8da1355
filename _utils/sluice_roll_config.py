"""How a service is rolled: the part `roll` of its settings in release.json. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# A number of hosts, or a share of them in percent.
Size = int | str
PERCENT = re.compile(r"(100|[1-9]?[0-9])%\Z")
# What a state may do to a host that fails: leave it as it is, or give it the version before.
ON_FAILURE = ("stop", "revert")
# An operator who writes more means another unit: a day.
LONGEST_SECONDS = 86_400
KEYS = (
    "batches",
    "order",
    "max_failures",
    "min_available",
    "soak_seconds",
    "on_failure",
    "host_timeout_seconds",
)


@dataclass(frozen=True)
class RollSettings:
    """In which order, in what batches, and how much may go wrong."""

    # The last entry repeats.
    batches: tuple[Size, ...] = (1,)
    # Targets: who of the hosts comes first, who last; empty for nobody.
    first: str = ""
    last: str = ""
    max_failures: int = 0
    # How many hosts a batch must leave up; what the balancers were given holds besides.
    min_available: Size = 0
    soak_seconds: float = 0.0
    on_failure: str = "stop"
    # A first application installs packages; a stuck one must end some time.
    host_timeout_seconds: int = 900


def read(raw: Mapping[str, Any]) -> RollSettings:
    """The settings in `raw`, each checked. ValueError or TypeError with the key and what it wants."""
    unknown = sorted(set(raw) - set(KEYS))
    if unknown:
        raise ValueError(f"roll: {', '.join(unknown)} is not a key (known: {', '.join(KEYS)})")
    given = raw.get("batches", RollSettings.batches)
    batches = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    order = raw.get("order") or {}
    if set(order) - {"first", "last"}:
        raise ValueError("roll:order (want first and last, each a target)")
    return RollSettings(
        batches=tuple(size(one, "batches", 1) for one in batches) or _no_batches(),
        first=str(order.get("first") or ""),
        last=str(order.get("last") or ""),
        max_failures=_whole(raw.get("max_failures", RollSettings.max_failures), "max_failures", 0, 10_000),
        min_available=size(raw.get("min_available", RollSettings.min_available), "min_available", 0),
        soak_seconds=_seconds(raw.get("soak_seconds", RollSettings.soak_seconds)),
        on_failure=_choice(raw.get("on_failure", RollSettings.on_failure)),
        host_timeout_seconds=_whole(
            raw.get("host_timeout_seconds", RollSettings.host_timeout_seconds),
            "host_timeout_seconds",
            10,
            LONGEST_SECONDS,
        ),
    )


def size(value: object, key: str, least: int) -> Size:
    """`value` if it is a number of hosts of at least `least`, or a text like `"50%"`; else ValueError."""
    if isinstance(value, str) and PERCENT.match(value) and (least == 0 or value != "0%"):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    raise ValueError(
        f'roll:{key} {ascii(value)[:40]} (want a number from {least}, or a percentage like "50%")'
    )


def _no_batches() -> tuple[Size, ...]:
    raise ValueError("roll:batches is empty (want a size, or a list of sizes)")


def _whole(value: object, key: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"roll:{key} {ascii(value)[:40]} (want a whole number from {least} to {most})")
    return value


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= LONGEST_SECONDS:
        raise ValueError(f"roll:soak_seconds {ascii(value)[:40]} (want seconds from 0 to {LONGEST_SECONDS})")
    return float(value)


def _choice(value: object) -> str:
    if value not in ON_FAILURE:
        raise ValueError(f"roll:on_failure {ascii(value)[:40]} (want {' or '.join(ON_FAILURE)})")
    return str(value)
