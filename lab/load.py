"""A bounded load generator that trusts no answer: every one is checked for status, body and version.

Open loop: requests start at a fixed rate whatever the answers do, each on a connection of its own, as from
that many different users.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lab.errors import LabError

# An answer that takes longer is a failed request: no user waits so long.
ANSWER_SECONDS = 10.0
# At 1000 requests per second this is ten minutes; nothing here runs longer.
MAX_REQUESTS = 600_000
VERSION_HEADER = b"x-checkbox-version:"
PNG = b"\x89PNG\r\n\x1a\n"
# The largest answer asked for is a page of a few kilobytes.
MAX_ANSWER_BYTES = 1_000_000
# Requests that wait for an answer at one time: far more than any healthy service leaves waiting, and no more
# than a process may have files.
MAX_UNDER_WAY = 800


@dataclass(frozen=True)
class Answer:
    """
    One request: when it started and ended (seconds since the epoch), who answered, what was wrong; and which
    of several good answers it was, if its check tells them apart.
    """

    started: float
    ended: float
    version: str
    problem: str | None
    kind: str = ""


@dataclass(frozen=True)
class Check:
    """One kind of request, and what its answer must be."""

    request: bytes
    status: bytes
    good: Callable[[bytes], bool]
    kind: Callable[[bytes], str] = lambda body: ""


def _has_studies(body: bytes) -> bool:
    return isinstance(json.loads(body).get("studies"), list)


def get(path: str, good: Callable[[bytes], bool], kind: Callable[[bytes], str] = lambda body: "") -> Check:
    head = (
        f"GET {path} HTTP/1.1\r\nHost: checkbox.lab\r\nUser-Agent: sluice-load\r\nConnection: close\r\n\r\n"
    )
    return Check(head.encode(), b"200", good, kind)


def post(path: str, told: dict[str, object], good: Callable[[bytes], bool]) -> Check:
    body = json.dumps(told).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: checkbox.lab\r\nUser-Agent: sluice-load\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return Check(head.encode() + body, b"200", good)


STUDY: dict[str, object] = {"invitecode": "RESEARCH", "name": "demo", "studyKind": "survey"}
PICTURE = get("/getPic", lambda body: body.startswith(PNG))
PAGE = get("/", lambda body: b"</html>" in body)
LISTING = get("/api/study/listing", _has_studies)
CREATE = post("/api/study/create", STUDY, lambda body: "admin_url" in json.loads(body))
# One round of what users do: mostly looking, now and then the database, one write in 120 requests: a listing
# tells of all studies ever made, and must stay cheap for as long as the load lasts.
LOOKING = (*(PICTURE, PAGE) * 9, LISTING, *(PICTURE, PAGE) * 10)
CHECKBOX = (*LOOKING, LISTING, *LOOKING, LISTING, *LOOKING, CREATE)


@dataclass
class Load:
    """
    Requests at `rate` per second to `host:port`, from `start()` to `stop()`.

    network
        The lab's network; any other target than it or loopback is refused.
    versions
        Who may answer; the answer of any other version is a failure. Default: any that gives its name.
    """

    host: str
    port: int
    rate: float
    network: ipaddress.IPv4Network
    checks: tuple[Check, ...] = CHECKBOX
    versions: frozenset[str] | None = None
    answers: list[Answer] = field(default_factory=list)
    # How long a user waits.
    answer_seconds: float = ANSWER_SECONDS

    def __post_init__(self) -> None:
        if not is_allowed(self.host, self.network):
            raise LabError(
                f"{self.host} is neither loopback nor in the lab's network {self.network}: no load on it"
            )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Start no more requests and wait for those under way."""
        self._stop.set()
        self._thread.join(self.answer_seconds + 5)

    async def _run(self) -> None:
        begun = time.monotonic()
        under_way: set[asyncio.Task[None]] = set()
        for number in range(MAX_REQUESTS):
            # Also when it is late: the answers must be taken meanwhile.
            await asyncio.sleep(max(0.0, begun + number / self.rate - time.monotonic()))
            if self._stop.is_set():
                break
            if len(under_way) >= MAX_UNDER_WAY:
                now = time.time()
                self.answers.append(Answer(now, now, "", f"{MAX_UNDER_WAY} requests wait for an answer"))
                continue
            task = asyncio.ensure_future(self._one(self.checks[number % len(self.checks)]))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        if under_way:
            await asyncio.wait(under_way)

    async def _one(self, check: Check) -> None:
        started = time.time()
        version, problem, kind = "", None, ""
        try:
            async with asyncio.timeout(self.answer_seconds):
                answer = await exchange(self.host, self.port, check.request)
            version, problem = judge(answer, check)
            if problem is None and version not in (self.versions or {version}):
                problem = f"answered by version {version[:40]!r}"
            kind = "" if problem else check.kind(content(answer))
        except TimeoutError:
            problem = f"no answer within {self.answer_seconds:.0f} s"
        except Exception as error:  # whatever it is, it is an answer that no user could use
            problem = f"{type(error).__name__}: {error}"
        self.answers.append(Answer(started, time.time(), version, problem, kind))

    def shares(self, seconds: float = 1.0) -> dict[str, float]:
        """Percent of the answers of the last `seconds` by version."""
        since = time.time() - seconds
        recent = []
        for answer in reversed(self.answers):
            if answer.ended < since:
                break
            recent.append(answer.version or "none")
        return {version: 100 * recent.count(version) / len(recent) for version in sorted(set(recent))}

    def failed(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.problem]

    def last(self, version: str, since: float, until: float) -> float | None:
        """When the last answer of a version ended in a span of time, None if there was none."""
        ends = [a.ended for a in self.answers if a.version == version and since <= a.ended <= until]
        return max(ends, default=None)

    def begun(self, version: str, since: float, until: float) -> int:
        """How many requests that users began in a span of time a version answered."""
        return sum(a.version == version and since < a.started <= until for a in self.answers)


