"""Ports of the loopback for what tests start."""

import contextlib
import random
import socket


def free_port():
    """A free port below those that Linux gives to outgoing connections: none of them takes it meanwhile."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
