"""
The balancer's file, made from pillar and the mine, and in force; its backends, drained and in service.
"""

import hashlib
import ipaddress
import json
import os
import time
from pathlib import Path

import sluice_backend
import sluice_balancer_config
import sluice_balancers
import sluice_host_door
from salt.exceptions import CommandExecutionError, SaltException
from sluice_errors import ConfigError, RefusedError, ReleaseError

__virtualname__ = "balancer"

MINE_FUNCTION = "sluice_address"
# The balancer reads the file by its group; nobody else has to.
MODE = 0o640
# The balancers' alert listener, where a host finds its door, and what salt/balancer/host_token.sls writes.
PORT = 9902
TOKEN_FILE = "/etc/sluice/balancer-host.token"
RESTORED = {"old": "drained", "new": "restored"}


def __virtual__():
    return __virtualname__


def configured(name, settings, traffic, group="root", releases=None):
    """
    Write the balancer's file; refuse weights that are negative, not numbers or do not sum to 100.

    .. code-block:: yaml

        balancer-config:
          balancer.configured:
            - name: /etc/sluice/balancer.json
            - settings: {{ balancer | json }}
            - traffic: {{ pillar.traffic | json }}

    name (str)
        The file. It is replaced whole, or not touched.
    settings (dict)
        The pillar `balancer` with its defaults.
    traffic (dict)
        Service to track to weight in percent, each 0-100, summing to 100.
    group (str)
        The group that may read the file. Default root.
    releases (dict)
        The pillar `release`: service to the `id` of its latest release, which positions of users are for.
        Default none.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "the file is as pillar and mine say"}
    path = Path(name)
    try:
        backends, unusable = _backends(settings)
        later = sluice_balancer_config.not_yet(backends, _services_in(path))
        settings = settings | {
            "services": {name: told for name, told in settings["services"].items() if name not in later}
        }
        config = sluice_balancer_config.build(settings, traffic, backends, releases or {})
        new = json.dumps(config, indent=2) + "\n"
        changes = _changes(path, new, config, group)
    except (ConfigError, KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        return ret | {"result": False, "comment": f"{_said(error)}. {name} is as it was."}
    if unusable:
        ret["warnings"] = unusable
    said = f"; not served yet, as no host is known: {', '.join(later)}" if later else ""
    if not changes:
        return ret | {"comment": ret["comment"] + said}
    if __opts__["test"]:
        return ret | {"result": None, "changes": changes, "comment": f"{name} would be written{said}"}
    refused = _replace(path, new, group)
    if refused:
        return ret | {"result": False, "comment": f"{refused}. {name} is as it was."}
    return ret | {"changes": changes, "comment": f"{name} written{said}"}


def in_force(name, timeout_seconds=10):
    """
    Wait until the balancer works by its file and tokens; fail with its own words if it refuses them.

    .. code-block:: yaml

        balancer-in-force:
          balancer.in_force:
            - name: /etc/sluice/balancer.json

    name (str)
        The file.
    timeout_seconds (float)
        How long to wait. Default 10.

    Changes nothing. In test mode the balancer is not asked.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "the balancer works by this file"}
    if __opts__["test"]:
        return ret | {"comment": "the balancer would be asked what it works by"}
    deadline = time.monotonic() + timeout_seconds
    while (said := _taken(Path(name))) is not None:
        if time.monotonic() > deadline:
            return ret | {"result": False, "comment": f"{said}. See `journalctl -u sluice-balancer`."}
        time.sleep(0.1)
    return ret


def _taken(path):
    """None if the balancer works by this file and its tokens, else what stands against it."""
    try:
        wanted = hashlib.sha256(path.read_bytes()).hexdigest()
        # A reload, not a look: tokens leave no trace in the status. If nothing is other, it changes nothing.
        found = __salt__["balancer.reload"]().get("config", {}).get("sha256")
    except (CommandExecutionError, OSError) as error:
        return str(error).rstrip(".")
    return None if found == wanted else f"the balancer still works by another file ({str(found)[:12]})"


