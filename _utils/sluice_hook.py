"""
A request at the hook of the master's API: who may, and what becomes of it. Nothing here reads or writes.

`POST /hook/release/<service>/built` is for the users of the build servers, who have logged in.
`POST /hook/release/<service>/pushed/<forge>` is for the forges, who cannot log in: their own proof counts.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import sluice_webhook_push
from sluice_config import Settings
from sluice_errors import EventRefused
from sluice_webhook import BUILT, MAX_PUSH_BYTES, MAX_REPORT_BYTES, PROOFS, Order, is_from, is_push

TAG = "salt/netapi/hook/release"


@dataclass(frozen=True)
class Request:
    """What was asked for, below /hook/; names of headers are in Title-Case."""

    path: tuple[str, ...]
    headers: Mapping[str, str]
    body: bytes
    # The user of the token that came with it; empty if none did, or none that counts.
    user: str = ""


class HookRefused(Exception):
    """The answer to a request that orders nothing; `service` and `who` if the ledger is to know of it."""

    def __init__(self, status: int, text: str, service: str = "", who: str = "") -> None:
        super().__init__(text)
        self.status, self.text, self.service, self.who = status, text, service, who


def take(request: Request, settings: Settings, users: Collection[str]) -> Order | None:
    """
    The order in a request, or None for an event of a forge that is no push.

    users
        The users who may report builds.

    HookRefused if there is no such hook, or who asks may not.
    """
    match request.path:
        case ("release", service, "built") if service in settings.services:
            return _built(request, service, users)
        case ("release", service, "pushed", forge) if service in settings.services and forge in PROOFS:
            return _pushed(request, service, forge, settings.services[service].push.secrets.get(forge, ""))
    raise HookRefused(404, "There is no such hook.")


def tag(order: Order) -> str:
    """The tag of the event that hands an order to the reactor."""
    return f"{TAG}/{order.service}/{BUILT if order.kind == BUILT else f'pushed/{order.kind}'}"


def _built(request: Request, service: str, users: Collection[str]) -> Order:
    if not request.user:
        raise HookRefused(401, "Log in first: POST /login, then send its token as X-Auth-Token.")
    if request.user not in users:
        raise HookRefused(403, "This user may not report builds; see release_hook:users.")
    _refuse_larger(request.body, MAX_REPORT_BYTES)
    try:
        text = request.body.decode()
    except UnicodeDecodeError as error:
        reason = f"its body is no UTF-8 (byte {error.start})"
        raise HookRefused(400, f"Refused: {reason}.", service, request.user) from error
    return Order(service, BUILT, request.user, _digest(request.body), text)


def _pushed(request: Request, service: str, forge: str, secret: str) -> Order | None:
    if not secret:
        raise HookRefused(404, "There is no such hook.")
    _refuse_larger(request.body, MAX_PUSH_BYTES)
    if not is_from(forge, secret, request.headers, request.body):
        proof = PROOFS[forge]
        text = f"Refused: its proof {proof} is {'wrong' if proof in request.headers else 'missing'}."
        raise HookRefused(401, text, service, f"{forge} (unproved)")
    if not is_push(forge, request.headers):
        return None
    try:
        told = sluice_webhook_push.gist(request.body)
    except EventRefused as error:
        raise HookRefused(400, f"Refused: {error}.", service, forge) from error
    return Order(service, forge, forge, _digest(request.body), told)


def _refuse_larger(body: bytes, most: int) -> None:
    if len(body) > most:
        raise HookRefused(413, f"Refused: its body has more than {most} bytes.")


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
