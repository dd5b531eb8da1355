"""Who may do what at the admin API, the alert door and the hosts' door."""

from __future__ import annotations

import hmac
import json
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

ADMIN = "admin"
# A wrong token costs nothing but time, so one that can be guessed will be: 16 random characters cannot.
SHORT = 16
# What a client can send in a header as it is.
TOKEN = re.compile(r"[!-~]+")


class TokenError(ValueError):
    """What is wrong with a file of tokens; never with a token in it."""


@dataclass(frozen=True, repr=False)
class Known:
    """
    The admin token; one token per host that may raise alerts and nothing else; one token per host that may
    drain and restore the backend of its own id and nothing else.
    """

    admin: str
    alert: dict[str, str]
    hosts: dict[str, str]

    def warn(self) -> None:
        """Say whose token is short; it is good all the same."""
        warn_of_short([(ADMIN, self.admin), *self.alert.items(), *self.hosts.items()])


class Tokens:
    """The tokens in force."""

    def __init__(self, admin_file: Path, alert_file: Path | None, hosts_file: Path | None = None) -> None:
        """
        Read the tokens. Raises TokenError if there is no admin token: nobody runs without one. With a bad
        file of other tokens users are served all the same, and `mistake` says why no host has its token.
        """
        self._admin_file, self._alert_file, self._hosts_file = admin_file, alert_file, hosts_file
        self.mistake: str | None = None
        self.raw_at_start = self.raw()
        try:
            self._known = self.read()
        except TokenError as error:
            self._known = Known(read_admin_token(admin_file), {}, {})
            self.mistake = str(error)
        self._known.warn()

    def read(self) -> Known:
        """What the files hold now; nothing is in force by it. Raises TokenError."""
        alert = read_tokens_by_name(self._alert_file) if self._alert_file is not None else {}
        hosts = read_tokens_by_name(self._hosts_file) if self._hosts_file is not None else {}
        known = Known(read_admin_token(self._admin_file), alert, hosts)
        if self._hosts_file is not None:
            check_own(self._hosts_file, known)
        return known

    @property
    def admin(self) -> str:
        """The admin token; for comparing, never for showing."""
        return self._known.admin

    def take_over(self, fresh: Known) -> bool:
        """Have other tokens in force; True if they are other."""
        changed = fresh != self._known
        self._known = fresh
        if changed:
            fresh.warn()
        return changed

    def raw(self) -> tuple[bytes | None, ...]:
        """The bytes of the files, to see that they changed; None for one that cannot be read."""
        return tuple(read_bytes(path) for path in self._files() if path is not None)

    def _files(self) -> tuple[Path | None, ...]:
        return self._admin_file, self._alert_file, self._hosts_file

    def holder(self, authorization: str) -> str | None:
        """`admin`, the name that may raise alerts whose token this is, or None."""
        return whose(bearer(authorization), [*self._known.alert.items(), (ADMIN, self._known.admin)])

    def host(self, authorization: str) -> str | None:
        """The host whose own token this is, or None."""
        return whose(bearer(authorization), self._known.hosts.items())


def bearer(authorization: str) -> bytes:
    """The token in a header `Authorization`; empty, and so nobody's, if there is none."""
    scheme, _, token = authorization.partition(" ")
    return token.encode() if scheme.lower() == "bearer" else b""


def check_own(path: Path, known: Known) -> None:
    """Raise TokenError if a host's token is somebody else's too: it would be taken for him."""
    taken = {**{token: name for name, token in known.alert.items()}, known.admin: ADMIN}
    for host, token in known.hosts.items():
        if token and token in taken:
            raise TokenError(
                f"{path}: {host} has the token that {taken[token]} has elsewhere; want one of its own"
            )
        taken[token] = host


def warn_of_short(known: Iterable[tuple[str, str]]) -> None:
    """Say whose token may be guessed."""
    for name, token in known:
        if len(token) < SHORT:
            log.warning("the token of %s is shorter than %d characters and may be guessed", name, SHORT)


def whose(token: bytes, known: Iterable[tuple[str, str]]) -> str | None:
    """Whose token this is, of names and tokens. Every one is compared, in constant time."""
    found = None
    for name, one in known:
        if one and hmac.compare_digest(token, one.encode()):
            found = name
    return found


def read_bytes(path: Path) -> bytes | None:
    """A file's bytes; None if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def read_admin_token(path: Path) -> str:
    """The admin token. Raises TokenError for a file that holds none."""
    try:
        token = path.read_bytes().decode(errors="replace").strip()
    except OSError as error:
        raise TokenError(f"{path}: {error.strerror}; the balancer needs an admin token") from error
    if not token:
        raise TokenError(f"{path}: is empty; the balancer needs an admin token")
    if not TOKEN.fullmatch(token):
        raise TokenError(f"{path}: want one line of printable ASCII without spaces")
    return token


def read_tokens_by_name(path: Path) -> dict[str, str]:
    """`{host id: token}`. Raises TokenError for a file that holds anything else."""
    try:
        told = json.loads(path.read_bytes())
    except OSError as error:
        raise TokenError(f"{path}: {error.strerror}; want a JSON object of host id to token") from error
    except (ValueError, RecursionError) as error:
        raise TokenError(f"{path}: not JSON, want a JSON object of host id to token") from error
    if not isinstance(told, dict) or not all(isinstance(token, str) for token in told.values()):
        raise TokenError(f"{path}: want a JSON object of host id to token")
    if ADMIN in told:
        raise TokenError(f"{path}: a host cannot be called '{ADMIN}', that is who has the admin token")
    return told
