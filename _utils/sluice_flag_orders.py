"""
What operators, states and applications' hosts can do with flags: the same for the runner and the module.

Every order finds the master first. A minion writes at its own Redis or not at all; the Salt master writes
wherever the master is.
"""

import json
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

import sluice_flag_input
import sluice_flag_show
import sluice_flag_spread
import sluice_flag_store
import sluice_redis_roles
import sluice_redis_servers
from sluice_config import RedisServer, RedisServers, redis_of_pillar
from sluice_errors import RefusedError, ReleaseError
from sluice_flag_spread import Done, Seen
from sluice_flag_store import Change, Edit, Flag, Wanted
from sluice_redis import Redis, RedisError
from sluice_redis_roles import Role

# To find the master: an operator waits this long for servers that are silent.
FIND_SECONDS = 1.0
# For a write with its reads before; a server that takes longer is in trouble.
WRITE_SECONDS = 2.0
# A replica acknowledges within a millisecond or two; one second is far beyond any pause of Redis.
ACKNOWLEDGE_SECONDS = 1
# How long the read-back at every server may take unless told.
SPREAD_SECONDS = 5.0

# A word of a command that a message repeats: whole rules, but no screens of them.
WORD_CHARACTERS = 1000

Order = tuple[object, ...]
Told = TypeVar("Told")


class Unknown(RefusedError):
    """The flag is not there."""


class NotEverywhere(ReleaseError):
    """A change is written at the master, and not where else it should be; the message names where not."""


class Flags:
    """
    The flags of a fleet, as seen from one place.

    servers
        The declared servers with the log-in to use.
    by (str)
        Who orders; stands in the history.
    here (str)
        The id of this minion; empty on the Salt master, who may write at any server.
    """

    def __init__(self, servers: RedisServers, by: str, here: str = "") -> None:
        self.servers, self.by, self.here = servers, by, here

    def set(self, name: object, value: object, new: bool = False, wait_seconds: float | None = None) -> Done:
        """
        Give a flag a value; an unknown one is refused unless it is meant to be `new`.

        With `wait_seconds` the value is read back at every server, within that time or NotEverywhere.
        """
        began = time.monotonic()

        def edit(flag: Flag) -> Wanted:
            if not flag.exists and not new:
                raise Unknown
            return Wanted(sluice_flag_input.value_of(value, flag), flag.document)

        order = ("set", name, value)
        hint = f"To make a new one: salt-run flags.{_words((*order, 'new=True'))}"
        done = self.apply(name, edit, order, hint, acknowledge=wait_seconds is None)
        if wait_seconds is None:
            return replace(done, ms=_since(began))
        after = done.change.after
        seen = sluice_flag_spread.until_everywhere(self.servers, after.name, str(after.value), wait_seconds)
        if missed := sluice_flag_show.missed(seen):
            raise NotEverywhere(
                f"{sluice_flag_show.sentence(done.change)} on {done.master}, which stays so. It is there on "
                f"{sluice_flag_show.reached(seen) or 'no server'}, but not everywhere after "
                f"{wait_seconds:g} s: {missed}. A replica that comes back gets it by itself"
            )
        return replace(done, seen=seen, ms=_since(began))

    def describe(
        self, name: object, owner: object = None, description: object = None, expires: object = None
    ) -> Done:
        """Change owner, description and expires; a flag that was not there gets a document and no value."""

        def edit(flag: Flag) -> Wanted:
            return Wanted(flag.value, sluice_flag_input.described(flag, owner, description, expires))

        given = {"owner": owner, "description": description, "expires": expires}
        words = [f"{key}={value}" for key, value in given.items() if value is not None]
        return self.apply(name, edit, ("describe", name, *words))

    def rule(self, name: object, rules: object, variants: object) -> Done:
        """Change rules and variants; a flag that was not there gets a document and no value."""

        def edit(flag: Flag) -> Wanted:
            return Wanted(flag.value, sluice_flag_input.ruled(flag, rules, variants))

        given = {"rules": rules, "variants": variants}
        words = [
            f"{key}={json.dumps(value, default=str)}" for key, value in given.items() if value is not None
        ]
        return self.apply(name, edit, ("rules", name, *words))

    def delete(self, name: object) -> Done:
        """Remove a flag's value and document; its history stays for a while."""

        def edit(flag: Flag) -> Wanted:
            if not flag.exists:
                raise Unknown
            return Wanted(None, None)

        return self.apply(name, edit, ("delete", name))

    def apply(
        self, name: object, edit: Edit, order: Order = (), hint: str = "", acknowledge: bool = True
    ) -> Done:
        """
        Change one flag at the master.

        order
            The words of the order, for whoever has to give it elsewhere.
        acknowledge (bool)
            Have a replica acknowledge it where there are any.

        Raises RefusedError, FlagError and RedisError with nothing written, NotEverywhere when it is written
        at the master alone.
        """
        checked = sluice_flag_input.name_of(name)

        def write(redis: Redis, master: RedisServer) -> Done:
            try:
                done = sluice_flag_store.change(redis, checked, edit, self.by, time.time())
            except Unknown:
                raise sluice_flag_input.unknown(checked, sluice_flag_store.names(redis), hint) from None
            asks = acknowledge and done.entries and len(self.servers.servers) > 1
            return Done(done, master.id, _acknowledged(redis, done, master) if asks else None)

        return self._at_master(write, order)

    def plan(self, name: object, edit: Edit) -> Change:
        """What `apply` would do, without doing it."""
        checked = sluice_flag_input.name_of(name)
        return self.read(lambda redis: sluice_flag_store.plan(redis, checked, edit, self.by, time.time()))

    def get(self, name: object) -> Flag:
        """One flag with its history. RefusedError with near names if it is not there."""
        checked = sluice_flag_input.name_of(name)

        def ask(redis: Redis) -> Flag:
            flag = sluice_flag_store.read(redis, checked)
            if not flag.exists and not flag.history:
                raise sluice_flag_input.unknown(checked, sluice_flag_store.names(redis))
            return flag

        return self.read(ask)

    def wait(self, name: object, value: object, seconds: float) -> dict[str, Seen]:
        """Wait until every server has this value; by id after how many ms. NotEverywhere after `seconds`."""
        checked = sluice_flag_input.name_of(name)
        flag = self.read(lambda redis: sluice_flag_store.read(redis, checked))
        wanted = sluice_flag_input.value_of(value, flag)
        seen = sluice_flag_spread.until_everywhere(self.servers, checked, wanted, seconds)
        if missed := sluice_flag_show.missed(seen):
            raise NotEverywhere(f"{checked} is not {wanted} everywhere after {seconds:g} s: {missed}")
        return seen

    def values(self, name: object) -> dict[str, str]:
        """The value at every server now, by id; from one that does not tell, why."""
        return sluice_flag_spread.values(self.servers, sluice_flag_input.name_of(name))

    def all(self) -> list[Flag]:
        """Every flag with at least the latest entry of its history, by name."""
        return self.read(lambda redis: list(_all(redis)))

    def master(self) -> RedisServer:
        """The server to write to; RedisError if there is none, or it cannot be told."""
        return sluice_redis_servers.find_master(self.servers, FIND_SECONDS)

    def read(self, ask: Callable[[Redis], Told]) -> Told:
        """What `ask` finds at the best server that answers."""
        failed: list[RedisError] = []
        for server in self._places():
            try:
                with Redis(server, FIND_SECONDS) as redis:
                    return ask(redis)
            except RedisError as error:
                failed.append(error)
        raise failed[-1]

    def own_role(self) -> Role:
        """What the server on this minion says of itself."""
        own = next(server for server in self.servers.servers if server.id == self.here)
        return sluice_redis_roles.ask(own, FIND_SECONDS)

    def reader(self) -> RedisServer:
        """The best server to read from."""
        return self._places()[0]

    def _places(self) -> list[RedisServer]:
        """Where to read, best first: on a Redis host its own, on the Salt master the master."""
        if self.has_redis():
            return [server for server in self.servers.servers if server.id == self.here]
        if not self.here:
            with suppress(RedisError):
                return [self.master()]
        return sluice_redis_servers.readers(self.servers)

    def _at_master(self, write: Callable[[Redis, RedisServer], Done], order: Order) -> Done:
        """Write at the master; once more if it ceased to be that in between."""
        for is_last in (False, True):
            master = self.master()
            self._refuse_elsewhere(master, order)
            try:
                with Redis(master, WRITE_SECONDS) as redis:
                    return write(redis, master)
            except RedisError as error:
                if error.code != "READONLY" or is_last:
                    raise RedisError(f"{error}. Nothing was written", error.code) from error
        raise AssertionError("unreachable")

    def has_redis(self) -> bool:
        """True if this minion is one of the declared servers."""
        return self.here in [server.id for server in self.servers.servers]

    def _refuse_elsewhere(self, master: RedisServer, order: Order) -> None:
        if self.here in ("", master.id):
            return
        what = "is a replica" if self.has_redis() else "has no Redis"
        words = _words(order)
        use = (
            f": salt {master.id} flag.{words}, or on the Salt master: salt-run flags.{words}" if order else ""
        )
        raise RefusedError(
            f"{self.here} {what}, and only the master takes writes. The master is {master.name}{use}"
        )


