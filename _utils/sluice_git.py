"""Ask a git server whether it has a version, without cloning anything."""

import os
import re
import subprocess
from urllib.parse import unquote

from sluice_errors import RefusedError

# A git server that answers does so in well under a second; ten leave room for a slow line.
TIMEOUT_SECONDS = 10.0
# Git must fail where it would ask a person for a password or a host key.
ENVIRONMENT = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -oBatchMode=yes", "LC_ALL": "C"}
# Git asks this for a log-in; it is a shell function, because the environment is for git's user alone to read.
HELPER = '!f() { printf "username=%s\\npassword=%s\\n" "$SLUICE_GIT_USER" "$SLUICE_GIT_PASSWORD"; }; f'


def without_password(source: str) -> tuple[str, dict[str, str]]:
    """
    The URL `source` as anyone may see it, and the environment that git needs with it.

    A log-in of the form `https://user:password@host/path` is taken out of the URL, so that it stands in no
    list of processes, `.git/config` or message, and reaches git as a credential helper.
    """
    found = re.match(r"(https?://)([^/@:]*):([^/]*)@", source)
    if not found:
        return source, dict(ENVIRONMENT)
    scheme, user, password = found.groups()
    count = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    helpers = {"SLUICE_GIT_USER": unquote(user), "SLUICE_GIT_PASSWORD": unquote(password)}
    # The first, empty one ends the list of the helpers that the machine has.
    for number, helper in enumerate(("", HELPER), start=count):
        helpers |= {f"GIT_CONFIG_KEY_{number}": "credential.helper", f"GIT_CONFIG_VALUE_{number}": helper}
    return scheme + source[found.end() :], ENVIRONMENT | helpers | {"GIT_CONFIG_COUNT": str(count + 2)}


def check_version(source: str, version: str, timeout: float = TIMEOUT_SECONDS) -> str:
    """
    The commit that tag or branch `version` names in the repository `source`.

    Raises RefusedError if the server does not answer within `timeout` seconds or has no such version; the
    message lists the ones it has, and holds no password.
    """
    return find(source, version, timeout)[1]


def find(source: str, version: str, timeout: float = TIMEOUT_SECONDS) -> tuple[str, str]:
    """The full name of the tag or branch `version`, and the commit it names; raises as check_version."""
    seen, env = without_password(source)
    refs = _ask(seen, env, timeout)
    for ref in (f"refs/tags/{version}", f"refs/heads/{version}"):
        if ref in refs:
            # An annotated tag is an object of its own; ^{} is the commit it stands for.
            return ref, refs.get(f"{ref}^{{}}", refs[ref])
    known = sorted({ref.split("/", 2)[2] for ref in refs if "^" not in ref})
    raise RefusedError(
        f"Unknown version {version}: {seen} has no such tag or branch; it has {_list(known)}. "
        "Push the version first, or name another."
    )


def _ask(source: str, env: dict[str, str], timeout: float) -> dict[str, str]:
    if not source:
        raise RefusedError("No git source is given. Put the URL of the repository into pillar.")
    # -- keeps a source from being an option.
    command = ["git", "ls-remote", "--heads", "--tags", "--", source]
    try:
        done = subprocess.run(
            command, env={**os.environ, **env}, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired as error:
        raise _no_answer(source, f"nothing in {timeout:g} s") from error
    except (OSError, ValueError) as error:
        raise _no_answer(source, f"git could not be run: {error}") from error
    if done.returncode != 0:
        said = " ".join(done.stderr.split())
        raise _no_answer(source, said[:200] or f"git ended with code {done.returncode}")
    return {ref: commit for commit, _, ref in (line.partition("\t") for line in done.stdout.splitlines())}


def _no_answer(source: str, why: str) -> RefusedError:
    return RefusedError(
        f"The git source {source} does not answer ({why}). Check the server and the source in pillar; "
        f"'git ls-remote {source}' must work."
    )


def _list(names: list[str], limit: int = 12) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (", ".join(names[:limit]) or "none") + more
