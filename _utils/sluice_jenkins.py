"""
A Jenkins by its REST interface: jobs, read back; builds, waited for.

Plain HTTP with the standard library: six requests are needed, and no package has to reach the machine.
"""

import base64
import hashlib
import json
import time
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

from sluice_errors import ReleaseError
from sluice_http import OPENER

# One request; Jenkins answers slowly while it loads its jobs.
TRY_SECONDS = 20
POLL_SECONDS = 0.5
# Elements whose text is a secret; Jenkins gives others than it was given.
SECRET = ("authToken",)
# What Jenkins writes into a job by itself, wherever a job does not say it.
DEFAULTS = {
    ("keepDependencies", "false"), ("canRoam", "true"), ("disabled", "false"), ("concurrentBuild", "false"),
    ("blockBuildWhenDownstreamBuilding", "false"), ("blockBuildWhenUpstreamBuilding", "false"),
}  # fmt: skip
# Settings of the archiver that Jenkins adds with these values: all others are the job's own.
ARCHIVER = {
    ("allowEmptyArchive", "false"), ("onlyIfSuccessful", "false"), ("fingerprint", "false"),
    ("defaultExcludes", "true"), ("caseSensitive", "true"), ("followSymlinks", "false"),
    ("latestOnly", "false"),
}  # fmt: skip
JUNIT = {("keepLongStdio", "false"), ("healthScaleFactor", "1.0"), ("allowEmptyResults", "false")}
PUBLISHERS = {"hudson.tasks.ArtifactArchiver": ARCHIVER, "hudson.tasks.junit.JUnitResultArchiver": JUNIT}


class JenkinsError(ReleaseError):
    """Jenkins did not do what it was asked; the message says what it said."""


class Jenkins:
    """
    One server, as one user.

    url (str)
        Of its first page: `http://127.0.0.1:8080/`.
    user, token (str)
        Who asks, with an API token.
    """

    def __init__(self, url: str, user: str, token: str) -> None:
        self.url = url.rstrip("/")
        pair = base64.b64encode(f"{user}:{token}".encode()).decode()
        self._headers = {"Authorization": f"Basic {pair}"}
        self._user = user
        self._crumb: dict[str, str] | None = None

    def config(self, name: str) -> str | None:
        """The XML of a job as the server tells it; None if there is no such job."""
        code, _, body = self._ask("GET", f"/job/{_quoted(name)}/config.xml", accepted=(200, 404))
        return body if code == 200 else None

    def create(self, name: str, xml: str) -> None:
        self._post(f"/createItem?name={_quoted(name)}", xml)

    def update(self, name: str, xml: str) -> None:
        self._post(f"/job/{_quoted(name)}/config.xml", xml)

    def delete(self, name: str) -> None:
        self._post(f"/job/{_quoted(name)}/doDelete")

    def build(self, name: str, seconds: float) -> tuple[int, str]:
        """Build a job and wait for it; its number and result. Raises JenkinsError after `seconds`."""
        deadline = time.monotonic() + seconds
        place = self._post(f"/job/{_quoted(name)}/build").get("Location", "")
        # Only the path counts: the host in it is what Jenkins believes to be its own name.
        item = urllib.parse.urlsplit(place).path
        if "/queue/item/" not in item:
            raise JenkinsError(f"{self.url}: the build of {name} was taken without a queue item; look there")
        number = None
        while True:
            if number is None:
                found = self._json(item[item.index("/queue/item/") :].rstrip("/") + "/api/json")
                if found.get("cancelled"):
                    raise JenkinsError(f"{self.url}: the build of {name} was taken out of the queue")
                number = (found.get("executable") or {}).get("number")
            else:
                found = self._json(f"/job/{_quoted(name)}/{int(number)}/api/json")
                if not found.get("building") and found.get("result"):
                    return int(number), str(found["result"])
            if time.monotonic() > deadline:
                raise JenkinsError(f"{self.url}: the build of {name} has not ended after {seconds:g} s")
            time.sleep(POLL_SECONDS)

    def _json(self, path: str) -> dict[str, Any]:
        _, _, body = self._ask("GET", path)
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise JenkinsError(f"{self.url}{path}: no JSON; is that a Jenkins?")
        return found

    def _post(self, path: str, xml: str | None = None) -> dict[str, str]:
        """POST with a crumb; the headers of the answer. Jenkins answers a change with 200, 201 or 302."""
        headers = self._with_crumb() | {"Content-Type": "text/xml; charset=utf-8"}
        return self._ask("POST", path, (xml or "").encode(), headers, (200, 201, 302))[1]

    def _with_crumb(self) -> dict[str, str]:
        if self._crumb is None:
            code, _, body = self._ask("GET", "/crumbIssuer/api/json", accepted=(200, 404))
            try:
                found = json.loads(body) if code == 200 else None
                self._crumb = {found["crumbRequestField"]: found["crumb"]} if found else {}
            except (ValueError, LookupError, TypeError) as error:
                raise JenkinsError(f"{self.url}: no crumb in the answer; is that a Jenkins?") from error
        return self._crumb

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        accepted: tuple[int, ...] = (200,),
    ) -> tuple[int, dict[str, str], str]:
        request = urllib.request.Request(
            self.url + path, body, self._headers | (headers or {}), method=method
        )
        try:
            with OPENER.open(request, timeout=TRY_SECONDS) as answer:
                code, said, text = answer.status, dict(answer.headers), answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            with error:
                code, said, text = error.code, dict(error.headers), error.read().decode(errors="replace")
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", None) or error
            raise JenkinsError(f"{self.url} does not answer ({why}). Is Jenkins running?") from error
        if code not in accepted:
            raise JenkinsError(self._refused(code, path.partition("?")[0]))
        return code, said, text

    def _refused(self, code: int, path: str) -> str:
        why = {
            400: "it cannot use the job's XML; see its log",
            401: f"it does not know user {self._user} with this token; check jenkins:admin in pillar",
            403: f"user {self._user} may not, or the crumb is not valid; check its rights and log",
            500: "it failed, perhaps over the job's XML; see its log",
            503: "it is still starting",
        }.get(code, "see its log")
        return f"{self.url}{path}: {code}: {why}."


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")


