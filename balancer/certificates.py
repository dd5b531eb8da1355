"""Certificates and keys on disk: read, tried, watched; a good pair stays in force until a good one comes."""

from __future__ import annotations

import hashlib
import logging
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from balancer.services import Service
from balancer.tls import Tls, context_of

log = logging.getLogger(__name__)

CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
KEY = re.compile(rb"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.+?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)
# What OpenSSL says, and what it means here.
MEANINGS = {
    "KEY_VALUES_MISMATCH": "the key is not the certificate's",
    "KEY_TYPE_MISMATCH": "the key is not the certificate's",
    "NO_CERTIFICATE_ASSIGNED": "the key is not the certificate's",
    "EE_KEY_TOO_SMALL": "the key is too small; want RSA of 2048 bits or more, or an elliptic curve",
    "CA_MD_TOO_WEAK": "a signature is too weak; want SHA-256 or better",
}
# Of ASN.1 (X.690, 8.1.2 and 8.3), as far as a certificate's dates need it.
VERSION, UTC_TIME, GENERALIZED_TIME = 0xA0, 0x17, 0x18


class CertificateError(ValueError):
    """What is wrong with a certificate or its key; never with a part of the key in it."""


@dataclass(frozen=True)
class Pair:
    """A certificate with its chain and key, good as far as OpenSSL can tell."""

    # Nothing may show this.
    pem: str = field(repr=False)
    fingerprint: str
    expires_at: datetime

    @property
    def has_expired(self) -> bool:
        return self.expires_at.timestamp() < time.time()


@dataclass
class Found:
    """What is on disk now, by service: pairs to be in force, and what is wrong with those that are not."""

    pairs: dict[str, Pair] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    # Of services that had another pair of files before, or none.
    mistakes: list[str] = field(default_factory=list)


class Certificates:
    """The pairs by service."""

    def __init__(self, services: Mapping[str, Service]) -> None:
        """A balancer whose pairs are bad starts all the same, for the sake of those who need none."""
        self.seen_at_start = self.on_disk(services)
        self._files: dict[str, tuple[Path, Path]] = {}
        # What workers are to have, and what all of them have.
        self.pairs: dict[str, Pair] = {}
        self.in_force: dict[str, Pair] = {}
        self.errors: dict[str, str] = {}
        self.take_over(services, self.read(services))

    @staticmethod
    def on_disk(services: Mapping[str, Service]) -> tuple[str, ...]:
        """What the files hold, to see that they changed; digests, for keys are among them."""
        return tuple(digest(file) for tls in with_tls(services).values() for file in files_of(tls))

    def read(self, services: Mapping[str, Service]) -> Found:
        """Try what is on disk; nothing is in force by it."""
        found = Found()
        for name, tls in with_tls(services).items():
            try:
                found.pairs[name] = self._better(name, read_pair(tls))
            except CertificateError as error:
                found.errors[name] = str(error)
                if self._files.get(name) != files_of(tls):
                    found.mistakes.append(f"$.services.{name}.tls: {error}")
                elif name in self.pairs:
                    found.pairs[name] = self.pairs[name]
        return found

    def _better(self, name: str, pair: Pair) -> Pair:
        """A pair that does not make it worse: no expired one in place of one that is not."""
        before = self.pairs.get(name)
        if pair.has_expired and before is not None and not before.has_expired:
            raise CertificateError(f"the certificate expired at {pair.expires_at.isoformat()}")
        return pair

    def take_over(self, services: Mapping[str, Service], found: Found) -> bool:
        """Have these in force; True if any is other than before."""
        for name, error in found.errors.items():
            if self.errors.get(name) != error:
                kept = "the last good one stays in force" if name in found.pairs else "there is no other"
                log.error("the certificate of %s is refused, %s: %s", name, kept, error)
        for name, pair in found.pairs.items():
            if self.pairs.get(name) != pair:
                known = (pair.expires_at.isoformat(), pair.fingerprint[:16])
                log.info("another certificate of %s is in force; it expires at %s (%s)", name, *known)
        changed = found.pairs != self.pairs
        self._files = {name: files_of(tls) for name, tls in with_tls(services).items()}
        self.pairs, self.errors = found.pairs, found.errors
        return changed

    def pem(self, service: str) -> str | None:
        """Certificate, chain and key of a service, for workers alone."""
        pair = self.pairs.get(service)
        return pair.pem if pair else None

    def status(self, service: Service) -> dict[str, Any] | None:
        """What may be told of a service's TLS; None if it has none."""
        tls, pair = service.tls, self.in_force.get(service.name)
        if tls is None:
            return None
        return {
            "listen": str(tls.listen),
            "redirect": tls.redirect,
            "min_version": tls.min_version,
            "expires_at": pair.expires_at.isoformat() if pair else None,
            "sha256": pair.fingerprint if pair else None,
            "error": self.errors.get(service.name),
        }


def bad_pairs(services: Mapping[str, Service]) -> dict[str, str]:
    """What is wrong with pairs on disk, by service."""
    found = {}
    for name, tls in with_tls(services).items():
        try:
            read_pair(tls)
        except CertificateError as error:
            found[name] = str(error)
    return found


def with_tls(services: Mapping[str, Service]) -> dict[str, Tls]:
    return {name: service.tls for name, service in services.items() if service.tls is not None}


def files_of(tls: Tls) -> tuple[Path, Path]:
    return tls.certificate_file, tls.key_file


def digest(path: Path) -> str:
    """Of a file's bytes; empty if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def read_pair(tls: Tls) -> Pair:
    """The pair on disk. Raises CertificateError."""
    chain = CERTIFICATE.findall(read(tls.certificate_file))
    if not chain:
        raise CertificateError(f"{tls.certificate_file}: holds no certificate in PEM")
    key = KEY.search(read(tls.key_file))
    if key is None:
        raise CertificateError(f"{tls.key_file}: holds no private key in PEM")
    if key[1] == b"ENCRYPTED " or b"Proc-Type: 4,ENCRYPTED" in key[0]:
        raise CertificateError(f"{tls.key_file}: is encrypted; want a key without a passphrase")
    try:
        pem = b"\n".join([*chain, key[0], b""]).decode("ascii")
        leaf = ssl.PEM_cert_to_DER_cert(chain[0].decode("ascii"))
        expires_at = not_after(leaf)
        context_of(pem)
    except ssl.SSLError as error:
        meaning = MEANINGS.get(str(error.reason), f"not usable: {error.reason or 'OpenSSL cannot read it'}")
        raise CertificateError(f"{tls.certificate_file}, {tls.key_file}: {meaning}") from error
    except (ValueError, IndexError) as error:
        raise CertificateError(f"{tls.certificate_file}: is damaged") from error
    return Pair(pem, hashlib.sha256(leaf).hexdigest(), expires_at)


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        want = "want it readable by the balancer's user"
        raise CertificateError(f"{path}: {error.strerror}; {want}") from error


def not_after(certificate: bytes) -> datetime:
    """When a certificate (DER) ends to be valid (RFC 5280, 4.1). Raises ValueError or IndexError."""
    signed = content(content(certificate))
    kind, _, rest = element(signed)
    if kind == VERSION:
        signed = rest
    # Serial number, signature's algorithm and issuer come before the dates.
    for _ in range(3):
        _, _, signed = element(signed)
    _, _, after = element(content(signed))
    kind, date, _ = element(after)
    if kind not in (UTC_TIME, GENERALIZED_TIME):
        raise ValueError("no date")
    text = date.decode("ascii")
    if kind == UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def element(data: bytes) -> tuple[int, bytes, bytes]:
    """The first element's tag and content, and what follows it."""
    kind, length, start = data[0], data[1], 2
    if length > 0x80:
        start += length - 0x80
        length = int.from_bytes(data[2:start], "big")
    if len(data) < start + length:
        raise ValueError("cut short")
    return kind, data[start : start + length], data[start + length :]


def content(data: bytes) -> bytes:
    return element(data)[1]
