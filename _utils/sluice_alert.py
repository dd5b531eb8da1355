"""
An alert from a Salt event: decide whether it counts, then knock at every door at once.

This is the only code between the event bus and the doors, so it imports little and waits for nobody:
Redis and each balancer get their own thread and their own short timeout, and one of them is enough.
"""

import http.client
import json
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import Any

import sluice_nodegroups
from sluice_config import SERVICE_NAME, Settings, shown
from sluice_errors import EventRefused
from sluice_redis import TIMEOUT_SECONDS, alert_key
from sluice_redis_servers import write_everywhere

TAG = re.compile(r"release/([^/]+)/alert\Z")
# What a minion id may look like. The globs of a nodegroup alone would also hold "canary-1\n".
SENDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}\Z")
REASON_LIMIT = 200
DEFAULT_REASON = "alert raised by a Salt event without a usable reason"
# A true alert is a few hundred bytes. What is larger is not read; who sent it still counts.
MAX_EVENT_CHARS = 64_000
Outcome = dict[str, str]
Door = Callable[[float], None]
Doors = dict[str, Door]
# How long a door is waited for; the next one only if none opened.
PATIENCE_SECONDS = (TIMEOUT_SECONDS, 1.0, 3.0)
# A GET of the alert door is no alert: 405 says that the door is there.
HTTP_OK = {"POST": (200,), "GET": (200, 405)}


def accept(text: object, settings: Settings, nodegroups: dict[str, object], now: str = "") -> dict[str, str]:
    """
    Decide on an event handed over by the reactor as JSON text `{"tag": ..., "data": ...}`.

    Returns the alert: service, reason, by, at. Everything in the event is hostile but the `id` the master
    wrote into it. Raises EventRefused if the tag is no alert, the service unknown, or the sender is neither
    a host of the service nor a balancer nor a raiser named in the settings.
    """
    event = _parsed(text)
    service = _service(event.get("tag"), settings)
    data = event.get("data")
    sender = data.get("id") if isinstance(data, dict) else None
    if not _may_raise(sender, service, settings, nodegroups):
        raise EventRefused(f"{shown(sender)} may not raise an alert for {service}")
    payload = data.get("data") if isinstance(data, dict) and len(str(text)) <= MAX_EVENT_CHARS else None
    reason = payload.get("reason") if isinstance(payload, dict) else None
    return {"service": service, "reason": clean_reason(reason), "by": str(sender), "at": now or _now()}


def _parsed(text: object) -> dict[str, Any]:
    try:
        event = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        raise EventRefused("the event is not a JSON object")
    return event


def _service(tag: object, settings: Settings) -> str:
    match = TAG.match(tag) if isinstance(tag, str) else None
    if not match or not SERVICE_NAME.match(match[1]):
        raise EventRefused(f"the tag {shown(tag)} is not release/<service>/alert")
    if match[1] not in settings.services:
        raise EventRefused(f"there is no service {shown(match[1])}")
    return match[1]


def _may_raise(sender: object, service: str, settings: Settings, nodegroups: dict[str, object]) -> bool:
    if not isinstance(sender, str) or not SENDER.match(sender):
        return False
    hosts = settings.services[service].targets.values()
    targets = (*hosts, settings.balancers, settings.alert_raisers)
    return any(sluice_nodegroups.matches(target, sender, nodegroups) for target in targets)


def clean_reason(reason: object) -> str:
    """`reason` if it is one printable line of at most 200 characters, else a default text."""
    if isinstance(reason, str) and reason.strip() and len(reason) <= REASON_LIMIT and reason.isprintable():
        return reason.strip()
    return DEFAULT_REASON


def raise_everywhere(alert: dict[str, str], settings: Settings, balancers: dict[str, str]) -> Outcome:
    """
    Raise `alert` in Redis and at each of `balancers` (id to address) at the same time.

    Returns what each door said: `ok` or why not. Never raises; a dead door does not hold up the others. If
    no door opened, it knocks again with more patience: a late alert is better than none.
    """
    value = json.dumps({key: alert[key] for key in ("reason", "by", "at")})
    body = json.dumps({"service": alert["service"], "reason": alert["reason"]})
    doors: Doors = {"redis": partial(_redis, settings, ("SET", alert_key(alert["service"]), value))}
    for id_, address in balancers.items():
        doors[id_] = partial(_http, settings, address, "POST", body)
    outcome: Outcome = {}
    for patience in PATIENCE_SECONDS:
        outcome = _together(doors, patience)
        if "ok" in outcome.values():
            break
    return outcome


def try_doors(settings: Settings, balancers: dict[str, str]) -> Outcome:
    """
    Knock at the same doors without raising anything; returns what each said.

    A closed door is known before it is needed, and all that an alert needs is loaded by then.
    """
    doors: Doors = {"redis": partial(_redis, settings, ("PING",))}
    for id_, address in balancers.items():
        doors[id_] = partial(_http, settings, address, "GET", None)
    return _together(doors, PATIENCE_SECONDS[-1])


def _together(doors: Doors, patience: float) -> Outcome:
    outcome: Outcome = dict.fromkeys(doors, f"no answer in {patience:g} s")

    def knock(name: str, door: Door) -> None:
        try:
            door(patience)
            outcome[name] = "ok"
        except Exception as error:
            outcome[name] = str(error) or type(error).__name__

    threads = [threading.Thread(target=knock, args=item, daemon=True) for item in doors.items()]
    for thread in threads:
        thread.start()
    # Twice, for a door whose connection and whose answer each take almost all of it.
    deadline = monotonic() + 2 * patience
    for thread in threads:
        thread.join(max(0.0, deadline - monotonic()))
    return dict(outcome)


def _redis(settings: Settings, words: tuple[str, ...], timeout: float) -> None:
    write_everywhere(settings.redis, words, timeout)


def _http(settings: Settings, address: str, method: str, body: str | None, timeout: float) -> None:
    connection = http.client.HTTPConnection(address, settings.alert_port, timeout=timeout)
    try:
        headers = {"Authorization": f"Bearer {settings.alert_token}", "Content-Type": "application/json"}
        connection.request(method, "/alert", body, headers)
        status = connection.getresponse().status
        if status not in HTTP_OK[method]:
            raise EventRefused(f"HTTP {status} from {address}:{settings.alert_port}/alert")
    finally:
        connection.close()


def _now() -> str:
    """UTC to the millisecond, as the balancers write it: who was first must be tellable."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
