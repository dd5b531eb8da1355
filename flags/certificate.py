"""The service's own certificate: a good pair stays in force until a good one comes."""

from __future__ import annotations

import logging
import ssl

from balancer.certificates import CertificateError, digest, read_pair
from balancer.tls import Tls, context_of
from flags.config import Config

log = logging.getLogger(__name__)


class Certificate:
    """What handshakes are answered with."""

    def __init__(self, config: Config) -> None:
        """Raises CertificateError: nobody is served in plain text who was promised https."""
        assert config.tls is not None
        told = config.tls
        self._tls = Tls(config.listen, told.certificate_file, told.key_file, False, told.min_version)
        self._seen = self._on_disk()
        self._pair = read_pair(self._tls)
        self._now = context_of(self._pair.pem, told.min_version)
        self.context = context_of(self._pair.pem, told.min_version)
        self.context.sni_callback = self._choose
        # Why the files are refused; empty if they are not.
        self.error = ""

    def _choose(self, wire: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        wire.context = self._now

    def _on_disk(self) -> tuple[str, str]:
        return digest(self._tls.certificate_file), digest(self._tls.key_file)

    def look(self) -> None:
        """Take the files over if they changed."""
        seen = self._on_disk()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._pair = read_pair(self._tls)
        except CertificateError as error:
            self.error = str(error)
            log.error("the certificate is refused, the last good one stays in force: %s", error)
            return
        self._now = context_of(self._pair.pem, self._tls.min_version)
        self.error = ""
        log.info("another certificate is in force; it expires at %s", self._pair.expires_at.isoformat())

    @property
    def expires_at(self) -> float:
        """Epoch seconds."""
        return self._pair.expires_at.timestamp()
