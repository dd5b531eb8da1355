"""
What comes in at salt-api's /hook: who it is for, and whether it is signed. Pure.

Any minion can fire an event with any tag, and one in hostile hands can make it look like salt-api's. So the
signature over the body counts and nothing else does: every order of these events carries one, made with a
secret that no minion of a service has.
"""

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluice_config import SERVICE_NAME, Settings, shown
from sluice_errors import EventRefused

BUILT = re.compile(r"salt/netapi/hook/release/([^/]+)/(built)\Z")
PUSHED = re.compile(r"salt/netapi/hook/release/([^/]+)/pushed/([^/]+)\Z")
# A push of some hundred commits; what is larger was not made by hand, and the next push tells the same.
MAX_PUSH_BYTES = 1_000_000
# A true report is some hundred bytes.
MAX_REPORT_BYTES = 64_000


@dataclass(frozen=True)
class Hook:
    """A request at /hook as the event tells it; nothing in it is proved yet."""

    service: str
    # `built`, or the forge that a push is said to come from.
    kind: str
    body: str
    signature: str


def heard(text: object, tag: re.Pattern[str], settings: Settings, most: int) -> Hook:
    """
    Read an event that the reactor handed over: JSON text `{"tag", "body", "signature", "minion"}`.

    EventRefused if it is no such thing, came from a minion, is for an unknown service, or if its body is no
    text of at most `most` bytes.
    """
    event = parsed(text)
    found = tag.match(event["tag"]) if isinstance(event.get("tag"), str) else None
    if not found or not SERVICE_NAME.match(found[1]) or found[1] not in settings.services:
        raise EventRefused(f"the tag {shown(event.get('tag'))} names no service and hook that are known")
    if event.get("minion") is not None:
        raise EventRefused(f"the minion {shown(event['minion'])} sent it, and not salt-api")
    body, signature = event.get("body"), event.get("signature")
    if not isinstance(body, str) or len(body) > most or len(_bytes(body)) > most:
        raise EventRefused(f"its body is no text of at most {most} bytes")
    return Hook(found[1], found[2], body, signature if isinstance(signature, str) else "")


def parsed(text: object) -> dict[str, Any]:
    """The JSON object in `text`; EventRefused if it is none, or one nested too deeply to be read."""
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise EventRefused("it is no JSON object")
    return found


def signature(secret: str, body: bytes | str) -> str:
    """The signature of a body, as GitHub writes it: `sha256=` and HMAC-SHA256 in hexadecimal digits."""
    data = _bytes(body) if isinstance(body, str) else body
    return f"sha256={hmac.new(_bytes(secret), data, 'sha256').hexdigest()}"


def is_signed(secret: str, body: bytes | str, given: str) -> bool:
    """True if `given` is the signature of the body; takes the same time for every wrong one."""
    return bool(secret) and is_same(given, signature(secret, body))


def is_same(given: str, wanted: str) -> bool:
    """Compare secrets in a time that does not tell how much of them is right."""
    return hmac.compare_digest(_bytes(given), _bytes(wanted))


def is_from(forge: str, secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """
    True if a webhook's headers prove that `forge` sent the body.

    GitHub: `X-Hub-Signature-256: sha256=<HMAC>`; Gitea: `X-Gitea-Signature: <HMAC>`, both over the body as it
    came; GitLab signs nothing and sends the secret itself, `X-Gitlab-Token`.
    """
    if forge == "github":
        return is_signed(secret, body, headers.get("X-Hub-Signature-256", ""))
    if forge == "gitea":
        return is_signed(secret, body, f"sha256={headers.get('X-Gitea-Signature', '')}")
    return bool(secret) and is_same(headers.get("X-Gitlab-Token", ""), secret)


def _bytes(text: str) -> bytes:
    # What JSON let through as half a character has no bytes; it must not be an error of its own.
    return text.encode("utf-8", "surrogatepass")