def meaning(xml: str) -> dict[str, list[str]]:
    """
    What a job's XML says: path of an element -> its texts in order. Texts of one meaning are equal.

    Jenkins returns other text than it was given: attributes for its plugins, other blanks, values it fills
    in, and the discarder of builds as a property. The text of a secret is told by its hash, as it is
    never to be seen in a diff; a token that Jenkins encrypts is not the same.

    Raises JenkinsError if it is no XML of a job.
    """
    try:
        root = ET.fromstring(_version_1_0(xml))
    except (ET.ParseError, ValueError) as error:
        raise JenkinsError(f"the job's XML cannot be read: {error}") from error
    found: dict[str, list[str]] = {}
    for path, text in _leaves(root):
        found.setdefault(path, []).append(text)
    return found


def _version_1_0(xml: str) -> str:
    """Jenkins says XML 1.1, which this parser does not read; the texts here are the same in both."""
    return (
        xml.strip().replace("version='1.1'", "version='1.0'", 1).replace('version="1.1"', 'version="1.0"', 1)
    )


def _leaves(root: ET.Element) -> Iterator[tuple[str, str]]:
    for child in root:
        if child.tag == "properties":
            yield from _properties(child)
        elif child.tag == "scm":
            if not str(child.get("class", "")).endswith("NullSCM"):
                yield from _below(child, "scm")
        elif child.tag == "publishers":
            for number, one in enumerate(child):
                known = PUBLISHERS.get(one.tag, set())
                place = f"publishers/{number}/{one.tag}"
                yield place, ""
                for leaf in one:
                    if (leaf.tag, _text(leaf)) not in known:
                        yield from _below(leaf, f"{place}/{leaf.tag}")
        elif child.tag in ("builders", "triggers", "buildWrappers"):
            for number, one in enumerate(child):
                yield f"{child.tag}/{number}/{one.tag}", ""
                yield from _below(one, f"{child.tag}/{number}/{one.tag}")
        elif (child.tag, _text(child)) not in DEFAULTS:
            yield from _below(child, child.tag)


def _properties(element: ET.Element) -> Iterator[tuple[str, str]]:
    for one in element:
        if one.tag.endswith("BuildDiscarderProperty"):
            strategy = one.find("strategy")
            if strategy is not None:
                yield from _below(strategy, "logRotator")
        else:
            yield f"properties/{one.tag}", ""
            yield from _below(one, f"properties/{one.tag}")


def _below(element: ET.Element, path: str) -> Iterator[tuple[str, str]]:
    """The leaves that have a text; an empty one says nothing."""
    for child in element:
        yield from _below(child, f"{path}/{child.tag}")
    if len(element) == 0 and (text := _text(element)):
        if path.rpartition("/")[2] in SECRET:
            text = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        if path.startswith("logRotator") and text == "false":  # removeLastBuild, of newer ones
            return
        yield path, text


def _text(element: ET.Element) -> str:
    return (
        " ".join((element.text or "").split()) if element.tag != "command" else (element.text or "").strip()
    )


def differences(old: dict[str, list[str]], new: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """Path -> {old, new} of what is not the same; secrets are not told, nor their hashes."""
    return {
        path: {"old": _shown(path, old.get(path)), "new": _shown(path, new.get(path))}
        for path in sorted({*old, *new})
        if old.get(path) != new.get(path)
    }


def _shown(path: str, texts: list[str] | None) -> str | None:
    if texts is None:
        return None
    return "(secret)" if path.rpartition("/")[2] in SECRET else ", ".join(texts)
