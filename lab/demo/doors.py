"""The three doors of an alert, as anybody would knock at them; each knock returns its moment."""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
import time
from typing import Any

import redis

from lab import machines
from lab.errors import LabError
from lab.settings import Lab

# The lab's fake secrets; see pillar/lab/secrets.
MONITOR_TOKEN = "lab-fake-alert-monitor"
OPERATOR_PASSWORD = "lab-fake-redis-operator"
CANARY = "canary-1"
SERVICE = "checkbox"
# Runs on the master: prints the moment at which each alert event is on its bus.
LISTENER = """
import sys, time, salt.config, salt.utils.event
opts = salt.config.master_config("/etc/salt/master")
with salt.utils.event.get_master_event(opts, opts["sock_dir"], listen=True) as bus:
    print("listening", flush=True)
    while True:
        event = bus.get_event(wait=5, tag="release/checkbox/alert", full=True)
        if event:
            print(time.time(), flush=True)
"""


def http_door(lab: Lab) -> float:
    """POST /alert at the balancer."""
    connection = http.client.HTTPConnection(lab.machine("lb-1").address, 9902, timeout=5)
    body = json.dumps({"service": SERVICE, "reason": "demo: knocked at the balancer"})
    knocked = time.time()
    connection.request("POST", "/alert", body, {"Authorization": f"Bearer {MONITOR_TOKEN}"})
    status = connection.getresponse().status
    connection.close()
    if status != 200:
        raise LabError(f"POST /alert at lb-1 answered {status} (want 200)")
    return knocked


class RedisDoor:
    """SET the alert key by hand, as the operator."""

    def __init__(self, lab: Lab) -> None:
        address = lab.machine("redis-1").address
        self._redis: Any = redis.Redis(
            host=address, username="operator", password=OPERATOR_PASSWORD, socket_timeout=5
        )

    def knock(self) -> float:
        self._redis.ping()
        knocked = time.time()
        self._redis.set(f"sluice:alert:{SERVICE}", "demo: set by hand")
        return knocked


class EventDoor:
    """A Salt event from the canary; the moment is when it is on the master's bus."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._listener: subprocess.Popen[str] = subprocess.Popen(
            machines.enter(lab, "master", ["/opt/salt/bin/python", "-c", LISTENER]),
            env=machines.environment(lab, "master"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if self._line(30) != "listening":
            raise LabError("the master's event bus cannot be listened to; is salt-master running?")

    def knock(self) -> float:
        event = [
            "salt-call",
            "event.send",
            f"release/{SERVICE}/alert",
            json.dumps({"reason": "demo: an event"}),
        ]
        machines.check_in(self._lab, CANARY, event, timeout=60)
        return float(self._line(20))

    def _line(self, seconds: float) -> str:
        assert self._listener.stdout is not None
        giving_up = threading.Timer(seconds, self._listener.kill)
        giving_up.start()
        try:
            line = str(self._listener.stdout.readline()).strip()
        finally:
            giving_up.cancel()
        if not line:
            raise LabError(f"no alert event on the master's bus within {seconds:.0f} s")
        return line

    def close(self) -> None:
        self._listener.kill()
        self._listener.wait()
