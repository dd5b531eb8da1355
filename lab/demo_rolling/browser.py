"""A user's browser, as far as iTrust needs one: a cookie, forms, and redirects that are followed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from lab import load

# A log-in is four redirects; more are a loop.
MAX_REDIRECTS = 6
# Both lead to a GET of another page: the application says 302, Tomcat after a log-in 303.
REDIRECTS = (302, 303)
# Nobody types a password faster. Tomcat stores the session of a page that it forwarded to only after it has
# sent it: who posts the form in the same moment, to another host, may meet one that knows no session.
TYPING_SECONDS = 1.0
USER, PASSWORD = "9000000001", "pw"
HOME = "/iTrust/auth/hcp/home.jsp"
NOTES = "/iTrust/auth/notes.jsp"
LOGGED_IN = f'<span id="mid">{USER}</span>'.encode()
LOGIN_FORM = b'name="j_password"'


class BadAnswerError(Exception):
    """An answer that a user could not use; its text says what was wrong with it."""


class LoggedOutError(BadAnswerError):
    """Who was logged in is asked for the password again."""


@dataclass
class Browser:
    """One user, who has one request under way at a time, each on a connection of its own."""

    host: str
    port: int
    answer_seconds: float = load.ANSWER_SECONDS
    typing_seconds: float = TYPING_SECONDS
    cookies: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str) -> bytes:
        """The page at the end of the redirects. Raises BadAnswerError."""
        for _ in range(MAX_REDIRECTS):
            status, head, body = await self._ask("GET", path)
            if status not in REDIRECTS:
                return page(status, path, body)
            path = location(head, path)
        raise BadAnswerError(f"{bare(path)}: more than {MAX_REDIRECTS} redirects")

    async def post(self, path: str, **form: str) -> bytes:
        """The page that a form leads to. Raises BadAnswerError."""
        status, head, body = await self._ask("POST", path, urlencode(form))
        return await self.get(location(head, path)) if status in REDIRECTS else page(status, path, body)

    async def log_in(self) -> None:
        """From the first page over the form to one's own page. Raises BadAnswerError."""
        self.cookies.clear()
        if LOGIN_FORM not in await self.get("/iTrust/auth/forwardUser.jsp"):
            raise BadAnswerError("no log-in form")
        await asyncio.sleep(self.typing_seconds)
        found = await self.post("/iTrust/login.jsp", j_username=USER, j_password=PASSWORD)
        if LOGGED_IN not in found:
            raise BadAnswerError("not logged in after the log-in form")

    async def read(self, path: str) -> bytes:
        """A page that only who is logged in sees. Raises LoggedOutError, BadAnswerError."""
        return as_user(await self.get(path), path)

    async def write(self, text: str) -> None:
        """Write a note; when this returns it was acknowledged. Raises LoggedOutError, BadAnswerError."""
        found = as_user(await self.post(NOTES, text=text), NOTES)
        if f'<p id="written">{text}</p>'.encode() not in found:
            raise BadAnswerError("a note was not acknowledged")

    async def _ask(self, method: str, path: str, form: str = "") -> tuple[int, bytes, bytes]:
        """Status, head and content of an answer, its cookies kept."""
        request = self._request(method, path, form)
        try:
            async with asyncio.timeout(self.answer_seconds):
                answer = await load.exchange(self.host, self.port, request)
            head, _, _ = answer.partition(b"\r\n\r\n")
            status, body = int(head.split()[1]), load.content(answer)
        except TimeoutError as error:
            raise BadAnswerError(f"{bare(path)}: no answer within {self.answer_seconds:.0f} s") from error
        except (OSError, ValueError, IndexError) as error:
            raise BadAnswerError(f"{bare(path)}: {type(error).__name__}: {error}") from error
        if is_cut_short(head, body):
            raise BadAnswerError(f"{bare(path)}: {len(body)} bytes, fewer than were promised")
        self._keep_cookies(head)
        return status, head, body

    def _request(self, method: str, path: str, form: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", "Host: itrust.lab", "Connection: close"]
        if self.cookies:
            lines.append("Cookie: " + "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        if method == "POST":
            lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(form)}"]
        return ("\r\n".join(lines) + "\r\n\r\n" + form).encode()

    def _keep_cookies(self, head: bytes) -> None:
        for line in head.decode("latin-1").split("\r\n"):
            name, _, value = line.partition(":")
            if name.lower() == "set-cookie":
                key, _, word = value.split(";")[0].strip().partition("=")
                self.cookies[key] = word


def page(status: int, path: str, body: bytes) -> bytes:
    """The content of a whole page with status 200. Raises BadAnswerError for another one."""
    if status != 200:
        raise BadAnswerError(f"{bare(path)}: status {status}")
    if b"</html>" not in body:
        raise BadAnswerError(f"{bare(path)}: half a page")
    return body


def as_user(body: bytes, path: str) -> bytes:
    """A page that greets the user. Raises LoggedOutError if it asks for the password instead."""
    if LOGIN_FORM in body:
        raise LoggedOutError(f"{bare(path)}: asked for the password again")
    if LOGGED_IN not in body:
        raise BadAnswerError(f"{bare(path)}: does not greet the user")
    return body


def location(head: bytes, path: str) -> str:
    """Where a redirect leads, on the same host. Raises BadAnswerError without a place."""
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "location":
            found = urlsplit(value.strip())
            target = found.path if found.path.startswith("/") else path.rpartition("/")[0] + "/" + found.path
            return target + (f"?{found.query}" if found.query else "")
    raise BadAnswerError(f"{bare(path)}: a redirect to nowhere")


def is_cut_short(head: bytes, body: bytes) -> bool:
    """Whether fewer bytes came than the head promises."""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) != int(line.split(b":")[1])
    return False


def bare(path: str) -> str:
    """A path without its query: the hash of a password may stand there."""
    return path.partition("?")[0]
