"""
Directories of releases: each version of an application built in a directory of its own, and old ones removed.
"""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import sluice_config
import sluice_git
from salt.exceptions import CommandExecutionError
from sluice_errors import RefusedError

__virtualname__ = "release_dir"

# Written into the product of a build, so that it goes when the product goes.
MARKER = ".built.json"
# Git must fail where it would ask a person for a password or a host key.
GIT_ENVIRONMENT = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -oBatchMode=yes", "LC_ALL": "C"}
# As much of a failed command's words as a person reads in a highstate's output.
GIST_LINES = 6
GIST_CHARACTERS = 600


def __virtual__():
    return __virtualname__


def built(
    name,
    source,
    version,
    command,
    subdir=".",
    lock_file="package-lock.json",
    product="node_modules",
    user=None,
    timeout_seconds=300,
):
    """
    Build a version of an application from git in a directory of its own.

    The build happens beside `name` and is moved there when it is whole, so whatever uses the directory never
    sees half of it, and a version that does not build leaves everything as it was.

    .. code-block:: yaml

        checkbox-release:
          release_dir.built:
            - name: /srv/checkbox/releases/v1
            - source: git://10.57.0.13/checkbox
            - version: v1
            - subdir: server-side/site
            - command: [npm, ci, --omit=dev]
            - user: checkbox

    name (str)
        The directory of this version.
    source (str)
        URL of the git repository. Fetched as root; a password belongs into a credential helper, not here.
    version (str)
        A tag or branch. If it has moved since, the version is built again.
    command (list of str)
        Builds the application; no shell. Run as `user` in `subdir`.
    subdir (str)
        Where in the repository the application is. Default: its root.
    lock_file (str)
        In `subdir`: if this file is not the one that was built from, the version is built again.
        Default package-lock.json.
    product (str)
        In `subdir`: the directory the command makes. If it is gone, the version is built again.
        Default node_modules.
    user (str)
        Who builds and owns the directory. Default: the user Salt runs as.
    timeout_seconds (int)
        How long fetching may take, and again how long the command may. Default 300.

    A version that is built already stays in use when its repository does not answer; a warning says so.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": ""}
    wanted = {"source": source, "version": version}
    site = Path(name) / subdir
    there = _built_from(site / product, site / lock_file)
    is_there = {key: there.get(key) for key in wanted} == wanted
    try:
        commit = sluice_git.check_version(source, sluice_config.checked_version(version))
    except RefusedError as error:
        return _without_source(ret, there, is_there, _redacted(str(error), source))
    if is_there and there["commit"] == commit:
        return ret | {"comment": f"{version} is built from {commit[:12]}"}
    changes = {version: {"old": there.get("commit"), "new": commit}}
    if __opts__["test"]:
        return ret | {"result": None, "changes": changes, "comment": f"{version} would be built"}
    scratch = _beside(Path(name), "building")
    try:
        _fetch(scratch, source, version, user, timeout_seconds)
        _build(scratch / subdir, version, command, user, timeout_seconds)
        _mark(scratch / subdir / product, scratch / subdir / lock_file, wanted | {"commit": commit})
    except (CommandExecutionError, OSError) as error:
        shutil.rmtree(scratch, ignore_errors=True)
        said = f"{error}. Nothing was changed: what runs goes on running."
        return ret | {"result": False, "comment": _redacted(said, source)}
    _put_in_place(scratch, Path(name))
    return ret | {"changes": changes, "comment": f"{version} built from {commit[:12]}"}


def kept(name, in_use, keep=3):
    """
    Remove all but the newest releases below a directory; never the one in use.

    .. code-block:: yaml

        checkbox-old-releases:
          release_dir.kept:
            - name: /srv/checkbox/releases
            - in_use: /srv/checkbox/releases/v2

    name (str)
        The directory whose entries are releases.
    in_use (str)
        The one that stays in any case, whether it is there yet or not.
    keep (int)
        How many to keep, the one in use included, 1 or more. Default 3.
    """
    old = _old(Path(name), Path(in_use), keep)
    ret = {"name": name, "changes": {}, "result": True, "comment": f"at most {keep} releases are there"}
    if not old:
        return ret
    ret["changes"] = {"removed": [path.name for path in old]}
    if __opts__["test"]:
        return ret | {"result": None, "comment": f"{len(old)} old releases would be removed"}
    for path in old:
        shutil.rmtree(path)
    return ret | {"comment": f"{len(old)} old releases removed"}


def _without_source(ret, there, is_there, why):
    """The outcome when the repository cannot be asked: what is built already may stay."""
    if not is_there:
        return ret | {"result": False, "comment": why}
    return ret | {
        "comment": f"{there['version']} is built from {there['commit'][:12]}",
        "warnings": [f"It was not compared with its repository. {why}"],
    }


def _built_from(product, lock_file):
    """What the marker of a build says; empty if there is none or its lock file is another now."""
    try:
        marker = json.loads((product / MARKER).read_text())
        return marker if marker["lock_sha256"] == _sha256(lock_file) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _mark(product, lock_file, wanted):
    (product / MARKER).write_text(json.dumps(wanted | {"lock_sha256": _sha256(lock_file)}) + "\n")


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _fetch(scratch, source, version, user, timeout):
    """A fresh clone of one version, owned by the user."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.parent.mkdir(parents=True, exist_ok=True)
    clone = ["git", "-c", "advice.detachedHead=false", "clone", "--quiet", "--depth=1"]
    words = [*clone, f"--branch={version}", "--", source, str(scratch)]
    _run(words, f"{version} of {source} could not be fetched", timeout=timeout, env=GIT_ENVIRONMENT)
    if user:
        _run(["chown", "-R", f"{user}:", str(scratch)], f"{scratch} could not be handed to {user}")


