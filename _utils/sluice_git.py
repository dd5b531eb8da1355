"""Ask a git server whether it has a version, without cloning anything."""

import os
import subprocess

from sluice_errors import RefusedError

# A git server that answers does so in well under a second; ten leave room for a slow line.
TIMEOUT_SECONDS = 10.0


def check_version(source: str, version: str, timeout: float = TIMEOUT_SECONDS) -> str:
    """
    The commit that tag or branch `version` names in the repository `source`.

    Raises RefusedError if the server does not answer within `timeout` seconds or has no such version; the
    message lists the ones it has.
    """
    refs = _ask(source, timeout)
    for name in (f"refs/tags/{version}^{{}}", f"refs/tags/{version}", f"refs/heads/{version}"):
        if name in refs:
            return refs[name]
    known = sorted({ref.split("/", 2)[2] for ref in refs if "^" not in ref})
    raise RefusedError(
        f"Unknown version {version}: {source} has no such tag or branch; it has {_list(known)}. "
        "Push the version first, or name another."
    )


def _ask(source: str, timeout: float) -> dict[str, str]:
    # Asking for a password or a host key must fail, not wait; -- keeps a source from being an option.
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -oBatchMode=yes", "LC_ALL": "C"}
    command = ["git", "ls-remote", "--heads", "--tags", "--", source]
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise _no_answer(source, f"nothing in {timeout:g} s") from error
    except OSError as error:
        raise _no_answer(source, f"git could not be run: {error}") from error
    if done.returncode != 0:
        said = " ".join(done.stderr.split())
        raise _no_answer(source, said[:200] or f"git ended with code {done.returncode}")
    return {ref: commit for commit, _, ref in (line.partition("\t") for line in done.stdout.splitlines())}


def _no_answer(source: str, why: str) -> RefusedError:
    return RefusedError(
        f"The git source {source} does not answer ({why}). Check the server and the source in pillar; "
        f"'git ls-remote {source}' on the master must work."
    )


def _list(names: list[str], limit: int = 12) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (", ".join(names[:limit]) or "none") + more
