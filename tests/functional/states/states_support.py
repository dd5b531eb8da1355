"""The fleet, and what its machines say of themselves, for the tests of the states."""

from pathlib import Path

import yaml

REPO = Path(__file__).resolve().parents[3]
FLEET = (
    "master",
    "lb-1",
    "redis-1",
    "git-1",
    "redis-2",
    "redis-3",
    "checkbox-1",
    "checkbox-2",
    "canary-1",
    "jenkins-1",
    "itrust-1",
    "itrust-2",
)
NODEGROUPS = yaml.safe_load((REPO / "conf/master.d/nodegroups.conf").read_text())["nodegroups"]
# What a Debian 12 machine says of itself, as far as the states ask.
GRAINS = {
    "os": "Debian",
    "os_family": "Debian",
    "osrelease": "12",
    "osmajorrelease": 12,
    "oscodename": "bookworm",
    "kernel": "Linux",
    "init": "systemd",
    "systemd": {"version": "252", "features": ""},
    "pythonexecutable": "/opt/salt/bin/python3",
    "pythonversion": [3, 11, 2, "final", 0],
    "saltversion": "3008.3",
    "cpuarch": "x86_64",
}
