"""The access log: one JSON line a request, never with a context, a query or a token."""

from __future__ import annotations

from datetime import UTC, datetime

from balancer.accesslog import MAX_LINES, SECOND, AccessLog


class RequestLog(AccessLog):
    """Lines of the flag service."""

    def note(
        self, reader: str, client: str, method: str, path: str, status: int, size: int, ms: float
    ) -> None:
        """Take down a request that was answered; the fields are told in docs/reference/flag-service.md."""
        if self._file is None:
            return
        now = self._clock()
        second = int(now)
        if second != self._second:
            self._second, self._begin = second, datetime.fromtimestamp(second, UTC).strftime(SECOND)
        whole, text = int((now - second) * 1000), self._text
        self._lines.append(
            f'{self._begin}{whole:03d}+00:00","reader":{text(reader)},"client":{text(client)},'
            f'"method":{text(method)},"path":{text(path)},"status":{status},"bytes":{size},"ms":{ms:.2f}}}\n'
        )
        if len(self._lines) >= MAX_LINES:
            self.flush()
