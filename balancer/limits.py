"""
Limits of the data plane, each with the reason for its value.

Those that the file may set are the defaults of `Limits`; `now` has the ones in force in this process.
"""

from __future__ import annotations

from typing import Any

# Browsers send at most about 16 kB of cookies; twice that with everything else is an attack or a defect.
MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 128
# RFC 9110, 4.1 recommends to support at least 8000 octets.
MAX_TARGET_BYTES = 8 * 1024
# A backend's head may be larger than a client's (many cookies set at once), but not endless.
MAX_RESPONSE_HEAD_BYTES = 128 * 1024
# A person's browser sends its header at once; who needs longer holds a connection for its own sake.
HEAD_SECONDS = 10.0
IDLE_SECONDS = 75.0
# A body's least pace, 50 bytes a second: a tenth of the slowest mobile network. Measured over so long a time
# that a tunnel or a lift ends no upload.
BODY_SECONDS = 30.0
BODY_BYTES = 1500
# File descriptors of a worker that are not for connections of clients and backends: log, sockets, channel.
OTHER_FILES = 128
# What comes before HTTP is a few round trips, from a phone in a tunnel as well.
HANDSHAKE_SECONDS = 10.0
# Connections of a worker on their way in at a time: more than come in good faith in 10 s.
MAX_COMING_IN = 4096
# After an answer that came before the end of its request, what the client still sends is thrown away for
# so long: a reset at once would take the answer from it (RFC 9112, 9.6).
LINGER_SECONDS = 2.0
# Shorter than what servers keep idle connections by default (nginx 75 s, node 5 s is the exception the
# retry covers), so that they rarely close one that was just chosen.
UPSTREAM_IDLE_SECONDS = 30.0
# A request that must not be sent twice takes only a connection that no server can have given up yet: node,
# the most impatient, closes after 5 s.
UNREPEATABLE_IDLE_SECONDS = 2.0
# A client that closed its half may wait for the rest of its answer, or be gone: only writing to it tells. If
# nothing comes to write for this long, as between two events, it is taken for gone.
HALF_CLOSED_SECONDS = 5.0
# How much of a request's body waits in memory for its connection.
MAX_WAITING_BYTES = 64 * 1024
# Idle connections kept to one backend by one worker.
MAX_IDLE_PER_BACKEND = 256
# A copy of a request, from its beginning to the end of its answer: who takes longer counts as too slow.
MIRROR_SECONDS = 10.0
# Of the answer to a copy so much is read: enough for any page, and no download or endless stream.
MIRROR_BYTES = 8 * 1024 * 1024
# A backend that refused a connection is left alone by this worker for so long.
SUSPECT_SECONDS = 1.0
# A balancer that stops goes on for so long: what is asked on connections that are open is answered, with
# `Connection: close`. Busy clients ask several times a second; for the others it is closed while it is idle.
CLOSING_SECONDS = 1.0
# Requests under way may finish for this long when the balancer stops.
STOP_SECONDS = 30.0


class Limits:
    """The limits that the file may set, as they are in force; read at each use, so that a change is live."""

    __slots__ = (
        "body_bytes",
        "body_seconds",
        "head_seconds",
        "header_bytes",
        "headers",
        "idle_seconds",
        "max_connections",
        "max_connections_per_client",
        "response_header_bytes",
        "target_bytes",
    )

    def __init__(self) -> None:
        self.header_bytes = MAX_HEAD_BYTES
        self.headers = MAX_HEADERS
        self.target_bytes = MAX_TARGET_BYTES
        self.response_header_bytes = MAX_RESPONSE_HEAD_BYTES
        self.head_seconds = HEAD_SECONDS
        self.idle_seconds = IDLE_SECONDS
        self.body_seconds = BODY_SECONDS
        self.body_bytes = BODY_BYTES
        self.max_connections = 0
        self.max_connections_per_client = 0

    def take_over(self, told: dict[str, Any]) -> None:
        """Other limits are in force: `limitsfile.LimitSettings.told()`."""
        self.header_bytes = told["header_bytes"]
        self.headers = told["headers"]
        self.target_bytes = told["target_bytes"]
        self.response_header_bytes = told["response_header_bytes"]
        self.head_seconds = told["head_seconds"]
        self.idle_seconds = told["idle_seconds"]
        self.body_seconds = told["body_seconds"]
        self.body_bytes = told["body_bytes"]
        self.max_connections = told["max_connections"]
        self.max_connections_per_client = told["max_connections_per_client"]


now = Limits()
