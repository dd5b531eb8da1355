"""What a million changes leave in the memory of a flag service."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass

from bench.balancer.errors import BenchError
from bench.balancer.processes import Program
from bench.balancer.session import say
from bench.flags.flagset import NAMES, ON_OFF, RULED, sluice_document
from bench.flags.fleet import PATIENCE, TOKEN, Fleet

# Between two looks whether the service has followed: what it has not read yet is no memory it keeps.
BATCH = 1_000
# Of a batch so many are documents with other rules, the rest values.
DOCUMENTS = 50
# Caches and the allocator's pools have their size by then.
WARM_UP_SHARE = 0.1


@dataclass(frozen=True)
class Grown:
    """Resident bytes after the warm-up and at the end, and how many changes a second the service followed."""

    changes: int
    before_bytes: int
    after_bytes: int
    changes_per_second: float

    @property
    def ratio(self) -> float:
        return self.after_bytes / self.before_bytes


def measure(fleet: Fleet, port: int, program: Program, changes: int) -> Grown:
    """Make so many changes, and so many more as a warm-up before."""
    say(f"   memory: {changes:,} changes")
    batches = changes // BATCH
    for number in range(int(batches * WARM_UP_SHARE)):
        batch(fleet, port, number)
    before, began = program.rss_bytes(), time.monotonic()
    for number in range(batches):
        batch(fleet, port, number)
    seconds = time.monotonic() - began
    return Grown(batches * BATCH, before, program.rss_bytes(), batches * BATCH / seconds)


def batch(fleet: Fleet, port: int, number: int) -> None:
    """A batch of changes, and wait until the service answers with the last of them."""
    with fleet.master.pipeline(transaction=False) as pipe:
        for at in range(BATCH - DOCUMENTS - 1):
            pipe.set(NAMES[1 + (at + number) % (len(NAMES) - 1)], str((at // len(NAMES) + number) % 2))
        document = sluice_document(RULED)
        for at in range(DOCUMENTS):
            document["rules"]["match"][0]["percentage"] = (at + number) % 101
            name = NAMES[1 + 2 * ((at + number) % (len(NAMES) // 2))]
            pipe.set(f"sluice:flag:{name}", json.dumps(document))
        pipe.set(ON_OFF, str(number % 2))
        pipe.execute()
    wait_for(port, number % 2 == 1)


def wait_for(port: int, value: bool) -> None:
    """Return when the service answers so."""
    deadline = time.monotonic() + PATIENCE
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    try:
        while True:
            line.request("POST", f"/ofrep/v1/evaluate/flags/{ON_OFF}", '{"context": {}}', headers)
            if json.loads(line.getresponse().read()).get("value") is value:
                return
            if time.monotonic() > deadline:
                raise BenchError(f"flag service: a change was not there after {PATIENCE:.0f} s")
    finally:
        line.close()