def _build(site, version, command, user, timeout):
    if not site.is_dir():
        raise CommandExecutionError(f"{version} has no directory {site.name} to build in")
    words = " ".join(command)
    _run(command, f"{version} did not build with `{words}`", timeout=timeout, cwd=str(site), runas=user)


def _run(words, failure, **kwargs):
    """Run a command without a shell; CommandExecutionError with `failure` and the gist of what it said."""
    done = __salt__["cmd.run_all"](words, python_shell=False, ignore_retcode=True, **kwargs)
    if done["retcode"] != 0:
        said = _gist(done["stderr"] or done["stdout"]) or "it said nothing"
        raise CommandExecutionError(f"{failure} (code {done['retcode']}): {said}")


def _gist(text):
    """The first lines of what a command said, on one line."""
    lines = [re.sub(r"^npm (ERR!|error)", "", line).strip() for line in text.splitlines()]
    told = "; ".join([line for line in lines if line][:GIST_LINES])
    return (told if len(told) <= GIST_CHARACTERS else told[:GIST_CHARACTERS] + "...").rstrip(".")


def _redacted(text, source):
    """`text` without the password that a source URL may hold against all advice."""
    return text.replace(source, re.sub(r"//[^/@]+@", "//***@", source))


def _beside(place, what):
    return place.with_name(f".{what}-{place.name}")


def _put_in_place(fresh, place):
    """Move a directory where another may be. A moved tag is rare; its old files are gone for an instant."""
    old = _beside(place, "old")
    shutil.rmtree(old, ignore_errors=True)
    if os.path.lexists(place):
        place.rename(old)
    fresh.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _old(directory, in_use, keep):
    """The releases to remove: all others than the one in use, newest first, after keep - 1 of them."""
    if not directory.is_dir():
        return []
    others = [path for path in directory.iterdir() if path.is_dir() and path != in_use]
    others = [path for path in others if not path.name.startswith(".")]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return others[max(keep - 1, 0) :]
