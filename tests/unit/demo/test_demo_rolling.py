"""What the demo of rolling updates counts: users who meet a bad answer, lost writes, kept promises."""

import asyncio
import copy
import http.server
import ipaddress
import re
import threading
from urllib.parse import parse_qs, urlsplit

import pytest

from lab import disks, settings
from lab.demo_rolling import report
from lab.demo_rolling.browser import HOME, LOGGED_IN, BadAnswerError, Browser, LoggedOutError
from lab.demo_rolling.rolls import Rolls, changed
from lab.demo_rolling.users import Users
from lab.errors import LabError
from lab.process import wait_until

NETWORK = ipaddress.IPv4Network("10.59.0.0/24")
FORM = b'<form><input name="j_password"></form></html>'
GOOD = {
    "hosts": 5,
    "requests": 4000,
    "failed": 0,
    "lost_writes": 0,
    "logged_out_users": 0,
    "push_to_last_host_seconds": 90.0,
    "roll_seconds": 70.0,
    "bare_batch_seconds": 60.0,
    "bad_version": {"hosts_touched": 1, "reverted": True},
    "resume": {"hosts_repeated": 1, "seconds": 40.0},
}


class Application(http.server.BaseHTTPRequestHandler):
    """What users see of iTrust behind its balancer; `server.mood` says what goes wrong."""

    def do_GET(self):
        path = urlsplit(self.path)
        mood = self.server.mood
        if mood == "ill":
            return self.answer(503, b"")
        if path.path == "/iTrust/j_security_check":
            return self.redirect("/iTrust/auth/forwardUser.jsp", cookie="JSESSIONID=in; Path=/iTrust")
        if "JSESSIONID=in" not in self.headers.get("Cookie", "") or mood == "forgetful":
            return self.answer(200, FORM, cookie="JSESSIONID=out; Path=/iTrust")
        if path.path == "/iTrust/auth/forwardUser.jsp":
            return self.redirect("hcp/home.jsp")
        start = parse_qs(path.query).get("start", [""])[0]
        notes = "".join(f"<li>{text}</li>" for text in self.server.notes if text.startswith(start))
        return self.answer(200, LOGGED_IN + notes.encode() + (b"" if mood == "cut" else b"</html>"))

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if self.path == "/iTrust/login.jsp":
            return self.redirect("/iTrust/j_security_check?j_password=secret")
        if self.server.mood != "lossy":
            self.server.notes.append(form["text"][0])
        return self.answer(200, LOGGED_IN + f'<p id="written">{form["text"][0]}</p></html>'.encode())

    def redirect(self, place, cookie=None):
        self.answer(302, b"", cookie, Location=place)

    def answer(self, status, body, cookie=None, **headers):
        self.send_response(status)
        for name, value in {**headers, **({"Set-Cookie": cookie} if cookie else {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    one = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Application)
    one.mood, one.notes = "well", []
    thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield one
    one.shutdown()
    thread.join()
    one.server_close()


@pytest.fixture
def users(server):
    one = Users("127.0.0.1", server.server_port, NETWORK, count=3)
    one.start()
    yield one
    one.stop()


def browser(server):
    one = Browser("127.0.0.1", server.server_port, typing_seconds=0.0)
    asyncio.run(one.log_in())
    return one


def done(users, what, count=1):
    return sum(one.what == what for one in users.seen) >= count


def test_browser_follows_the_log_in_and_keeps_the_newest_cookie(server):
    one = browser(server)
    assert one.cookies == {"JSESSIONID": "in"}
    assert LOGGED_IN in asyncio.run(one.read(HOME))


@pytest.mark.parametrize(
    "mood,error,text",
    [
        ("ill", BadAnswerError, "status 503"),
        ("cut", BadAnswerError, "half a page"),
        ("forgetful", LoggedOutError, "asked for the password again"),
    ],
)
def test_answer_that_a_user_cannot_use_is_told(server, mood, error, text):
    one = browser(server)
    server.mood = mood
    with pytest.raises(error, match=text):
        asyncio.run(one.read(HOME))


def test_hash_of_the_password_is_in_no_error(server):
    one = browser(server)
    server.mood = "ill"
    with pytest.raises(BadAnswerError) as told:
        asyncio.run(one.post("/iTrust/login.jsp", j_username="1", j_password="x"))
    assert "secret" not in str(told.value)


def test_users_of_a_service_that_is_well_have_nothing_to_complain_of(server, users):
    wait_until(lambda: done(users, "write", 3), "writes", 15)
    users.stop()
    assert (users.failed(), users.logged_out, users.lost()) == ([], 0, set())
    assert users.acknowledged == set(server.notes)
    assert done(users, "log-in", 3)


def test_acknowledged_write_that_is_not_there_is_lost(server, users):
    wait_until(lambda: done(users, "log-in", 3), "users", 15)
    server.mood = "lossy"
    wait_until(lambda: done(users, "write", 1), "a write", 15)
    users.stop()
    assert users.lost() == users.acknowledged - set(server.notes) != set()


def test_user_who_was_logged_out_is_counted_and_logs_in_again(server, users):
    wait_until(lambda: done(users, "read", 1), "users", 15)
    server.mood = "forgetful"
    wait_until(lambda: users.logged_out, "somebody logged out", 15)
    server.mood = "well"
    logins = sum(one.what == "log-in" for one in users.seen)
    wait_until(lambda: done(users, "log-in", logins + 1), "a new log-in", 15)
    assert users.failed()


def test_users_go_nowhere_but_to_the_lab():
    with pytest.raises(LabError, match="neither loopback nor in the lab"):
        Users("10.1.2.3", 80, NETWORK)


def test_kept_promises_are_no_problem():
    assert report.problems(GOOD) == []


@pytest.mark.parametrize(
    "place,value,text",
    [
        (("failed",), 2, "2 requests failed"),
        (("lost_writes",), 1, "1 acknowledged writes are gone"),
        (("logged_out_users",), 3, "3 users were logged out"),
        (("hosts",), 4, "reached 4 hosts"),
        (("bad_version", "hosts_touched"), 2, "touched 2 hosts"),
        (("bad_version", "hosts_touched"), 0, "touched 0 hosts"),
        (("bad_version", "reverted"), False, "not reverted"),
        (("resume", "hosts_repeated"), 2, "repeated 2 hosts"),
    ],
)
def test_broken_promise_is_told(place, value, text):
    result = copy.deepcopy(GOOD)
    inner = result if len(place) == 1 else result[place[0]]
    inner[place[-1]] = value
    assert len(report.problems(result)) == 1
    assert re.search(text, report.problems(result)[0])


def test_table_shows_every_number():
    table = report.table(GOOD)
    for number in ("4000", "90.0", "70.0", "60.0", "40.0"):
        assert number in table


def test_hosts_that_restarted_are_those_whose_start_is_another():
    assert changed({"a": "1", "b": "2"}, {"a": "1", "b": "3"}) == ["b"]


def test_what_a_host_runs_is_read_from_its_disk(tmp_path):
    env = {"SLUICE_LAB_CACHE": str(tmp_path / "cache")}
    lab = settings.load("paper", "paperbr", "10.99.0.0/24", "itrust", env=env, state_root=tmp_path)
    place = disks.root(lab, "itrust-2") / "srv/itrust"
    place.mkdir(parents=True)
    (place / "current").symlink_to("artifacts/20260101010000-8d0d765-0123456789ab")
    rolls = Rolls(lab)
    assert rolls.hosts == [f"itrust-{number}" for number in range(1, 6)]
    assert rolls.running()["itrust-1"] == ""
    assert rolls.updated("20260101010000-8d0d765") == ["itrust-2"]
    assert rolls.updated("20260101010000-8d0d76") == []
