"""
The balancer on this machine, through its admin API.

:depends: nothing but the Python standard library

Address and token come from /etc/sluice/balancer.json; the token never leaves this machine.
"""

import contextlib
import json
import re
from pathlib import Path

import sluice_host_door
import sluice_show
from salt.exceptions import CommandExecutionError, SaltInvocationError
from sluice_errors import ReleaseError

__virtualname__ = "balancer"

CONFIG = "/etc/sluice/balancer.json"
ANSWER_SECONDS = sluice_host_door.ANSWER_SECONDS
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

    Returns a dict: `config` (sha256, loaded_at, error), `workers` (int), `redis` (`connected`,
    `disconnected` or `off`), `redis_servers` (id to role, term, reads, writes, error) and `services`:
    name to `alert` (None or reason, by, at, door), `monitor` (state and what it said), `affinity` (None
    or the release that users keep their tracks for), `lease` (None or weights, by, since, until,
    seconds_left) and `tracks`: name to `weight_declared`, `weight_leased` (None without a lease) and
    `weight_effective` (percent), `min_available` (how many backends a drain must leave up) and
    `backends`: id to address, state (`up`, `down`, `drained`, `ejected`), in_flight, health, ejected
    (None or until, reason, times) and ejections.

    Raises CommandExecutionError if the balancer does not answer.
    """
    return _call("GET", "/status")


def show(service=None):
    """
    The status of the balancer as a text for people.

    CLI Example:

    .. code-block:: bash

        salt 'lb-*' balancer.show
        salt 'lb-*' balancer.show checkbox

    service (str)
        Only this service. Default: all.

    Returns text. Raises CommandExecutionError for an unknown service, or if the balancer does not answer.
    """
    told = status()
    if service is not None:
        if service not in told["services"]:
            known = ", ".join(sorted(told["services"])) or "none"
            raise CommandExecutionError(f"unknown service {service}; known: {known}")
        told = told | {"services": {service: told["services"][service]}}
    return sluice_show.text(told)


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
    seconds = _seconds("deadline_seconds", deadline_seconds, 0, 3600)
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


def set_weights(service, weights, lease_seconds=300, timeout=10):
    """
    Have other weights than the declared ones hold for a while, and wait until they do at every worker.

    When the lease runs out, the declared weights hold again; giving the same weights again renews it. Safe to
    repeat. While an alert stands the canary gets nothing, whatever its lease says. What is to hold for good
    belongs into pillar, see docs/howto/change-the-ratio.md.

    CLI Example:

    .. code-block:: bash

        salt 'lb-*' balancer.set_weights checkbox '{"stable": 70, "canary": 30}' lease_seconds=600

    service (str)
        Whose weights.
    weights (dict of str to float)
        Track to weight in percent, 0-100 in steps of 0.1, one for each track, summing to 100. JSON text will
        do.
    lease_seconds (float)
        For how long, 1-86400. Default 300.
    timeout (float, seconds)
        How long to wait for each answer of the balancer, 0.1-600. Default 10.

    Returns a dict, read back from the balancer: `declared` and `effective` (track to percent) and `lease`
    (weights, by, since, until, seconds_left).

    Raises SaltInvocationError for a time or weights that are none, CommandExecutionError if the balancer
    refuses them, does not answer, or has other weights when asked.
    """
    wanted = _weights(weights)
    seconds = _seconds("lease_seconds", lease_seconds, 1, 86_400)
    timeout = _seconds("timeout", timeout, 0.1, 600)
    order = {"service": service, "weights": wanted, "lease_seconds": seconds}
    _call("POST", "/weights", order, timeout=timeout)
    found = _weights_in(_call("GET", "/status", timeout=timeout), service)
    if not found["lease"] or found["lease"]["weights"] != wanted:
        has = found["lease"] and found["lease"]["weights"]
        raise CommandExecutionError(
            f"{service} was given the weights {wanted}, but has {has or 'no lease'} when asked; "
            "somebody else sets them too, see `journalctl -u sluice-balancer`"
        )
    return found


def end_lease(service, timeout=10):
    """
    End the lease of a service's weights: the declared ones hold again. Safe to repeat.

    CLI Example:

    .. code-block:: bash

        salt 'lb-*' balancer.end_lease checkbox

    service (str)
        Whose lease.
    timeout (float, seconds)
        How long to wait for the balancer's answer, 0.1-600. Default 10.

    Returns `{"ended": bool, "declared": {}, "lease": None, "effective": {}}`. Raises SaltInvocationError for
    a name or a time that is none, CommandExecutionError for an unknown service or no answer.
    """
    return _call("DELETE", f"/weights/{_name(service)}", timeout=_seconds("timeout", timeout, 0.1, 600))


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


def _weights(value):
    """Weights as the balancer takes them; what is wrong with their numbers is for it to say."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    if not isinstance(value, dict) or not all(isinstance(track, str) for track in value):
        raise SaltInvocationError(f"weights is {value!r}: want a percentage for each track")
    return dict(value)


def _weights_in(status, service):
    """The weights of a service in a status: declared, leased and in force."""
    try:
        told = status["services"][service]
        tracks = told["tracks"].items()
        return {
            "declared": {track: row["weight_declared"] for track, row in tracks},
            "lease": told["lease"],
            "effective": {track: row["weight_effective"] for track, row in tracks},
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise CommandExecutionError(f"the balancer's status tells no weights of {service}") from error


def _seconds(name, value, low, high):
    """A time in seconds, or SaltInvocationError."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if isinstance(value, bool) or not low <= seconds <= high:
        raise SaltInvocationError(f"{name} is {value!r}: want {low:g} to {high:g} seconds")
    return seconds


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
    try:
        return sluice_host_door.call((host, port), token, method, path, body, timeout)
    except ReleaseError as error:
        raise CommandExecutionError(str(error)) from error
