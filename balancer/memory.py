"""Memory that was freed and that the C library keeps goes back to the system now and then.

TLS needs buffers of 256 KiB for a connection. Between small things that stay they leave holes, and a worker
with many short TLS connections grew by 1 MB a minute, though no object of it was left: measured by
`make soak`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

# Giving back 15 MB takes a few milliseconds: too long for every second, and nobody's latency once a minute.
GIVE_BACK_SECONDS = 60.0


def _malloc_trim() -> Callable[[int], int] | None:
    """glibc's malloc_trim(3); other C libraries have none."""
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found


MALLOC_TRIM = _malloc_trim()


def give_back() -> None:
    if MALLOC_TRIM is not None:
        MALLOC_TRIM(0)
