"""
Virtual environments of Python: made from a lock file, and whole or not there at all.
"""

import hashlib
import json
import shutil
from pathlib import Path

from salt.exceptions import CommandExecutionError

__virtualname__ = "python_env"

# The end of what a failed command said, where pip says why.
GIST_CHARACTERS = 600


def __virtual__():
    return __virtualname__


def installed(name, lock, wheels=None, python="python3", timeout_seconds=600):
    """
    An environment with exactly what a lock file names, and with wheels from a directory.

    It is made beside `name` and moved there when it is whole: what runs from the old one goes on, and an
    installation that fails leaves everything as it was. As it moves, run what is in it with `NAME/bin/python
    -m`; scripts in `NAME/bin` name the place where they were made.

    It is no `cmd.run` with `unless`: any state with `unless`, `onlyif` or `creates` costs a state run 0.8 s,
    for Salt then loads all state modules to look one up.

    .. code-block:: yaml

        balancer-environment:
          python_env.installed:
            - name: /opt/sluice/balancer/venv
            - lock: /opt/sluice/balancer/requirements.lock
            - wheels: /opt/sluice/balancer/wheel

    name (str)
        The directory of the environment.
    lock (str)
        A file of requirements, every one with its hashes. If it changes, the environment is made anew.
    wheels (str)
        A directory; what is in its wheels is installed as well, without what they require: of several of one
        version the one that fits the machine best. If one changes, it is made anew. Default: none.
    python (str)
        Makes the environment. Default python3.
    timeout_seconds (int)
        How long each of the steps may take. Default 600.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": ""}
    place = Path(name)
    try:
        wanted = _wanted(Path(lock), Path(wheels) if wheels else None)
    except OSError as error:
        said = f"{error.filename}: {error.strerror}"
        if __opts__["test"]:
            # The states before this one would put it there.
            return ret | {
                "result": None,
                "changes": _changes({}, {}),
                "comment": f"would be made; {said} yet",
            }
        return ret | {"result": False, "comment": f"{said}. Nothing was changed."}
    there = _made_from(place)
    if there == wanted:
        return ret | {"comment": f"{len(wanted)} files are installed as they are"}
    if __opts__["test"]:
        return ret | {"result": None, "changes": _changes(there, wanted), "comment": "would be made anew"}
    scratch = place.with_name(f".building-{place.name}")
    files = [file for file in wanted if file.endswith(".whl")]
    try:
        _make(scratch, Path(lock), files, python, timeout_seconds)
        (scratch / "made-from.json").write_text(json.dumps(wanted) + "\n")
        _put_in_place(scratch, place)
    except (CommandExecutionError, OSError) as error:
        shutil.rmtree(scratch, ignore_errors=True)
        said = f"{str(error).rstrip('.')}. Nothing was changed: what runs goes on running."
        return ret | {"result": False, "comment": said}
    return ret | {"changes": _changes(there, wanted), "comment": f"made from {len(wanted)} files"}


def _wanted(lock, wheels):
    """File to sha256 of all that goes in. Raises OSError if one is not there."""
    found = sorted(wheels.glob("*.whl")) if wheels else []
    if wheels and not found:
        raise FileNotFoundError(2, "no wheel is there", str(wheels))
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in [lock, *found]}


def _made_from(place):
    """What an environment was made from; empty if there is none, or not a whole one."""
    try:
        made_from = json.loads((place / "made-from.json").read_text())
    except (OSError, ValueError):
        return {}
    return made_from if (place / "bin/python").exists() and isinstance(made_from, dict) else {}


def _changes(old, new):
    files = sorted({file for file in {*old, *new} if old.get(file) != new.get(file)})
    told = {file: {"old": _short(old.get(file)), "new": _short(new.get(file))} for file in files}
    return told or {"environment": {"old": None, "new": "made"}}


def _short(digest):
    return digest and digest[:12]


def _make(scratch, lock, wheels, python, timeout):
    """A new environment, step by step. Raises CommandExecutionError."""
    shutil.rmtree(scratch, ignore_errors=True)
    pip = [str(scratch / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    steps = [
        ([python, "-m", "venv", str(scratch)], f"{scratch} could not be made"),
        ([*pip, "--require-hashes", "-r", str(lock)], f"{lock} could not be installed"),
    ]
    if wheels:
        names = ", ".join(Path(wheel).name for wheel in wheels)
        # By name, not by file: a compiled wheel and a pure one of the same are a choice, and pip makes it.
        links = sorted({f"--find-links={Path(wheel).parent}" for wheel in wheels})
        wanted = sorted({"==".join(Path(wheel).name.split("-")[:2]) for wheel in wheels})
        steps.append(([*pip, "--no-deps", "--no-index", *links, *wanted], f"{names} could not be installed"))
    for words, failure in steps:
        _run(words, failure, timeout)


def _run(words, failure, timeout):
    """Run a command without a shell; other users may read the files it makes."""
    try:
        done = __salt__["cmd.run_all"](
            words, python_shell=False, ignore_retcode=True, umask="022", timeout=timeout
        )
    except CommandExecutionError as error:
        raise CommandExecutionError(f"{failure}: {str(error).rpartition('reason: ')[2]}") from error
    if done["retcode"] != 0:
        said = "; ".join((done["stderr"] or done["stdout"]).split("\n")).strip()[-GIST_CHARACTERS:]
        raise CommandExecutionError(f"{failure} (code {done['retcode']}): {said or 'it said nothing'}")


def _put_in_place(fresh, place):
    """Move an environment where another may be; for an instant none is there."""
    old = place.with_name(f".old-{place.name}")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    fresh.rename(place)
    shutil.rmtree(old, ignore_errors=True)
