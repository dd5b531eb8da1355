"""
The hook of the master's API: log in, report a build, tell of a push, and nothing else.

Served by `salt-api`, beside whatever else it serves:

.. code-block:: yaml

    netapi_dirs: [/srv/sluice/_netapi]
    release_hook:
      host: 0.0.0.0
      port: 8000
      users: [jenkins]             # who may report builds, of any eauth
      ssl_crt: /etc/…/api.crt      # without: plain HTTP
      ssl_key: /etc/…/api.key

`POST /login` with JSON `{"username", "password", "eauth"}` gives a token of Salt, as rest_cherrypy does;
`POST /logout` ends it. `POST /hook/release/<service>/built` and `.../pushed/<forge>` are told of in
docs/reference/webhooks.md. Why this is not rest_cherrypy itself: docs/decisions/0045-the-masters-door.md.
"""

import json
import logging
import re
import sys
import threading
import time
from pathlib import Path

# salt.loader.netapi knows no utils_dirs (3008.3).
sys.path.append(str(Path(__file__).resolve().parent.parent / "_utils"))

import cherrypy  # noqa: E402
import salt.auth  # noqa: E402
import salt.utils.event  # noqa: E402
import sluice_config  # noqa: E402
import sluice_hook  # noqa: E402
import sluice_hook_key  # noqa: E402
from cheroot.errors import MaxSizeExceeded  # noqa: E402
from sluice_errors import ReleaseError  # noqa: E402
from sluice_ledger import Ledger  # noqa: E402
from sluice_webhook import MAX_PUSH_BYTES, parsed, sealed  # noqa: E402

log = logging.getLogger(__name__)

TOKEN = re.compile(r"[0-9a-f]{32,128}\Z")
# A log-in is three short words.
MAX_LOGIN_BYTES = 4096
# Whoever has no secret can be refused often: the ledger hears of one each minute.
REFUSAL_SECONDS = 60.0
THREADS = 10


def __virtual__():
    return "release_hook" if __opts__.get("release_hook") else (False, "release_hook is not configured")


def start():
    """Serve until the process ends. Called by salt-api."""
    options = __opts__["release_hook"]
    cherrypy.config.update(
        {
            "environment": "production",
            "server.socket_host": options.get("host", "0.0.0.0"),
            "server.socket_port": options["port"],
            "server.thread_pool": THREADS,
            "server.max_request_body_size": MAX_PUSH_BYTES,
            "log.screen": False,
        }
    )
    if options.get("ssl_crt"):
        cherrypy.server.ssl_module = "builtin"
        cherrypy.server.ssl_certificate = options["ssl_crt"]
        cherrypy.server.ssl_private_key = options["ssl_key"]
    users = Users(__opts__)
    root = Root()
    root.login, root.logout = Login(users), Logout(users)
    root.hook = Hook(__opts__, users)
    # Bodies are read by the hooks alone, each to its own limit and as the bytes that were signed.
    methods = cherrypy.dispatch.MethodDispatcher()
    cherrypy.quickstart(
        root, "/", {"/": {"request.dispatch": methods, "request.process_request_body": False}}
    )


class Users:
    """The users of external_auth, and their tokens."""

    def __init__(self, opts):
        self.auth = salt.auth.LoadAuth(opts)
        # Salt's authentication modules were not written for threads.
        self.lock = threading.Lock()

    def log_in(self, told):
        """A token, or None; of `told` only what a log-in needs is looked at."""
        words = {key: told.get(key) for key in ("username", "password", "eauth")}
        if not all(isinstance(word, str) and word for word in words.values()):
            return None
        with self.lock:
            return self.auth.mk_token(words) or None

    def name(self, token):
        """Whose token it is; empty if it is nobody's, or too old."""
        if not TOKEN.match(token):
            return ""
        with self.lock:
            return (self.auth.get_tok(token) or {}).get("name", "")

    def log_out(self, token):
        """The token is nobody's any more."""
        with self.lock:
            self.auth.rm_token(token)


class Root:
    """Nothing of its own."""


