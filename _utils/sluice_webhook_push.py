"""
What a push webhook says, whichever forge sent it. Pure.

The payloads of GitHub, Gitea and GitLab share `ref`, `before` and `after`; the repository and who pushed
stand in different places. What is no push of the branch is refused with a reason: nothing is built for it.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from sluice_config import Service, shown
from sluice_errors import EventRefused
from sluice_webhook import Order, parsed

# SHA-1 or SHA-256.
COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
NOTHING = re.compile(r"0+\Z")
HEADS, TAGS = "refs/heads/", "refs/tags/"
# Where the payloads tell the repository's addresses.
PLACES = ("repository", "project")
ADDRESSES = ("clone_url", "ssh_url", "git_url", "html_url", "git_http_url", "git_ssh_url", "web_url")
WHO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,59}\Z")
# No name of a ref and no address that is used is longer.
LONGEST = 300


@dataclass(frozen=True)
class Push:
    """A push of the branch that is built."""

    commit: str
    # Who pushed, as the forge tells: its name and a user name.
    who: str


def gist(body: bytes) -> str:
    """
    What is needed of a push, as JSON text: the list of commits may be larger than an event may be.

    `{"ref", "before", "after", "addresses": [...], "who"}`, null for what is no text of LONGEST characters.
    EventRefused if the body is no UTF-8 or no JSON object.
    """
    try:
        told = parsed(body.decode())
    except UnicodeDecodeError as error:
        raise EventRefused(f"its body is no UTF-8 (byte {error.start})") from error
    wanted = {key: _text(told.get(key)) for key in ("ref", "before", "after")}
    return json.dumps(wanted | {"addresses": _addresses(told), "who": _who(told)})


def read(order: Order, service: Service) -> Push:
    """
    The push that a webhook tells of, from its gist.

    EventRefused if it is no push, of another repository or branch, of a tag, a deletion, or moves nothing.
    """
    told = parsed(order.body)
    ref, before, after = (told.get(key) for key in ("ref", "before", "after"))
    if not (ref and before and after):
        raise EventRefused("it is no push (it has no ref, before and after)")
    _refuse_other_repository(told["addresses"], service.repository)
    _refuse_other_ref(ref, service.branch)
    if NOTHING.match(after):
        raise EventRefused(f"the branch {service.branch} was deleted")
    if not COMMIT.match(after):
        raise EventRefused(f"its commit {shown(after)} is none (want 40 or 64 digits of 0-9 and a-f)")
    if before == after:
        raise EventRefused("it is an empty push: the branch is where it was")
    return Push(after, f"{order.by} {told['who']}")


def named(order: Order) -> str:
    """How the ledger calls what was pushed: the beginning of its commit, or `unknown`."""
    try:
        after = parsed(order.body).get("after")
    except EventRefused:
        return "unknown"
    return after[:12] if isinstance(after, str) and COMMIT.match(after) else "unknown"


def _refuse_other_repository(addresses: list[str], wanted: str) -> None:
    if not wanted or _plain(wanted) not in map(_plain, addresses):
        seen = shown(addresses[0]) if addresses else "none"
        raise EventRefused(f"its repository is {seen} (want {wanted or 'one set in pillar'})")


def _plain(address: str) -> str:
    return address.rstrip("/").removesuffix(".git")


def _refuse_other_ref(ref: str, branch: str) -> None:
    if ref.startswith(TAGS):
        raise EventRefused(f"it pushes the tag {shown(ref.removeprefix(TAGS))}, and no branch")
    if ref != HEADS + branch:
        raise EventRefused(f"it pushes {shown(ref.removeprefix(HEADS))} (want the branch {branch})")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= LONGEST else None


def _addresses(told: dict[str, Any]) -> list[str]:
    found = [told[place] for place in PLACES if isinstance(told.get(place), dict)]
    return [text for one in found for key in ADDRESSES if (text := _text(one.get(key)))]


def _who(told: dict[str, Any]) -> str:
    pusher = told.get("pusher")
    names = [told.get("user_username")]
    if isinstance(pusher, dict):
        names += [pusher.get(key) for key in ("login", "username", "name")]
    return next((name for name in names if isinstance(name, str) and WHO.match(name)), "unknown")