def drained(
    name, service, backend=None, deadline_seconds=30, balancers=None, port=PORT, token_file=TOKEN_FILE
):
    """
    Have the balancer on this machine, or those elsewhere, send no request to a backend, and none in flight
    there.

    .. code-block:: yaml

        Drain itrust-3 before the update:
          balancer.drained:
            - name: itrust-3
            - service: itrust
            - balancers: {{ salt["mine.get"]("N@balancer", "sluice_address", "compound") | json }}

    name (str)
        The backend, if `backend` does not say.
    service (str)
        The service it belongs to.
    backend (str)
        Which backend. Default: the name. With `balancers` it has to be this host.
    deadline_seconds (float)
        Requests still in flight after this are cut off, 0-3600, at each balancer; the comment says how many.
        Default 30.
    balancers (dict)
        On a host that is no balancer: all balancers, id to address, or to what the mine has of it. It is
        drained at every one of them or, if one refuses or does not answer, at none. Default: the balancer on
        this machine.
    port (int)
        Of their alert listener. Default 9902.
    token_file (str)
        What balancer.host_token wrote. Default /etc/sluice/balancer-host.token.

    Fails, with everything as it was, if the service would be left with fewer backends than its
    `min_available`.
    """
    backend = backend or name
    ret = {"name": name, "changes": {}, "result": True, "comment": f"{backend} is drained"}
    try:
        found = [(door, door.seen()) for door in _doors(service, backend, balancers, port, token_file)]
        left = [(door, one) for door, one in found if not one.is_drained]
        if not left:
            return ret
        # A drain that somebody else ordered is waited for, and no change of this state.
        ret["changes"] = {
            door.id or backend: {"old": one.state, "new": "drained"}
            for door, one in left
            if one.state != "drained"
        }
        if __opts__["test"]:
            return ret | _planned_drain(left, ret["changes"])
        cut = sluice_host_door.drain_all(left, deadline_seconds)
        found = [(door, door.seen()) for door, _ in found]
    except ReleaseError as error:
        return ret | {"result": False, "changes": {}, "comment": str(error)}
    said = [
        f"{_at(door)}{backend} is {one.state}, {one.in_flight} in flight (want drained, 0)"
        for door, one in found
        if not one.is_drained
    ]
    if said:
        return ret | {"result": False, "changes": {}, "comment": "; ".join(said)}
    return ret | {"comment": f"{backend} is drained; requests cut off at the deadline: {cut}"}


def in_service(
    name, service, backend=None, timeout_seconds=60, balancers=None, port=PORT, token_file=TOKEN_FILE
):
    """
    Have the balancer on this machine, or all of those elsewhere, send requests to a backend, and wait until
    they do: restored if it was drained, up, and in a track that has a share. A track whose declared weight is
    0 has none to wait for.

    .. code-block:: yaml

        Give itrust-3 its traffic back:
          balancer.in_service:
            - name: itrust-3
            - service: itrust
            - balancers: {{ salt["mine.get"]("N@balancer", "sluice_address", "compound") | json }}

    name (str)
        The backend, if `backend` does not say.
    service (str)
        The service it belongs to.
    backend (str)
        Which backend. Default: the name. With `balancers` it has to be this host.
    timeout_seconds (float)
        How long to wait until it gets traffic. Default 60.
    balancers (dict), port (int), token_file (str)
        As for `balancer.drained`. One that does not answer is asked again until the time is over.

    A backend that gets none in time fails the state; it stays restored, and gets traffic as soon as it is
    well.
    """
    backend = backend or name
    ret = {"name": name, "changes": {}, "result": True, "comment": f"{backend} is in service"}
    deadline = time.monotonic() + timeout_seconds
    try:
        doors = _doors(service, backend, balancers, port, token_file)
        if __opts__["test"]:
            return ret | _planned_service([(door, door.seen()) for door in doors])
        pending = list(doors)
        while said := [
            why for door in doors if (why := _put_back(door, pending, ret["changes"])) is not None
        ]:
            if time.monotonic() > deadline:
                return ret | {"result": False, "comment": f"after {timeout_seconds} s: {'; '.join(said)}"}
            time.sleep(0.1)
    except ReleaseError as error:
        return ret | {"result": False, "comment": str(error)}
    return ret


class _Here:
    """A backend at the balancer on this machine; a door as sluice_host_door has them elsewhere."""

    id = ""

    def __init__(self, service, backend):
        self._names = (service, backend)

    def seen(self):
        return sluice_backend.find(_ordered("balancer.status"), *self._names)

    def drain(self, deadline_seconds):
        return _ordered("balancer.drain", *self._names, deadline_seconds)["cut"]

    def restore(self):
        _ordered("balancer.restore", *self._names)


def _ordered(function, *arguments):
    """A function of the execution module; ReleaseError with its words if it fails."""
    try:
        return __salt__[function](*arguments)
    except SaltException as error:
        raise ReleaseError(str(error)) from error


def _doors(service, backend, balancers, port, token_file):
    """Where the backend is drained and restored; RefusedError if that cannot be known."""
    if balancers is None:
        return [_Here(service, backend)]
    return sluice_host_door.doors(balancers, port, token_file, service, backend)


def _at(door):
    return f"{door.id}: " if door.id else ""


def _planned_drain(left, changes):
    """What `drained` would come to."""
    said = [
        f"{_at(door)}{one.id} would not be drained: {why}"
        for door, one in left
        if (why := one.not_spared()) is not None
    ]
    if said:
        return {"result": False, "changes": {}, "comment": "; ".join(said)}
    one = left[0][1]
    if not changes:
        flying = sum(one.in_flight for _, one in left)
        return {"comment": f"{one.id} is drained; {flying} in flight would be waited for"}
    return {"result": None, "comment": f"{one.id} would be drained"}


