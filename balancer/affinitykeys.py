"""The secrets that sign positions, read from their files, and the keys made of them for the workers."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from balancer.affinity import SECRET_BYTES, derive
from balancer.config import Config
from balancer.services import Service
from balancer.tokens import TokenError, read_bytes

Secrets = dict[Path, bytes]


class Keys:
    """The secrets in force. Workers get keys made of them, never a secret."""

    def __init__(self, config: Config) -> None:
        """
        Read the secrets. With a bad file users are served all the same: they keep their track by a secret
        that ends with this process, and `mistake` says why.
        """
        self.mistake: str | None = None
        self.raw_at_start = self.raw(config)
        try:
            self._secrets = read(config)
        except TokenError as error:
            self.mistake = str(error)
            self._secrets = {}
        # For a service whose secret could not be read.
        self._spare = secrets.token_bytes(SECRET_BYTES)

    def take_over(self, fresh: Secrets) -> bool:
        """Have other secrets in force; True if they are other."""
        changed = fresh != self._secrets
        self._secrets = fresh
        return changed

    def raw(self, config: Config) -> tuple[bytes | None, ...]:
        """The bytes of the files, to see that they changed; None for one that cannot be read."""
        return tuple(read_bytes(path) for path in files(config))

    def steering(self, service: Service) -> dict[str, Any]:
        """What workers must know to choose a user's track; empty if it is a matter of shares alone."""
        told: dict[str, Any] = {}
        if service.affinity is not None:
            secret = self._secrets.get(service.affinity.secret_file, self._spare)
            told["affinity"] = {
                "cookie": service.affinity.cookie,
                "key": derive(secret, service.name, service.affinity.release).hex(),
                "max_age_seconds": service.affinity.max_age_seconds,
            }
        if service.testers is not None:
            told["testers"] = {
                "header": service.testers.header,
                "cookie": service.testers.cookie,
                "from": list(service.testers.networks),
            }
        return told


def files(config: Config) -> list[Path]:
    """The files of all services with affinity."""
    return sorted({service.affinity.secret_file for service in config.services.values() if service.affinity})


def read(config: Config) -> Secrets:
    """What the files hold now. Raises TokenError for one that holds no secret, never with any of it."""
    return {path: read_secret(path) for path in files(config)}


def read_secret(path: Path) -> bytes:
    """A secret of SECRET_BYTES or more."""
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise TokenError(f"{path}: {error.strerror}; affinity needs a secret") from error
    if len(secret) < SECRET_BYTES:
        raise TokenError(f"{path}: holds {len(secret)} bytes, want a secret of {SECRET_BYTES} or more")
    return secret
