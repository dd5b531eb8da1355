"""What is told to systemd, and what it keeps over a restart: sd_notify(3), sd_listen_fds(3)."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable, MutableMapping

from balancer.reader import Address

log = logging.getLogger(__name__)

# The first descriptor that is passed (SD_LISTEN_FDS_START).
FIRST = 3
# systemd reads at once. If it does not, what is told is lost rather than the balancer held up.
SEND_SECONDS = 1.0


def is_there() -> bool:
    """True if systemd started this process and wants to be told."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def notify(*told: str, sockets: Iterable[socket.socket] = ()) -> None:
    """Tell systemd, if it asked: a datagram to NOTIFY_SOCKET, in which a leading @ stands for a NUL byte."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    descriptors = [one.fileno() for one in sockets]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.settimeout(SEND_SECONDS)
            line.connect(address.replace("@", "\0", 1) if address[0] == "@" else address)
            message = "\n".join(told).encode()
            if descriptors:
                socket.send_fds(line, [message], descriptors)
            else:
                line.send(message)
    except OSError as error:
        log.error("systemd could not be told %s: %s", told[0], error)


def keep(address: Address, sockets: Iterable[socket.socket]) -> None:
    """Have systemd keep the listening sockets of an address open, and hand them to whoever comes next."""
    # Not polled: a listening socket never hangs up, and must not be dropped if it seems to.
    notify("FDSTORE=1", f"FDNAME={name_of(str(address))}", "FDPOLL=0", sockets=sockets)


def let_go(address: str) -> None:
    """Have systemd close the sockets of an address that it keeps."""
    notify("FDSTOREREMOVE=1", f"FDNAME={name_of(address)}")


def name_of(address: str) -> str:
    """The name under which sockets are kept: no colons are allowed in one."""
    return address.replace(":", "_")


def handed_over(environment: MutableMapping[str, str] = os.environ) -> list[socket.socket]:
    """The listening sockets that systemd kept since the process before this one, if they are for this one."""
    told = {key: environment.pop(f"LISTEN_{key}", "") for key in ("PID", "FDS", "FDNAMES")}
    if told["PID"] != str(os.getpid()) or not told["FDS"].isdigit():
        return []
    found = []
    for number in range(FIRST, FIRST + int(told["FDS"])):
        os.set_inheritable(number, False)
        one = socket.socket(fileno=number)
        if one.family in (socket.AF_INET, socket.AF_INET6) and one.type == socket.SOCK_STREAM:
            one.setblocking(False)
            found.append(one)
        else:
            log.error("systemd handed over descriptor %d, which is no TCP socket; it is closed", number)
            one.close()
    return found
