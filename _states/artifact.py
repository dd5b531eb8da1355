"""
Artifacts of an application: fetched by URL and sha256, made ready for Tomcat, and old ones removed.

Each happens beside what runs. Whatever goes wrong, what is there stays as it was and nothing is half-written.
"""

import shutil
from pathlib import Path

import sluice_artifact
from salt.exceptions import CommandExecutionError
from sluice_errors import ReleaseError

__virtualname__ = "artifact"

UNTOUCHED = "Nothing was changed: what runs goes on running."
# A WAR of 44 MB takes 10 s, and longer on a host that serves its users meanwhile.
MIGRATE_SECONDS = 300
# Ten times a packed one: classes and pages pack to a third or less of what they are.
UNPACKED_RATIO = 10


def __virtual__():
    return __virtualname__


def fetched(name, url, sha256, max_bytes=500_000_000, timeout_seconds=300):
    """
    Fetch an artifact, if it is not there with this hash.

    .. code-block:: yaml

        itrust-artifact:
          artifact.fetched:
            - name: /srv/itrust/artifacts/v2-0123456789ab.war
            - url: http://10.57.0.16:8081/itrust/v2/iTrust.war
            - sha256: 0123456789ab...

    name (str)
        The file. It is there whole, or not at all.
    url (str)
        http:// or https://, without a log-in.
    sha256 (str)
        64 hexadecimal digits of what must come.
    max_bytes (int)
        A larger one is refused as soon as that is known. Default 500,000,000.
    timeout_seconds (float)
        When all of it must be there. A server that is silent for 10 s is given up before. Default 300.

    A file that is there with this hash is used without asking the server.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"{name} is there"}
    path = Path(name)
    try:
        url, sha256 = sluice_artifact.checked_url(url), sluice_artifact.checked_sha256(sha256)
        found = sluice_artifact.sha256_of(path) if path.exists() else None
        if found == sha256:
            return ret
        changes = {name: {"old": found and found[:12], "new": sha256[:12]}}
        if __opts__["test"]:
            return ret | {"result": None, "changes": changes, "comment": f"{url} would be fetched"}
        sluice_artifact.fetch(url, path, sha256, max_bytes, timeout_seconds)
    except (ReleaseError, OSError) as error:
        return ret | {"result": False, "comment": _said(error)}
    return ret | {"changes": changes, "comment": f"{url} fetched"}


def unpacked(name, archive, migrate=True, max_bytes=500_000_000):
    """
    Unpack a WAR once, ready for Tomcat 10.

    .. code-block:: yaml

        itrust-unpacked:
          artifact.unpacked:
            - name: /srv/itrust/artifacts/v2-0123456789ab
            - archive: /srv/itrust/artifacts/v2-0123456789ab.war

    name (str)
        The directory, named after the archive's hash: one that is there is whole, and not made again.
    archive (str)
        The WAR.
    migrate (bool)
        Whether it is written for javax.* and goes through `javax2jakarta` before. One that is written for
        jakarta.* comes out as it went in. Default True.
    max_bytes (int)
        Ten times as much may come out of it. Default 500,000,000.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"{name} is there"}
    target, source = Path(name), Path(archive)
    if target.is_dir():
        return ret
    ret["changes"] = {name: {"old": None, "new": f"unpacked from {source.name}"}}
    if __opts__["test"]:
        return ret | {"result": None, "comment": f"{archive} would be unpacked"}
    migrated = target.with_name(f"{sluice_artifact.UNPACKING}{source.name}")
    try:
        if migrate:
            _migrate(source, migrated)
        sluice_artifact.unpack(migrated if migrate else source, target, UNPACKED_RATIO * max_bytes)
    except (ReleaseError, OSError) as error:
        return ret | {"result": False, "changes": {}, "comment": _said(error)}
    finally:
        migrated.unlink(missing_ok=True)
    return ret | {"comment": f"{archive} unpacked"}


def kept(name, in_use, current=None, keep=3):
    """
    Remove all but the newest artifacts of a directory, never one in use; and what was left half-done.

    .. code-block:: yaml

        itrust-old-artifacts:
          artifact.kept:
            - name: /srv/itrust/artifacts
            - in_use: v2-0123456789ab
            - current: /srv/itrust/current

    name (str)
        The directory. `X.war` and the directory `X` count as one.
    in_use (str)
        The one that stays in any case.
    current (str)
        A link; what it points to stays as well. Default none.
    keep (int)
        How many to keep, those in use included, 1 or more. Default 3.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"at most {keep} artifacts are there"}
    if isinstance(keep, bool) or not isinstance(keep, int) or keep < 1:
        return ret | {"result": False, "comment": f"keep is {keep!r}: want a whole number, 1 or more"}
    stay = {in_use}
    if current and Path(current).is_symlink():
        stay.add(Path(current).readlink().name)
    try:
        gone = sluice_artifact.old(Path(name), stay, keep)
        if not gone:
            return ret
        changes = {"removed": [path.name for path in gone]}
        if __opts__["test"]:
            return ret | {"result": None, "changes": changes, "comment": "old artifacts would be removed"}
        for path in gone:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    except OSError as error:
        return ret | {"result": False, "comment": f"{name}: {error}. Remove it by hand."}
    return ret | {"changes": changes, "comment": "old artifacts removed"}


def _migrate(source, target):
    """Have javax.* become jakarta.* in a WAR, at the pace of one who works beside others."""
    # https://tomcat.apache.org/download-migration.cgi; EE: all packages of Java EE, not only Tomcat's own.
    words = ["nice", "-n", "10", "javax2jakarta", "-profile=EE", str(source), str(target)]
    try:
        done = __salt__["cmd.run_all"](
            words, python_shell=False, ignore_retcode=True, timeout=MIGRATE_SECONDS, umask="022"
        )
    except CommandExecutionError as error:
        raise ReleaseError(f"{source} could not be migrated: {error}") from error
    if done["retcode"] != 0:
        told = " ".join((done["stderr"] or done["stdout"]).split())[-300:] or "it said nothing"
        raise ReleaseError(f"{source} could not be migrated (code {done['retcode']}): {told}")


def _said(error):
    return f"{str(error).rstrip('.')}. {UNTOUCHED}"
