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
from salt.exceptions import CommandExecutionError, SaltException, SaltInvocationError
from sluice_errors import ConfigError, RefusedError

__virtualname__ = "balancer"

MINE_FUNCTION = "sluice_address"
# The balancer reads the file by its group; nobody else has to.
MODE = 0o640


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
        config = sluice_balancer_config.build(settings, traffic, backends, releases or {})
        new = json.dumps(config, indent=2) + "\n"
        changes = _changes(path, new, config, group)
    except (ConfigError, KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        return ret | {"result": False, "comment": f"{_said(error)}. {name} is as it was."}
    if unusable:
        ret["warnings"] = unusable
    if not changes:
        return ret
    if __opts__["test"]:
        return ret | {"result": None, "changes": changes, "comment": f"{name} would be written"}
    refused = _replace(path, new, group)
    if refused:
        return ret | {"result": False, "comment": f"{refused}. {name} is as it was."}
    return ret | {"changes": changes, "comment": f"{name} written"}


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


def drained(name, service, backend=None, deadline_seconds=30):
    """
    Have the balancer on this machine send no request to a backend, and none in flight there.

    .. code-block:: yaml

        Drain itrust-3 before the update:
          balancer.drained:
            - name: itrust-3
            - service: itrust

    name (str)
        The backend, if `backend` does not say.
    service (str)
        The service it belongs to.
    backend (str)
        Which backend. Default: the name.
    deadline_seconds (float)
        Requests still in flight after this are cut off, 0-3600; the comment says how many. Default 30.

    Fails, with everything as it was, if the service would be left with fewer backends than its
    `min_available`.
    """
    backend = backend or name
    ret = {"name": name, "changes": {}, "result": True, "comment": f"{backend} is drained"}
    try:
        found = _seen(service, backend)
        if found.is_drained:
            return ret
        # A drain that somebody else ordered is waited for, and no change of this state.
        if found.state != "drained":
            ret["changes"] = {backend: {"old": found.state, "new": "drained"}}
        if __opts__["test"]:
            return ret | _planned_drain(found, ret["changes"])
        cut = __salt__["balancer.drain"](service, backend, deadline_seconds)["cut"]
        left = _seen(service, backend)
    except (CommandExecutionError, SaltInvocationError) as error:
        return ret | {"result": False, "changes": {}, "comment": str(error)}
    if not left.is_drained:
        said = f"{backend} is {left.state}, {left.in_flight} in flight (want drained, 0)"
        return ret | {"result": False, "changes": {}, "comment": said}
    return ret | {"comment": f"{backend} is drained; requests cut off at the deadline: {cut}"}


def in_service(name, service, backend=None, timeout_seconds=60):
    """
    Have the balancer on this machine send requests to a backend, and wait until it does: restored if it was
    drained, up, and in a track that has a share. A track whose declared weight is 0 has none to wait for.

    .. code-block:: yaml

        Give itrust-3 its traffic back:
          balancer.in_service:
            - name: itrust-3
            - service: itrust

    name (str)
        The backend, if `backend` does not say.
    service (str)
        The service it belongs to.
    backend (str)
        Which backend. Default: the name.
    timeout_seconds (float)
        How long to wait until it gets traffic. Default 60.

    A backend that gets none in time fails the state; it stays restored, and gets traffic as soon as it is
    well.
    """
    backend = backend or name
    ret = {"name": name, "changes": {}, "result": True, "comment": f"{backend} is in service"}
    deadline = time.monotonic() + timeout_seconds
    try:
        found = _seen(service, backend)
        if __opts__["test"]:
            return ret | _planned_service(found)
        if found.state == "drained":
            __salt__["balancer.restore"](service, backend)
            ret["changes"] = _restored(backend)
    except CommandExecutionError as error:
        return ret | {"result": False, "comment": str(error)}
    while (said := _without_traffic(service, backend)) is not None:
        if time.monotonic() > deadline:
            return ret | {"result": False, "comment": f"after {timeout_seconds} s: {said}"}
        time.sleep(0.1)
    return ret


def _seen(service, backend):
    """The backend as the balancer has it; CommandExecutionError if it has none such, or does not answer."""
    try:
        return sluice_backend.find(__salt__["balancer.status"](), service, backend)
    except RefusedError as error:
        raise CommandExecutionError(str(error)) from error


def _planned_drain(found, changes):
    """What `drained` would come to."""
    said = found.not_spared()
    if said:
        return {"result": False, "changes": {}, "comment": f"{found.id} would not be drained: {said}"}
    if not changes:
        return {"comment": f"{found.id} is drained; {found.in_flight} in flight would be waited for"}
    return {"result": None, "comment": f"{found.id} would be drained"}


def _planned_service(found):
    """What `in_service` would come to, as far as it can be told before."""
    if found.state == "drained":
        return {"result": None, "changes": _restored(found.id), "comment": f"{found.id} would be restored"}
    said = found.without_traffic()
    return {"comment": f"{said}; it would be waited for"} if said else {}


def _restored(backend):
    return {backend: {"old": "drained", "new": "restored"}}


def _without_traffic(service, backend):
    """Why a backend gets no traffic, or cannot be told to; None if it does."""
    try:
        return _seen(service, backend).without_traffic()
    except CommandExecutionError as error:
        return str(error)


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
    try:
        before = json.loads(old or b"{}").get("services", {})
        before = before if isinstance(before, dict) else {}
    except (ValueError, AttributeError):
        before = {}
    after = config["services"]
    changed = {
        name: {"old": before.get(name), "new": after.get(name)}
        for name in before | after
        if before.get(name) != after.get(name)
    }
    return changed or {"settings": "changed"}


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
