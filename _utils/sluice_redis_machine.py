"""
What happens on a machine with a Redis: its unit is started and stopped, its files are written, Salt gets in.
"""

import os
import pwd
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sluice_redis import Redis, RedisError
from sluice_redis_access import Local
from sluice_redis_live import connect

# Redis reads its data before it answers: a second or two for the sizes that are usual here.
START_SECONDS = 30
PAUSE_SECONDS = 0.1
# Like Redis' own files: its group may read them, nobody else.
MODE = 0o640


class Unit:
    """A systemd unit, by Salt's `service` functions. `user`: whose files its settings are."""

    def __init__(self, name: str, user: str, functions: Mapping[str, Callable[..., Any]]) -> None:
        self.name, self.user, self._functions = name, user, functions

    def restart(self) -> None:
        """RedisError if systemd says that it failed."""
        # A changed unit is read anew before it is started by it.
        self._functions["service.systemctl_reload"]()
        self._do("restart")

    def start(self) -> None:
        """The same for one that does not run."""
        self._do("start")

    def stop(self) -> None:
        """Returns when it is down."""
        self._functions["service.stop"](self.name)

    def _do(self, what: str) -> None:
        if not self._functions[f"service.{what}"](self.name):
            raise RedisError(f"{self.name} does not start; see `journalctl -u {self.name}` and its log")


def running(local: Local) -> Redis | None:
    """A connection to the Redis of this machine; None if none answers. RedisError if it lets nobody in."""
    try:
        return connect(local.candidates())
    except RedisError as error:
        if error.code in ("WRONGPASS", "NOAUTH", "NOPERM"):
            raise RedisError(
                f"{error}. Salt has no log-in here. If the password of admin was changed before Salt had a "
                "user of its own on this machine, restart Redis: it reads its users at its start"
            ) from error
        return None


def answering(local: Local, unit: Unit) -> Redis:
    """The same after a start, waited for."""
    deadline = time.monotonic() + START_SECONDS
    while (redis := running(local)) is None:
        if time.monotonic() > deadline:
            raise RedisError(
                f"{unit.name} does not answer {START_SECONDS} s after its start; "
                f"see `journalctl -u {unit.name}` and its log"
            )
        time.sleep(PAUSE_SECONDS)
    return redis


def holds(path: Path, text: str) -> bool:
    """Whether a file is exactly this."""
    return path.exists() and path.read_bytes() == text.encode()


def write(path: Path, text: str, user: str) -> None:
    """Put a file in place whole; its group is that of its folder."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "w") as handle:
        # By its number, not by its name: Redis' user may write in this folder, and might put a link there.
        os.fchown(handle.fileno(), pwd.getpwnam(user).pw_uid, path.parent.stat().st_gid)
        os.fchmod(handle.fileno(), MODE)
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    fresh.replace(path)


def put_back(path: Path, before: bytes | None, user: str) -> None:
    """A file as it was; None: it was not there."""
    if before is None:
        path.unlink(missing_ok=True)
    else:
        write(path, before.decode(), user)
