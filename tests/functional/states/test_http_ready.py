"""http_ready and refuse: gates that say what they saw."""

import http.server
import itertools
import socketserver
import threading

import pytest


@pytest.fixture(scope="module")
def loaded(machine_of_module):
    return machine_of_module("git-1")


@pytest.fixture
def served():
    """served(handler): a TCP server on the loopback; its URL."""
    running = []

    def start(handler):
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
        server.daemon_threads, server.block_on_close = True, False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def page(statuses, head=()):
    """A handler that answers with these statuses, one after the other."""
    turn = iter(statuses)

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(next(turn))
            for name, value in head:
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    return Page


class Frozen(socketserver.BaseRequestHandler):
    """Accepts, and says nothing until the other side gives up."""

    def handle(self):
        self.request.recv(65536)
        self.request.recv(1)


class Nonsense(socketserver.BaseRequestHandler):
    """No HTTP server."""

    def handle(self):
        self.request.recv(65536)
        self.request.sendall(b"220 mail.example.com ESMTP\r\n")


class HangsUp(socketserver.BaseRequestHandler):
    """Dies over the request."""

    def handle(self):
        self.request.recv(65536)


def test_the_wanted_status_opens_the_gate(loaded, served):
    url = served(page(itertools.repeat(200)))
    ret = loaded.apply("http_ready.answering", name=url)
    assert (ret["result"], ret["changes"], ret["comment"]) == (True, {}, f"{url} answers 200")


def test_another_status_may_be_wanted(loaded, served):
    url = served(page(itertools.repeat(404)))
    assert loaded.apply("http_ready.answering", name=url, status=404)["result"] is True


def test_it_waits_for_a_service_that_is_starting(loaded, served):
    url = served(page(itertools.chain([503, 502], itertools.repeat(200))))
    assert loaded.apply("http_ready.answering", name=url)["result"] is True


def test_a_wrong_status_is_told_with_the_wanted_one_and_the_hint(loaded, served):
    url = served(page(itertools.repeat(503)))
    ret = loaded.apply("http_ready.answering", name=url, timeout_seconds=0.1, hint="See the journal.")
    assert (ret["result"], ret["changes"]) == (False, {})
    assert ret["comment"] == f"{url}: 503 after 0.1 s (want 200). See the journal."


def test_a_redirect_is_an_answer_and_not_followed(loaded, served):
    good = served(page(itertools.repeat(200)))
    url = served(page(itertools.repeat(302), [("Location", good)]))
    ret = loaded.apply("http_ready.answering", name=url, timeout_seconds=0.1)
    assert ret["result"] is False
    assert "302 after" in ret["comment"]


@pytest.mark.parametrize(
    ("handler", "said"),
    [(Frozen, "timed out"), (Nonsense, "220 mail.example.com"), (HangsUp, "closed connection")],
)
def test_a_server_that_gives_no_answer_is_told(loaded, served, handler, said):
    ret = loaded.apply("http_ready.answering", name=served(handler), timeout_seconds=0.2)
    assert ret["result"] is False
    assert "no answer (" in ret["comment"]
    assert said in ret["comment"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("http://127.0.0.1:1/", "refused"),
        ("nonsense", "unknown url type"),
        ("http://127.0.0.1:x/", "nonnumeric port"),
    ],
)
def test_an_address_that_cannot_be_asked_is_told(loaded, name, said):
    ret = loaded.apply("http_ready.answering", name=name, timeout_seconds=0)
    assert ret["result"] is False
    assert said in ret["comment"]


def test_proxies_of_the_environment_are_not_used(loaded, served, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert loaded.apply("http_ready.answering", name=served(page(itertools.repeat(200))))["result"] is True


def test_test_mode_asks_nobody(loaded):
    ret = loaded.apply("http_ready.answering", test=True, name="http://127.0.0.1:1/")
    assert (ret["result"], ret["changes"]) == (True, {})


@pytest.mark.parametrize("test", [True, False])
def test_refuse_fails_with_its_reason(loaded, test):
    ret = loaded.apply("refuse.because", test=test, name="mongodb:provider is mysql")
    assert (ret["result"], ret["changes"], ret["comment"]) == (False, {}, "mongodb:provider is mysql")
