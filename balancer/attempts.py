"""Wrong tokens: counted, and too many of them answered shorter. Pure: no clock of its own.

A right token is never refused because of wrong ones: whoever sends those could keep others out.
"""

from __future__ import annotations

import ipaddress

# The doors where a token is asked for.
DOORS = ("api", "alert", "page", "host")
# A person mistypes a few times; a host with an old token comes again and again.
BURST = 30
SECONDS_EACH = 2.0
# All addresses together: what a fleet does whose tokens were all changed at once.
BURST_OVERALL = 300
SECONDS_EACH_OVERALL = 0.2
# More addresses than a fleet has; beyond them only the overall limit counts.
MAX_ADDRESSES = 10_000


class Failures:
    """How many wrong tokens came, by door; and who has to wait for how long."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(DOORS, 0)
        # When all that an address has failed is forgiven.
        self._forgiven: dict[str, float] = {}
        self._all_forgiven = 0.0

    def failed(self, door: str, address: str, now: float) -> float:
        """Note a failure; how many seconds until the next one is within limits, 0 if this one was."""
        self.counts[door] += 1
        key = group(address)
        if key not in self._forgiven and len(self._forgiven) >= MAX_ADDRESSES:
            self._forgiven = {name: until for name, until in self._forgiven.items() if until > now}
        self._all_forgiven, wait = take(self._all_forgiven, now, BURST_OVERALL, SECONDS_EACH_OVERALL)
        if key in self._forgiven or len(self._forgiven) < MAX_ADDRESSES:
            until, own = take(self._forgiven.get(key, 0.0), now, BURST, SECONDS_EACH)
            self._forgiven[key] = until
            wait = max(wait, own)
        return wait


def take(forgiven: float, now: float, burst: int, each: float) -> tuple[float, float]:
    """One failure more: when all is forgiven, and how long to wait (0 if within `burst`)."""
    after = max(forgiven, now) + each
    most = now + burst * each
    # Beyond the limit it does not grow: who stops is heard again soon.
    return (after, 0.0) if after <= most else (max(forgiven, now), after - most)


def group(address: str) -> str:
    """Who counts as one: an IPv4 address, or an IPv6 network, all of which one host may have."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.IPv6Network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address
