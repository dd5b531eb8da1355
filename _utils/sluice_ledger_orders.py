"""What an operator can order about the ledger: pin a service to a version, promote a canary, keep a copy."""

import os

import sluice_roll_orders
from sluice_config import shown
from sluice_errors import RefusedError
from sluice_ledger import Ledger, Pin
from sluice_ledger_file import KEPT_BACKUPS
from sluice_roll import refuse_alerts
from sluice_service import ServiceView
from sluice_text import printable

# It stands in one line of every refusal.
REASON_LIMIT = 200
# Of copies, each as large as the ledger: ten years of days.
MOST_KEPT = 3660


def pin(view: ServiceView, given: object, who: str, reason: object = "") -> str:
    """Keep a service at a version until it is unpinned: a line about it. Nothing is changed on any host."""
    if given is None:
        raise RefusedError(f"Name the version: salt-run release.pin {view.name} <version> reason='...'")
    version = sluice_roll_orders.wanted(view, given).version
    made = view.ledger.pin(view.name, version, who, _reason(reason))
    return f"{pin_line(made)}. Hosts that run another one take it up at their next state run"


def unpin(view: ServiceView) -> str:
    """Let a service be rolled again: a line about it."""
    found = view.ledger.unpin(view.name)
    if found is None:
        return f"{view.name} was not pinned"
    return f"{view.name} is not pinned any more; it stays at {found.version} until a roll"


def pin_line(found: Pin) -> str:
    """A pin in words."""
    why = printable(found.reason) or "no reason given"
    return f"{found.service} is pinned to {found.version} by {found.who} since {found.at}: {why}"


def promote(view: ServiceView, who: str) -> str:
    """
    What serves as the canary becomes what stable is to run: a line about it.

    RefusedError if no canary serves; ReleaseError if an alert stands, or if Redis or a balancer cannot tell.
    """
    view.canaries()
    refuse_alerts(view, view.statuses())
    version = view.ledger.promote(view.name, who).version
    return (
        f"{view.name}: stable is to run {version}. Hosts take it up at their next state run, one at a time: "
        f"salt -b 1 -C '{view.service.stable}' state.apply"
    )


def backup(ledger: Ledger, directory: object = None, keep: object = KEPT_BACKUPS) -> str:
    """Copy the ledger, and look at the copy: a line about it."""
    if isinstance(keep, bool) or not isinstance(keep, int) or not 1 <= keep <= MOST_KEPT:
        raise RefusedError(f"keep {shown(keep)} is not a number of copies (want 1 to {MOST_KEPT})")
    if directory is not None and not (isinstance(directory, str) and os.path.isabs(directory)):
        raise RefusedError(f"directory {shown(directory)} is not an absolute path")
    copy = ledger.backup(directory, keep)
    return f"{copy}: {os.path.getsize(copy)} bytes, read back and sound"


def _reason(given: object) -> str:
    if isinstance(given, str) and given.isprintable() and len(given) <= REASON_LIMIT:
        return given.strip()
    raise RefusedError(f"reason {shown(given)} is no printable line of at most {REASON_LIMIT} characters")
