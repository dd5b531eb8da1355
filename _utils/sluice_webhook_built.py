"""What a build server reports of a build. Pure."""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import sluice_artifact
from sluice_config import Service, shown
from sluice_errors import EventRefused, ReleaseError
from sluice_webhook import Order, parsed
from sluice_webhook_push import COMMIT

# The commit's own date and its first digits, so that one commit has one version.
VERSION = re.compile(r"\d{14}-([0-9a-f]{7,40})\Z")
FIELDS = ("version", "url", "sha256", "commit", "build_url")


@dataclass(frozen=True)
class Build:
    """A build that succeeded, of the branch that is released."""

    version: str
    url: str
    sha256: str
    commit: str
    # The build's page.
    page: str


class BuildRefused(EventRefused):
    """A report of a build that is not rolled; `version` is how the ledger calls it."""

    def __init__(self, reason: str, version: str) -> None:
        super().__init__(reason)
        self.version = version


def read(order: Order, service: Service) -> Build:
    """
    The build that a report tells of.

    BuildRefused if it failed, or is of another branch; if its version is not made of its commit, or its
    artifact lies elsewhere than the service's artifacts.
    """
    told = _told(order)
    version, url, sha256, commit, page = (told.get(key, "") for key in FIELDS)
    build = Build(version, url, sha256, commit, _page(page))
    try:
        _check(build, told.get("branch", ""), told.get("result", ""), service)
    except ReleaseError as error:
        raise BuildRefused(str(error), _named(build)) from error
    return build


def _told(order: Order) -> dict[str, str]:
    try:
        told = parsed(order.body)
    except EventRefused as error:
        raise BuildRefused(str(error), "unknown") from error
    return {key: value if isinstance(value, str) else "" for key, value in told.items()}


def _check(build: Build, branch: str, result: str, service: Service) -> None:
    if branch != service.branch:
        raise EventRefused(f"it was built from {shown(branch)} (want the branch {service.branch})")
    if result != "SUCCESS":
        page = build.page or "its log"
        raise EventRefused(f"the build ended with {shown(result)} (want SUCCESS), see {page}")
    found = VERSION.match(build.version)
    if not found:
        raise EventRefused(f"its version is {shown(build.version)} (want yyyymmddHHMMSS-commit)")
    if not COMMIT.match(build.commit) or not build.commit.startswith(found[1]):
        raise EventRefused(f"its version {build.version} is not of its commit {shown(build.commit)}")
    sluice_artifact.checked_sha256(build.sha256)
    _refuse_elsewhere(sluice_artifact.checked_url(build.url), service.artifacts)


def _refuse_elsewhere(url: str, prefix: str) -> None:
    parts = urlsplit(url)
    climbs = ".." in unquote(parts.path).split("/")
    if not prefix or not url.startswith(prefix) or climbs or parts.query or parts.fragment:
        wanted = prefix or "an address set in pillar"
        raise EventRefused(f"its artifact is at {shown(url)} (want below {wanted})")


def _page(url: str) -> str:
    """The build's page if it may be shown: it is for people, and nothing is fetched from it."""
    return url if re.match(r"https?://[!-~]{1,200}\Z", url) and "@" not in url else ""


def _named(build: Build) -> str:
    if VERSION.match(build.version):
        return build.version
    return build.commit[:12] if COMMIT.match(build.commit) else "unknown"
