"""
What comes in at the hook of the master's API: who sent it, and how it travels on to the runner. Pure.

Any minion can fire an event with any tag and without its own id (in a list of `events`), so where an event
seems to come from proves nothing. What the door has checked is therefore sealed: signed with a key that is on
the master alone. What it did not check is not sent on.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sluice_config import Settings, shown
from sluice_errors import EventRefused

# A push that lists two thousand commits, the most that GitHub tells of, has some 3 MB.
MAX_PUSH_BYTES = 5_000_000
# A true report is some hundred bytes.
MAX_REPORT_BYTES = 64_000
BUILT = "built"
# How each forge names what it sends, and a push among it.
EVENTS = {
    "github": ("X-Github-Event", "push"),
    "gitea": ("X-Gitea-Event", "push"),
    "gitlab": ("X-Gitlab-Event", "Push Hook"),
}
# How each forge proves that it is it.
PROOFS = {"github": "X-Hub-Signature-256", "gitea": "X-Gitea-Signature", "gitlab": "X-Gitlab-Token"}


@dataclass(frozen=True)
class Order:
    """A request at the hook whose sender is proved, and nothing else of it."""

    service: str
    # BUILT, or the forge that a push came from.
    kind: str
    # Who sent it: the user of a report, or the forge.
    by: str
    # The sha256 of the request's body: a second one with it is the same request again.
    digest: str
    # JSON text: of a report as it came, of a push what sluice_webhook_push.gist leaves of it.
    body: str


def is_from(forge: str, secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """
    True if a webhook's headers (their names in Title-Case) prove that `forge` sent the body.

    GitHub: `X-Hub-Signature-256: sha256=<HMAC>`; Gitea: `X-Gitea-Signature: <HMAC>`, both HMAC-SHA256 in
    hexadecimal digits over the body as it came; GitLab signs nothing and sends the secret, `X-Gitlab-Token`.
    A wrong proof takes the same time, however much of it is right.
    """
    given = headers.get(PROOFS[forge], "")
    if forge == "gitlab":
        return bool(secret) and is_same(given, secret)
    prefix = "sha256=" if forge == "github" else ""
    return bool(secret) and is_same(given, prefix + signature(secret.encode(), body))


def is_push(forge: str, headers: Mapping[str, str]) -> bool:
    """False if the headers tell of another event. No proof covers them: the body decides what it is."""
    name, push = EVENTS[forge]
    return headers.get(name, push) == push


def signature(key: bytes, data: bytes) -> str:
    """HMAC-SHA256 in hexadecimal digits."""
    return hmac.new(key, data, "sha256").hexdigest()


def is_same(given: str, wanted: str) -> bool:
    """Compare secrets in a time that does not tell how much of them is right."""
    return hmac.compare_digest(_bytes(given), _bytes(wanted))


def sealed(order: Order, key: bytes) -> dict[str, str]:
    """What the door fires: `{"order": JSON text, "seal": its HMAC}`."""
    text = json.dumps(asdict(order))
    return {"order": text, "seal": signature(key, text.encode())}


def opened(event: object, key: bytes, settings: Settings) -> Order:
    """
    The order in an event, which the reactor hands over as JSON text.

    EventRefused if its seal is not the door's.
    """
    told = parsed(event)
    text, seal = told.get("order"), told.get("seal")
    if not isinstance(text, str) or not isinstance(seal, str) or not key:
        raise EventRefused("it has no seal of the master's own door; whoever fired it, it was not salt-api")
    if not is_same(seal, signature(key, _bytes(text))):
        raise EventRefused("its seal is not that of the master's own door")
    order = Order(**parsed(text))
    if order.service not in settings.services:
        raise EventRefused(f"the service {shown(order.service)} is not known any more")
    return order


def parsed(text: object) -> dict[str, Any]:
    """The JSON object in `text`; EventRefused if it is none, or one nested too deeply to be read."""
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise EventRefused("it is no JSON object (a webhook must send application/json)")
    return found


def _bytes(text: str) -> bytes:
    # What JSON let through as half a character has no bytes; it must not be an error of its own.
    return text.encode("utf-8", "surrogatepass")
