"""Ports of the loopback for what tests start."""

import contextlib
import random
import socket

# Those below what Linux gives to outgoing connections: none of these takes one meanwhile.
FIRST, LAST = 20_000, 32_000
_lately = []


def free_port():
    """A free port, none of those that were given out lately: who got one may not have begun to listen."""
    while True:
        port = random.randrange(FIRST, LAST)
        if port in _lately:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _lately.append(port)
            del _lately[:-1000]
            return port
