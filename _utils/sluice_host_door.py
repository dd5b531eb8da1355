"""
The hosts' door of the balancers, from a host: its own backend at all of them, drained and restored.

Also the one HTTP client for balancers, which the execution module `balancer` has for the admin API.
"""

import http.client
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import sluice_backend
import sluice_balancers
from sluice_config import SERVICE_NAME
from sluice_errors import RefusedError, ReleaseError

# An order that waits for nothing is carried out within milliseconds.
ANSWER_SECONDS = 10.0
TOKEN = re.compile(r"[!-~]+")


class Door(Protocol):
    """One backend at one balancer. Every call raises RefusedError or ReleaseError in words for a user."""

    # The balancer; empty for the one on this machine.
    id: str

    def seen(self) -> sluice_backend.Backend: ...

    def drain(self, deadline_seconds: float) -> int:
        """How many requests were cut off at the deadline."""

    def restore(self) -> None: ...


@dataclass(frozen=True)
class HostDoor:
    """The backend of this host's own id at a balancer elsewhere."""

    id: str
    address: str
    port: int
    token: str = field(repr=False)
    service: str
    backend: str

    def seen(self) -> sluice_backend.Backend:
        found = sluice_backend.own(self._call("GET", f"/backend/{self.service}"), self.id)
        if found.id != self.backend:
            raise RefusedError(
                f"this host is {found.id} at {self.id} (want {self.backend}); its token is for no other"
            )
        return found

    def drain(self, deadline_seconds: float) -> int:
        order = {"deadline_seconds": deadline_seconds, **self._names()}
        cut = self._call("POST", "/drain", order, deadline_seconds + ANSWER_SECONDS).get("cut")
        return cut if isinstance(cut, int) else 0

    def restore(self) -> None:
        self._call("POST", "/restore", self._names())

    def _names(self) -> dict[str, object]:
        return {"service": self.service, "backend": self.backend}

    def _call(
        self, method: str, path: str, body: dict[str, object] | None = None, timeout: float = ANSWER_SECONDS
    ) -> dict[str, Any]:
        try:
            return call((self.address, self.port), self.token, method, path, body, timeout)
        except ReleaseError as error:
            raise type(error)(f"{self.id}: {error}") from error


def doors(balancers: object, port: object, token_file: str, service: object, backend: str) -> list[HostDoor]:
    """
    The door of each of `balancers` (id to address, or to what the mine has of it), in the order of their ids.

    Always in the same order, so that of two hosts that drain at once one is first everywhere. Raises
    RefusedError if there is none, an address is none, or the token cannot be used.
    """
    if not isinstance(balancers, Mapping) or not balancers:
        raise RefusedError(
            "no balancer is known, so nothing can be drained; ask them for their addresses: "
            "salt -N balancer mine.update"
        )
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise RefusedError(f"port is {port!r}: want 1 to 65535")
    if not isinstance(service, str) or not SERVICE_NAME.match(service):
        raise RefusedError(f"{service!r} is not the name of a service")
    token = read_token(token_file)
    return [
        HostDoor(str(id_), _address(id_, told), port, token, service, backend)
        for id_, told in sorted(balancers.items())
    ]


def _address(id_: object, told: object) -> str:
    found = sluice_balancers.mine_address(told)
    if found is None:
        raise RefusedError(f"{id_} has no address ({told!r}); salt {id_} mine.update")
    return found


def read_token(path: str) -> str:
    """The host's token; RefusedError, with nothing of it, for a file that holds none."""
    try:
        token = Path(path).read_text(errors="replace").strip()
    except OSError as error:
        raise RefusedError(
            f"{path}: {error.strerror}; put balancer_host_token into pillar and apply balancer.host_token"
        ) from error
    # Checked here, because the HTTP client would quote it in its error.
    if not TOKEN.fullmatch(token):
        raise RefusedError(
            f"{path}: want one line of printable ASCII without spaces; "
            "correct pillar balancer_host_token and apply balancer.host_token"
        )
    return token


def drain_all(found: Sequence[tuple[Door, sluice_backend.Backend]], deadline_seconds: float) -> int:
    """
    Drain a backend, seen there before, at each of these doors, one after the other, each with the deadline
    for itself; how many requests were cut off.

    If one refuses or does not answer, what was drained here is restored, also at one that did not answer,
    which may have heard: half out of service is no state to be in. What was drained before stays so. Raises
    the error, with what became of the others.
    """
    cut, drained = 0, list[Door]()
    for door, before in found:
        try:
            cut += door.drain(deadline_seconds)
        except ReleaseError as error:
            heard = [] if isinstance(error, RefusedError) or before.state == "drained" else [door]
            raise type(error)("; ".join([str(error), *_restored([*drained, *heard])])) from error
        if before.state != "drained":
            drained.append(door)
    return cut


def _restored(drained: Sequence[Door]) -> list[str]:
    """Restore a backend; for each door what came of it."""
    said = []
    for door in drained:
        try:
            door.restore()
            said.append(f"restored at {door.id or 'the balancer'}")
        except ReleaseError as error:
            said.append(f"it may be drained at {door.id or 'the balancer'}, not restored: {error}")
    return said


def call(
    where: tuple[str, int],
    token: str,
    method: str,
    path: str,
    body: Mapping[str, object] | None = None,
    timeout: float = ANSWER_SECONDS,
) -> dict[str, Any]:
    """
    One call of a balancer; the JSON object that it answers.

    Raises RefusedError with the balancer's own words if it refuses, ReleaseError if it does not answer or
    is no balancer.
    """
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection(*where, timeout=timeout)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise ReleaseError(
            f"the balancer does not answer at {where[0]}:{where[1]} ({error or type(error).__name__}); "
            "see `journalctl -u sluice-balancer`"
        ) from error
    finally:
        connection.close()
    return _told(answer.status, text, f"{where[0]}:{where[1]}")


def _told(status: int, text: bytes, where: str) -> dict[str, Any]:
    """What a JSON answer says; an error if that is one, or not from a balancer."""
    try:
        told = json.loads(text)
        if status == 200 and isinstance(told, dict):
            return told
        error, mistakes = told["error"], told.get("mistakes")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as wrong:
        raise ReleaseError(f"what answers at {where} is no balancer (status {status})") from wrong
    # What the balancer could not do is half done, as a drain that is in force but not on disk.
    kind = ReleaseError if status >= 500 else RefusedError
    raise kind(f"{error}" + (": " + "; ".join(mistakes) if mistakes else ""))
