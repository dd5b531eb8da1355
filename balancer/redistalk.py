"""The balancer's side of Redis: opened when users are served, and anew with other settings."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from balancer.redisdoor import RedisDoor
    from balancer.supervisor import Supervisor


class RedisTalk:
    """A door while the file has one; what is asked of it without one has no effect."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._door: RedisDoor | None = None
        self._running: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Talk to the servers of the file, and to no others. They are told all alerts that stand."""
        self.close()
        if self._supervisor.config.redis is not None:
            # Not at the top: it takes longer to load than all the rest, and users are served by now.
            from balancer.redisdoor import RedisDoor

            self._door = RedisDoor(self._supervisor.config.redis, self._supervisor)
            self._running = asyncio.ensure_future(self._door.run())

    def close(self) -> None:
        """The keys of canaries stay until they expire: a balancer that starts again goes on with them."""
        if self._running is not None:
            self._running.cancel()
        self._door = self._running = None

    def write_soon(self) -> None:
        """Alerts or weights may be others than those that were told."""
        if self._door is not None:
            self._door.write_soon()

    @property
    def state(self) -> str:
        """`off`, `connected` while alerts are heard of, or `disconnected`."""
        if self._door is None:
            return "off"
        return "connected" if self._door.connected else "disconnected"

    def servers(self) -> dict[str, dict[str, Any]]:
        """Server to what it is and what it is used for."""
        return self._door.status() if self._door is not None else {}

    def failures(self) -> dict[str, int]:
        """How often something went wrong, by what it was for."""
        return self._door.failures() if self._door is not None else {}
