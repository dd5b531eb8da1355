"""The last known flags on disk, for a start while no Redis answers."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flags.store import MAX_FLAGS, Raw, Store, is_name

log = logging.getLogger(__name__)

# Written so long after a change at the soonest: a flood of changes is a few writes.
WRITE_SECONDS = 2.0
# And so often without one, so that a start knows how old the data are.
REFRESH_SECONDS = 60.0
# All flags with a document of some kilobytes each; more is not kept.
MAX_BYTES = 64 * 1024 * 1024


class Snapshot:
    """A file, replaced whole."""

    def __init__(self, path: Path, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._store, self._clock = path, store, clock
        self._changed = asyncio.Event()
        # Why the last write failed; empty if it did not.
        self.error = ""
        store.listen(self._changed.set)

    def load(self) -> None:
        """Have in the store what the file has. One that cannot be used is told in the log and left out."""
        try:
            with open(self._path, "rb") as file:
                raw = file.read(MAX_BYTES + 1)
            raws, confirmed_at = parse(raw)
        except FileNotFoundError:
            return
        except (OSError, ValueError, RecursionError) as error:
            log.error("%s: %s; starting without it", self._path, error)
            return
        self._store.replace(raws)
        if confirmed_at is not None:
            self._store.confirm(self._clock() - max(0.0, time.time() - confirmed_at))
        log.info("%d flags are known from %s", len(raws), self._path)

    async def run(self) -> None:
        """Write after changes, and now and then."""
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            try:
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                pass
            if self._store.is_loaded:
                await asyncio.to_thread(self._keep, self._told())

    def write(self) -> None:
        """Replace the file now, if there is anything to keep."""
        if self._store.is_loaded:
            self._keep(self._told())

    def _keep(self, raw: bytes) -> None:
        try:
            if len(raw) > MAX_BYTES:
                raise OSError(f"{len(raw)} bytes are more than {MAX_BYTES}")
            self._replace(raw)
        except OSError as error:
            if not self.error:
                log.error("%s: %s; a restart without Redis would not know these flags", self._path, error)
            self.error = str(error)
            return
        self.error = ""

    def _told(self) -> bytes:
        self._changed.clear()
        age = self._store.age()
        flags = {name: [one.raw.value, one.raw.document] for name, one in self._store.flags.items()}
        confirmed = round(time.time() - age, 3) if math.isfinite(age) else None
        return json.dumps({"confirmed_at": confirmed, "flags": flags}).encode()

    def _replace(self, raw: bytes) -> None:
        fresh = self._path.with_suffix(".new")
        number = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(number, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(number)
        fresh.replace(self._path)


def parse(raw: bytes) -> tuple[dict[str, Raw], float | None]:
    """Flags, and when they were last known to be right (epoch seconds). Raises ValueError."""
    if len(raw) > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES} bytes")
    told: Any = json.loads(raw)
    flags = told.get("flags") if isinstance(told, dict) else None
    if not isinstance(flags, dict) or len(flags) > MAX_FLAGS:
        raise ValueError("is no snapshot of flags")
    at = told.get("confirmed_at")
    confirmed_at = float(at) if isinstance(at, (int, float)) and math.isfinite(at) else None
    return {name: _raw(name, row) for name, row in flags.items()}, confirmed_at


def _raw(name: str, row: object) -> Raw:
    if not (is_name(name) and isinstance(row, list) and len(row) == 2):
        raise ValueError(f"has a flag that is none: {ascii(name)[:80]}")
    value, document = row
    if not (isinstance(value, (str, type(None))) and isinstance(document, (str, type(None)))):
        raise ValueError(f"has a flag that is none: {ascii(name)[:80]}")
    return Raw(value, document)
