"""The stand-in iTrust on real Tomcats with one MariaDB: what a balancer, a health check and users meet."""

import asyncio
import hashlib
import http.client
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from itrust_machine import MariaDB, Tomcat

from lab.demo_rolling.browser import HOME, LOGGED_IN, LOGIN_FORM, NOTES, BadAnswerError, Browser
from lab.process import wait_until

APP = Path(__file__).resolve().parents[2] / "apps/itrust"


def status(port, method, path):
    """Status and Location of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Location")
    except OSError:
        return 0, None
    finally:
        connection.close()


def healthy(host):
    return status(host.port, "GET", "/iTrust/login.jsp")[0] == 200


@pytest.fixture(scope="module")
def application(tmp_path_factory):
    """Version 1, built by Maven and turned to jakarta as a host does it."""
    folder = tmp_path_factory.mktemp("application")
    subprocess.run([sys.executable, APP / "make_repo.py", folder / "itrust.git"], check=True)
    subprocess.run(
        [
            "git",
            "clone",
            "-q",
            "-b",
            "v1",
            "-c",
            "advice.detachedHead=false",
            folder / "itrust.git",
            folder / "work",
        ],
        check=True,
    )
    build = ["mvn", "-B", "-q", "-Dexec.skip=true", "package"]
    subprocess.run(build, cwd=folder / "work/iTrust", check=True, timeout=300)
    war = folder / "work/iTrust/target/iTrust-23.0.0.war"
    subprocess.run(["javax2jakarta", "-profile=EE", war, folder / "new.war"], check=True, capture_output=True)
    with zipfile.ZipFile(folder / "new.war") as packed:
        packed.extractall(folder / "current")
    return folder / "current"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    one = MariaDB(tmp_path_factory.mktemp("db") / "mariadb")
    try:
        one.load(APP / "iTrust/sql")
        yield one
    finally:
        one.end()


@pytest.fixture(scope="module")
def hosts(application, database, tmp_path_factory):
    both = [Tomcat(tmp_path_factory.mktemp("host") / "base", application, database) for _ in range(2)]
    try:
        for one in both:
            one.start()
        for one in both:
            wait_until(lambda one=one: healthy(one), "Tomcat's answer", 60)
        yield both
    finally:
        for one in both:
            one.end()


class ByHand(Browser):
    """A browser behind a balancer that turns the log-in's GET into the POST that Tomcat wants."""

    def _request(self, method, path, form):
        if path.startswith("/iTrust/j_security_check?"):
            return super()._request("POST", path, "")
        return super()._request(method, path, form)


def log_in(port):
    browser = ByHand("127.0.0.1", port, typing_seconds=0.0)
    asyncio.run(browser.log_in())
    return browser


def test_login_page_sends_the_browser_to_a_get_that_tomcat_refuses(hosts):
    form = "j_username=9000000001&j_password=pw"
    there = status(hosts[0].port, "POST", f"/iTrust/login.jsp?{form}")
    digest = hashlib.sha256(b"pw").hexdigest()
    wanted = f"/iTrust/j_security_check?j_username=9000000001&j_password={digest}"
    assert there == (302, wanted)
    assert status(hosts[0].port, "GET", wanted)[0] == 400


def test_user_logs_in_and_is_greeted_by_name_and_version(hosts):
    page = asyncio.run(log_in(hosts[0].port).read(HOME))
    assert b"Welcome, Erin Example" in page
    assert b'<span id="version">v1</span>' in page


def test_wrong_password_is_counted_and_three_lock_the_address_out(hosts, database):
    browser = ByHand("127.0.0.1", hosts[0].port)
    try:
        for count in (1, 2, 3):
            asyncio.run(browser.get("/iTrust/auth/forwardUser.jsp"))
            form = {"j_username": "9000000001", "j_password": "wrong"}
            assert f"attempts: {count}".encode() in asyncio.run(browser.post("/iTrust/login.jsp", **form))
        with pytest.raises(BadAnswerError, match="not logged in"):
            log_in(hosts[1].port)
    finally:
        database.tell("DELETE FROM loginfailures")
    log_in(hosts[1].port)


def test_note_written_on_one_host_is_read_on_the_other(hosts):
    asyncio.run(log_in(hosts[0].port).write("pages:1 hello"))
    assert b"<li>pages:1 hello</li>" in asyncio.run(log_in(hosts[1].port).read(f"{NOTES}?start=pages:"))


def test_anyone_reads_the_database_below_util(hosts):
    assert status(hosts[0].port, "GET", "/iTrust/util/displayDatabase.jsp")[0] == 200


def test_sql_files_run_twice_double_rows(hosts, database):
    database.tell((APP / "iTrust/sql/data/hospitals0.sql").read_text())
    assert database.tell("SELECT COUNT(*) FROM Hospitals") == ["4"]


def test_tables_are_without_transactions(database):
    engines = database.tell(
        "SELECT DISTINCT engine FROM information_schema.tables WHERE table_schema = 'itrust'"
        " AND table_name <> 'tomcat_sessions'"
    )
    assert engines == ["MyISAM"]


def test_session_goes_on_at_the_other_host_when_its_own_is_killed(hosts):
    browser = log_in(hosts[0].port)
    hosts[0].end(signal.SIGKILL)
    browser.port = hosts[1].port
    try:
        assert LOGGED_IN in asyncio.run(browser.read(HOME))
    finally:
        hosts[0].start()
        wait_until(lambda: healthy(hosts[0]), "Tomcat's answer", 60)


def test_dead_database_is_a_503_of_the_login_page_and_mends_by_itself(hosts, database):
    database.end()
    try:
        assert status(hosts[0].port, "GET", "/iTrust/login.jsp")[0] == 503
        assert status(hosts[0].port, "GET", "/iTrust/css.jsp")[0] == 200
    finally:
        database.start()
    wait_until(lambda: healthy(hosts[0]), "health again", 30)
    assert LOGIN_FORM in asyncio.run(Browser("127.0.0.1", hosts[0].port).get("/iTrust/login.jsp"))


def test_requests_of_one_session_on_both_hosts_at_once_log_nobody_out(hosts):
    """As browsers do that fetch several things at once, and a balancer that binds nobody to a host."""
    user = log_in(hosts[0].port)
    # Of a cookie of their own each, so that a session which one loses is not what the others go on with.
    browsers = [
        ByHand("127.0.0.1", hosts[number % 2].port, cookies=dict(user.cookies)) for number in range(4)
    ]

    async def at_once():
        return await asyncio.gather(*(one.read(HOME) for one in browsers))

    for _ in range(50):
        assert all(LOGGED_IN in page for page in asyncio.run(at_once()))
    assert all(one.cookies == user.cookies for one in browsers)


def test_the_session_is_the_same_on_the_other_host_with_the_next_request(hosts):
    user = log_in(hosts[0].port)
    kept = dict(user.cookies)
    for number in range(50):
        user.port = hosts[number % 2].port
        assert LOGGED_IN in asyncio.run(user.read(HOME))
    assert user.cookies == kept
