"""Who may do what at the admin API and the alert door."""

from __future__ import annotations

import hmac
import json
from pathlib import Path

ADMIN = "admin"


class Tokens:
    """The admin token, and one token per host that may raise alerts and nothing else."""

    def __init__(self, admin_file: Path, alert_file: Path | None) -> None:
        """Read the tokens. Raises ValueError if there is no admin token: nobody runs without one."""
        try:
            self._admin = admin_file.read_text().strip()
        except OSError as error:
            raise ValueError(f"{admin_file}: {error.strerror}; the balancer needs an admin token") from error
        if not self._admin:
            raise ValueError(f"{admin_file}: is empty; the balancer needs an admin token")
        self._alert = read_alert_tokens(alert_file) if alert_file is not None else {}

    def holder(self, authorization: str) -> str | None:
        """`admin`, the host id whose token this is, or None. Every token is compared, in constant time."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            return None
        found = None
        for name, known in [*self._alert.items(), (ADMIN, self._admin)]:
            if known and hmac.compare_digest(token.encode(), known.encode()):
                found = name
        return found


def read_alert_tokens(path: Path) -> dict[str, str]:
    """`{host id: token}`. Raises ValueError for a file that holds anything else."""
    try:
        told = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(told, dict) or not all(isinstance(token, str) for token in told.values()):
        raise ValueError(f"{path}: want a JSON object of host id to token")
    if ADMIN in told:
        raise ValueError(f"{path}: a host cannot be called '{ADMIN}', that is who has the admin token")
    return told
