"""How long a request may take, by its parts; each part may be set for each service, live. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from balancer.reader import Reader

# How often the times of a worker's exchanges are looked at; none ends more exactly than that.
TICK_SECONDS = 0.2


@dataclass(frozen=True)
class Timeouts:
    """In seconds; total_seconds None: a request may take as long as something moves."""

    # Backends are near: who has not taken a connection by then will not soon.
    connect_seconds: float = 2.0
    # From the end of the request to the head of its answer.
    response_seconds: float = 60.0
    # Nothing moves in either direction, while a body is on its way.
    idle_seconds: float = 60.0
    total_seconds: float | None = None


DEFAULTS = Timeouts()


@dataclass(frozen=True)
class Late:
    """A time limit that was broken: what the client is told, and whether the backend failed it."""

    status: int
    why: str
    backend_failed: bool


def read_timeouts(read: Reader, told: object, path: str) -> Timeouts:
    """A service's `timeouts` in the file."""
    known = {"connect_seconds", "response_seconds", "idle_seconds", "total_seconds"}
    table = read.table(told, path, known)

    def number(key: str, default: float, high: float) -> float:
        return read.number(table.get(key, default), f"{path}.{key}", TICK_SECONDS, high)

    total = table.get("total_seconds")
    return Timeouts(
        connect_seconds=number("connect_seconds", DEFAULTS.connect_seconds, 60),
        response_seconds=number("response_seconds", DEFAULTS.response_seconds, 3600),
        idle_seconds=number("idle_seconds", DEFAULTS.idle_seconds, 3600),
        total_seconds=None if total is None else number("total_seconds", 0, 86_400),
    )


def late(
    timeouts: Timeouts,
    seconds: float,
    idle: float,
    sent: bool,
    body_due: bool,
    answered: bool,
    client_slow: bool,
) -> Late | None:
    """
    The time limit that a request has broken, if any.

    seconds, idle
        Since the request began, and since something moved; before the head of the answer only what the
        client sends counts as moving, so that a backend cannot drip its head.
    sent
        A connection to the backend is there.
    body_due
        A part of the request's body is missing, and the client may send it.
    answered
        The head of the answer came.
    client_slow
        The client does not take what it was sent.
    """
    total = timeouts.total_seconds
    waits_for_client = client_slow if answered else body_due
    if total is not None and seconds >= total:
        why = "the request took too long in all"
        return Late(504, why, backend_failed=sent and not waits_for_client)
    if not sent:
        # For how long a connection may take is looked at where it is made.
        return None
    if answered:
        why = "the answer stopped coming"
        return Late(504, why, not client_slow) if idle >= timeouts.idle_seconds else None
    if body_due:
        why = "the request's body stopped coming"
        return Late(408, why, False) if idle >= timeouts.idle_seconds else None
    why = "the backend did not answer in time"
    return Late(504, why, True) if idle >= timeouts.response_seconds else None
