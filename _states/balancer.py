"""
The balancer's file, made from pillar and the mine, and in force.
"""

import hashlib
import ipaddress
import json
import os
import time
from pathlib import Path

import sluice_balancer_config
import sluice_balancers
from salt.exceptions import CommandExecutionError
from sluice_errors import ConfigError

__virtualname__ = "balancer"

MINE_FUNCTION = "sluice_address"


def __virtual__():
    return __virtualname__


def configured(name, settings, traffic, group="root"):
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
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "the file is as pillar and mine say"}
    try:
        backends, unusable = _backends(settings)
        config = sluice_balancer_config.build(settings, traffic, backends)
    except (ConfigError, KeyError, TypeError, ValueError, AttributeError) as error:
        return ret | {"result": False, "comment": f"{_said(error)}. {name} is as it was."}
    if unusable:
        ret["warnings"] = unusable
    new = json.dumps(config, indent=2) + "\n"
    path = Path(name)
    old = path.read_text() if path.exists() else None
    if old == new:
        return ret
    ret["changes"] = _difference(old, config)
    if __opts__["test"]:
        return ret | {"result": None, "comment": f"{name} would be written"}
    refused = _replace(path, new, group)
    if refused:
        return ret | {"result": False, "changes": {}, "comment": f"{refused}. {name} is as it was."}
    return ret | {"comment": f"{name} written"}


def in_force(name, timeout_seconds=10):
    """
    Wait until the balancer works by its file; fail with its own words if it refuses it.

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
    while (said := _taken(hashlib.sha256(Path(name).read_bytes()).hexdigest())) is not None:
        if time.monotonic() > deadline:
            return ret | {"result": False, "comment": f"{said}. See `journalctl -u sluice-balancer`."}
        time.sleep(0.1)
    return ret


def _taken(wanted):
    """None if the balancer works by the file with this hash, else what stands against it."""
    try:
        if __salt__["balancer.status"]()["config"].get("sha256") == wanted:
            return None
        config = __salt__["balancer.reload"]()["config"]
    except CommandExecutionError as error:
        return str(error).rstrip(".")
    if config.get("sha256") == wanted:
        return None
    return f"the balancer still works by another file ({str(config.get('sha256'))[:12]})"


def _backends(settings):
    """Service to track to host id to address, from the mine; and a line for each address that is no good."""
    allowed = ipaddress.ip_network(settings.get("backend_network") or "0.0.0.0/0")
    unusable = []
    found = {
        name: {track: _addresses(target, allowed, unusable) for track, target in service["tracks"].items()}
        for name, service in settings.get("services", {}).items()
    }
    return found, unusable


def _addresses(target, allowed, unusable):
    """Host id to address of the hosts that a compound target holds."""
    mined = __salt__["mine.get"](target, MINE_FUNCTION, tgt_type="compound") or {}
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
        return str(error)
    return f"pillar balancer: {type(error).__name__} {error}"


def _difference(old, config):
    """What a user wants to see of a change: per service the old and new weights and tracks."""
    try:
        before = json.loads(old or "{}").get("services", {})
    except ValueError:
        before = {}
    changed = {
        name: {"old": before.get(name), "new": new}
        for name, new in config["services"].items()
        if before.get(name) != new
    }
    return changed or {"settings": "changed"}


def _replace(path, text, group):
    """Put a file in place whole, if the installed balancer can use it; what it says against it, or None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    with open(fresh, "w", opener=lambda name, flags: os.open(name, flags, 0o640)) as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    os.chown(fresh, -1, __salt__["file.group_to_gid"](group))
    try:
        __salt__["balancer.check"](str(fresh))
    except CommandExecutionError as error:
        fresh.unlink()
        return " ".join(str(error).split()).removeprefix(f"{fresh}: ")
    fresh.replace(path)
    return None
