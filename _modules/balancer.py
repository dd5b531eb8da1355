"""
The balancer on this machine, through its admin API.

:depends: nothing but the Python standard library

Address and token come from /etc/sluice/balancer.json; the token never leaves this machine.
"""

import http.client
import json
from pathlib import Path

from salt.exceptions import CommandExecutionError, SaltInvocationError

__virtualname__ = "balancer"

CONFIG = "/etc/sluice/balancer.json"
# An order that waits for nothing is carried out within milliseconds.
ANSWER_SECONDS = 10


def __virtual__():
    return __virtualname__


def status():
    """
    What the balancer is doing: services, tracks, weights declared and effective, backends, alerts.

    CLI Example:

    .. code-block:: bash

        salt 'lb-*' balancer.status

    Returns a dict: `config` (sha256, loaded_at, error), `workers` (int), `redis` (`connected`, `disconnected`
    or `off`) and `services`: name to `alert` (None or reason, by, at, door) and `tracks`: name to
    `weight_declared` and `weight_effective` (percent) and `backends`: id to address, state (`up`, `down`,
    `drained`), in_flight and health.

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
    return _call("POST", "/alert", {"service": service, "reason": reason})


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


def drain(service, backend, deadline_seconds=30):
    """
    Send no new request to a backend and wait for those in flight. Safe to repeat.

    CLI Example:

    .. code-block:: bash

        salt 'lb-*' balancer.drain checkbox checkbox-2 deadline_seconds=10

    service, backend (str)
        Which backend of which service.
    deadline_seconds (float)
        Requests still in flight after this are cut off, 0-3600. Default 30.

    Returns `{"in_flight": 0, "cut": n}`. Raises CommandExecutionError for unknown names or no answer.
    """
    order = {"service": service, "backend": backend, "deadline_seconds": deadline_seconds}
    return _call("POST", "/drain", order, timeout=float(deadline_seconds) + ANSWER_SECONDS)


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
    Take over the balancer's file now, or say what is wrong with it. Nothing is dropped either way.

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
    done = __salt__["cmd.run_all"](
        [python, "-m", "balancer", "--config", path, "--check"], python_shell=False
    )
    if done["retcode"] != 0:
        raise CommandExecutionError(done["stderr"])
    return True


def _name(value):
    """A service's name, safe in a path."""
    if not isinstance(value, str) or not value.replace("-", "").replace("_", "").isalnum():
        raise SaltInvocationError(f"{value!r} is not the name of a service")
    return value


def _settings():
    """Address and token of the admin API."""
    try:
        admin = json.loads(Path(CONFIG).read_text())["admin"]
        host, _, port = admin["listen"].rpartition(":")
        return host, int(port), Path(admin["token_file"]).read_text().strip()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandExecutionError(
            f"{CONFIG}: cannot be used ({error}); apply the balancer state"
        ) from error


def _call(method, path, body=None, timeout=ANSWER_SECONDS):
    """One call of the admin API; CommandExecutionError with the balancer's own words if it fails."""
    host, port, token = _settings()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        told = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CommandExecutionError(
            f"the balancer does not answer at {host}:{port} ({error}); see `journalctl -u sluice-balancer`"
        ) from error
    finally:
        connection.close()
    if answer.status != 200:
        mistakes = told.get("mistakes")
        raise CommandExecutionError(f"{told.get('error')}" + (": " + "; ".join(mistakes) if mistakes else ""))
    return told
