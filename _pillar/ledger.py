"""
Give minions the versions they should run, from the ledger on the master.

:configuration:

    .. code-block:: yaml

        ext_pillar:
          - ledger: {}

A host of a service sees `release: {<service>: {stable: {version: ...}, canary: {version: ...}}}` of that
service and nothing of any other; a version that is an artifact has its `url` and `sha256` beside. In a roll a
host sees the new version from its turn on. Tracks without a released version are left out. A balancer sees
`release: {<service>: {id: ...}}` of every service, for users are kept on their tracks for one release.
A ledger that cannot be read is an error of the pillar: states then refuse to run, rather than to fall back to
an old version.
"""

import logging

import sluice_config
import sluice_ledger
import sluice_nodegroups

log = logging.getLogger(__name__)


def ext_pillar(minion_id, pillar, settings=sluice_config.PATH):
    """
    The versions for `minion_id`, who is judged by its id alone.

    settings (str)
        Path of release.json. Default /etc/sluice/release.json.
    """
    config = sluice_config.load(settings)
    nodegroups = __opts__.get("nodegroups") or {}
    release = {}
    for name, service in config.services.items():
        targets = service.targets.values()
        if any(sluice_nodegroups.matches(target, minion_id, nodegroups) for target in targets):
            release[name] = _versions(config.ledger, name, minion_id)
        if sluice_nodegroups.matches(config.balancers, minion_id, nodegroups):
            release.setdefault(name, {})["id"] = sluice_ledger.latest(config.ledger, name)
    return {"release": release} if release else {}


def _versions(path, service, minion_id):
    """Track to `version`, and to `url` and `sha256` if that is an artifact."""
    found = {track: sluice_ledger.desired(path, service, track, minion_id) for track in ("canary", "stable")}
    return {
        track: {key: value for key, value in vars(wanted).items() if value is not None}
        for track, wanted in found.items()
        if wanted
    }
