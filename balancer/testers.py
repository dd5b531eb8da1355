"""Testers: who asks for a track by a header or a cookie, from where it is allowed, gets it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from balancer.affinity import COOKIE_NAME, values_of
from balancer.networks import Networks, read_networks
from balancer.reader import Reader
from balancer.request import HOP_BY_HOP, NOT_FORWARDED

HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
# Without these a request is another one, or none.
NEEDED = ("host", "content-length", "transfer-encoding", "cookie", "authorization", "expect", "range")


@dataclass(frozen=True)
class Testers:
    """By which header and cookie testers tell their track, and from which networks."""

    header: str | None
    cookie: str | None
    networks: tuple[str, ...]


def read_testers(read: Reader, told: object, path: str) -> Testers:
    """`{"header": "X-Track", "cookie": "track", "from": ["10.0.0.0/8"]}`."""
    table = read.table(told, path, {"header", "cookie", "from"})
    if not {"header", "cookie"} & set(table):
        read.mistakes.append(f"{path}: has neither header nor cookie, want one at least")
    if table.get("from") == []:
        read.mistakes.append(f"{path}.from: is empty, want the networks that testers ask from")
    want = "a name of letters, digits and - that no other use has"
    return Testers(
        header=read.text(table["header"], f"{path}.header", want, _is_free) if "header" in table else None,
        cookie=read.text(table["cookie"], f"{path}.cookie", "a cookie's name", COOKIE_NAME.fullmatch)
        if "cookie" in table
        else None,
        networks=read_networks(read, table.get("from"), f"{path}.from"),
    )


def _is_free(name: str) -> bool:
    lower = name.lower()
    taken = lower in NEEDED or lower.encode() in HOP_BY_HOP | NOT_FORWARDED
    return HEADER.fullmatch(name) is not None and not taken


class Wishes:
    """What testers of one service may wish, as a worker sees it."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.header = (told["header"] or "").lower().encode()
        self._cookie = (told["cookie"] or "").encode()
        self._networks = Networks(told["from"])

    def wish(self, said: list[bytes], cookies: list[bytes], address: bytes) -> str:
        """
        The track that a request asks for, and may; else nothing. `said`: the values of the testers' header,
        which goes before the cookie; `cookies`: the values of Cookie headers.
        """
        values = said
        if not values and self._cookie:
            values = values_of(cookies, self._cookie)
        # Asked for twice, it is not known which: as if not asked.
        if len(values) != 1 or values[0] not in (b"canary", b"stable") or not self._networks.hold(address):
            return ""
        return values[0].decode()
