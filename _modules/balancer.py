"""
The balancer on this machine, through its admin API.

:depends: nothing but the Python standard library

Address and token come from /etc/sluice/balancer.json; the token never leaves this machine.
"""

import http.client
import json
import re
from pathlib import Path

from salt.exceptions import CommandExecutionError, SaltInvocationError

__virtualname__ = "balancer"

CONFIG = "/etc/sluice/balancer.json"
# An order that waits for nothing is carried out within milliseconds.
ANSWER_SECONDS = 10
# It only reads a file, but Python has to start first.
CHECK_SECONDS = 60
NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")


def __virtual__():
    return __virtualname__


def status():
    """
    What the balancer is doing: services, tracks, weights declared and effective, backends, alerts.

    CLI Example:

    .. code-block:: bash

        salt 'lb-*' balancer.status

    Returns a dict: `config` (sha256, loaded_at, error), `workers` (int), `redis` (`connected`, `disconnected`
    or `off`) and `services`: name to `alert` (None or reason, by, at, door), `monitor` (state and
    what it said) and `tracks`: name to `weight_declared` and `weight_effective` (percent), `min_available`
    (how many backends a drain must leave up) and `backends`: id to address, state (`up`, `down`, `drained`),
    in_flight and health.

    Raises CommandExecutionError if the balancer does not answer.
    """
    return _call("GET", "/status")


def alert(service, reason="raised by hand"):
    """
    Raise the alert of a service: its canary gets no further request. Safe to repeat.

    CLI Example:

    .. code-block:: bash

        salt 'lb-*' balancer.alert checkbox 'too many errors'

    service (str)
        Whose canary is bad.
    reason (str)
        Why, one line of at most 200 characters. Default `raised by hand`.

    Returns the alert that stands. Raises CommandExecutionError for an unknown service or no answer.
    """
    return _call("POST", "/alert", {"service": service, "reason": str(reason)})


def clear(service):
    """
    Clear the alert of a service at this balancer alone; `salt-run release.clear` clears it everywhere.

    CLI Example:

    .. code-block:: bash

        salt 'lb-*' balancer.clear checkbox

    service (str)
        Whose alert to clear.

    Returns `{"cleared": bool}`. Raises CommandExecutionError for an unknown service or no answer.
    """
    return _call("DELETE", f"/alert/{_name(service)}")


def drain(service, backend, deadline_seconds=30, force=False):
    """
    Send no new request to a backend and wait for those in flight. Safe to repeat.

    CLI Example:

    .. code-block:: bash

        salt 'lb-*' balancer.drain checkbox checkbox-2 deadline_seconds=10

    service, backend (str)
        Which backend of which service.
    deadline_seconds (float)
        Requests still in flight after this are cut off, 0-3600. Default 30.
    force (bool)
        Drain it also if fewer backends are left than the service's `min_available`. Default False.

    Returns `{"in_flight": 0, "cut": n}`. Raises SaltInvocationError for a deadline or a force that is none,
    CommandExecutionError for unknown names, a backend that cannot be spared, or no answer.
    """
    try:
        seconds = float(deadline_seconds)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise SaltInvocationError(f"deadline_seconds is {deadline_seconds!r}: want 0 to 3600")
    if not isinstance(force, bool):
        raise SaltInvocationError(f"force is {force!r}: want True or False")
    order = {"service": service, "backend": backend, "deadline_seconds": seconds}
    if force:
        order["force"] = True
    return _call("POST", "/drain", order, timeout=seconds + ANSWER_SECONDS)


def restore(service, backend):
    """
    Put a drained backend back into service. Safe to repeat.

    CLI Example:

    .. code-block:: bash

        salt 'lb-*' balancer.restore checkbox checkbox-2

    service, backend (str)
        Which backend of which service.

    Returns `{"restored": bool}`. Raises CommandExecutionError for unknown names or no answer.
    """
    return _call("POST", "/restore", {"service": service, "backend": backend})


def reload():
    """
    Take over the balancer's file and tokens now, or say what is wrong. Nothing is dropped either way.

    CLI Example:

    .. code-block:: bash

        salt 'lb-*' balancer.reload

    Returns the status in force. Raises CommandExecutionError with every mistake if the file is refused.
    """
    return _call("POST", "/reload")


def check(path=CONFIG, python="/opt/sluice/balancer/venv/bin/python"):
    """
    Check a balancer file without using it.

    CLI Example:

    .. code-block:: bash

        salt 'lb-*' balancer.check /tmp/balancer.json

    path (str)
        The file. Default /etc/sluice/balancer.json.
    python (str)
        The python that has the balancer.

    Returns True. Raises CommandExecutionError with every mistake.
    """
    if not Path(python).exists():
        raise CommandExecutionError(
            f"{python} is not there; apply the balancer state, it installs the balancer"
        )
    command = [python, "-m", "balancer", "--config", path, "--check"]
    done = __salt__["cmd.run_all"](command, python_shell=False, ignore_retcode=True, timeout=CHECK_SECONDS)
    if done["retcode"] != 0:
        said = done["stderr"] or done["stdout"] or f"the check ended with code {done['retcode']}"
        raise CommandExecutionError(said)
    return True


def _name(value):
    """A service's name, safe in a path."""
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise SaltInvocationError(f"{value!r} is not the name of a service")
    return value


def _settings():
    """Address and token of the admin API."""
    try:
        admin = json.loads(Path(CONFIG).read_text())["admin"]
        host, _, port = admin["listen"].rpartition(":")
        port, token = int(port), Path(admin["token_file"]).read_text().strip()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        said = f"{CONFIG}: cannot be used ({type(error).__name__} {error}); apply the balancer state"
        raise CommandExecutionError(said) from error
    # Checked here, because the HTTP client would quote it in its error.
    if not re.fullmatch(r"[!-~]+", token):
        raise CommandExecutionError(
            f"{admin['token_file']}: want one line of printable ASCII without spaces; "
            "correct pillar balancer:admin_token and apply the balancer state"
        )
    return host, port, token


def _call(method, path, body=None, timeout=ANSWER_SECONDS):
    """One call of the admin API; CommandExecutionError with the balancer's own words if it fails."""
    host, port, token = _settings()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise CommandExecutionError(
            f"the balancer does not answer at {host}:{port} ({error or type(error).__name__}); "
            "see `journalctl -u sluice-balancer`"
        ) from error
    finally:
        connection.close()
    return _told(answer.status, text, f"{host}:{port}")


def _told(status, text, where):
    """What a JSON answer says; CommandExecutionError if that is an error, or not from a balancer."""
    try:
        told = json.loads(text)
        if status == 200 and isinstance(told, dict):
            return told
        error, mistakes = told["error"], told.get("mistakes")
    except (ValueError, KeyError, TypeError, AttributeError):
        error, mistakes = f"what answers at {where} is no balancer (status {status})", None
    raise CommandExecutionError(f"{error}" + (": " + "; ".join(mistakes) if mistakes else ""))
