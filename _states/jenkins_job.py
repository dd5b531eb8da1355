"""
Jobs of a Jenkins: there as their XML says, read back, and built once.
"""

import hashlib
import json
import os
import re
from pathlib import Path

import sluice_jenkins
from sluice_jenkins import JenkinsError

__virtualname__ = "jenkins_job"

# A name that is the same in a URL, in a file name and on Jenkins' pages.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def __virtual__():
    return __virtualname__


def present(name, config, url, user, token_file):
    """
    A job is there, and means what a file of XML says.

    The job is posted if what Jenkins tells of it means something else, and then read back: an answer of 200
    to a POST does not say that Jenkins has understood all of it.

    .. code-block:: yaml

        jenkins-job-itrust:
          jenkins_job.present:
            - name: itrust
            - config: /var/lib/sluice/jenkins/itrust.xml
            - url: http://127.0.0.1:8080
            - user: sluice
            - token_file: /etc/sluice/jenkins.token

    name (str)
        The job: letters, digits, `.`, `_`, `-`.
    config (path)
        Its XML on this machine.
    url (str)
        Jenkins' first page.
    user (str)
        Who asks.
    token_file (path)
        That user's API token.

    `changes` tells what differed, path by path; no token is in it.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"{name} is as {config} says"}
    if __opts__["test"] and not (Path(config).exists() and Path(token_file).exists()):
        return ret | {
            "result": None,
            "changes": {name: {"old": None, "new": "made"}},
            "comment": f"{config} would be there first, then the job",
        }
    try:
        _checked(name)
        xml = Path(config).read_text()
        wanted = sluice_jenkins.meaning(xml)
        server = _server(url, user, token_file)
        there = server.config(name)
        changes = sluice_jenkins.differences(sluice_jenkins.meaning(there) if there else {}, wanted)
        if there is not None and not changes:
            return ret
        ret["changes"] = changes or {name: {"old": None, "new": "made"}}
        if __opts__["test"]:
            said = "would be changed" if there else "would be made"
            return ret | {"result": None, "comment": f"{name} {said}"}
        server.update(name, xml) if there is not None else server.create(name, xml)
        left = sluice_jenkins.differences(sluice_jenkins.meaning(server.config(name) or ""), wanted)
    except (JenkinsError, OSError) as error:
        return ret | {"result": False, "changes": {}, "comment": f"{name}: {error}"}
    if left:
        paths = ", ".join(left)
        said = f"{name}: Jenkins took the job, but tells something else of {paths}; is a plugin missing?"
        return ret | {"result": False, "comment": said}
    return ret | {"comment": f"{name} changed" if there else f"{name} made"}


def built(name, url, user, token_file, marker, timeout_seconds=1800):
    """
    A job was built with success since its definition changed last; it is built now if not.

    .. code-block:: yaml

        jenkins-job-itrust-built:
          jenkins_job.built:
            - name: itrust
            - url: http://127.0.0.1:8080
            - user: sluice
            - token_file: /etc/sluice/jenkins.token
            - marker: /var/lib/sluice/jenkins/itrust.built

    name, url, user, token_file
        As in `jenkins_job.present`.
    marker (path)
        A file of this machine that remembers which definition was built.
    timeout_seconds (float)
        How long the build may wait and run. Default 1800.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"{name} was built as it is"}
    would = {
        "result": None,
        "changes": {name: {"old": None, "new": "built"}},
        "comment": f"{name} would be built",
    }
    place = Path(marker)
    if __opts__["test"] and not Path(token_file).exists():
        return ret | would
    try:
        _checked(name)
        server = _server(url, user, token_file)
        there = server.config(name)
        if there is None:
            if __opts__["test"]:
                return ret | would
            raise JenkinsError("there is no such job; jenkins_job.present makes it")
        wanted = _digest(sluice_jenkins.meaning(there))
        if place.exists() and place.read_text().strip() == wanted:
            return ret
        if __opts__["test"]:
            return ret | would
        number, result = server.build(name, timeout_seconds)
        page = f"{url.rstrip('/')}/job/{name}/{number}/console"
        if result != "SUCCESS":
            return ret | {"result": False, "comment": f"{name}: build {number} ended as {result}; see {page}"}
        _write(place, wanted)
    except (JenkinsError, OSError) as error:
        return ret | {"result": False, "comment": f"{name}: {error}"}
    return ret | {"changes": {name: {"old": None, "new": f"build {number}"}}, "comment": f"{page}: SUCCESS"}


def absent(name, url, user, token_file):
    """
    There is no such job; its builds go with it.

    .. code-block:: yaml

        jenkins-job-old:
          jenkins_job.absent:
            - name: old
            - url: http://127.0.0.1:8080
            - user: sluice
            - token_file: /etc/sluice/jenkins.token

    name, url, user, token_file
        As in `jenkins_job.present`.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"there is no job {name}"}
    try:
        _checked(name)
        server = _server(url, user, token_file)
        if server.config(name) is None:
            return ret
        ret["changes"] = {name: {"old": "there", "new": None}}
        if __opts__["test"]:
            return ret | {"result": None, "comment": f"{name} would be removed"}
        server.delete(name)
        if server.config(name) is not None:
            raise JenkinsError("it is still there after it was removed; see Jenkins' log")
    except (JenkinsError, OSError) as error:
        return ret | {"result": False, "changes": {}, "comment": f"{name}: {error}"}
    return ret | {"comment": f"{name} removed"}


def _checked(name):
    if not NAME.fullmatch(name):
        raise JenkinsError("that is no name of a job; want letters, digits, '.', '_', '-'")


def _server(url, user, token_file):
    return sluice_jenkins.Jenkins(url, user, Path(token_file).read_text().strip())


def _digest(told):
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _write(place, text):
    place.parent.mkdir(parents=True, exist_ok=True)
    scratch = place.with_name(f".{place.name}.new")
    scratch.write_text(text + "\n")
    os.replace(scratch, place)
