"""The access log: one JSON line a request, written in batches, never with a query, cookie or credential."""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path

log = logging.getLogger(__name__)


class AccessLog:
    """Appends to a file that several workers share; whole lines in one write each batch."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lines: list[str] = []
        self._file: int | None = None
        self.reopen()

    def reopen(self) -> None:
        """Open the file anew, after logrotate moved it."""
        self.flush()
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._path is None:
            return
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        except OSError as error:
            log.error("access log %s: %s; requests go on unlogged", self._path, error)

    def add(self, **fields: object) -> None:
        if self._file is not None:
            ts = datetime.now(UTC).isoformat(timespec="milliseconds")
            self._lines.append(json.dumps({"ts": ts, **fields}, separators=(",", ":")))

    def flush(self) -> None:
        if self._lines and self._file is not None:
            try:
                os.write(self._file, ("\n".join(self._lines) + "\n").encode())
            except OSError as error:
                log.error("access log %s: %s", self._path, error)
        self._lines.clear()
