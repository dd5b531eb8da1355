"""
A proxy of RequestHandler and AsyncHTTPClient, the way it is first written with Tornado.

`python -m bench.balancer.tornado_proxy PORT ADMIN STABLE CANARY WORKERS LOG`. Bodies are buffered, both ways.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.process import fork_processes
from tornado.web import Application, RequestHandler

# The default of 10 would be the bottleneck at 64 connections. Each may hold a whole body.
MAX_CLIENTS = 100
MAX_BODY_BYTES = 16 * 1024 * 1024
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class Track:
    """One backend and what is known of it."""

    def __init__(self, port: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.up = True
        self.requests = 0


class Proxy(RequestHandler):
    """Fetches what was asked for and answers with it."""

    def initialize(self, tracks: list[Track]) -> None:
        self.tracks = tracks

    async def get(self, *_: Any) -> None:
        up = [track for track in self.tracks if track.up]
        if not up:
            self.send_error(503)
            return
        track = random.choices(self.tracks, (70, 30))[0]
        track = track if track.up else up[0]
        headers = {"X-Forwarded-For": self.request.remote_ip or "", "Host": self.request.host}
        answer = await AsyncHTTPClient().fetch(
            f"{track.url}{self.request.uri}", headers=headers, raise_error=False
        )
        track.requests += 1
        self.set_status(answer.code)
        for name, value in answer.headers.get_all():
            if name.lower() not in HOP_BY_HOP:
                self.set_header(name, value)
        self.finish(answer.body)


class Metrics(RequestHandler):
    """What was counted."""

    def initialize(self, tracks: list[Track]) -> None:
        self.tracks = tracks

    def get(self) -> None:
        for track in self.tracks:
            self.write(f'requests_total{{track="{track.url}"}} {track.requests}\n')


async def check(tracks: list[Track]) -> None:
    """Ask every backend once a second."""
    while True:
        for track in tracks:
            try:
                await AsyncHTTPClient().fetch(f"{track.url}/health", request_timeout=1.0)
                track.up = True
            except (HTTPClientError, OSError):
                track.up = False
        await asyncio.sleep(1)


def main(argv: list[str]) -> None:
    port, admin, stable, canary, workers, log = argv
    logging.basicConfig(filename=log, level=logging.INFO, format="%(asctime)s %(message)s")
    sockets = bind_sockets(int(port), "127.0.0.1", backlog=4096)
    number = fork_processes(int(workers)) if int(workers) > 1 else 0
    tracks = [Track(stable), Track(canary)]

    async def serve() -> None:
        AsyncHTTPClient.configure(None, max_clients=MAX_CLIENTS, max_body_size=MAX_BODY_BYTES)
        HTTPServer(Application([(r"/.*", Proxy, {"tracks": tracks})])).add_sockets(sockets)
        if number == 0:
            Application([(r"/metrics", Metrics, {"tracks": tracks})]).listen(int(admin), "127.0.0.1")
        await check(tracks)

    asyncio.run(serve())


if __name__ == "__main__":
    main(sys.argv[1:])