def _planned_service(found):
    """What `in_service` would come to, as far as it can be told before."""
    changes = {door.id or one.id: RESTORED for door, one in found if one.state == "drained"}
    if changes:
        return {"result": None, "changes": changes, "comment": f"{found[0][1].id} would be restored"}
    said = [f"{_at(door)}{why}" for door, one in found if (why := one.without_traffic()) is not None]
    return {"comment": f"{'; '.join(said)}; it would be waited for"} if said else {}


def _put_back(door, pending, changes):
    """
    Restore a backend that is drained, once, and note that; why it gets no traffic, None if it does.

    `pending` are the doors where it has not been seen yet. ReleaseError where waiting is of no use.
    """
    try:
        found = door.seen()
        if door in pending:
            if found.state == "drained":
                door.restore()
                changes[door.id or found.id] = RESTORED
                found = door.seen()
            pending.remove(door)
    except ReleaseError as error:
        if door in pending and (not door.id or isinstance(error, RefusedError)):
            raise
        return str(error)
    said = found.without_traffic()
    return said and _at(door) + said


def _backends(settings):
    """Service to track to host id to address, from the mine; and a line for each address that is no good."""
    network = settings.get("backend_network") or "0.0.0.0/0"
    try:
        allowed = ipaddress.ip_network(network)
    except ValueError as error:
        raise ConfigError(f"pillar balancer:backend_network: {error}. Want one like 10.20.0.0/16") from error
    unusable = []
    found = {
        name: {track: _addresses(target, allowed, unusable) for track, target in service["tracks"].items()}
        for name, service in sluice_balancer_config.services(settings).items()
    }
    return found, unusable


def _addresses(target, allowed, unusable):
    """Host id to address of the hosts that a compound target holds."""
    try:
        mined = __salt__["mine.get"](target, MINE_FUNCTION, tgt_type="compound") or {}
    except SaltException as error:
        raise ConfigError(f"the mine cannot be asked for the addresses of {target}: {error}") from error
    found = {}
    for host, value in sorted(mined.items()):
        address = sluice_balancers.mine_address(value)
        if address and ipaddress.ip_address(address) in allowed:
            found[host] = address
        else:
            unusable.append(
                f"{host} gets no traffic, it has no address in {allowed}: salt {host} mine.update"
            )
    return found


def _said(error):
    """A ConfigError in its own words; anything else is a key of pillar missing or of another type."""
    if isinstance(error, ConfigError):
        return str(error).rstrip(".")
    if isinstance(error, OSError):
        return f"the file cannot be read: {error}"
    return f"pillar balancer: {type(error).__name__} {error}"


def _changes(path, new, config, group):
    """What would be other than it is, for a user to read; empty if nothing."""
    old = path.read_bytes() if path.exists() else None
    if old != new.encode():
        return _difference(old, config)
    status = path.stat()
    return {
        what: {"old": is_, "new": want}
        for what, is_, want in (
            ("group", __salt__["file.gid_to_group"](status.st_gid), group),
            ("mode", f"{status.st_mode & 0o7777:04o}", f"{MODE:04o}"),
        )
        if is_ != want
    }


def _difference(old, config):
    """Per service the old and new weights and tracks."""
    before = _services_of(old)
    after = config["services"]
    changed = {
        name: {"old": before.get(name), "new": after.get(name)}
        for name in before | after
        if before.get(name) != after.get(name)
    }
    return changed or {"settings": "changed"}


def _services_of(raw):
    """The services of a file as they stand there; none for whatever else it is."""
    try:
        found = json.loads(raw or b"{}").get("services", {})
        return found if isinstance(found, dict) else {}
    except (ValueError, AttributeError):
        return {}


def _services_in(path):
    return _services_of(path.read_bytes() if path.exists() else None)


def _replace(path, text, group):
    """Put a file in place whole, if the installed balancer can use it; what it says against it, or None."""
    fresh = path.with_name(f".{path.name}.new")
    gid = __salt__["file.group_to_gid"](group)
    if gid == "":
        return f"there is no group {group} that could read it"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        with open(fresh, "x") as handle:
            os.fchmod(handle.fileno(), MODE)
            os.fchown(handle.fileno(), -1, gid)
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        __salt__["balancer.check"](str(fresh))
        fresh.replace(path)
    except CommandExecutionError as error:
        fresh.unlink()
        lines = [line.strip() for line in str(error).splitlines()]
        return "; ".join(line for line in lines if line and line != f"{fresh}:").rstrip(".")
    except OSError as error:
        return f"it cannot be written: {error}"
    return None
