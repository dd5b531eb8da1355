"""
Directories of releases: keep the newest few and the one in use.
"""

import shutil
from pathlib import Path

__virtualname__ = "release_dir"


def __virtual__():
    return __virtualname__


def kept(name, current, keep=3):
    """
    Remove all but the newest releases below a directory; never the one in use.

    .. code-block:: yaml

        checkbox-old-releases:
          release_dir.kept:
            - name: /srv/checkbox/releases
            - current: /srv/checkbox/current

    name (str)
        The directory whose entries are releases.
    current (str)
        The symlink to the one in use.
    keep (int)
        How many to keep, the one in use included, 1 or more. Default 3.
    """
    old = _old(Path(name), Path(current).resolve(), keep)
    ret = {"name": name, "changes": {}, "result": True, "comment": f"at most {keep} releases are there"}
    if not old:
        return ret
    ret["changes"] = {"removed": [path.name for path in old]}
    if __opts__["test"]:
        return ret | {"result": None, "comment": f"{len(old)} old releases would be removed"}
    for path in old:
        shutil.rmtree(path)
    return ret | {"comment": f"{len(old)} old releases removed"}


def _old(directory, in_use, keep):
    """The releases to remove: all others than the one in use, newest first, after keep - 1 of them."""
    if not directory.is_dir():
        return []
    others = [path for path in directory.iterdir() if path.is_dir() and path.resolve() != in_use]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return others[max(keep - 1, 0) :]
