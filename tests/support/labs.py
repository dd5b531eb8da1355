"""Labs of the tests' own, wherever this computer has room for them."""

import json

from lab import network, settings
from lab.errors import LabError
from lab.process import run


def settings_of(name, bridge, fleet="checkbox"):
    """The settings of a lab, on the network that it has, or on one that nothing else here uses."""
    made = settings.recorded(settings.STATE_ROOT / name).get("network")
    routes = json.loads(run(["ip", "-4", "-j", "route", "show"]))
    for subnet in [made] if made else [f"10.{number}.0.0/24" for number in range(60, 100)]:
        lab = settings.load(name, bridge, subnet, fleet, env={})
        if made or not network.overlaps(lab, routes):
            return lab
    raise LabError("no network from 10.60.0.0/24 to 10.99.0.0/24 is free here")
