"""A master that takes reports, a git repository to build, and the job with its settings, on loopback."""

import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from jinja2 import Environment

REPO = Path(__file__).resolve().parents[3]
SCRIPT = REPO / "salt/jenkins/files/build_webapp.py"
sys.path.insert(0, str(REPO / "tests/apps/jenkins"))
TRIGGER, TOKEN, PASSWORD = "trigger-secret", "api-token-secret", "report-secret"
WHO = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in {"NAME": "Dev", "EMAIL": "dev@example.invalid", "DATE": "2026-01-02T03:04:05Z"}.items()
}
# A WAR in a second: what a build command is to the job does not matter to it.
BUILD = """\
import pathlib, zipfile
pathlib.Path("target").mkdir()
with zipfile.ZipFile("target/app.war", "w") as war:
    war.writestr(zipfile.ZipInfo("text"), pathlib.Path("text").read_text())
"""


def job_xml(script, settings, junit=True, trigger=TRIGGER, keep=20):
    text = (REPO / "salt/jenkins/files/jobs/itrust.xml").read_text()
    told = {"service": "itrust", "script": script, "settings": settings, "keep_builds": keep}
    return Environment().from_string(text).render(told, junit=junit, trigger_token=trigger)


class Master(http.server.ThreadingHTTPServer):
    """What a build asks of salt-api: a log-in, then a report with the token of it."""

    daemon_threads, block_on_close = True, False

    def __init__(self):
        self.reports, self.log_ins, self.statuses = [], [], []
        super().__init__(("127.0.0.1", 0), Take)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def close(self):
        self.shutdown()
        self.thread.join()
        self.server_close()


class Take(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status == 200 and self.path == "/login":
            self.server.log_ins.append(body)
        elif status == 200:
            status = 200 if self.headers.get("X-Auth-Token") == "a-token" else 401
            self.server.reports.append((self.path, body))
        data = json.dumps({"return": [{"token": "a-token"}]}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class Project:
    """A repository with an application, and the settings with which the job builds it."""

    def __init__(self, root, master):
        self.root, self.work = root, root / "work"
        self.artifacts = root / "artifacts"
        self.workspace = root / "workspace"
        for folder in (self.work / "app/sql/changes", self.artifacts, self.workspace):
            folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")
        self.write("app/sql/MANIFEST", "Tables.sql\n")
        self.write("app/sql/Tables.sql", "CREATE TABLE T (x int);\n")
        self.write("app/sql/changes/1.sql", "ALTER TABLE T ADD y int;\n")
        self.write("app/build.py", BUILD)
        self.commit("one")
        self.settings = {
            "service": "itrust", "repository": str(self.work), "branch": "main", "subdir": "app",
            "prepare": [], "build": [sys.executable, "build.py"], "environment": {}, "timeout_seconds": 60,
            "war": "target/*.war", "name": "iTrust.war", "sql": "sql", "manifest": [],
            "artifacts": str(self.artifacts), "artifacts_url": "http://192.0.2.16:8081/", "keep": 20,
            "report": {"url": master.url, "eauth": "file", "username": "jenkins", "password": PASSWORD,
                       "tries": 2, "pause_seconds": 0.05},
        }  # fmt: skip

    def write(self, name, text):
        (self.work / name).write_text(text)

    def git(self, *words):
        env = {**os.environ, **WHO, "GIT_CONFIG_GLOBAL": os.devnull}
        done = subprocess.run(
            ["git", "-C", self.work, *words], check=True, capture_output=True, text=True, env=env
        )
        return done.stdout.strip()

    def commit(self, text):
        self.write("app/text", text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", text)
        return self.git("rev-parse", "HEAD")

    def tell(self, **more):
        self.settings |= more
        path = self.root / "settings.json"
        path.write_text(json.dumps(self.settings))
        return path

    def build(self, **more):
        """Run the script as the job does; its code and what stands in the console."""
        env = {**os.environ, "WORKSPACE": str(self.workspace), "BUILD_URL": "http://192.0.2.16:8080/job/x/1/"}
        done = subprocess.run(
            [sys.executable, SCRIPT, self.tell(**more)], cwd=self.workspace, env=env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False,
        )  # fmt: skip
        assert PASSWORD not in done.stdout
        return done.returncode, done.stdout

    def published(self):
        return sorted(str(path.relative_to(self.artifacts)) for path in self.artifacts.rglob("*"))