def _acknowledged(redis: Redis, change: Change, master: RedisServer) -> int:
    """How many replicas have it, one at least; else NotEverywhere."""
    written = f"{sluice_flag_show.sentence(change)} on {master.id}"
    try:
        redis.extend(ACKNOWLEDGE_SECONDS + WRITE_SECONDS)
        count = redis.call("WAIT", "1", str(ACKNOWLEDGE_SECONDS * 1000))
    except RedisError as error:
        raise NotEverywhere(f"{written}; whether a replica has it is not known ({error})") from error
    if not isinstance(count, int) or count < 1:
        raise NotEverywhere(
            f"{written}, on no replica yet after {ACKNOWLEDGE_SECONDS} s: if {master.id} is lost now, so is "
            "the change. See what the replicas do with: salt-run flags.servers"
        )
    return count


def _words(order: Order) -> str:
    return shlex.join(sluice_flag_store.shown_text(str(word), WORD_CHARACTERS) for word in order)


def _since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 1)


def at_minion(id_: str, pillar: object, user: object) -> Flags:
    """
    The flags as this minion may handle them: a Redis host as `writer`, any other as `reader`.

    pillar (dict)
        Its pillar `redis`. RefusedError if it names no servers, ConfigError if it cannot be used.
    user
        Who orders.
    """
    if not isinstance(pillar, dict) or not pillar.get("servers"):
        raise RefusedError(
            f"{id_} has no redis:servers in its pillar, so it has nothing to do with flags. Ask on a Redis "
            "host or an application's, or on the Salt master: salt-run flags.list"
        )
    login = "writer" if id_ in pillar["servers"] else "reader"
    return Flags(redis_of_pillar(pillar, login), sluice_flag_input.who(user, id_), here=id_)


def _all(redis: Redis) -> Iterator[Flag]:
    found = sluice_flag_store.read_many(redis, sluice_flag_store.names(redis))
    return (flag for flag in found if flag.exists)
