"""A client of the master's API, a build server that waits to be triggered, and a server of artifacts."""

import hashlib
import json
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

HOOK = Path(__file__).resolve().parents[3] / "scripts/post-receive"
REPOSITORY = "https://git.example.com/itrust.git"
COMMIT = "59b20b8d5c6ff8d09518216e87c3d2ba80fc1d2b"
PASSWORD = "not-a-secret-of-the-builder"
TRIGGER = "not-a-secret-trigger"


def ask(url, body=b"", headers=(), method="POST", context=None):
    """Status, headers and body of one request; a dict is sent as JSON. `context` is that of TLS."""
    tls = urllib.request.HTTPSHandler(context=context)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), tls)
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    headers = {"Content-Type": "application/json", **dict(headers)}
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with opener.open(request, timeout=20) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def log_in(api, user, password, **more):
    told = {"username": user, "password": password, "eauth": "file", **more}
    return ask(f"{api.url}/login", told, context=api.context)


def wait_for(condition, seconds=30.0, what="a condition"):
    """Poll until `condition()` is true; its value. AssertionError after the deadline."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true in {seconds} s"
        time.sleep(0.05)
    return value


def push_of(commit=COMMIT, ref="refs/heads/main", **more):
    """The body of a push, with the fields that the three forges share."""
    told = {"ref": ref, "before": "6" * 40, "after": commit, "repository": {"clone_url": REPOSITORY},
            "pusher": {"name": "codertocat", "login": "codertocat"}, **more}  # fmt: skip
    return json.dumps(told).encode()


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        """Nothing on stderr."""

    def say(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Jenkins(_Handler):
    """The trigger as Jenkins has it: a crumb for the session it was asked for in, and the job's token."""

    def do_GET(self):
        if self.path == "/crumbIssuer/api/json":
            crumb = b'{"crumb": "c-1", "crumbRequestField": "Jenkins-Crumb"}'
            return self.say(200, crumb, Set_Cookie="JSESSIONID=s-1; Path=/")
        return self.trigger()

    def do_POST(self):
        if (self.headers.get("Jenkins-Crumb"), self.headers.get("Cookie")) != ("c-1", "JSESSIONID=s-1"):
            return self.say(403)
        return self.trigger()

    def trigger(self):
        parts = urlsplit(self.path)
        if parts.path != "/job/itrust/build":
            return self.say(404)
        query = {key: found[0] for key, found in parse_qs(parts.query).items()}
        if query.get("token") != self.server.token:
            return self.say(403)
        self.server.causes.append(query["cause"])
        return self.say(201, Location="/queue/item/1/")


class _Artifacts(_Handler):
    def do_GET(self):
        found = self.server.files.get(self.path)
        published = self.server.folder / self.path.lstrip("/") if self.server.folder else None
        if published and published.is_file():
            found = published.read_bytes()
        return self.say(404) if found is None else self.say(200, found)


class Servers:
    """Jenkins and the artifacts, each with `url`; close() ends both."""

    def __init__(self):
        self.jenkins, self.artifacts = (
            ThreadingHTTPServer(("127.0.0.1", 0), one) for one in (_Jenkins, _Artifacts)
        )
        self.jenkins.token, self.jenkins.causes, self.artifacts.files = TRIGGER, [], {}
        # A directory whose files are served besides.
        self.artifacts.folder = None
        self.threads = []
        for one in (self.jenkins, self.artifacts):
            one.url = f"http://127.0.0.1:{one.server_address[1]}/"
            thread = threading.Thread(target=one.serve_forever, args=(0.05,), daemon=True)
            thread.start()
            self.threads.append(thread)

    def publish(self, content, commit=COMMIT, date="20261124101500"):
        """Put an artifact there; the report of its build."""
        version = f"{date}-{commit[:10]}"
        path = f"/itrust/{version}/iTrust.war"
        self.artifacts.files[path] = content
        return {
            "version": version, "url": self.artifacts.url + path[1:], "branch": "main", "result": "SUCCESS",
            "sha256": hashlib.sha256(content).hexdigest(), "commit": commit, "build_url": "http://jenkins/job/1/",
        }  # fmt: skip

    def close(self):
        for one, thread in zip((self.jenkins, self.artifacts), self.threads, strict=True):
            one.shutdown()
            one.server_close()
            thread.join()
