"""artifact: servers that break off, disks that are full, and the javax2jakarta of Debian, all real."""

import contextlib
import hashlib
import http.server
import io
import os
import subprocess
import threading
import time
import zipfile

import pytest

SERVLET = 'import javax.servlet.http.HttpServlet;\n<%@ page import="javax.servlet.http.Cookie" %>v1'


def war(**files):
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for name, text in ({"login.jsp": SERVLET} | files).items():
            archive.writestr(name.replace("__", "/"), text)
    return raw.getvalue()


WAR = war()
SHA256 = hashlib.sha256(WAR).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Answers as its path says."""

    def do_GET(self):
        with contextlib.suppress(OSError):
            getattr(self, self.path.strip("/"))()

    def head(self, length):
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def good(self):
        self.head(len(WAR))
        self.wfile.write(WAR)

    def half(self):
        self.head(len(WAR))
        self.wfile.write(WAR[: len(WAR) // 2])

    def endless(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"x" * 65536)

    def huge(self):
        self.head(10**12)

    def big(self):
        self.head(3_000_000)
        self.wfile.write(b"x" * 3_000_000)

    def missing(self):
        self.send_error(404)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def url():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def loaded(machine_of_module):
    return machine_of_module("git-1")


@pytest.fixture
def fetched(loaded, tmp_path, url):
    """fetched("/half", ...): the outcome, of a file below tmp_path."""

    def run(path, sha256=SHA256, test=False, folder=tmp_path, **more):
        address = path if "://" in path else url + path
        return loaded.apply(
            "artifact.fetched", name=str(folder / "v1.war"), url=address, sha256=sha256, test=test, **more
        )

    return run


def test_an_artifact_is_fetched_once(fetched, tmp_path):
    planned = fetched("/good", test=True)
    assert planned["result"] is None
    assert not list(tmp_path.iterdir())
    done = fetched("/good")
    assert done["result"] is True, done
    assert done["changes"] == planned["changes"]
    assert (tmp_path / "v1.war").read_bytes() == WAR
    # It is there: a server that is gone is not asked.
    again = fetched("/missing")
    assert (again["result"], again["changes"]) == (True, {})


@pytest.mark.parametrize(
    ("path", "more", "said"),
    [
        ("/good", {"sha256": "0" * 64}, "has the sha256"),
        ("/half", {}, f"broke off after {len(WAR) // 2} of {len(WAR)} bytes"),
        ("/missing", {}, "404 (want 200)"),
        ("/huge", {}, "has more than 500000000 bytes, which is the limit"),
        ("/endless", {"max_bytes": 1_000_000}, "has more than 1000000 bytes"),
        ("/endless", {"max_bytes": 10**12, "timeout_seconds": 0.2}, "when its time was over"),
        ("http://127.0.0.1:9/x", {}, "no answer"),
        ("ftp://127.0.0.1/x", {}, "is no http:// or https:// address"),
        ("file:///etc/passwd", {}, "is no http:// or https:// address"),
        ("http://me:swordfish@127.0.0.1/x", {}, "holds a log-in for 127.0.0.1: take it out"),
        ("/good", {"sha256": "xyz"}, "want 64 digits"),
        ("/good", {"sha256": None}, "want 64 digits"),
    ],
)
def test_what_goes_wrong_is_one_line_and_leaves_nothing(fetched, tmp_path, path, more, said):
    (tmp_path / "v1.war").write_bytes(b"what runs")
    ret = fetched(path, **more)
    assert ret["result"] is False
    assert ret["changes"] == {}
    assert said in ret["comment"]
    assert ret["comment"].endswith("Nothing was changed: what runs goes on running.")
    assert "swordfish" not in ret["comment"]
    assert "\n" not in ret["comment"]
    assert [path.name for path in tmp_path.iterdir()] == ["v1.war"]
    assert (tmp_path / "v1.war").read_bytes() == b"what runs"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_nothing_is_left_on_it(fetched, small_disk):
    ret = fetched("/big", sha256="0" * 64, folder=small_disk)
    assert ret["result"] is False
    assert "v1.war cannot be written: No space left on device" in ret["comment"]
    assert list(small_disk.iterdir()) == []


def test_a_war_that_does_not_fit_unpacked_leaves_nothing(loaded, small_disk, tmp_path):
    (tmp_path / "v1.war").write_bytes(war(page="x" * 3_000_000))
    ret = unpacked(loaded, small_disk / "v1", tmp_path / "v1.war", migrate=False)
    assert ret["result"] is False
    assert "cannot be unpacked: No space left on device" in ret["comment"]
    assert list(small_disk.iterdir()) == []


def unpacked(loaded, target, source, test=False, **more):
    return loaded.apply("artifact.unpacked", name=str(target), archive=str(source), test=test, **more)


def test_a_war_for_javax_is_migrated_and_unpacked_once(loaded, tmp_path):
    (tmp_path / "v1.war").write_bytes(WAR)
    assert unpacked(loaded, tmp_path / "v1", tmp_path / "v1.war", test=True)["result"] is None
    done = unpacked(loaded, tmp_path / "v1", tmp_path / "v1.war")
    assert done["result"] is True, done
    text = (tmp_path / "v1/login.jsp").read_text()
    assert "jakarta.servlet.http.Cookie" in text
    assert "javax" not in text
    assert {path.name for path in tmp_path.iterdir()} == {"v1", "v1.war"}
    begin = time.monotonic()
    again = unpacked(loaded, tmp_path / "v1", tmp_path / "v1.war")
    assert (again["result"], again["changes"]) == (True, {})
    # Java is not started for it.
    assert time.monotonic() - begin < 0.1


@pytest.mark.parametrize(
    ("raw", "more", "said"),
    [
        (b"no archive", {"migrate": False}, "is no WAR"),
        (b"no archive", {"migrate": True}, "v1.war"),
        (war(page="x" * 1000), {"migrate": False, "max_bytes": 10}, "the limit is 100"),
    ],
)
def test_what_is_no_war_leaves_nothing(loaded, tmp_path, raw, more, said):
    (tmp_path / "v1.war").write_bytes(raw)
    ret = unpacked(loaded, tmp_path / "v1", tmp_path / "v1.war", **more)
    assert ret["result"] is False
    assert said in ret["comment"]
    assert [path.name for path in tmp_path.iterdir()] == ["v1.war"]


def test_a_war_cannot_write_outside_its_directory(loaded, tmp_path):
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("../../outside", "x")
    (tmp_path / "v1.war").write_bytes(raw.getvalue())
    assert unpacked(loaded, tmp_path / "in/v1", tmp_path / "v1.war", migrate=False)["result"] in (True, False)
    assert not (tmp_path / "outside").exists()
    assert not (tmp_path.parent / "outside").exists()


@pytest.fixture
def artifacts(tmp_path):
    """v1 to v5, v5 the newest, and what an interrupted fetch left."""
    folder = tmp_path / "artifacts"
    for number in range(1, 6):
        (folder / f"v{number}").mkdir(parents=True)
        (folder / f"v{number}.war").touch()
        for name in (f"v{number}", f"v{number}.war"):
            os.utime(folder / name, (number, number))
    (folder / ".fetching-v9.war").touch()
    (folder / ".unpacking-v9").mkdir()
    (tmp_path / "current").symlink_to("artifacts/v1")
    return folder


def test_the_newest_artifacts_stay_and_those_in_use_in_any_case(loaded, artifacts):
    told = {"name": str(artifacts), "in_use": "v2", "current": str(artifacts.parent / "current"), "keep": 3}
    planned = loaded.apply("artifact.kept", test=True, **told)
    assert planned["result"] is None
    done = loaded.apply("artifact.kept", **told)
    assert done["changes"] == planned["changes"]
    assert {path.name for path in artifacts.iterdir()} == {"v1", "v1.war", "v2", "v2.war", "v5", "v5.war"}
    assert loaded.apply("artifact.kept", **told)["changes"] == {}


@pytest.mark.parametrize("keep", [0, True, "3", None])
def test_a_number_to_keep_that_is_none_is_refused(loaded, artifacts, keep):
    ret = loaded.apply("artifact.kept", name=str(artifacts), in_use="v5", keep=keep)
    assert ret["result"] is False
    assert len(list(artifacts.iterdir())) == 12
