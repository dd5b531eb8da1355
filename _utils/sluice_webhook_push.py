"""
What a push webhook says, whichever forge sent it. Pure.

The payloads of GitHub, Gitea and GitLab share `ref`, `before` and `after`; the repository and who pushed stand
in different places. What is no push of the branch is refused with a reason: nothing is built for it.
"""

import re
from dataclasses import dataclass
from typing import Any

from sluice_config import Service, shown
from sluice_errors import EventRefused
from sluice_webhook import Hook, parsed

# SHA-1 or SHA-256.
COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
NOTHING = re.compile(r"0+\Z")
HEADS, TAGS = "refs/heads/", "refs/tags/"
# Where the payloads tell the repository's addresses.
PLACES = ("repository", "project")
ADDRESSES = ("clone_url", "ssh_url", "git_url", "html_url", "git_http_url", "git_ssh_url", "web_url")
WHO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,59}\Z")


@dataclass(frozen=True)
class Push:
    """A push of the branch that is built."""

    commit: str
    # Who pushed, as the forge tells: its name and a user name.
    who: str


def read(hook: Hook, service: Service) -> Push:
    """
    The push that a signed webhook tells of.

    EventRefused if it is no push, of another repository or branch, of a tag, a deletion, or moves nothing.
    """
    told = parsed(hook.body)
    ref, before, after = (told.get(key) for key in ("ref", "before", "after"))
    if not isinstance(ref, str) or not isinstance(after, str) or not isinstance(before, str):
        raise EventRefused("it is no push (it has no ref, before and after)")
    _refuse_other_repository(told, service)
    _refuse_other_ref(ref, service.branch)
    if NOTHING.match(after):
        raise EventRefused(f"the branch {service.branch} was deleted")
    if not COMMIT.match(after):
        raise EventRefused(f"its commit {shown(after)} is none (want 40 or 64 digits of 0-9 and a-f)")
    if before == after:
        raise EventRefused("it is an empty push: the branch is where it was")
    return Push(after, f"{hook.kind} {_who(told)}")


def _refuse_other_repository(told: dict[str, Any], service: Service) -> None:
    found = [told[place] for place in PLACES if isinstance(told.get(place), dict)]
    addresses = [one[key] for one in found for key in ADDRESSES if isinstance(one.get(key), str)]
    if not service.repository or _plain(service.repository) not in map(_plain, addresses):
        seen = shown(addresses[0]) if addresses else "none"
        raise EventRefused(f"its repository is {seen} (want {service.repository or 'one set in pillar'})")


def _plain(address: str) -> str:
    return address.rstrip("/").removesuffix(".git")


def _refuse_other_ref(ref: str, branch: str) -> None:
    if ref.startswith(TAGS):
        raise EventRefused(f"it pushes the tag {shown(ref.removeprefix(TAGS))}, and no branch")
    if ref != HEADS + branch:
        raise EventRefused(f"it pushes {shown(ref.removeprefix(HEADS))} (want the branch {branch})")


def _who(told: dict[str, Any]) -> str:
    pusher = told.get("pusher")
    names = [told.get("user_username")]
    if isinstance(pusher, dict):
        names += [pusher.get(key) for key in ("login", "username", "name")]
    return next((name for name in names if isinstance(name, str) and WHO.match(name)), "unknown")
