"""The load generator against a real server on loopback."""

import asyncio
import ipaddress
import json
import threading
import time

import pytest

from lab.errors import LabError
from lab.load import ANSWER_SECONDS, CHECKBOX, CREATE, LISTING, PAGE, PICTURE, Answer, Load, judge
from lab.process import wait_until

NETWORK = ipaddress.IPv4Network("10.57.0.0/24")
OK = b"HTTP/1.1 200 OK\r\nX-Checkbox-Version: v1\r\nContent-Length: %d\r\n\r\n%s"
CHUNKED = b"HTTP/1.1 200 OK\r\nX-Checkbox-Version: v2\r\nTransfer-Encoding: chunked\r\n\r\n"
BODIES = {
    b"/": b"<html></html>",
    b"/getPic": b"\x89PNG\r\n\x1a\npixels",
    b"/api/study/listing": b'{"studies": []}',
    b"/api/study/create": b'{"admin_url": "/x"}',
}


class Server:
    """Answers each request with `answer(path)`; counts connections and requests."""

    def __init__(self, answer):
        self.answer = answer
        self.connections = 0
        self.paths = []
        self.port = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        wait_until(lambda: self.port is not None, "the server", 5, pause=0.01)
        return self

    def __exit__(self, *error):
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(5)
        self._loop.close()

    def _run(self):
        self._loop.run_until_complete(self._serve())

    async def _serve(self):
        self._ended = asyncio.Event()
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        await self._ended.wait()
        server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _talk(self, reader, writer):
        self.connections += 1
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split()[1]
        self.paths.append(path)
        try:
            said = self.answer(path)
            if asyncio.iscoroutine(said):
                said = await said
            writer.write(said)
            await writer.drain()
        except asyncio.CancelledError:  # the server ends; asyncio's own streams would log it as an error
            return
        finally:
            writer.close()


def good(path):
    return OK % (len(BODIES[path]), BODIES[path])


def run(server, requests, rate=500.0, **options):
    """Load on a server until so many requests have ended."""
    load = Load("127.0.0.1", server.port, rate, NETWORK, **options)
    load.start()
    wait_until(lambda: len(load.answers) >= requests, "the requests", ANSWER_SECONDS + 10, pause=0.01)
    load.stop()
    return load


def test_every_request_has_a_connection_of_its_own():
    with Server(good) as server:
        load = run(server, 200)
    assert load.failed() == []
    assert server.connections == len(load.answers)


def test_every_kind_of_request_is_asked():
    with Server(good) as server:
        run(server, len(CHECKBOX))
    assert set(server.paths) == set(BODIES)
    assert len(CHECKBOX) == 120


def test_rate_is_kept_while_answers_are_slow():
    async def slow(path):
        await asyncio.sleep(0.5)
        return good(path)

    with Server(slow) as server:
        started = time.monotonic()
        load = run(server, 200, rate=200.0)
        seconds = time.monotonic() - started
    assert load.failed() == []
    assert seconds < 3  # one after the other would be 100 s


def hangs(path):
    return asyncio.sleep(3600)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"HTTP/1.1 500 Oops\r\nX-Checkbox-Version: v1\r\nContent-Length: 0\r\n\r\n", "500"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "no version header"),
        (OK % (9, b"cut"), "3 bytes of a body of 9"),
        (b"HTTP/1.1 200 OK\r\nX-Checkbox-Version: v1\r\nContent-Length: many\r\n\r\n", "ValueError"),
        (OK % (2, b"{}"), "wrong body"),
        (OK % (2, b"[]"), "wrong body"),
        (CHUNKED + b"5\r\n{", "wrong body"),
        (b"", "said"),
        (b"HTTP/1.1 200", "said"),
        (b"x" * 3_000_000, "said"),
    ],
)
def test_bad_answer_is_a_failed_request(answer, problem):
    with Server(lambda path: answer) as server:
        load = run(server, 1, checks=(LISTING,))
    assert len(load.failed()) == len(load.answers)
    assert problem in load.answers[0].problem


def test_chunked_answer_is_read():
    body = b'1\r\n{\r\nd\r\n"studies": []\r\n1\r\n}\r\n0\r\n\r\n'
    assert judge(CHUNKED + body, LISTING) == ("v2", None)


def test_unexpected_version_is_a_failed_request():
    with Server(good) as server:
        load = run(server, 5, checks=(PICTURE,), versions=frozenset({"v2"}))
    assert load.answers[0].problem == "answered by version 'v1'"


def test_server_that_hangs_is_a_failed_request_after_the_limit():
    with Server(hangs) as server:
        load = run(server, 3, answer_seconds=0.2)
    assert load.answers[0].problem.startswith("no answer within")


def test_requests_that_wait_are_bounded(monkeypatch):
    monkeypatch.setattr("lab.load.MAX_UNDER_WAY", 10)
    with Server(hangs) as server:
        load = run(server, 40, answer_seconds=0.5)
        assert server.connections <= 30
    assert "10 requests wait for an answer" in {answer.problem for answer in load.answers}


def test_refused_connection_is_a_failed_request():
    with Server(good) as server:
        port = server.port
    load = Load("127.0.0.1", port, 100.0, NETWORK)
    load.start()
    wait_until(lambda: bool(load.answers), "an answer", 5)
    load.stop()
    assert "ConnectionRefusedError" in load.answers[0].problem


@pytest.mark.parametrize("host", ["192.0.2.1", "10.58.0.11", "0.0.0.0"])
def test_no_load_outside_loopback_and_the_lab(host):
    with pytest.raises(LabError, match="no load on it"):
        Load(host, 80, 1.0, NETWORK)


def test_names_are_no_targets():
    with pytest.raises(LabError, match="no load on it"):
        Load("example.com", 80, 1.0, NETWORK)


def test_load_ends_by_itself(monkeypatch):
    monkeypatch.setattr("lab.load.MAX_REQUESTS", 20)
    with Server(good) as server:
        load = run(server, 20)
        time.sleep(0.1)
        assert server.connections == 20
    assert len(load.answers) == 20


def test_shares_are_of_the_last_second():
    load = Load("127.0.0.1", 1, 1.0, NETWORK)
    now = time.time()
    load.answers += [Answer(now - 9, now - 9, "v1", None)] * 5
    load.answers += [Answer(now, now, version, None) for version in ("v1", "v1", "v1", "v2")]
    assert load.shares() == {"v1": 75.0, "v2": 25.0}


def test_last_and_begun_look_at_their_span_only():
    load = Load("127.0.0.1", 1, 1.0, NETWORK)
    load.answers += [Answer(at - 0.5, at, "v2", None) for at in (1.0, 2.0, 3.0)]
    assert load.last("v2", 1.5, 2.5) == 2.0
    assert load.last("v1", 0, 9) is None
    assert load.begun("v2", 0.6, 2.0) == 1


def test_what_is_sent_is_what_users_send():
    assert b"Connection: close" in PAGE.request
    assert json.loads(CREATE.request.partition(b"\r\n\r\n")[2])["invitecode"] == "RESEARCH"
