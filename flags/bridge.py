"""Between our own connections and Tornado's handlers: a request goes in, an answer comes out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tornado import httputil
from tornado.web import Application

if TYPE_CHECKING:
    from flags.door import Connection, Request

NO_BODY = frozenset({204, 304})


class Context:
    """What Tornado wants to know of a connection."""

    def __init__(self, remote_ip: str, protocol: str) -> None:
        self.remote_ip, self.protocol = remote_ip, protocol


class Bridge(httputil.HTTPConnection):
    """Tornado's side of one request."""

    def __init__(self, connection: Connection, request: Request, protocol: str) -> None:
        self.connection, self.request = connection, request
        self.context = Context(connection.address, protocol)
        self._status, self._size = 0, 0

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        self.connection.on_close = callback

    def write_headers(
        self,
        start_line: httputil.RequestStartLine | httputil.ResponseStartLine,
        headers: httputil.HTTPHeaders,
        chunk: bytes | None = None,
    ) -> asyncio.Future[None]:
        assert isinstance(start_line, httputil.ResponseStartLine)
        self._status = start_line.code
        if "Content-Length" not in headers and self._status not in NO_BODY:
            # Its end is the end of the connection.
            self.request.fields.keep_alive = False
            self.connection.is_stream = True
        ours = {"Date", "Server", "Cache-Control"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.get_all() if name not in ours)
        self.connection.send_head(self.request, self._status, lines.encode("latin-1"), chunk or b"")
        self._size += len(chunk or b"")
        return done()

    def write(self, chunk: bytes) -> asyncio.Future[None]:
        self._size += len(chunk)
        self.connection.write(chunk)
        return done()

    def finish(self) -> None:
        self.connection.over(self.request, self._status, self._size)


def done() -> asyncio.Future[None]:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future


def hand_on(application: Application, connection: Connection, request: Request, protocol: str) -> None:
    """Have a handler answer. Raises tornado.httputil.HTTPInputError for what Tornado cannot read."""
    fields = request.fields.by_name
    headers = httputil.HTTPHeaders({name.decode(): value.decode("latin-1") for name, value in fields.items()})
    version = f"HTTP/1.{request.minor.decode()}"
    start = httputil.RequestStartLine(request.method.decode(), request.target.decode(), version)
    bridge = Bridge(connection, request, protocol)
    made = httputil.HTTPServerRequest(headers=headers, body=request.body, connection=bridge, start_line=start)
    delegate: Any = application.find_handler(made)
    delegate.execute()
