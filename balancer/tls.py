"""TLS at listeners: a service's settings, and the contexts that handshakes are answered with."""

from __future__ import annotations

import array
import asyncio
import fcntl
import logging
import os
import ssl
import termios
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from balancer.hosts import Table, plain
from balancer.reader import Address, Reader

log = logging.getLogger(__name__)

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
# For TLS 1.2: forward secrecy and authenticated encryption, which every client since 2014 has. Those of
# TLS 1.3 are all good.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


@dataclass(frozen=True)
class Tls:
    """Where a service is reached with https."""

    listen: Address
    certificate_file: Path
    key_file: Path
    # Whether its plain listener sends everybody here.
    redirect: bool
    min_version: str


def read_tls(read: Reader, told: object, path: str) -> Tls:
    known = {"listen", "certificate_file", "key_file", "redirect", "min_version"}
    table = read.table(told, path, known)
    return Tls(
        listen=read.address(table.get("listen"), f"{path}.listen"),
        certificate_file=read.file(table.get("certificate_file"), f"{path}.certificate_file"),
        key_file=read.file(table.get("key_file"), f"{path}.key_file"),
        redirect=_redirect(read, table.get("redirect", False), f"{path}.redirect"),
        min_version=read.text(
            table.get("min_version", "1.2"), f"{path}.min_version", '"1.2" or "1.3"', VERSIONS.__contains__
        ),
    )


def _redirect(read: Reader, told: object, path: str) -> bool:
    if not isinstance(told, bool):
        read.wrong(path, told, "true or false")
    return told is True


def context_of(pem: str, min_version: str = "1.2") -> ssl.SSLContext:
    """
    A context with this certificate, its chain and its key, or with none if the text is empty. Raises
    ssl.SSLError.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = VERSIONS[min_version]
    made.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    made.set_ciphers(CIPHERS)
    made.set_alpn_protocols(["http/1.1"])
    if pem:
        _load(made, pem)
    return made


def _load(context: ssl.SSLContext, pem: str) -> None:
    """The module `ssl` reads files only: one in memory, so that no copy of a key is on disk."""
    number = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        with open(number, "wb", closefd=False) as file:
            file.write(pem.encode())
        # A key with a passphrase would have it asked for at the terminal.
        context.load_cert_chain(f"/proc/self/fd/{number}", password=lambda: "")
    finally:
        os.close(number)


def all_sent(transport: asyncio.Transport) -> bool:
    """True if nothing that was written to a TLS connection waits here, not even in the kernel."""
    waits = array.array("i", [0])
    line = transport.get_extra_info("socket")
    if line is None or transport.get_write_buffer_size():
        return False
    try:
        fcntl.ioctl(line.fileno(), termios.TIOCOUTQ, waits)
    except (OSError, ValueError):
        return False
    return waits[0] == 0


def server_context(told: dict[str, Any]) -> ssl.SSLContext:
    """
    A listener's context: the certificate of the service that has the name the client asks for (SNI), else
    the first one. `told`: `min_version`, and `certificates`, each with hosts and PEM.
    """
    contexts = list(_contexts(told["certificates"], told["min_version"]))
    if not contexts:
        # Every handshake fails, as it must.
        return context_of("", told["min_version"])
    default = next((context for hosts, context in contexts if not hosts), contexts[0][1])
    table = Table(contexts)

    def choose(wire: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        found = table.find(plain(name.encode())) if name is not None else None
        if found is not None:
            wire.context = found

    default.sni_callback = choose
    return default


def _contexts(
    certificates: Sequence[tuple[Sequence[str], str]], min_version: str
) -> Sequence[tuple[Sequence[str], ssl.SSLContext]]:
    made = []
    for hosts, pem in certificates:
        try:
            made.append((hosts, context_of(pem, min_version)))
        except ssl.SSLError as error:
            # The supervisor tried it before: not this text, but this process is to blame.
            log.error("the certificate of %s cannot be used: %s", ", ".join(hosts) or "the default", error)
    return made
