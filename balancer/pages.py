"""The page for people: its files, and how one logs in and out. What it shows and orders is the API's."""

from __future__ import annotations

import hashlib
import time
from functools import cache
from importlib import resources

from tornado.web import HTTPError, RequestHandler

from balancer.api import Api, Open
from balancer.gate import cookie_of, session_name
from balancer.sessions import LIFE_SECONDS
from balancer.tokens import ADMIN

# Nothing but the page's own files and calls: no inline script or style, no frame around it, no other host.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class PageFile(Open):
    """GET / and /page/FILE: the same for everybody, with nothing in them to know."""

    async def get(self, name: str = "page.html") -> None:
        found = page_file(name)
        if found is None:
            raise HTTPError(404, reason="no such path")
        content, tag = found
        self.set_header("Content-Type", TYPES[name.rpartition(".")[2]])
        # Asked for anew each time: after an upgrade nobody works with the script of before.
        self.set_header("Cache-Control", "no-cache")
        self.set_header("ETag", tag)
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Cross-Origin-Opener-Policy", "same-origin")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        if self.check_etag_header():
            self.set_status(304)
            return
        self.finish(content)


class Login(Api):
    """POST /page/login: the admin token for a session."""

    def prepare(self) -> None:
        self.check_host()
        self.check_origin()

    async def post(self) -> None:
        token = self.body_of(token=str).get("token", "")
        who = self.gate.tokens.holder(f"Bearer {token}")
        if who is None:
            self.refuse("this is not the admin token")
        if who != ADMIN or self.gate.sessions is None:
            raise HTTPError(403, reason="this token may only raise alerts")
        opened = self.gate.sessions.start(token, time.monotonic())
        self.set_cookie(
            cookie_of(self.request), opened.name, httponly=True, samesite="Strict", max_age=int(LIFE_SECONDS)
        )
        self.who, self.via = ADMIN, "page"
        self.log_change("login")
        self.finish({"key": opened.key, "seconds": LIFE_SECONDS})


class Logout(Api):
    """POST /page/logout: the session is over, in every tab."""

    async def post(self) -> None:
        if self.gate.sessions is not None:
            self.gate.sessions.end(session_name(self.request))
        self.clear_cookie(cookie_of(self.request))
        self.log_change("logout")
        self.finish({})


@cache
def page_file(name: str) -> tuple[bytes, str] | None:
    """A file of the page and its ETag; None if there is none of this name."""
    folder = resources.files("balancer").joinpath("page")
    if name not in {entry.name for entry in folder.iterdir()}:
        return None
    content = folder.joinpath(name).read_bytes()
    return content, f'"{hashlib.sha256(content).hexdigest()[:16]}"'


def page_routes() -> list[tuple[str, type[RequestHandler]]]:
    return [
        (r"/", PageFile),
        (r"/page/login", Login),
        (r"/page/logout", Logout),
        (r"/page/([a-z]+\.(?:html|css|js|svg))", PageFile),
    ]
