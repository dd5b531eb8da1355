"""probe: what it finds out about real sockets."""

import itertools
import os
import threading

import pytest
from modules_support import answering, dead_port, request, response, serving
from salt.exceptions import CommandExecutionError, SaltInvocationError

MONGODB_REPLY = b"\x24\0\0\0" + b"\x07\0\0\0" + b"\x01\0\0\0" + b"\xdd\x07\0\0" + b"\0" * 20


def test_every_request_of_a_good_service_is_counted(modules):
    with serving(answering(head=b"X-Version: v2\r\n")) as port:
        found = modules["probe.http"](
            "127.0.0.1", port, ["/health", "/"], count=21, request_timeout=20, version_header="X-Version"
        )
    assert (found["requests"], found["errors"], found["failures"]) == (21, 0, [])
    assert found["versions"] == ["v2"]
    assert 0 < found["p50_ms"] <= found["p95_ms"]


def test_paths_are_asked_in_turn(modules):
    asked = []

    def note(connection):
        asked.append(request(connection).split()[1].decode())
        connection.sendall(response())

    with serving(note) as port:
        modules["probe.http"]("127.0.0.1", port, ["/a", "/b"], count=6, request_timeout=20)
        modules["probe.http"]("127.0.0.1", port, "/one", count=1, request_timeout=20)
    assert sorted(asked) == ["/a"] * 3 + ["/b"] * 3 + ["/one"]


def test_each_request_has_a_connection_and_names_itself(modules):
    heads = []

    def note(connection):
        heads.append(request(connection))
        connection.sendall(response())
        # A second request would come on the same connection.
        assert connection.recv(1) == b""

    with serving(note) as port:
        modules["probe.http"]("127.0.0.1", port, ["/"], count=8, request_timeout=20)
    assert len(heads) == 8
    assert all(b"sluice-probe" in head for head in heads)


@pytest.mark.parametrize(("status", "errors"), [(200, 0), (204, 0), (302, 0), (399, 0), (400, 4), (503, 4)])
def test_a_status_from_400_on_is_an_error(modules, status, errors):
    with serving(answering(status, b"")) as port:
        found = modules["probe.http"]("127.0.0.1", port, ["/x"], count=4, request_timeout=20)
    assert found["errors"] == errors
    assert found["failures"] == [f"GET /x: {status}"] * errors


def test_only_the_first_failures_are_listed(modules):
    with serving(answering(500)) as port:
        found = modules["probe.http"]("127.0.0.1", port, ["/x"], count=30, request_timeout=20)
    assert found["errors"] == 30
    assert len(found["failures"]) == 5


def test_all_versions_seen_are_reported(modules):
    turn = itertools.cycle([b"v1", b"v2"])
    lock = threading.Lock()

    def mixed(connection):
        request(connection)
        with lock:
            version = next(turn)
        connection.sendall(response(head=b"X-Version: %s\r\n" % version))

    with serving(mixed) as port:
        found = modules["probe.http"](
            "127.0.0.1", port, ["/"], count=10, request_timeout=20, version_header="x-version"
        )
    assert found["versions"] == ["v1", "v2"]


def test_a_header_that_is_not_there_is_no_version(modules):
    with serving(answering()) as port:
        for header in ("", "X-Version"):
            found = modules["probe.http"]("127.0.0.1", port, ["/"], 2, 20, version_header=header)
            assert found["versions"] == []


def test_no_answer_is_an_error(modules):
    with dead_port() as port:
        found = modules["probe.http"]("127.0.0.1", port, ["/"], count=3)
    assert found["errors"] == 3
    assert "refused" in found["failures"][0]


def broken_off(connection):
    request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")


def broken_off_chunks(connection):
    request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")


def closes(connection):
    request(connection)


def garbage(connection):
    request(connection)
    connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")


