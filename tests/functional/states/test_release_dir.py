"""release_dir: versions built from real git repositories, by a build command that can go wrong."""

import contextlib
import http.server
import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest

# Installs what the lock file names; a version whose lock file says so does not build.
BUILD = [
    "sh",
    "-c",
    "grep -q broken package-lock.json && { echo 'npm error no such package' >&2; exit 7; }; "
    "mkdir -p node_modules && cp package-lock.json node_modules/installed",
]
IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "test"), ("EMAIL", "test@example.com"))
}


class Repository:
    """A git repository whose commits hold a lock file."""

    def __init__(self, path):
        self.path = path
        path.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words):
        config = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
        done = subprocess.run(
            ["git", *words],
            cwd=self.path,
            env=os.environ | IDENTITY | config,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, lock, tag=None, **files):
        """Commit a lock file in `site` (and others); the commit."""
        (self.path / "site").mkdir(exist_ok=True)
        (self.path / "site/package-lock.json").write_text(lock)
        for name, text in files.items():
            (self.path / name).write_text(text)
        self.git("add", "-A")
        self.git("commit", "--quiet", "--allow-empty", "-m", lock)
        if tag:
            self.git("tag", "--force", "-a", "-m", tag, tag)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path):
    made = Repository(tmp_path / "repository")
    made.commit("one", tag="v1")
    made.commit("two", tag="v2")
    return made


@pytest.fixture
def releases(tmp_path):
    return tmp_path / "releases"


@pytest.fixture(scope="module")
def loaded(machine_of_module):
    return machine_of_module("git-1")


@pytest.fixture
def build(loaded, repository, releases):
    """build("v1", ...): apply release_dir.built for this repository; checks what every outcome must keep."""

    def apply(version="v1", test=False, **changed):
        told = {
            "name": str(releases / str(version)),
            "source": str(repository.path),
            "version": version,
            "command": BUILD,
            "subdir": "site",
        }
        before = tree(releases) if test else None
        ret = loaded.apply("release_dir.built", test=test, **(told | changed))
        assert before is None or tree(releases) == before, "test mode wrote something"
        assert ret["result"] is not False or not ret["changes"]
        return ret

    return apply


def tree(folder):
    """Every path below a folder with its size and time."""
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


def scratch(releases):
    return [path.name for path in releases.iterdir() if path.name.startswith((".building", ".old"))]


def test_build_puts_version_in_place(build, releases, repository):
    ret = build("v1")
    assert ret["result"] is True, ret
    commit = repository.git("rev-parse", "v1^{commit}")
    assert ret["changes"] == {"v1": {"old": None, "new": commit}}
    assert (releases / "v1/site/node_modules/installed").read_text() == "one"
    assert scratch(releases) == []


def test_second_build_changes_nothing(build, releases):
    build("v1")
    before = tree(releases)
    ret = build("v1")
    assert (ret["result"], ret["changes"]) == (True, {})
    assert tree(releases) == before


def test_branch_is_a_version_too(build, releases, repository):
    assert build("main")["changes"]["main"]["new"] == repository.git("rev-parse", "main")


def test_tag_wins_over_branch_of_the_same_name(build, releases, repository):
    repository.git("branch", "v1", "main")
    assert build("v1")["result"] is True
    assert (releases / "v1/site/package-lock.json").read_text() == "one"
    assert build("v1")["changes"] == {}


def test_test_mode_tells_the_changes_of_the_real_run(build, releases):
    ret = build("v1", test=True)
    assert ret["result"] is None
    assert ret["changes"] == build("v1")["changes"]
    ret = build("v1", test=True)
    assert (ret["result"], ret["changes"]) == (True, {})


