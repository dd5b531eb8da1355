"""How a worker ends: nobody is cut off who can be answered, and nothing new goes to a canary unwatched."""

from __future__ import annotations

import array
import asyncio
import fcntl
import termios
from typing import TYPE_CHECKING

from balancer import limits
from balancer.accepting import Accepting

if TYPE_CHECKING:
    from balancer.frontend import Client
    from balancer.worker import Worker

POLL_SECONDS = 0.02


async def leave(worker: Worker, accepting: Accepting, orders: asyncio.Future[None]) -> None:
    """
    Answer for a moment whoever asks and tell them `Connection: close`; then accept nothing more, close what
    is idle, end the line to the supervisor, and finish what is under way.
    """
    worker.stopping = True
    now = worker.clock()
    closing, deadline = now + limits.CLOSING_SECONDS, now + limits.STOP_SECONDS
    while (worker.clients or worker.coming_in) and worker.clock() < closing and not orders.done():
        await asyncio.sleep(POLL_SECONDS)
    accepting.close()
    orders.cancel()
    # Nobody tells of an alert any more, so one is assumed for what is still asked.
    worker.trust_stable_only()
    while (worker.clients or worker.coming_in) and (now := worker.clock()) < deadline:
        for client in list(worker.clients):
            if client.is_quiet_since(now - limits.CLOSING_SECONDS) and not unread_bytes(client):
                client.close_if_idle()
        await asyncio.sleep(POLL_SECONDS)
    # Each is to have its line in the log.
    worker.cut_tunnels(lambda exchange: True)


def unread_bytes(client: Client) -> int:
    """How much the kernel holds that a client sent: a request, perhaps, that came this very moment."""
    if client.transport.is_closing():
        return 0
    count = array.array("i", [0])
    fcntl.ioctl(client.transport.get_extra_info("socket").fileno(), termios.FIONREAD, count)
    return count[0]
