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

SECOND = '{"ts":"%Y-%m-%dT%H:%M:%S.'
WHO = '+00:00","service":%s,"track":%s,"backend":%s'
# Texts that come again and again are quoted once; no more than these are kept, and none that is longer.
MAX_QUOTED = 4096
MAX_QUOTED_CHARACTERS = 256
# Written at once: tens of kilobytes take some tens of microseconds, and no answer waits longer for the log.
# The ten thousand lines that may come between two ticks would take milliseconds.
MAX_LINES = 256


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
        self._quoted: dict[str, str] = {}
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
        milliseconds = int((now - second) * 1000)
        hundredths = int(ms * 100 + 0.5)
        whole, rest = hundredths // 100, hundredths % 100
        names = (service, track, backend)
        who = self._who.get(names) or self._name(names)
        client, method, path = self._text(client), self._text(method), self._text(path)
        # Put together by hand: `json.dumps` took a tenth of all that a request cost.
        self._lines.append(
            f'{self._begin}{milliseconds:03d}{who},"client":{client},"method":{method},"path":{path},'
            f'"status":{status},"bytes":{bytes},"ms":{whole}.{rest:02d},"id":{quoted(id)}}}\n'
        )
        if len(self._lines) >= MAX_LINES:
            self.flush()

    def _text(self, text: str) -> str:
        """A text as JSON."""
        known = self._quoted.get(text)
        if known is not None:
            return known
        told = quoted(text)
        if len(text) <= MAX_QUOTED_CHARACTERS:
            if len(self._quoted) >= MAX_QUOTED:
                self._quoted.clear()
            self._quoted[text] = told
        return told

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
