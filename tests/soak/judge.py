"""What may fail, and what must never be: every request is judged as it ends.

A failure is excused only by a cause that is on record, for the very request:

* worker killed: the request's connection was one of those that the worker had open when it was killed,
  as the kernel's socket table showed;
* unrepeatable: a request that must not be sent twice had been sent to a backend that was killed or stopped
  while it was under way;
* cut answer: the answer of a backend that was killed or stopped had begun to go to the client, or its tunnel
  was open;
* alert: a tunnel to the canary was open when an alert was raised, or when the balancer was restarted: its old
  workers would hear of no alert;
* behind: an earlier request on the same connection failed with an excuse.
"""

import time
from collections import Counter
from dataclasses import dataclass, field

# Between a backend's end and the moment at which a busy worker has seen all its connections end.
GRACE_SECONDS = 0.25
# How long an access-log line may take, and the record of a kill.
JUDGE_AFTER_SECONDS = 1.5
ENDED_CONNECTION = "the backend closed the connection"


@dataclass
class Ended:
    """A backend that was ended on purpose."""

    name: str
    since: float
    until: float


@dataclass
class Forbidden:
    """Backends that must get no request from a moment on; to be lifted by setting `until`."""

    names: frozenset
    why: str
    # When it was ordered, and when the order was in force.
    ordered: float
    since: float
    until: float = float("inf")


@dataclass
class Judge:
    """Knows all that was done, and judges what came of the requests."""

    asked: list
    log: object
    seen: int = 0
    good: Counter = field(default_factory=Counter)
    excused: Counter = field(default_factory=Counter)
    bad_on_purpose: int = 0
    violations: list = field(default_factory=list)
    # Client ports of connections that a killed worker had, with the moment of the kill.
    lost_lines: dict = field(default_factory=dict)
    ended: list = field(default_factory=list)
    forbidden: list = field(default_factory=list)
    # By kind of order: how long after it the last request arrived that had been on its way.
    latest_after: dict = field(default_factory=Counter)
    # By user: the largest weight of the canary at which stable served him, the smallest at which it did.
    visits: dict = field(default_factory=dict)
    _waiting: list = field(default_factory=list)
    _verdicts: dict = field(default_factory=dict)
    _first: dict = field(default_factory=dict)

    def forbid(self, names, why, ordered=None):
        """From now on; the entry to be lifted."""
        now = time.monotonic()
        entry = Forbidden(frozenset(names), why, now if ordered is None else ordered, now)
        self.forbidden.append(entry)
        return entry

    def violate(self, what):
        self.violations.append(what)

    # Requests, as users saw them.

    def look(self, finally_=False):
        """Judge what ended meanwhile."""
        upto = len(self.asked)
        for one in self.asked[self.seen : upto]:
            self._check_forbidden(one)
            if one.bad_on_purpose:
                self.bad_on_purpose += 1
            elif one.problem:
                self._waiting.append(one)
            else:
                self.good[one.kind] += 1
        self.seen = upto
        due = time.monotonic() - (0 if finally_ else JUDGE_AFTER_SECONDS)
        ready = [one for one in self._waiting if one.ended <= due]
        self._waiting = [one for one in self._waiting if one.ended > due]
        self.log.read()
        for one in ready:
            self._judge(one)

    def _judge(self, one):
        excuse = self._excuse(one)
        self._verdicts[one.id] = excuse
        if excuse:
            self.excused[excuse] += 1
            return
        logged = self.log.lines.get(one.id)
        self.violate(
            f"{one.kind} {one.method} {one.id} failed without an excuse: {one.problem} {one.text} "
            f"(port {one.port}, {one.began:.3f} to {one.ended:.3f}, access log: {logged})"
        )

    def _excuse(self, one):
        if one.behind is not None:
            return "behind" if self._verdicts.get(one.behind.id) else ""
        lost = self.lost_lines.get(one.port)
        if lost is not None and one.began - GRACE_SECONDS <= lost <= one.ended:
            return "worker killed"
        if one.kind == "tunnel" and one.status == 101 and self._was_alerted(one):
            return "alert"
        logged = self.log.lines.get(one.id)
        if logged is None or not self._was_ended(logged.backend, one):
            return ""
        if logged.status == 502 and not one.repeatable and ENDED_CONNECTION in one.text:
            return "unrepeatable"
        # The balancer broke the client's connection off.
        if logged.status in (101, 200) and one.problem.startswith(("ConnectionReset", "IncompleteRead")):
            return "cut answer"
        return ""

    def _was_alerted(self, one):
        """True if a tunnel was open when all traffic had to leave its track."""
        return any(
            entry.why.startswith(("alert", "restart"))
            and one.backend in entry.names
            and one.began <= entry.since
            and one.ended >= entry.ordered
            for entry in self.forbidden
        )

    def _was_ended(self, name, one):
        return any(
            ended.name == name and one.began <= ended.until + GRACE_SECONDS and one.ended >= ended.since
            for ended in self.ended
        )

    def _check_forbidden(self, one):
        """No request that a user began after the order had returned."""
        for entry in self.forbidden:
            if one.backend in entry.names and entry.since < one.began < entry.until:
                self.violate(f"{one.backend} served {one.id}, begun after: {entry.why}")

    def look_at_visits(self, asked, weight):
        """While the canary's weight was this: who is on it stays there while the weight does not sink."""
        for one in asked:
            on_stable, on_canary = self.visits.get(one.user, (-1.0, 101.0))
            if one.backend.startswith("canary"):
                on_canary = min(on_canary, weight)
            else:
                on_stable = max(on_stable, weight)
            self.visits[one.user] = on_stable, on_canary
            if on_stable >= on_canary:
                self.violate(f"{one.user} was on stable at {on_stable} % and on the canary at {on_canary} %")

    # Requests, as backends saw them.

    def arrived(self, name, at, method, request_id):
        """A backend read the head of a request."""
        for entry in self.forbidden:
            if name in entry.names and entry.since < at < entry.until:
                late = self.latest_after[entry.why.split(":")[0]]
                self.latest_after[entry.why.split(":")[0]] = max(late, at - entry.since)
                if at - entry.since > GRACE_SECONDS:
                    self.violate(f"{name} got {request_id} {at - entry.since:.3f} s after: {entry.why}")
        # All others may be repeated if nothing of a body was sent.
        before = self._first.setdefault(request_id, name) if method == "POST" else None
        if before not in (None, name):
            self.violate(f"{method} {request_id} was sent to {before} and to {name}")
