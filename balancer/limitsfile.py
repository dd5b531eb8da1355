"""The limits of the file: of the whole machine, for all services and workers together, changed live."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from balancer import limits
from balancer.reader import Reader


@dataclass(frozen=True)
class LimitSettings:
    """What `limits` in the file says; the reasons for the defaults are in `limits.py`."""

    header_bytes: int = limits.MAX_HEAD_BYTES
    headers: int = limits.MAX_HEADERS
    target_bytes: int = limits.MAX_TARGET_BYTES
    response_header_bytes: int = limits.MAX_RESPONSE_HEAD_BYTES
    head_seconds: float = limits.HEAD_SECONDS
    idle_seconds: float = limits.IDLE_SECONDS
    body_seconds: float = limits.BODY_SECONDS
    body_bytes: int = limits.BODY_BYTES
    # 0: as many as there are file descriptors for.
    max_connections: int = 0
    max_connections_per_client: int = 0

    def told(self) -> dict[str, Any]:
        """As workers are told of them."""
        return asdict(self)


def read_limits(read: Reader, told: object) -> LimitSettings:
    """`limits` of the file."""
    path, usual = "$.limits", LimitSettings()
    table = read.table(
        told,
        path,
        {
            "header_bytes",
            "headers",
            "target_bytes",
            "response_header_bytes",
            "head_seconds",
            "idle_seconds",
            "body_seconds",
            "body_bytes",
            "max_connections",
            "max_connections_per_client",
        },
    )

    def whole(key: str, default: int, low: int, high: int) -> int:
        return read.whole(table.get(key, default), f"{path}.{key}", low, high)

    def number(key: str, default: float, low: float, high: float) -> float:
        return read.number(table.get(key, default), f"{path}.{key}", low, high)

    found = LimitSettings(
        # Not less than what is read in one pass, and than what RFC 9110 wants every server to take.
        header_bytes=whole("header_bytes", usual.header_bytes, 12_288, 1_048_576),
        headers=whole("headers", usual.headers, 100, 1000),
        target_bytes=whole("target_bytes", usual.target_bytes, 8192, 65_536),
        response_header_bytes=whole("response_header_bytes", usual.response_header_bytes, 8192, 1_048_576),
        head_seconds=number("head_seconds", usual.head_seconds, 0.2, 300),
        idle_seconds=number("idle_seconds", usual.idle_seconds, 0.2, 3600),
        body_seconds=number("body_seconds", usual.body_seconds, 0.2, 3600),
        body_bytes=whole("body_bytes", usual.body_bytes, 0, 1_048_576),
        max_connections=whole("max_connections", 0, 0, 10_000_000),
        max_connections_per_client=whole("max_connections_per_client", 0, 0, 10_000_000),
    )
    if found.target_bytes > found.header_bytes:
        read.wrong(f"{path}.target_bytes", found.target_bytes, f"at most header_bytes, {found.header_bytes}")
    return found
