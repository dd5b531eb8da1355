"""What users ask for, and what is wrong with an answer."""

import itertools
import os
from dataclasses import dataclass, field

from tests.soak.content import content, digest

# A proxy may send these again as long as no body went out (RFC 9110, 9.2.2).
SAFE_TO_REPEAT = {"GET", "HEAD", "PUT", "DELETE"}
_ids = itertools.count()
_run = os.urandom(4).hex()


@dataclass
class Asked:
    """One request of a user and what came of it; times are monotonic seconds."""

    id: str
    kind: str
    method: str
    port: int
    began: float
    repeatable: bool
    ended: float = 0.0
    status: int = 0
    backend: str = ""
    # What was wrong, and the beginning of the body of an answer that was not wanted.
    problem: str = ""
    text: str = ""
    # The request on the same connection whose failure ended this one as well.
    behind: "Asked | None" = None
    # The backend was told to answer with 500.
    bad_on_purpose: bool = False
    # Who has a cookie by which he stays on his track.
    user: str = ""


@dataclass
class Want:
    """One request to be sent, as bytes, and what the answer must be."""

    method: str
    path: str = "/answer"
    size: int = 0
    how: str = "sized"
    pause: float = 0.0
    body: bytes = b""
    chunked: bool = False
    version: str = "1.1"
    headers: tuple = ()
    # The cookies that the backend must see.
    cookies: str = ""
    id: str = field(default_factory=lambda: f"soak-{_run}-{next(_ids)}")

    @property
    def repeatable(self):
        return self.method in SAFE_TO_REPEAT and not self.body

    @property
    def head(self):
        target = f"{self.path}?size={self.size}&how={self.how}&pause={self.pause}"
        lines = [f"{self.method} {target} HTTP/{self.version}", "Host: shop.test", f"X-Request-Id: {self.id}"]
        lines += self.headers
        if self.chunked:
            lines.append("Transfer-Encoding: chunked")
        elif self.body or self.method in ("POST", "PUT"):
            lines.append(f"Content-Length: {len(self.body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def pieces(self, size=16 * 1024):
        """The body as it goes over the line."""
        for start in range(0, len(self.body), size):
            part = self.body[start : start + size]
            yield b"%x\r\n%b\r\n" % (len(part), part) if self.chunked else part
        if self.chunked:
            yield b"0\r\n\r\n"

    @property
    def raw(self):
        return self.head + b"".join(self.pieces())

    def problem(self, answer):
        """What is wrong with an answer; empty if nothing is."""
        told = answer.headers
        if answer.status != 200:
            return f"status {answer.status}"
        if told.get("x-id") != self.id:
            return f"the answer of another request: {told.get('x-id')}"
        if told.get("x-body") != f"{len(self.body)} {digest(self.body)}":
            return f"the backend got another body: {told.get('x-body')}, {len(self.body)} bytes were sent"
        if told.get("x-cookie", "") != self.cookies:
            return f"the backend got other cookies: {told.get('x-cookie')}, want {self.cookies}"
        if "Expect: 100-continue" in self.headers and 100 not in answer.interim:
            return "no 100 Continue"
        body = b"" if self.method == "HEAD" else content(self.id, self.size)
        if (answer.size, answer.checksum) != (len(body), digest(body)):
            return f"another body than the backend's: {answer.size} bytes of {len(body)}"
        return ""
