"""The key that seals what the master's door hands to the reactor: made once, and on the master alone."""

import os
import secrets
from pathlib import Path

BYTES = 32


def path(ledger: str) -> Path:
    """Beside the ledger, in the directory that is root's."""
    return Path(ledger).with_name("hook.key")


def made(ledger: str) -> bytes:
    """The key, made now if there is none. Raises OSError."""
    place = path(ledger)
    if not place.exists():
        fresh = place.with_name(f".{place.name}.{os.getpid()}.{secrets.token_hex(4)}")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(BYTES))
            # Whoever was quicker has made it.
            os.link(fresh, place)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return place.read_bytes()


def known(ledger: str) -> bytes:
    """The key; empty, with which nothing is opened, if the door has not made it."""
    try:
        return path(ledger).read_bytes()
    except FileNotFoundError:
        return b""
