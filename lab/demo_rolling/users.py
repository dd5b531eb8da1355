"""Users of iTrust who log in, read and write: every answer checked, every write read back at the end."""

from __future__ import annotations

import asyncio
import ipaddress
import threading
import time
from dataclasses import dataclass, field

from lab.demo_rolling.browser import HOME, NOTES, BadAnswerError, Browser, LoggedOutError
from lab.errors import LabError
from lab.load import ANSWER_SECONDS, is_allowed

# With the pause this is 20 requests a second: what fails is noticed, and five Tomcats still fit on two cores.
USERS = 10
PAUSE_SECONDS = 0.5
# Every so many steps a user logs in afresh: two or three times a minute there is a log-in under way.
STEPS = 60
# At 20 requests a second this is half an hour; nothing here runs longer.
MAX_STEPS = 3600
# While nothing answers a user tries again after this; a request each.
AGAIN_SECONDS = 0.5


@dataclass(frozen=True)
class Seen:
    """One thing a user did: `log-in`, `read` or `write`; when it ended, and what was wrong with it."""

    what: str
    ended: float
    problem: str | None


@dataclass
class Users:
    """
    Users on `host:port` from `start()` to `stop()`.

    network
        The lab's network; another target than it or loopback is refused.
    count
        How many there are at once. Default 10.
    """

    host: str
    port: int
    network: ipaddress.IPv4Network
    count: int = USERS
    seen: list[Seen] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    logged_out: int = 0

    def __post_init__(self) -> None:
        if not is_allowed(self.host, self.network):
            raise LabError(f"{self.host} is neither loopback nor in the lab's network {self.network}")
        self.run_name = f"run-{time.time_ns():x}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="users", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Start nothing more and wait for what is under way."""
        self._stop.set()
        self._thread.join(ANSWER_SECONDS + 5)

    def failed(self) -> list[Seen]:
        return [one for one in self.seen if one.problem]

    def lost(self) -> set[str]:
        """The acknowledged writes that the database does not have. Raises LabError if it cannot be read."""
        return asyncio.run(self._lost())

    async def _run(self) -> None:
        await asyncio.gather(*(self._one(number) for number in range(self.count)))

    async def _one(self, number: int) -> None:
        browser, logged_in = Browser(self.host, self.port), False
        await asyncio.sleep(number * PAUSE_SECONDS / self.count)
        for step in range(MAX_STEPS):
            if self._stop.is_set():
                break
            if not logged_in or step % STEPS == number * STEPS // self.count:
                logged_in = await self._try("log-in", browser)
            else:
                what = "write" if step % 5 == 2 else "read"
                logged_in = await self._try(what, browser, f"{self.run_name}:{number}:{step}")
            await asyncio.sleep(PAUSE_SECONDS if logged_in else AGAIN_SECONDS)

    async def _try(self, what: str, browser: Browser, text: str = "") -> bool:
        """Do one thing and keep what came of it; False if the user must log in again."""
        problem, logged_in = None, True
        try:
            await self._do(what, browser, text)
        except LoggedOutError as error:
            problem, logged_in = str(error), False
            self.logged_out += 1
        except BadAnswerError as error:
            problem, logged_in = str(error), what != "log-in"
        self.seen.append(Seen(what, time.time(), problem))
        return logged_in

    async def _do(self, what: str, browser: Browser, text: str) -> None:
        if what == "log-in":
            await browser.log_in()
        elif what == "write":
            await browser.write(text)
            self.acknowledged.add(text)
        else:
            await browser.read(HOME)

    async def _lost(self) -> set[str]:
        browser = Browser(self.host, self.port)
        try:
            await browser.log_in()
            found = (await browser.read(f"{NOTES}?start={self.run_name}:")).decode("latin-1")
        except BadAnswerError as error:
            raise LabError(f"the writes cannot be read back: {error}") from error
        return {text for text in self.acknowledged if f"<li>{text}</li>" not in found}
