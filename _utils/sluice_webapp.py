"""
What an update of a web application on one host is: what would be other, and how far one got.

On the host, below the application's home: `artifacts/<version>-<hash>` directories, `current`, a link to the
one that runs, `update.json` while an update is under way, and `before/`, what there was before it.
"""

import contextlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

# `-` and the first 12 digits of the sha256 end the name of an artifact's directory.
HASH_LETTERS = 13


def version_of(directory: str | None) -> str | None:
    """The version in the name of an artifact's directory; None if there is none."""
    return directory[:-HASH_LETTERS] if directory and len(directory) > HASH_LETTERS else None


@dataclass(frozen=True)
class Marker:
    """An update under way: to which artifact, from which, how far, and why it did not end."""

    release: str
    before: str | None
    step: str
    # Whether an update drained the host: then an update gives it its traffic back.
    drained: bool = False
    reason: str = ""


def read_marker(home: Path) -> Marker | None:
    """The marker of an application; one that cannot be read is an update of which nothing is known."""
    try:
        return Marker(**json.loads((home / "update.json").read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return Marker("", None, "unknown", drained=True)


def write_marker(home: Path, marker: Marker) -> None:
    """Keep a marker, whole and on the disk before anything else is done."""
    fresh = home / ".update.json.new"
    with fresh.open("w") as handle:
        handle.write(json.dumps(asdict(marker)) + "\n")
        handle.flush()
        os.fsync(handle.fileno())
    fresh.replace(home / "update.json")


def remove_marker(home: Path) -> None:
    """The update has ended well."""
    (home / "update.json").unlink(missing_ok=True)


def current(home: Path) -> str | None:
    """The name of the artifact that the link `current` points to, or None."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.basename(os.readlink(home / "current"))
    return None


def switch(home: Path, release: str | None) -> None:
    """Point `current` to an artifact, atomically; to none: the link goes."""
    link, fresh = home / "current", home / ".current.new"
    fresh.unlink(missing_ok=True)
    if release is None:
        link.unlink(missing_ok=True)
        return
    fresh.symlink_to(f"artifacts/{release}")
    fresh.replace(link)


def running_version(home: Path) -> dict[str, Any]:
    """What an application runs, as `webapp.version` returns it."""
    marker = read_marker(home)
    half_way = marker and {
        "version": version_of(marker.release),
        "from": version_of(marker.before),
        "step": marker.step,
        "reason": marker.reason,
    }
    return {"version": version_of(current(home)), "half_way": half_way}


@dataclass(frozen=True)
class Found:
    """A host as it is."""

    release: str | None
    active: bool
    enabled: bool
    marker: Marker | None
    # Path to what differs, in words a user may read.
    files: dict[str, str] = field(default_factory=dict)
    # Package to installed version, of those that are to have another one.
    packages: dict[str, Any] = field(default_factory=dict)


def changes(found: Found, release: str) -> dict[str, Any]:
    """What a run would change, for a user to read; empty if nothing is to be done."""
    told: dict[str, Any] = {}
    if found.release != release:
        told["version"] = {"old": version_of(found.release), "new": version_of(release)}
        if told["version"]["old"] == told["version"]["new"]:
            told["version"] = {"old": found.release, "new": release}
    if found.files:
        told["files"] = dict(found.files)
    if found.packages:
        told["packages"] = dict(found.packages)
    if found.marker:
        told["unfinished"] = {"old": f"update ended at step {found.marker.step}", "new": "finished"}
    if not found.active:
        told["service"] = {"old": "stopped", "new": "running"}
    if not found.enabled:
        told["at boot"] = {"old": "not started", "new": "started"}
    return told


def must_restart(found: Found, release: str) -> bool:
    """
    Whether the application has to be stopped, or is.

    Not if only its traffic is to be given back: an update that was verified and then interrupted.
    """
    is_other = found.release != release or bool(found.files) or bool(found.packages)
    verified = found.marker is None or (found.marker.step == "restore" and found.marker.release == release)
    return is_other or not found.active or not verified
