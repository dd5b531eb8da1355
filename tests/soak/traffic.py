"""Users of all kinds, at work until they are told to stop; every request becomes an `Asked`."""

import asyncio
import itertools
import os
import random
import threading
import time

from tests.soak.asking import Asked, Want
from tests.soak.wire import Broken, Line

SIZES = (0, 1, 160, 160, 160, 2_000, 10_000, 70_000)
LARGE = 600_000
# How long a backend thinks: most answer at once, some are under way whenever something is killed.
PAUSES = (0, 0, 0, 0, 0, 0, 0.05, 0.2, 0.5)
HOWS = ("sized", "sized", "chunked", "close")
# A user's connection is given up after so many requests, as browsers come and go.
PER_LINE = 60
# For so many requests a user keeps his cookies.
PER_VISIT = 150
AFFINITY = "sluice_shop"


class Traffic:
    """All users, on an event loop in a thread of its own."""

    def __init__(self, port, tls_port, context, seed, pace=1.0):
        """`context`: of TLS; `pace`: how many times as fast as usual users go on."""
        self._port, self._tls_port, self._context = port, tls_port, context
        self._seed, self._pace = seed, pace
        self.asked = []
        self.left_early = self.lost_idle = 0
        self.errors = []
        self._visits = itertools.count()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def start(self):
        self._thread.start()

    def stop(self):
        """Ask no more and wait for the answers under way."""
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "users do not come to an end"

    async def _run(self):
        users = {
            self._keeps_alive: 14,
            self._comes_anew: 5,
            self._pipelines: 2,
            self._speaks_1_0: 1,
            self._uploads: 2,
            self._expects_continue: 1,
            self._reads_slowly: 2,
            self._leaves_early: 1,
            self._stays: 5,
            self._uses_tls: 4,
            self._tunnels: 3,
        }
        tasks = [self._user(user, n) for user, count in users.items() for n in range(count)]
        await asyncio.gather(*tasks)

    async def _user(self, user, number):
        dice = random.Random(f"{self._seed} {user.__name__} {number}")
        while not self._stop.is_set():
            try:
                await user(dice)
            except Exception as error:  # a user that falls silent would make a good soak of a bad one
                self.errors.append(f"{user.__name__}: {error!r}")
                await asyncio.sleep(0.1)

    async def _think(self, dice, seconds):
        await asyncio.sleep(dice.expovariate(1 / seconds) / self._pace)

    def _lost_idle(self, line):
        """True if a connection ended between two requests: no request is lost by that."""
        self.lost_idle += line.is_over
        return line.is_over

    # One request, or several at once.

    async def _ask(self, kind, line, want, slow=0.0, user=""):
        """Send it whole and take the answer; None if the connection is of no more use."""
        return (await self._ask_all(kind, line, [want], slow, user))[0]

    async def _ask_all(self, kind, line, wants, slow=0.0, user=""):
        began = time.monotonic()
        asked = [Asked(w.id, kind, w.method, line.port, began, w.repeatable, user=user) for w in wants]
        await line.send(b"".join(want.raw for want in wants))
        return await self._answers(line, wants, asked, slow)

    async def _answers(self, line, wants, asked, slow=0.0):
        """Take the answers in their order; the connection's end after an answer leaves the rest unasked."""
        answers, broken = [], None
        for want, one in zip(wants, asked, strict=True):
            if broken is not None:
                one.problem, one.behind = "behind a request that failed", broken
                answers.append(None)
            elif answers and answers[-1].last:
                break
            else:
                answers.append(await self._take(line, want, one, slow))
                broken = None if answers[-1] else one
            one.ended = time.monotonic()
            self.asked.append(one)
        if answers[-1] is None or answers[-1].last:
            line.drop()
        return [*answers, *[None] * (len(wants) - len(answers))]

    async def _take(self, line, want, one, slow):
        try:
            answer = await line.answer(want.method, slow)
            one.problem = want.problem(answer)
        except Broken as error:
            answer = error.answer
            one.problem = str(error)
        self._note(one, answer)
        one.bad_on_purpose = answer.status == 500 and bool(one.backend)
        if answer.status != 200:
            one.text = answer.text.decode("latin-1").strip()
        # An own answer of the balancer or a 500 of the backend ends no connection.
        return answer if not one.problem or answer.status >= 300 else None

    # Users.

    def _any_want(self, dice):
        method = dice.choices(("GET", "POST", "HEAD", "PUT", "DELETE"), (60, 20, 8, 8, 4))[0]
        body = os.urandom(dice.choice(SIZES)) if method in ("POST", "PUT") else b""
        return Want(
            method,
            size=dice.choice(SIZES),
            how=dice.choice(HOWS),
            pause=dice.choice(PAUSES),
            body=body,
            chunked=bool(body) and dice.random() < 0.3,
        )

    async def _keeps_alive(self, dice):
        await self._converse("keep-alive", await Line.open(self._port), dice, PER_LINE)

    async def _uses_tls(self, dice):
        line = await Line.open(self._tls_port, tls=self._context)
        await self._converse("TLS", line, dice, dice.choice((1, 10, PER_LINE)))

    async def _converse(self, kind, line, dice, count):
        try:
            for _ in range(count):
                answer = await self._ask(kind, line, self._any_want(dice))
                if answer is None or answer.last or self._stop.is_set():
                    return
                await self._think(dice, 0.05)
                if self._lost_idle(line):
                    return
        finally:
            line.drop()

    async def _comes_anew(self, dice):
        line = await Line.open(self._port)
        try:
            want = self._any_want(dice)
            want.headers = ("Connection: close",)
            await self._ask("new connection", line, want)
        finally:
            line.drop()
        await self._think(dice, 0.05)

    async def _pipelines(self, dice):
        line = await Line.open(self._port)
        try:
            for _ in range(10):
                wants = [
                    Want(dice.choice(("GET", "GET", "HEAD")), size=dice.choice(SIZES), how="sized")
                    for _ in range(dice.randint(2, 6))
                ]
                answers = await self._ask_all("pipelined", line, wants)
                if answers[-1] is None or answers[-1].last or self._stop.is_set():
                    return
                await self._think(dice, 0.2)
                if self._lost_idle(line):
                    return
        finally:
            line.drop()

    async def _speaks_1_0(self, dice):
        line = await Line.open(self._port)
        try:
            want = Want("GET", size=dice.choice(SIZES), how=dice.choice(HOWS), version="1.0")
            await self._ask("HTTP/1.0", line, want)
        finally:
            line.drop()
        await self._think(dice, 0.1)

    async def _uploads(self, dice):
        """A large body in pieces, with pauses."""
        line = await Line.open(self._port)
        try:
            want = Want("POST", body=os.urandom(LARGE), chunked=dice.random() < 0.5, size=10)
            one = Asked(want.id, "upload", "POST", line.port, time.monotonic(), False)
            await line.send(want.head)
            for piece in want.pieces():
                await line.send(piece)
                await asyncio.sleep(dice.choice((0, 0, 0.02)))
            await self._answers(line, [want], [one])
        finally:
            line.drop()
        await self._think(dice, 0.3)

    async def _expects_continue(self, dice):
        line = await Line.open(self._port)
        try:
            want = Want("POST", body=os.urandom(5_000), headers=("Expect: 100-continue",))
            one = Asked(want.id, "100-continue", "POST", line.port, time.monotonic(), False)
            await line.send(want.head)
            await asyncio.sleep(0.01)
            await line.send(b"".join(want.pieces()))
            await self._answers(line, [want], [one])
        finally:
            line.drop()
        await self._think(dice, 0.2)

    async def _reads_slowly(self, dice):
        line = await Line.open(self._port, small=True)
        try:
            want = Want("GET", size=LARGE, how=dice.choice(("sized", "chunked", "close")))
            await self._ask("slow reader", line, want, slow=0.05)
        finally:
            line.drop()
        await self._think(dice, 0.3)

    async def _stays(self, dice):
        """With cookies, by one of which the balancer knows his track; on one connection after the other."""
        visit, cookie, line = f"visit-{next(self._visits)}", "", None
        try:
            for number in range(PER_VISIT):
                if self._stop.is_set():
                    return
                if line is None or line.is_over or number % 20 == 0:
                    if line is not None:
                        line.drop()
                    line = await Line.open(self._port)
                want = Want("GET", size=dice.choice(SIZES), cookies='a="1"; b=2' if cookie else "")
                if cookie:
                    want.headers = (f'Cookie: a="1"; {cookie}; b=2',)
                answer = await self._ask("with cookies", line, want, user=visit if cookie else "")
                if answer is None or answer.last:
                    line = None
                elif "set-cookie" in answer.headers:
                    cookie = self._kept(cookie, answer.headers["set-cookie"])
                await self._think(dice, 0.1)
        finally:
            if line is not None:
                line.drop()

    def _kept(self, cookie, told):
        """The cookie to send back; it is given once."""
        name, _, value = told.partition(";")[0].partition("=")
        if name != AFFINITY or cookie:
            self.errors.append(f"cookies: {told} for one who has {cookie or 'none'}")
        return f"{name}={value}"

    async def _tunnels(self, dice):
        """A conversation of some seconds after a switch of protocols."""
        line = await Line.open(self._port)
        want = Want("GET", path="/tunnel", headers=("Connection: Upgrade", "Upgrade: websocket"))
        one = Asked(want.id, "tunnel", "GET", line.port, time.monotonic(), True)
        try:
            await line.send(want.head)
            answer = await line.switch()
            self._note(one, answer)
            if answer.status != 101:
                one.problem, one.text = f"status {answer.status}", (await line.read_some()).decode("latin-1")
            for _ in range(dice.randint(3, 20) if answer.status == 101 else 0):
                data = os.urandom(dice.choice(SIZES))
                if await line.echo(data, answer) != data:
                    one.problem = "other bytes came back"
                await self._think(dice, 0.1)
        except Broken as error:
            self._note(one, error.answer)
            one.problem = str(error)
        finally:
            line.drop()
        one.ended = time.monotonic()
        self.asked.append(one)
        await self._think(dice, 0.3)

    def _note(self, one, answer):
        one.status, one.backend = answer.status, answer.headers.get("x-backend", "")

    async def _leaves_early(self, dice):
        """In the middle of a request or of an answer; nobody waits for what comes of it."""
        line = await Line.open(self._port)
        try:
            want = Want(dice.choice(("GET", "PUT")), size=LARGE, pause=dice.choice((0, 0.05)))
            want.id = f"left-{want.id}"
            if want.method == "PUT":
                want.body = os.urandom(50_000)
            raw = want.raw
            await line.send(raw[: dice.choice((30, len(want.head), len(raw)))])
            if dice.random() < 0.5:
                await asyncio.wait_for(line.read_some(), 0.05)
        except (OSError, TimeoutError):
            pass
        finally:
            line.drop()
        self.left_early += 1
        await self._think(dice, 0.15)
