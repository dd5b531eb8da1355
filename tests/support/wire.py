"""What comes on a connection."""

import contextlib


def read_all(line):
    """All that comes on a connection until its end; a reset counts as an end."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := line.recv(65536):
            parts.append(part)
    return b"".join(parts)