def test_test_mode_of_a_fresh_machine_needs_no_git(build, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    ret = build("v1", test=True)
    assert ret["result"] is None
    assert "v1" in ret["changes"]


def test_without_git_the_real_run_says_so(build, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    ret = build("v1")
    assert ret["result"] is False
    assert "git could not be run" in ret["comment"]


def test_moved_tag_is_built_again(build, releases, repository):
    old = build("v1")["changes"]["v1"]["new"]
    new = repository.commit("one, corrected", tag="v1")
    assert build("v1", test=True)["changes"] == {"v1": {"old": old, "new": new}}
    assert build("v1")["changes"] == {"v1": {"old": old, "new": new}}
    assert (releases / "v1/site/node_modules/installed").read_text() == "one, corrected"
    assert scratch(releases) == []


@pytest.mark.parametrize("lost", ["site/node_modules", "site/package-lock.json", "../.built-v1.json", "."])
def test_release_that_lost_a_part_is_built_again(build, releases, lost):
    build("v1")
    part = releases / "v1" / lost
    subprocess.run(["rm", "-r", str(part.resolve())], check=True)
    ret = build("v1")
    assert ret["result"] is True, ret
    assert list(ret["changes"]) == ["v1"]
    assert (releases / "v1/site/node_modules/installed").read_text() == "one"
    assert build("v1")["changes"] == {}


def test_changed_lock_file_is_built_again(build, releases):
    build("v1")
    (releases / "v1/site/package-lock.json").write_text("edited by hand")
    assert build("v1")["changes"]
    assert (releases / "v1/site/package-lock.json").read_text() == "one"


@pytest.mark.parametrize("marker", ["", "[]", "null", '{"lock_sha256": 1}', "\x00\xff"])
def test_marker_that_cannot_be_read_means_not_built(build, releases, marker):
    build("v1")
    (releases / ".built-v1.json").write_text(marker)
    ret = build("v1")
    assert ret["result"] is True
    assert ret["changes"]


def test_version_that_does_not_build_leaves_everything_as_it_was(build, releases, repository):
    build("v1")
    repository.commit("broken", tag="v1")
    before = tree(releases / "v1")
    ret = build("v1")
    assert ret["result"] is False
    for words in ("v1 did not build with `sh -c", "code 7", "no such package", "Nothing was changed"):
        assert words in ret["comment"]
    assert tree(releases / "v1") == before
    assert scratch(releases) == []


def test_command_that_is_not_there_is_told_in_one_line(build, releases):
    ret = build("v1", command=["no-such-tool", "ci"])
    assert ret["result"] is False
    assert "v1 did not build with `no-such-tool ci`" in ret["comment"]
    assert "No such file" in ret["comment"]
    assert len(ret["comment"]) < 300
    assert not (releases / "v1").exists()


def test_command_that_makes_no_product_is_told(build, releases):
    ret = build("v1", command=["true"])
    assert ret["result"] is False
    assert "made no node_modules" in ret["comment"]
    assert not (releases / "v1").exists()


def test_command_that_takes_too_long_is_ended(build):
    ret = build("v1", command=["sleep", "60"], timeout_seconds=1)
    assert ret["result"] is False
    assert "v1 did not build with `sleep 60`" in ret["comment"]


def test_missing_subdirectory_and_missing_user_are_told(build):
    assert "no directory elsewhere to build in" in build("v1", subdir="elsewhere")["comment"]
    ret = build("v1", user="nobody-of-this-name")
    assert ret["result"] is False
    assert "nobody-of-this-name" in ret["comment"]


def test_interrupted_build_is_made_again(build, releases):
    (releases / ".building-v1/site").mkdir(parents=True)
    (releases / ".building-v1/site/half").write_text("of a build that was killed")
    assert build("v1")["result"] is True
    assert not (releases / "v1/site/half").exists()
    assert scratch(releases) == []


def test_interruption_between_the_two_moves_is_made_good(build, releases):
    build("v1")
    (releases / "v1").rename(releases / ".old-v1")
    assert build("v1")["result"] is True
    assert (releases / "v1/site/node_modules/installed").exists()
    assert scratch(releases) == []


def test_interruption_before_the_marker_is_made_good(build, releases, repository, monkeypatch):
    first = build("v1")["changes"]["v1"]["new"]
    repository.commit("one", tag="v1", page="of the moved tag")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build("v1")
    # The tag goes back: what the first marker said would be true again, but not of what is there now.
    repository.git("tag", "--force", "v1", first)
    assert build("v1")["changes"]["v1"]["new"] == first
    assert not (releases / "v1/page").exists()


def test_directory_that_cannot_be_replaced_is_told(build, tmp_path):
    (tmp_path / "file").write_text("")
    ret = build("v1", name=str(tmp_path / "file/v1"))
    assert ret["result"] is False
    assert "Nothing was changed" in ret["comment"]


def test_unknown_version_lists_the_known_ones(build):
    ret = build("v9")
    assert ret["result"] is False
    assert "Unknown version v9" in ret["comment"]
    assert "main, v1, v2" in ret["comment"]


@pytest.mark.parametrize("version", ["../../etc", "-x", "v1;id", "v1\n", "a..b", "", "x" * 65, None, 7])
def test_hostile_version_is_refused(build, releases, version):
    ret = build(version, name=str(releases / "v"))
    assert ret["result"] is False
    assert "is not a version" in ret["comment"]
    assert not releases.exists()


def test_dead_repository_fails_a_version_that_is_not_there(build, tmp_path):
    with dead_address() as address:
        ret = build("v1", source=f"git://{address}/checkbox")
    assert ret["result"] is False
    assert f"git://{address}/checkbox does not answer" in ret["comment"]


def test_empty_source_is_told(build):
    assert "No git source is given" in build("v1", source="")["comment"]


def test_dead_repository_leaves_a_built_version_in_use(build, releases, repository):
    build("v1")
    repository.path.rename(repository.path.with_name("gone"))
    before = tree(releases)
    for test in (True, False):
        ret = build("v1", test=test)
        assert (ret["result"], ret["changes"]) == (True, {})
        assert "does not answer" in ret["warnings"][0]
    assert tree(releases) == before


def test_other_source_is_built_from(build, repository, tmp_path):
    build("v1")
    other = Repository(tmp_path / "other")
    commit = other.commit("of another repository", tag="v1")
    assert build("v1", source=str(other.path))["changes"]["v1"]["new"] == commit


def test_builder_cannot_have_root_write_through_a_link(build, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    link = [
        "sh",
        "-c",
        f"mkdir node_modules; for n in .built.json .built-v1.json; do ln -s {precious} $n; done",
    ]
    assert build("v1", command=link)["result"] is True
    assert build("v1", command=link)["changes"] == {}
    assert precious.read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root builds as somebody else")
def test_build_runs_as_its_user_who_owns_the_files(build, releases, tmp_path_factory):
    for folder in (releases.parent, *releases.parents):
        if folder.stat().st_mode & 0o1 == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
    ret = build("v1", user="nobody", command=["sh", "-c", "mkdir node_modules; id -un > node_modules/who"])
    assert ret["result"] is True, ret
    assert (releases / "v1/site/node_modules/who").read_text() == "nobody\n"
    assert (releases / "v1/site/package-lock.json").owner() == "nobody"
    assert (releases / ".built-v1.json").owner() == "root"


@contextlib.contextmanager
def dead_address():
    """An address where nobody listens: bound, never listened on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


class GitServer(http.server.BaseHTTPRequestHandler):
    """git http-backend behind a log-in."""

    root = Path()

    def do_GET(self):
        self.serve()

    def do_POST(self):
        self.serve()

    def serve(self):
        # user:swordfish!
        if self.headers.get("Authorization") != "Basic dXNlcjpzd29yZGZpc2gh":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        env = os.environ | {
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        done = subprocess.run(["git", "http-backend"], env=env, input=body, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        self.send_response(200)
        for line in head.decode().splitlines():
            self.send_header(*line.split(": ", 1))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def git_server(repository):
    handler = type("Handler", (GitServer,), {"root": repository.path.parent})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_password_of_a_source_reaches_git_and_nobody_else(build, releases, git_server, tmp_path, monkeypatch):
    spy = tmp_path / "bin/git"
    spy.parent.mkdir()
    spy.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/arguments\nexec {shutil.which("git")} "$@"\n')
    spy.chmod(0o755)
    monkeypatch.setenv("PATH", f"{spy.parent}:{os.environ['PATH']}")
    source = f"http://user:swordfish%21@{git_server}/repository/.git"
    for ret in (build("v1", source=source), build("v1", source=source)):
        assert ret["result"] is True, ret
        assert "swordfish" not in str(ret)
    assert ret["changes"] == {}
    arguments = (tmp_path / "arguments").read_text()
    assert f"fetch --quiet --depth=1 -- http://{git_server}/repository/.git refs/tags/v1" in arguments
    assert "swordfish" not in arguments
    assert not any(b"swordfish" in path.read_bytes() for path in releases.rglob("*") if path.is_file())


def test_wrong_password_is_told_without_it(build, git_server):
    ret = build("v1", source=f"http://user:swordfish-gone@{git_server}/repository/.git")
    assert ret["result"] is False
    assert "does not answer" in ret["comment"]
    assert "swordfish" not in str(ret)


@pytest.fixture
def many(releases):
    """v1 to v5, the later the newer, with their markers."""
    for number in range(1, 6):
        place = releases / f"v{number}"
        (place / "site").mkdir(parents=True)
        (releases / f".built-v{number}.json").write_text("{}")
        os.utime(place, (1_000_000 + number, 1_000_000 + number))
    return releases


def left(releases):
    return sorted(path.name for path in releases.iterdir() if not path.name.startswith("."))


def test_kept_removes_the_oldest(loaded, many):
    told = {"name": str(many), "in_use": str(many / "v5"), "keep": 3}
    planned = loaded.apply("release_dir.kept", test=True, **told)
    assert planned["result"] is None
    assert left(many) == ["v1", "v2", "v3", "v4", "v5"]
    ret = loaded.apply("release_dir.kept", **told)
    assert ret["result"] is True
    assert ret["changes"] == planned["changes"] == {"removed": ["v2", "v1"]}
    assert left(many) == ["v3", "v4", "v5"]
    assert not (many / ".built-v1.json").exists()
    assert loaded.apply("release_dir.kept", **told)["changes"] == {}


def test_kept_never_removes_the_one_in_use(loaded, many):
    loaded.apply("release_dir.kept", name=str(many), in_use=str(many / "v1"), keep=1)
    assert left(many) == ["v1"]


def test_kept_counts_a_version_that_is_not_there_yet(loaded, many):
    loaded.apply("release_dir.kept", name=str(many), in_use=str(many / "v6"), keep=2)
    assert left(many) == ["v5"]


def test_kept_removes_what_interrupted_builds_left(loaded, many):
    (many / ".building-v6").mkdir()
    (many / ".old-v2").mkdir()
    ret = loaded.apply("release_dir.kept", name=str(many), in_use=str(many / "v5"), keep=9)
    assert ret["changes"] == {"removed": [".building-v6", ".old-v2"]}
    assert left(many) == ["v1", "v2", "v3", "v4", "v5"]


def test_kept_without_directory_has_nothing_to_do(loaded, releases):
    ret = loaded.apply("release_dir.kept", name=str(releases), in_use=str(releases / "v1"))
    assert (ret["result"], ret["changes"]) == (True, {})


def test_kept_leaves_files_and_links_alone(loaded, many, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (many / "a-link").symlink_to(tmp_path / "elsewhere")
    (many / "a-file").write_text("")
    loaded.apply("release_dir.kept", name=str(many), in_use=str(many / "v5"), keep=1)
    assert left(many) == ["a-file", "a-link", "v5"]
    assert (tmp_path / "elsewhere").is_dir()


@pytest.mark.parametrize("keep", [0, -1, "3", None, True, 1.5])
def test_kept_refuses_a_number_it_cannot_mean(loaded, many, keep):
    ret = loaded.apply("release_dir.kept", name=str(many), in_use=str(many / "v5"), keep=keep)
    assert ret["result"] is False
    assert f"keep is {keep!r}" in ret["comment"]
    assert len(left(many)) == 5
