"""An independent reading of HTTP/1.1, by h11, and what a proxy must make of what was read."""

import dataclasses

import h11

# RFC 9110, 7.6.1, written down here once more: the tests do not ask the balancer what it drops.
OF_THE_HOP = {
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"http2-settings",
}
OF_THE_PROXY = {
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-forwarded-prefix",
    b"x-real-ip",
    b"forwarded",
    b"via",
    b"x-request-id",
}
# Families of which no trailer goes on (docs/explanation/http.md), those of them that begin with `x-`.
FAMILIES_OF_A_HEAD = (b"x-forwarded-", b"x-http-method", b"x-original-", b"x-rewrite-", b"x-sluice-")
LIMIT = 2**20
NO_LINE = "no request line received"


@dataclasses.dataclass
class Reading:
    """One request as h11 reads it; names of headers are in small letters."""

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = dataclasses.field(default_factory=list)

    def all(self, name):
        return [value for key, value in self.headers if key == name]

    def end_to_end(self):
        """What a proxy must pass on of it, and nothing else, in order."""
        named = {word.strip().lower() for value in self.all(b"connection") for word in value.split(b",")}
        named -= {b"host", b"content-length"}
        kept = []
        for name, value in self.headers:
            plain = name.replace(b"_", b"-")
            disguised = plain != name and plain in OF_THE_HOP | OF_THE_PROXY | {b"content-length"}
            if name not in OF_THE_HOP | OF_THE_PROXY | named and not disguised:
                kept.append((name, value))
        return kept

    def harmless_trailers(self):
        """Those of its trailers that mean nothing to anyone but the two ends, in order."""
        named = {word.strip().lower() for value in self.all(b"connection") for word in value.split(b",")}
        return [
            (name, value)
            for name, value in self.trailers
            if name.startswith(b"x-")
            and not name.startswith(FAMILIES_OF_A_HEAD)
            and name not in OF_THE_PROXY | named
            and b"_" not in name
        ]

    def path_target(self):
        """The target as a backend wants it: without scheme and host."""
        if self.target.lower().startswith(b"http://"):
            return b"/" + self.target[7:].partition(b"/")[2]
        return self.target


class Reader:
    """Reads requests from a connection as bytes come; `broken` says why it gave up."""

    def __init__(self):
        self._fresh()
        self._skipped = False
        self._now = None
        self.whole = []
        self.broken = None

    def _fresh(self):
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=LIMIT)

    @property
    def partial(self):
        """The request whose end has not come."""
        return self._now

    def feed(self, data):
        """Take bytes; the requests that are whole now."""
        before = len(self.whole)
        try:
            self._h11.receive_data(data)
            while self.broken is None and self._step():
                pass
        except h11.RemoteProtocolError as error:
            self.broken = str(error)
            rest = self._h11.trailing_data[0]
            if self.broken == NO_LINE and not self._skipped:
                # RFC 9112, 2.2: one empty line before a request is to be ignored; h11 does not.
                self.broken, self._skipped = None, True
                self._fresh()
                self.feed(rest)
        return self.whole[before:]

    def _step(self):
        event = self._h11.next_event()
        if isinstance(event, h11.Request):
            self._skipped = False
            self._now = Reading(event.method, event.target, list(event.headers))
        elif isinstance(event, h11.Data):
            self._now.body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            self._now.trailers = list(event.headers)
            self.whole.append(self._now)
            self._now = None
            # h11 goes on with the next request only after an answer, one that takes up no Upgrade or CONNECT.
            self._h11.send(h11.Response(status_code=404, headers=[(b"Content-Length", b"0")]))
            self._h11.send(h11.EndOfMessage())
            if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
                self.broken = "the connection is to be closed"
            else:
                self._h11.start_next_cycle()
        else:
            return False
        return True


def read(data):
    """The requests in these bytes, as far as h11 reads them."""
    reader = Reader()
    reader.feed(data)
    return reader.whole
