"""Certificates for tests, signed by an authority of the tests' own."""

import contextlib
import datetime
import ipaddress
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


class Authority:
    """Signs certificates; what it signed is trusted by `context`."""

    def __init__(self, directory):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = named("authority of the tests")
        self.path = directory / "authority.pem"
        made = self._built(self._name, self._key.public_key(), 365)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.path.write_bytes(pem(made.sign(self._key, hashes.SHA256())))

    def pair(self, *names, days=90):
        """Certificate for host names and addresses, and its key, each as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([_subject(name) for name in names])
        made = self._built(named("server"), key.public_key(), days).add_extension(names, critical=False)
        return pem(made.sign(self._key, hashes.SHA256())), private(key)

    def _built(self, subject, key, days):
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 100 * DAY)
            .not_valid_after(now + days * DAY)
        )

    def context(self):
        return ssl.create_default_context(cafile=str(self.path))


def _subject(name):
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)


def named(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def private(key, passphrase=None):
    how = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)
