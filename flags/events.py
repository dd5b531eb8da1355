"""
Server-Sent Events: whoever listens hears that something changed, and asks again (OFREP, ADR 8).

Events say no more than that, so whoever missed any needs just one: nothing is kept for those who come back.
The format: https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Protocol

from flags.store import Store

# A stream that proxies and readers must not take for dead.
HEARTBEAT_SECONDS = 15.0
# When a reader should come back. Not at once: after a restart all of them do.
RETRY_MS = 2_000
# A flood of changes is one event each so often; the first is told at once.
LEAST_SECONDS = 0.02
# A reader that leaves this much unread is cut off; it comes back and asks for all.
MAX_UNSENT_BYTES = 64 * 1024


class Reader(Protocol):
    """Somebody who listens."""

    @property
    def unsent(self) -> int: ...

    def send(self, data: bytes) -> None: ...

    def cut(self) -> None: ...


class Events:
    """All who listen."""

    def __init__(self, store: Store, most: int) -> None:
        self._store, self._most = store, most
        # Another one for each start: what a reader heard from another process means nothing here.
        self._epoch = secrets.token_hex(4)
        self._readers: set[Reader] = set()
        self._due: asyncio.TimerHandle | None = None
        self._told_at = 0.0
        self.sent = self.dropped = 0
        store.listen(self.changed)

    def __len__(self) -> int:
        return len(self._readers)

    @property
    def is_full(self) -> bool:
        return len(self._readers) >= self._most

    @property
    def id(self) -> str:
        """Of the newest event."""
        return f"{self._epoch}-{self._store.version}"

    def add(self, reader: Reader, last_id: str | None) -> None:
        """From now on it hears of changes, and at once if there were any since `last_id`."""
        self._readers.add(reader)
        reader.send(f"retry: {RETRY_MS}\nid: {self.id}\n\n".encode())
        if last_id is not None and last_id != self.id:
            reader.send(self._event())

    def remove(self, reader: Reader) -> None:
        self._readers.discard(reader)

    def changed(self) -> None:
        """Tell all, now or as soon as it is time."""
        if self._due is not None or not self._readers:
            return
        loop = asyncio.get_running_loop()
        wait = max(0.0, self._told_at + LEAST_SECONDS - loop.time())
        # Not at once in any case: what changed together is one change.
        self._due = loop.call_later(wait, self._tell)

    def _tell(self) -> None:
        self._due = None
        self._told_at = asyncio.get_running_loop().time()
        self._send(self._event())
        self.sent += 1

    def _event(self) -> bytes:
        data = {
            "type": "refetchEvaluation",
            "etag": self._store.fingerprint,
            "lastModified": int(self._store.changed_at),
        }
        return f"id: {self.id}\nevent: message\ndata: {json.dumps(data)}\n\n".encode()

    def _send(self, data: bytes) -> None:
        for reader in [*self._readers]:
            if reader.unsent > MAX_UNSENT_BYTES:
                self.dropped += 1
                self._readers.discard(reader)
                reader.cut()
            else:
                reader.send(data)

    async def beat(self) -> None:
        """Say now and then that the stream is alive."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            self._send(b": still here\n\n")

    def stop(self) -> None:
        if self._due is not None:
            self._due.cancel()
        for reader in [*self._readers]:
            self._readers.discard(reader)
            reader.cut()