@pytest.mark.parametrize("server", [broken_off, broken_off_chunks, closes, garbage])
def test_half_an_answer_is_an_error(modules, server):
    with serving(server) as port:
        found = modules["probe.http"]("127.0.0.1", port, ["/"], count=2, request_timeout=20)
        assert found["errors"] == 2, found
        assert found["failures"][0].startswith("GET /: ")
        assert modules["probe.wait"]("127.0.0.1", port, "/", seconds=0, request_timeout=20)


def test_whole_answer_counts_though_the_server_keeps_the_connection_open(modules):
    done = threading.Event()

    def stays(connection):
        request(connection)
        connection.sendall(response(body=b"x" * 100_000))
        done.wait(20)

    with serving(stays) as port:
        found = modules["probe.http"]("127.0.0.1", port, ["/"], count=4, request_timeout=20)
        done.set()
    assert found["errors"] == 0, found


def silent(connection):
    request(connection)
    connection.recv(1)


def drips(connection):
    request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(1000):
        connection.sendall(b"x")
        # Until the other side is gone; 20 ms is its pace, not a wait for anything.
        connection.settimeout(0.02)
        try:
            if connection.recv(1) == b"":
                return
        except TimeoutError:
            continue


@pytest.mark.parametrize("server", [silent, drips])
def test_an_answer_that_takes_too_long_is_an_error(modules, server):
    with serving(server) as port:
        found = modules["probe.http"]("127.0.0.1", port, ["/"], count=4, request_timeout=0.3)
    assert found["errors"] == 4
    assert "in time" in found["failures"][0]
    assert found["p50_ms"] >= 300


def test_a_path_that_cannot_be_asked_for_is_an_error_of_its_own(modules):
    with serving(answering()) as port:
        found = modules["probe.http"]("127.0.0.1", port, ["/ü", "/a b", "/ok"], count=3, request_timeout=20)
    assert found["errors"] == 2


@pytest.mark.parametrize(
    ("times", "p50", "p95"),
    [
        ([7], 7, 7),
        ([1, 2], 1, 2),
        (list(range(1, 101)), 50, 95),
        (list(range(100, 0, -1)), 50, 95),
        (list(range(1, 21)), 10, 19),
        (list(range(1, 61)), 30, 57),
        ([5] * 19 + [900], 5, 5),
        ([5] * 18 + [900] * 2, 5, 900),
    ],
)
def test_percentiles_are_nearest_rank(modules, times, p50, p95):
    tries = [{"path": "/", "status": 200, "error": "", "version": "", "ms": float(ms)} for ms in times]
    found = modules["probe.summarise"](tries)
    assert (found["p50_ms"], found["p95_ms"]) == (p50, p95)


@pytest.mark.parametrize(
    "wrong",
    [
        {"paths": []},
        {"paths": None},
        {"paths": {"/": 1}},
        {"count": 0},
        {"count": 10_001},
        {"count": "many"},
        {"count": None},
        {"port": 0},
        {"port": 65536},
        {"port": "http"},
        {"request_timeout": 0},
        {"request_timeout": float("nan")},
        {"request_timeout": "soon"},
    ],
)
def test_http_refuses_what_it_cannot_mean(modules, wrong):
    told = {"address": "127.0.0.1", "port": 80, "paths": ["/"]} | wrong
    with pytest.raises(SaltInvocationError, match=next(iter(wrong))):
        modules["probe.http"](**told)


def test_numbers_of_the_command_line_may_be_text(modules):
    with serving(answering()) as port:
        found = modules["probe.http"]("127.0.0.1", str(port), ["/"], count="2", request_timeout="20")
        assert modules["probe.wait"]("127.0.0.1", str(port), "/", seconds="1", request_timeout="20") is None
        assert modules["probe.need"]("tcp", "127.0.0.1", str(port), timeout="20") is None
    assert found["requests"] == 2


