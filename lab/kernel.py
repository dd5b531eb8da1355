"""Settings of this computer's kernel that machines need; the last lab to go puts back what they were."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from lab import files
from lab.errors import LabError
from lab.settings import Lab

SYSTEM = Path("/proc/sys")
LEAST = {
    # The way out of the bridge.
    "net/ipv4/ip_forward": 1,
    # Each systemd, dbus and salt-minion takes some of root's: at the usual 128 the machines of a third lab
    # wait for ever in the middle of their boot.
    "fs/inotify/max_user_instances": 4096,
    "fs/inotify/max_user_watches": 262144,
}


def prepare(lab: Lab, system: Path = SYSTEM, least: Mapping[str, int] = LEAST) -> None:
    """Raise what is too low, after keeping what it was."""
    before = kept(lab)
    low = {name: value for name, value in least.items() if read(system, name) < value}
    before.update({name: read(system, name) for name in low if name not in before})
    files.write(record(lab), json.dumps(before) + "\n")
    for name, value in low.items():
        (system / name).write_text(str(value))


def restore(lab: Lab, system: Path = SYSTEM, least: Mapping[str, int] = LEAST) -> None:
    """Put back what `prepare` changed, but for what somebody has set to something else since."""
    for name, value in kept(lab).items():
        if read(system, name) == least.get(name):
            (system / name).write_text(str(value))
    record(lab).unlink(missing_ok=True)


def kept(lab: Lab) -> dict[str, int]:
    try:
        return {str(name): int(value) for name, value in json.loads(record(lab).read_text()).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise LabError(f"{record(lab)}: {error}; remove the file") from error


def record(lab: Lab) -> Path:
    """What the settings were before the first lab."""
    return lab.state_root / "kernel.json"


def read(system: Path, name: str) -> int:
    return int((system / name).read_text())
