"""
A stand-in for Jenkins: `python3 stand_in.py SETTINGS.json`.

The REST surface that Sluice uses, over jobs on disk that it really runs: the shell steps of a freestyle job,
its archived artifacts and its JUnit results. One build at a time, after a quiet period in which further
triggers of the same job are one build.

SETTINGS.json: {"home": path, "bind": address, "port": port, "user": name, "token": API token,
"quiet_seconds": 1.0}. It proves what is asked of a Jenkins, not what a Jenkins does.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
import signal
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from builds import Builds
from jobs import BadJob, Jobs

# A job's XML has a few kilobytes.
MAX_BODY = 1_000_000
FIELD = "Jenkins-Crumb"


class Answer(Exception):
    """What a request is answered with."""

    def __init__(self, code, body="", kind="text/plain", headers=()):
        super().__init__(code)
        self.code, self.body, self.kind, self.headers = code, body, kind, dict(headers)


class StandIn(ThreadingHTTPServer):
    """The server with its jobs and builds."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, settings):
        self.user, self.token = settings["user"], settings["token"]
        self.crumb_key = secrets.token_bytes(32)
        self.jobs = Jobs(Path(settings["home"]))
        super().__init__((settings["bind"], settings["port"]), Door)
        url = f"http://{settings['bind']}:{self.server_address[1]}"
        self.builds = Builds(self.jobs, url, settings.get("quiet_seconds", 1.0))

    def crumb(self):
        return hmac.new(self.crumb_key, self.user.encode(), hashlib.sha256).hexdigest()

    def close(self):
        """Answer no more, and end the build that runs."""
        self.server_close()
        self.builds.close()


class Door(BaseHTTPRequestHandler):
    """One request: who asks, may they, and what is it they ask for."""

    protocol_version = "HTTP/1.1"
    server: StandIn

    def do_GET(self):
        self.answer("GET")

    def do_POST(self):
        self.answer("POST")

    def log_message(self, *_):
        """The token of the trigger stands in the address: no address is logged."""

    def answer(self, method):
        self.parts = urllib.parse.urlsplit(self.path)
        self.query = {key: found[-1] for key, found in urllib.parse.parse_qs(self.parts.query).items()}
        try:
            body = self.body()
            asks = self.who()
            if method == "POST":
                self.check_post(asks)
            found = self.route(method, asks, body)
        except Answer as answer:
            found = answer
        except BadJob as error:
            found = Answer(400, f"{error}\n")
        data = found.body if isinstance(found.body, bytes) else found.body.encode()
        self.send_response(found.code)
        for name, value in {"X-Jenkins": "2.0-stand-in", "Content-Type": found.kind, **found.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self):
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY:
            self.close_connection = True
            raise Answer(413)
        return self.rfile.read(int(length))

    def who(self):
        """The user, or None for nobody; a wrong token is a 401, not nobody."""
        told = self.headers.get("Authorization")
        if told is None:
            return None
        try:
            pair = base64.b64decode(told.removeprefix("Basic "), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise Answer(401) from None
        right = f"{self.server.user}:{self.server.token}"
        if not hmac.compare_digest(pair.encode(), right.encode()):
            raise Answer(401, headers={"WWW-Authenticate": 'Basic realm="Jenkins"'})
        return self.server.user

    def check_post(self, asks):
        """A POST needs a crumb, be it the trigger's."""
        crumb = self.headers.get(FIELD, "")
        if not hmac.compare_digest(crumb.encode(), self.server.crumb().encode()):
            raise Answer(403, "No valid crumb was included in the request\n" if asks else "No valid crumb\n")

    def route(self, method, asks, body):
        path = urllib.parse.unquote(self.parts.path).rstrip("/")
        if method == "GET" and path == "":
            return Answer(200, "Jenkins stand-in\n")
        if method == "GET" and path == "/api/json":
            return as_json({"jobs": [{"name": name} for name in self.server.jobs.names()]})
        if method == "GET" and path == "/crumbIssuer/api/json":
            return as_json({"crumb": self.server.crumb(), "crumbRequestField": FIELD})
        if method == "GET" and path == "/me/api/json":
            self.need(asks)
            return as_json({"id": asks, "fullName": asks})
        if method == "POST" and path == "/createItem":
            self.need(asks)
            self.server.jobs.create(self.query.get("name", ""), body)
            return Answer(200)
        if found := re.fullmatch(r"/queue/item/(\d{1,9})/api/json", path):
            item = self.server.builds.item(int(found[1]))
            return as_json(item) if item else Answer(404)
        if found := re.fullmatch(r"/job/([^/]+)(/.*)?", path):
            return self.job(method, asks, body, found[1], found[2] or "")
        return Answer(404)

    def need(self, asks):
        if asks is None:
            raise Answer(403, "Authentication required\n")

    def job(self, method, asks, body, name, rest):
        jobs, builds = self.server.jobs, self.server.builds
        if name not in jobs.names():
            return Answer(404)
        if rest in ("/build", "/buildWithParameters"):
            return self.trigger(method, asks, name)
        if rest == "/config.xml" and method == "GET":
            self.need(asks)
            return Answer(200, jobs.xml(name), "application/xml")
        if method == "POST" and rest in ("/config.xml", "/doDelete"):
            self.need(asks)
            if rest == "/config.xml":
                jobs.update(name, body)
                return Answer(200)
            jobs.delete(name)
            return Answer(302, headers={"Location": "/"})
        if rest == "/api/json":
            return as_json(builds.of_job(name))
        if found := re.fullmatch(r"/(\d{1,9}|lastBuild)/(api/json|consoleText|artifact/(.+))", rest):
            return self.build(name, found)
        return Answer(404)

    def trigger(self, method, asks, name):
        """By the job's own token, without a log-in; else a POST of the user."""
        token = self.server.jobs.job(name).token
        if "token" in self.query:
            if not token or not hmac.compare_digest(self.query["token"].encode(), token.encode()):
                raise Answer(403, "Invalid token\n")
        else:
            self.need(asks)
            if method != "POST":
                raise Answer(405, "POST is required\n")
        number = self.server.builds.queue(name, "remote" if asks is None else asks)
        return Answer(201, headers={"Location": f"{self.server.builds.url}/queue/item/{number}/"})

    def build(self, name, found):
        number = self.server.builds.last(name) if found[1] == "lastBuild" else int(found[1])
        place = self.server.jobs.build_place(name, number)
        if not (place / "build.json").is_file():
            return Answer(404)
        if found[2] == "api/json":
            return Answer(200, (place / "build.json").read_bytes(), "application/json")
        archive = place / "archive"
        path = place / "log" if found[2] == "consoleText" else archive / found[3]
        if found[3] and not path.resolve().is_relative_to(archive.resolve()):
            return Answer(404)
        return Answer(200, path.read_bytes()) if path.is_file() else Answer(404)


def as_json(value):
    return Answer(200, json.dumps(value), "application/json")


def main(settings_file):
    server = StandIn(json.loads(Path(settings_file).read_text()))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    server.shutdown()
    thread.join()
    server.close()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: stand_in.py SETTINGS.json")
    # Blocked before any thread is made, so that sigwait has them; a build's processes get them back.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main(sys.argv[1])