def test_wait_returns_once_it_is_healthy(modules):
    statuses = itertools.chain([503, 404], itertools.repeat(200))

    def recovers(connection):
        request(connection)
        connection.sendall(response(next(statuses)))

    with serving(recovers) as port:
        assert modules["probe.wait"]("127.0.0.1", port, "/health", seconds=20, request_timeout=20) is None


def test_wait_tells_the_last_answer(modules):
    with serving(answering(503)) as port:
        said = modules["probe.wait"]("127.0.0.1", port, "/", seconds=0, request_timeout=20)
    assert said == "503 for 0 s"
    with dead_port() as port:
        assert "refused for 0.3 s" in modules["probe.wait"]("127.0.0.1", port, "/", seconds=0.3)
    with serving(silent) as port:
        said = modules["probe.wait"]("127.0.0.1", port, "/", seconds=0, request_timeout=0.1)
    assert said == "no answer in time for 0 s"


def test_wait_wants_a_200_and_nothing_near_it(modules):
    with serving(answering(204, b"")) as port:
        assert modules["probe.wait"]("127.0.0.1", port, "/", seconds=0, request_timeout=20) == "204 for 0 s"


@pytest.mark.parametrize("seconds", [-1, "x", None, float("inf"), float("nan")])
def test_wait_refuses_seconds_it_cannot_mean(modules, seconds):
    with pytest.raises(SaltInvocationError, match="seconds"):
        modules["probe.wait"]("127.0.0.1", 80, "/", seconds=seconds)


def test_need_tcp_is_there_when_it_accepts(modules):
    with serving(silent) as port:
        assert modules["probe.need"]("tcp", "127.0.0.1", port, timeout=20) is None
    with dead_port() as port:
        assert "refused" in modules["probe.need"]("tcp", "127.0.0.1", port)


def mongodb(connection):
    asked = connection.recv(4096)
    length, request_id, answers, code = (int.from_bytes(asked[at : at + 4], "little") for at in (0, 4, 8, 12))
    assert (length, request_id, answers, code) == (len(asked), 1, 0, 2013)
    connection.sendall(MONGODB_REPLY)


def test_need_mongodb_is_there_when_it_answers_hello(modules):
    with serving(mongodb) as port:
        assert modules["probe.need"]("mongodb", "127.0.0.1", port, timeout=20) is None


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (lambda connection: connection.sendall(response(400)), "it is no MongoDB"),
        (lambda connection: connection.sendall(b"-ERR unknown command, with args\r\n"), "it is no MongoDB"),
        (lambda connection: connection.recv(4096), "closes the connection"),
    ],
)
def test_need_mongodb_is_not_fooled(modules, server, said):
    with serving(server) as port:
        assert said in modules["probe.need"]("mongodb", "127.0.0.1", port, timeout=20)


def test_need_tells_why_not(modules):
    with serving(silent) as port:
        assert "timed out" in modules["probe.need"]("mongodb", "127.0.0.1", port, timeout=0.2)
    with dead_port() as port:
        assert "refused" in modules["probe.need"]("mongodb", "127.0.0.1", port)
    assert modules["probe.need"]("tcp", "x" * 80 + ".invalid", 1)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("redis", "127.0.0.1", 1), "redis"),
        (("tcp", "127.0.0.1", 70_000), "port"),
        (("tcp", "127.0.0.1", "x"), "port"),
        (("tcp", "127.0.0.1", 1, 0), "timeout"),
    ],
)
def test_need_refuses_what_it_cannot_mean(modules, arguments, named):
    with pytest.raises(SaltInvocationError, match=named):
        modules["probe.need"](*arguments)


def test_version_is_where_the_link_points(modules, tmp_path):
    link = tmp_path / "current"
    assert modules["probe.version"](str(link)) is None
    os.symlink("/srv/checkbox/releases/v2", link)
    assert modules["probe.version"](str(link)) == "v2"


def test_version_of_what_is_no_link_is_refused(modules, tmp_path):
    with pytest.raises(CommandExecutionError, match="no link to a version"):
        modules["probe.version"](str(tmp_path))
