"""The access log: one JSON line a request, written in batches, never with a query, cookie or credential."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path

log = logging.getLogger(__name__)

# One format instead of `json.dumps` for every request: that took a tenth of all a request costs here.
LINE = '%s%03d%s,"client":%s,"method":%s,"path":%s,"status":%d,"bytes":%d,"ms":%.2f,"id":%s}\n'
SECOND = '{"ts":"%Y-%m-%dT%H:%M:%S.'
WHO = '+00:00","service":%s,"track":%s,"backend":%s'


class AccessLog:
    """Appends to a file that several workers share; whole lines in one write each batch."""

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._lines: list[str] = []
        self._file: int | None = None
        # The beginning of a line within this second, and what says who answered: few texts, often needed.
        self._second = -1
        self._begin = ""
        self._who: dict[tuple[str, str, str], str] = {}
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

    def add(
        self,
        *,
        service: str,
        track: str,
        backend: str,
        client: str,
        method: str,
        path: str,
        status: int,
        bytes: int,
        ms: float,
        id: str,
    ) -> None:
        """Take down a request that ended now; the fields are told in docs/reference/balancer.md."""
        if self._file is None:
            return
        now = self._clock()
        second = int(now)
        if second != self._second:
            self._second, self._begin = second, datetime.fromtimestamp(second, UTC).strftime(SECOND)
        names = (service, track, backend)
        who = self._who.get(names) or self._name(names)
        self._lines.append(
            LINE
            % (
                self._begin,
                (now - second) * 1000,
                who,
                quoted(client),
                quoted(method),
                quoted(path),
                status,
                bytes,
                ms,
                quoted(id),
            )
        )

    def _name(self, names: tuple[str, str, str]) -> str:
        """The part of a line that says who answered."""
        who = self._who[names] = WHO % tuple(map(quoted, names))
        return who

    def flush(self) -> None:
        if self._lines and self._file is not None:
            try:
                os.write(self._file, "".join(self._lines).encode())
            except OSError as error:
                log.error("access log %s: %s", self._path, error)
        self._lines.clear()
