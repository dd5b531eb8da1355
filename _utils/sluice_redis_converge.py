"""The Redis of this machine: made, and its settings brought in line, live or by a restart in its turn."""

import time
from collections.abc import Mapping
from typing import Any

from sluice_redis import Redis, RedisError
from sluice_redis_access import Local, serves_another_certificate
from sluice_redis_file import SECRET, edited, seed
from sluice_redis_follow import first_standing, others
from sluice_redis_live import (
    difference,
    fixed,
    named,
    set_live,
    settings_of,
    stale_in_file,
    told,
    writes_file,
)
from sluice_redis_machine import PAUSE_SECONDS, START_SECONDS, Unit, answering, running, write
from sluice_redis_roles import state
from sluice_redis_standing import waits_for

# Parts of what a state returns: result, changes, comment.
Part = dict[str, Any]
Changes = dict[str, Any]


class Server:
    """
    The server, while a state is at it. Raises RedisError and OSError.

    deadline (float, seconds)
        How long to wait for its turn to restart, and again to be in sync.
    test (bool)
        Say what would be done, and do nothing.
    """

    def __init__(self, local: Local, unit: Unit, deadline: float, test: bool) -> None:
        self.local, self.plan, self.unit, self.deadline, self.test = local, local.plan, unit, deadline, test

    def make(self) -> Part:
        """Its first file, in the role that what lives leaves it."""
        self._refuse_foreign_data()
        standing = first_standing(self.local, self.deadline)
        follows = (standing.follows.host, standing.follows.port) if standing.follows else None
        role = f"replica of {standing.follows.name}" if standing.follows else "master"
        changes = {"file": {"old": "the package's", "new": "made"}, "role": {"old": "", "new": role}}
        if self.test:
            return _planned(changes, f"would be made: {role}, as {standing.why}")
        old = self.local.text()
        if old:
            write(self.local.conf.with_suffix(".conf.package"), old, self.unit.user)
        write(self.local.conf, seed(self.plan.settings, follows), self.unit.user)
        self.unit.restart()
        with answering(self.local, self.unit) as redis:
            self._verify(redis, self.plan.settings)
        return {"changes": changes, "comment": f"made: {role}, as {standing.why}"}

    def converge(self) -> Part:
        """Live what can be, the rest by a restart in its turn."""
        redis, changes = running(self.local), Changes()
        if redis is None:
            changes = {self.unit.name: "started"}
            if self.test:
                return _planned(changes, "would be started")
            self.unit.start()
            redis = answering(self.local, self.unit)
        with redis:
            found = settings_of(redis)
            wanted = self._differing(found)
            at_start = fixed(wanted)
            live = {name: value for name, value in wanted.items() if name not in at_start}
            in_file = stale_in_file(self.local.text(), self.plan.settings).keys() - wanted.keys()
            changes |= told(wanted, found)
            changes |= {name: {"old": "another value in the file", "new": "as it runs"} for name in in_file}
            if not changes:
                return {}
            if self.test:
                so = f"; restarted in its turn for {named(at_start)}" if at_start else ""
                return _planned(changes, f"would be changed while it runs{so}")
            if live or in_file:
                set_live(redis, live)
                self._verify(redis, live)
        if at_start:
            return self._restarted(at_start, changes, "changed while it runs; " if live else "")
        return {"changes": changes, "comment": "changed while it runs" if live else "the file is written"}

    def _refuse_foreign_data(self) -> None:
        """A Redis that Salt did not make may be somebody's: its data would be left behind."""
        redis = running(self.local)
        if redis is None:
            return
        with redis:
            keys = redis.call("DBSIZE")
        if keys:
            raise RedisError(
                f"{self.local.conf} was not made by Salt, and its Redis holds {keys} keys. Move them "
                "elsewhere and empty it, or take this machine out of the role"
            )

    def _differing(self, found: Mapping[str, str]) -> dict[str, str]:
        wanted = difference(self.plan.settings, found)
        if self.plan.tls and not wanted and serves_another_certificate(self.local):
            # The same name once more: Redis reads the files again.
            wanted["tls-cert-file"] = self.plan.settings["tls-cert-file"]
        return wanted

    def _verify(self, redis: Redis, wanted: Mapping[str, str]) -> None:
        """Read back; RedisError if Redis took a value as another one."""
        found = settings_of(redis)
        for name, value in sorted(difference(wanted, found).items()):
            if name in SECRET:
                raise RedisError(f"Redis did not take {name}")
            raise RedisError(
                f"Redis has {name} as {found.get(name)!r} (want {value!r}); write it as Redis shows it"
            )

    def _restarted(self, at_start: Mapping[str, str], changes: Changes, so: str) -> Part:
        waited = self._wait_for_turn(at_start)
        if waited.said:
            left = {name: change for name, change in changes.items() if name not in at_start}
            return {
                "result": False,
                "changes": left,
                "comment": so + self._not_my_turn(at_start, waited.said),
            }
        before = self.local.text()
        write(self.local.conf, edited(before, at_start), self.unit.user)
        try:
            self.unit.restart()
            redis = answering(self.local, self.unit)
        except RedisError as error:
            write(self.local.conf, before, self.unit.user)
            self.unit.restart()
            with answering(self.local, self.unit):
                pass
            raise RedisError(
                f"{error}. It did not start with {named(at_start)}; the old file is back"
            ) from error
        with redis:
            self._verify(redis, at_start)
            self._wait_for_sync(redis)
        return {"changes": changes, "comment": f"{so}restarted for {named(at_start)}{waited}"}

    def _not_my_turn(self, at_start: Mapping[str, str], why: str) -> str:
        return (
            f"{named(at_start)}: Redis takes this at its start only, and it is not this server's turn to "
            f"restart: after {self.deadline:g} s {why}. Nothing was restarted. Apply the state to all of "
            "them (salt -N redis state.apply redis); take one that is gone for good out of redis:servers"
        )

    def _wait_for_turn(self, at_start: Mapping[str, str]) -> "_Waited":
        all_others, waited = others(self.local), _Waited()
        while True:
            with answering(self.local, self.unit) as redis:
                me = state(redis, self.local.admin())
                # Redis does not end before it has its first file after a transfer, and systemd would kill it.
                own = "its append-only file is not yet written" if writes_file(redis) else ""
            waited.said = own or waits_for(me, all_others, at_start)
            if not waited.said or waited.seconds > self.deadline:
                break
            waited.add(waited.said)
            time.sleep(5 * PAUSE_SECONDS)
        return waited

    def _wait_for_sync(self, redis: Redis) -> None:
        deadline = time.monotonic() + self.deadline
        redis.extend(self.deadline + START_SECONDS)
        while not ((me := state(redis, self.local.admin())).is_master or me.linked):
            if time.monotonic() > deadline:
                raise RedisError(
                    f"restarted, but not in sync with {me.follows} after {self.deadline:g} s; see its log "
                    "and that of its master"
                )
            time.sleep(PAUSE_SECONDS)


class _Waited:
    """How long, and for what; `said` is what is still waited for."""

    def __init__(self) -> None:
        self.said, self._begun, self._for = "", time.monotonic(), list[str]()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    def add(self, said: str) -> None:
        if said not in self._for:
            self._for.append(said)

    def __str__(self) -> str:
        return f" after {self.seconds:.1f} s of waiting ({'; '.join(self._for)})" if self._for else ""


def _planned(changes: Changes, comment: str) -> Part:
    return {"result": None, "changes": changes, "comment": comment}