class Login:
    """POST /login"""

    exposed = True

    def __init__(self, users):
        self.users = users

    def POST(self):
        """The answer that rest_cherrypy gives: the token in `return[0].token` and in X-Auth-Token."""
        try:
            told = parsed(_body(MAX_LOGIN_BYTES).decode())
        except sluice_hook.HookRefused as refused:
            return _answer(refused.status, error=refused.text)
        except (ReleaseError, UnicodeDecodeError):
            return _answer(400, error="A log-in is JSON: username, password, eauth.")
        found = self.users.log_in(told)
        if not found:
            log.warning("release_hook: a log-in from %s was refused", cherrypy.request.remote.ip)
            return _answer(401, error="No such user, password and eauth.")
        cherrypy.response.headers["X-Auth-Token"] = found["token"]
        one = {key: found[key] for key in ("token", "start", "expire", "eauth")}
        return _answer(200, **{"return": [one | {"user": found["name"], "perms": {}}]})


class Logout:
    """POST /logout"""

    exposed = True

    def __init__(self, users):
        self.users = users

    def POST(self):
        """End the token that came with the request."""
        token = cherrypy.request.headers.get("X-Auth-Token", "")
        if not self.users.name(token):
            return _answer(401, error="This token is nobody's.")
        self.users.log_out(token)
        return _answer(200, **{"return": "Your token has been cleared"})


class Hook:
    """POST /hook/release/..."""

    exposed = True

    def __init__(self, opts, users):
        self.opts, self.users = opts, users
        self.refused = {}

    def POST(self, *path, **_query):
        """Hand the order in the request to the reactor, or answer why not. What failed may be sent again."""
        try:
            settings = sluice_config.load(self.opts.get("sluice_release", sluice_config.PATH))
            return self.take(path, settings)
        except sluice_hook.HookRefused as refused:
            log.warning("release_hook: %s from %s: %s", _path(), cherrypy.request.remote.ip, refused.text)
            self.record(settings, refused)
            return _answer(refused.status, error=refused.text)
        except (ReleaseError, OSError) as error:
            log.error("release_hook: %s: %s", _path(), error)
            return _answer(503, error="The master cannot take it now; its log says why. Send it again.")

    def take(self, path, settings):
        """Fire what the request orders."""
        user = self.users.name(cherrypy.request.headers.get("X-Auth-Token", ""))
        request = sluice_hook.Request(path, cherrypy.request.headers, _body(MAX_PUSH_BYTES), user)
        order = sluice_hook.take(request, settings, self.opts["release_hook"].get("users", []))
        if order is None:
            return _answer(200, success=True, ignored="This event is no push.")
        event = sealed(order, sluice_hook_key.made(settings.ledger))
        with salt.utils.event.get_master_event(self.opts, self.opts["sock_dir"], listen=False) as bus:
            if not bus.fire_event(event, sluice_hook.tag(order)):
                raise OSError("salt-master does not take events")
        return _answer(200, success=True)

    def record(self, settings, refused):
        """Why nothing was rolled, in the ledger; of one sender each minute, for anybody can be refused."""
        if not refused.service:
            return
        last = self.refused.get((refused.service, refused.who), -REFUSAL_SECONDS)
        if time.monotonic() - last < REFUSAL_SECONDS:
            return
        self.refused[refused.service, refused.who] = time.monotonic()
        try:
            Ledger(settings.ledger).refuse(refused.service, "unknown", refused.who, "hook", refused.text)
        except ReleaseError as error:
            log.error("release_hook: %s", error)


def _body(most):
    """The body; HookRefused if it has more than `most` bytes, of which no more are read."""
    try:
        body = cherrypy.request.rfile.read(most + 1) if _has_body() else b""
    except MaxSizeExceeded:
        body = None
    if body is None or len(body) > most:
        raise sluice_hook.HookRefused(413, f"Refused: its body has more than {most} bytes.")
    return body


def _has_body():
    headers = cherrypy.request.headers
    return "Transfer-Encoding" in headers or headers.get("Content-Length", "0") != "0"


def _path():
    return ascii(cherrypy.request.path_info[:120])


def _answer(status, **values):
    cherrypy.response.status = status
    cherrypy.response.headers["Content-Type"] = "application/json"
    return json.dumps(values).encode()
