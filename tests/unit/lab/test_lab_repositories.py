"""The hook that has a push built: with real pushes, and a server in the build server's place."""

import http.server
import subprocess
import threading

import pytest

from lab.repositories import HOOK


class Builds(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.asked.append(self.path)
        self.send_response(self.server.answer)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def builds():
    with http.server.HTTPServer(("127.0.0.1", 0), Builds) as server:
        server.asked, server.answer = [], 201
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def push(builds, tmp_path):
    """Push a commit to a branch; the finished process."""
    git("init", "--quiet", "--bare", tmp_path / "bare")
    git("init", "--quiet", tmp_path / "work")
    git("-C", tmp_path / "work", "commit", "--quiet", "--allow-empty", "--message", "one")
    hook = tmp_path / "bare/hooks/post-receive"
    text = HOOK.format(address="127.0.0.1", application="itrust", token="lab-fake-token")
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(text.replace(":8080/", f":{builds.server_port}/"))
    hook.chmod(0o755)
    return lambda branch: git("-C", tmp_path / "work", "push", tmp_path / "bare", f"HEAD:refs/heads/{branch}")


def git(*words):
    who = ["-c", "user.name=A", "-c", "user.email=a@example.invalid"]
    return subprocess.run(["git", *who, *words], check=True, capture_output=True, text=True)


def test_push_of_main_asks_for_a_build_by_the_jobs_url(push, builds):
    assert "the build of itrust was asked for" in push("main").stderr
    assert builds.asked == ["/job/itrust/build?token=lab-fake-token"]


def test_push_of_another_branch_asks_for_nothing(push, builds):
    push("topic")
    assert builds.asked == []


def test_push_stays_and_its_user_is_told_when_no_build_is_begun(push, builds):
    builds.answer = 403
    told = push("main").stderr
    assert "403" in told
    assert "asked for" not in told
