"""Users of the real iTrust: they log in and read their own page, and every answer is checked."""

import asyncio
import threading

from lab.demo_rolling.browser import BadAnswerError, Browser, LoggedOutError

PAUSE_SECONDS = 0.3
# A user logs in afresh after so many pages.
STEPS = 40
# Ten minutes and a half; nothing here runs longer.
MAX_STEPS = 2000
FORM, START, OWN_PAGE = b'name="j_password"', "/iTrust/auth/forwardUser.jsp", "/iTrust/auth/admin/home.jsp"
# Of iTrust's standard data.
USER, PASSWORD = "9000000001", "pw"
LOGGED_IN = b"Logout"


class RealBrowser(Browser):
    """A browser that knows the pages of the real application."""

    async def log_in(self):
        """From the form to one's own page. Raises BadAnswerError."""
        self.cookies.clear()
        if FORM not in await self.get(START):
            raise BadAnswerError("no log-in form")
        await asyncio.sleep(self.typing_seconds)
        found = await self.post("/iTrust/login.jsp", j_username=USER, j_password=PASSWORD)
        if LOGGED_IN not in found:
            raise BadAnswerError("not logged in after the log-in form")

    async def read(self, path=OWN_PAGE):
        """One's own page. Raises LoggedOutError, BadAnswerError."""
        found = await self.get(path)
        if LOGGED_IN not in found:
            raise LoggedOutError(f"{path}: asked for the password again")
        return found


class Users:
    """Some users at once, from `start()` to `stop()`; `failed` has what was wrong."""

    def __init__(self, host, port, count=6):
        self.host, self.port, self.count = host, port, count
        self.log_ins = self.pages = self.logged_out = 0
        self.failed = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def start(self):
        self._thread.start()

    def stop(self):
        self._stop.set()
        self._thread.join(60)

    async def _run(self):
        await asyncio.gather(*(self._one(number) for number in range(self.count)))

    async def _one(self, number):
        browser, logged_in = RealBrowser(self.host, self.port), False
        await asyncio.sleep(number * PAUSE_SECONDS / self.count)
        for step in range(MAX_STEPS):
            if self._stop.is_set():
                break
            try:
                if not logged_in or step % STEPS == 0:
                    await browser.log_in()
                    self.log_ins, logged_in = self.log_ins + 1, True
                else:
                    await browser.read()
                    self.pages += 1
            except BadAnswerError as error:
                self.failed.append(str(error))
                self.logged_out += isinstance(error, LoggedOutError)
                logged_in = False
            await asyncio.sleep(PAUSE_SECONDS)
