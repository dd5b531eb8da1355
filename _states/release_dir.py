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
    place, site = Path(name), Path(name) / subdir
    seen, git_env = sluice_git.without_password(source)
    wanted = {"source": seen, "version": version}
    there = _built_from(place, site / product, site / lock_file)
    is_there = {key: there.get(key) for key in wanted} == wanted
    if __opts__["test"] and not shutil.which("git"):
        return _would_be_built(ret, version, there, f"whatever {version} is once git is installed")
    try:
        ref, commit = sluice_git.find(source, sluice_config.checked_version(version))
    except RefusedError as error:
        return _without_source(ret, there, is_there, str(error))
    if is_there and there["commit"] == commit:
        return ret | {"comment": f"{version} is built from {commit[:12]}"}
    if __opts__["test"]:
        return _would_be_built(ret, version, there, commit)
    scratch = _beside(place, "building")
    try:
        _fetch(scratch, seen, ref, commit, timeout_seconds, git_env)
        if user:
            _run(["chown", "-R", f"{user}:", str(scratch)], f"{scratch} could not be handed to {user}")
        _build(scratch / subdir, version, command, product, user, timeout_seconds)
        lock = _sha256(scratch / subdir / lock_file)
        _put_in_place(scratch, place, wanted | {"commit": commit, "lock_sha256": lock})
    except (CommandExecutionError, OSError) as error:
        shutil.rmtree(scratch, ignore_errors=True)
        said = f"{str(error).rstrip('.')}. Nothing was changed: what runs goes on running."
        return ret | {"result": False, "comment": said}
    changes = {version: {"old": there.get("commit"), "new": commit}}
    return ret | {"changes": changes, "comment": f"{version} built from {commit[:12]}"}


def kept(name, in_use, keep=3):
    """
    Remove all but the newest releases below a directory, never the one in use; and what builds left behind.

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
    ret = {"name": name, "changes": {}, "result": True, "comment": f"at most {keep} releases are there"}
    if isinstance(keep, bool) or not isinstance(keep, int) or keep < 1:
        return ret | {"result": False, "comment": f"keep is {keep!r}: want a whole number, 1 or more"}
    removed = []
    try:
        old = _old(Path(name), Path(in_use), keep) + _left_behind(Path(name))
        if old and __opts__["test"]:
            changes = {"removed": [path.name for path in old]}
            return ret | {"result": None, "changes": changes, "comment": f"{_count(old)} would be removed"}
        for path in old:
            _remove(path)
            removed.append(path.name)
    except OSError as error:
        ret |= {"result": False, "comment": f"{name}: {error}. Remove it by hand."}
    if removed:
        ret["changes"] = {"removed": removed}
    return ret | ({"comment": f"{_count(removed)} removed"} if removed and ret["result"] else {})


def _would_be_built(ret, version, there, commit):
    changes = {version: {"old": there.get("commit"), "new": commit}}
    return ret | {"result": None, "changes": changes, "comment": f"{version} would be built"}


def _without_source(ret, there, is_there, why):
    """The outcome when the repository cannot be asked: what is built already may stay."""
    if not is_there:
        return ret | {"result": False, "comment": why}
    return ret | {
        "comment": f"{there['version']} is built from {there['commit'][:12]}",
        "warnings": [f"It was not compared with its repository. {why}"],
    }


def _marker(place):
    """What a build was made from. Beside the release, not in it: there its builder could put a link."""
    return place.with_name(f".built-{place.name}.json")


def _built_from(place, product, lock_file):
    """What the marker of a build says; empty if there is none, or product or lock file are not its own."""
    try:
        marker = json.loads(_marker(place).read_text())
        whole = product.is_dir() and marker["commit"] and marker["lock_sha256"] == _sha256(lock_file)
        return marker if whole else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _fetch(scratch, source, ref, commit, timeout, env):
    """The files of one commit, in a repository of their own."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.parent.mkdir(parents=True, exist_ok=True)
    failure = f"{ref} of {source} could not be fetched"
    git = ["git", "-C", str(scratch), "-c", "advice.detachedHead=false"]
    _run(["git", "init", "--quiet", str(scratch)], failure, env=env)
    _run([*git, "fetch", "--quiet", "--depth=1", "--", source, ref], failure, timeout=timeout, env=env)
    _run([*git, "checkout", "--quiet", "FETCH_HEAD"], failure, env=env)
    found = _run([*git, "rev-parse", "HEAD"], failure, env=env).strip()
    if found != commit:
        raise CommandExecutionError(
            f"{ref} of {source} moved from {commit[:12]} to {found[:12]} in between; try again"
        )


def _build(site, version, command, product, user, timeout):
    if not site.is_dir():
        raise CommandExecutionError(f"{version} has no directory {site.name} to build in")
    words = " ".join(command)
    _run(command, f"{version} did not build with `{words}`", timeout=timeout, cwd=str(site), runas=user)
    if not (site / product).is_dir():
        raise CommandExecutionError(f"{version} was built with `{words}`, but that made no {product}")


def _run(words, failure, **kwargs):
    """
    Run a command without a shell; what it printed, or CommandExecutionError with `failure` and the gist of
    what it said. Other users may read the files it makes: a web server has to.
    """
    try:
        done = __salt__["cmd.run_all"](words, python_shell=False, ignore_retcode=True, umask="022", **kwargs)
    except CommandExecutionError as error:
        raise CommandExecutionError(f"{failure}: {str(error).rpartition('reason: ')[2]}") from error
    if done["retcode"] != 0:
        said = _gist(done["stderr"] or done["stdout"]) or "it said nothing"
        raise CommandExecutionError(f"{failure} (code {done['retcode']}): {said}")
    return done["stdout"]


def _gist(text):
    """The first lines of what a command said, on one line."""
    lines = [re.sub(r"^npm (ERR!|error)", "", line).strip() for line in text.splitlines()]
    told = "; ".join([line for line in lines if line][:GIST_LINES])
    return (told if len(told) <= GIST_CHARACTERS else told[:GIST_CHARACTERS] + "...").rstrip(".")


def _beside(place, what):
    return place.with_name(f".{what}-{place.name}")


def _put_in_place(fresh, place, marker):
    """Move a directory where another may be. A moved tag is rare; its old files are gone for an instant."""
    old, written = _beside(place, "old"), _beside(place, "marker")
    written.write_text(json.dumps(marker) + "\n")
    _remove(old)
    _marker(place).unlink(missing_ok=True)
    if os.path.lexists(place):
        place.rename(old)
    fresh.rename(place)
    # The last step: a build that was interrupted before it is made again.
    written.replace(_marker(place))
    shutil.rmtree(old, ignore_errors=True)


def _remove(path):
    """Remove a release with its marker, or anything else; nothing is there is as good."""
    _marker(path).unlink(missing_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _old(directory, in_use, keep):
    """The releases to remove: all others than the one in use, newest first, after keep - 1 of them."""
    others = [path for path in _entries(directory) if path != in_use and not path.name.startswith(".")]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return others[keep - 1 :]


def _left_behind(directory):
    """What a build that was interrupted left; none is under way when the old releases are looked through."""
    return sorted(path for path in _entries(directory) if path.name.startswith((".building-", ".old-")))


def _entries(directory):
    if not directory.is_dir():
        return []
    return [path for path in directory.iterdir() if path.is_dir() and not path.is_symlink()]


def _count(paths):
    return "1 old release" if len(paths) == 1 else f"{len(paths)} old releases"
