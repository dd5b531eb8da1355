"""How Salt gets in to the Redis or Sentinel of this machine, whatever its file says at the moment."""

import os
import secrets
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sluice_config import RedisServer, Tls
from sluice_redis_config import Plan
from sluice_redis_file import parsed
from sluice_redis_live import LOCAL_USER

# A server that listens everywhere is reached here.
EVERYWHERE = ("0.0.0.0", "*", "::", "")
# Where a package's own file has a Redis, and a Sentinel.
PACKAGED = RedisServer("127.0.0.1", 6379)
PACKAGED_SENTINEL = RedisServer("127.0.0.1", 26379)
FILES = ("tls-ca-cert-file", "tls-cert-file", "tls-key-file")


@dataclass(frozen=True)
class Local:
    """The server of this machine: its file, what it is to be, and who Salt is there."""

    conf: Path
    plan: Plan
    admin_password: str = field(repr=False)
    local_password: str = field(repr=False)
    packaged: RedisServer = PACKAGED

    def candidates(self) -> Iterator[RedisServer]:
        """Where it may be and how it may be logged in to, likeliest first."""
        for place in dict.fromkeys((*self._in_file(), self.wanted(), self.packaged)):
            for name, word in ((LOCAL_USER, self.local_password), ("admin", self.admin_password), ("", "")):
                if word or not name:
                    yield replace(place, username=name, password=word, id=self.plan.id)

    def wanted(self) -> RedisServer:
        """Where it is to be."""
        return RedisServer(self.plan.bind[0], self.plan.port, tls=_tls(self.plan.settings))

    def admin(self) -> RedisServer:
        """The same, logged in to as `admin`, as the other servers are."""
        return replace(self.wanted(), username="admin", password=self.admin_password, id=self.plan.id)

    def text(self) -> str:
        """Its file; empty if there is none."""
        return self.conf.read_text(errors="replace") if self.conf.exists() else ""

    def _in_file(self) -> Iterator[RedisServer]:
        found = parsed(self.text())
        host = found.get("bind", "").split(" ")[0].lstrip("-")
        for key, tls in (("tls-port", _tls(found)), ("port", None)):
            if found.get(key, "0").isdigit() and int(found.get(key, "0")):
                yield RedisServer("127.0.0.1" if host in EVERYWHERE else host, int(found[key]), tls=tls)


def _tls(settings: Mapping[str, str]) -> Tls | None:
    if settings.get("tls-port", "0") == "0":
        return None
    # To this machine itself: that the authority signed it is enough.
    ca, cert, key = (settings.get(name, "") for name in FILES)
    return Tls(ca, cert, key, check_hostname=False)


def local_password(path: Path, make: bool) -> str:
    """Salt's own password on this machine; made now if there is none and `make` says so, else empty."""
    if path.exists():
        return path.read_text().strip()
    if not make:
        return ""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    word = secrets.token_urlsafe(32)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(word + "\n")
    fresh.replace(path)
    return word


def serves_another_certificate(local: Local) -> bool:
    """Whether it shows another certificate than its file holds: one renewed under the same name."""
    server = local.wanted()
    if server.tls is None:
        return False
    shown = ssl.get_server_certificate((server.host, server.port), timeout=2.0)
    held = Path(server.tls.cert).read_text()
    end = "-----END CERTIFICATE-----"
    first = held[held.find("-----BEGIN CERTIFICATE-----") : held.find(end) + len(end)]
    return ssl.PEM_cert_to_DER_cert(shown) != ssl.PEM_cert_to_DER_cert(first)