def is_allowed(host: str, network: ipaddress.IPv4Network) -> bool:
    """True for an address of loopback or of the lab's network."""
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return address.is_loopback or address in network


class Conversation(asyncio.Protocol):
    """One request, and all that is said in return. Half the work of asyncio's streams."""

    def __init__(self, request: bytes, said: asyncio.Future[bytes]) -> None:
        self._request = request
        self._said = said
        self._heard = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        if len(self._heard) > MAX_ANSWER_BYTES:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if self._said.done():
            return
        if error:
            self._said.set_exception(error)
        else:
            self._said.set_result(bytes(self._heard))


async def exchange(host: str, port: int, request: bytes) -> bytes:
    """Everything the server says to one request on a fresh connection."""
    loop = asyncio.get_running_loop()
    said: asyncio.Future[bytes] = loop.create_future()
    transport, _ = await loop.create_connection(lambda: Conversation(request, said), host, port)
    try:
        return await said
    finally:
        transport.abort()


def judge(answer: bytes, check: Check) -> tuple[str, str | None]:
    """The version that answered, and what is wrong with the answer, None if nothing is."""
    head, found, body = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    version = ""
    for line in lines[1:]:
        if line.lower().startswith(VERSION_HEADER):
            version = line.split(b":", 1)[1].strip().decode("ascii", "replace")
        elif line.lower().startswith(b"content-length:") and len(body) != int(line.split(b":")[1]):
            return version, f"{len(body)} bytes of a body of {line.split(b':')[1].decode().strip()}"
    words = lines[0].split()
    if not found or len(words) < 2 or words[1] != check.status:
        return version, f"said {lines[0][:60]!r}"
    if not version:
        return version, "no version header"
    try:
        good = check.good(content(answer))
    except (ValueError, AttributeError, TypeError):
        good = False
    return version, None if good else f"wrong body {body[:60]!r}"


def content(answer: bytes) -> bytes:
    """The content of an answer, whichever way it was sent. Raises ValueError if it is cut short."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return unchunk(body) if b"\r\ntransfer-encoding:" in head.lower() else body


def unchunk(body: bytes) -> bytes:
    """The content of a chunked body. Raises ValueError if it is cut short."""
    parts: list[bytes] = []
    while True:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return b"".join(parts)
        if len(body) < length + 2:
            raise ValueError("cut short")
        parts.append(body[:length])
        body = body[length + 2 :]
