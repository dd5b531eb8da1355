"""
What a promotion has to do, and whether it may: decided from what the servers said. Pure.

With a master that lives nothing can be lost: it hands over by itself. Without one, a write that was
acknowledged by a replica (`WAIT 1`) is on that replica; so a promotion is refused while some server that may
know more is better placed or silent, unless `force` says that its writes may be lost (ADR 32).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sluice_config import RedisServer, RedisServers, shown
from sluice_errors import RefusedError
from sluice_redis_roles import Role, address
from sluice_redis_sentinel import NoMaster
from sluice_redis_servers import chosen


@dataclass(frozen=True)
class Plan:
    """What is to be done. `was` is the master that hands over or is the target itself; None: it is gone."""

    target: RedisServer
    was: Role | None
    # What `sluice:term` becomes; 0: it stays.
    term: int
    # What may be lost, and force allowed it.
    lost: tuple[str, ...] = ()

    @property
    def is_there(self) -> bool:
        """Whether the target is the master already, and only the others are to be set right."""
        return self.was is not None and self.was.server == self.target

    def line(self) -> str:
        """What it would do."""
        if self.is_there:
            first = f"{self.target.name} is the master"
        elif self.was:
            first = f"{self.was.server.name} would hand over to {self.target.name}"
        else:
            first = f"{self.target.name} would become the master"
        raised = f"; the term would be {self.term}" if self.term else ""
        return f"{first}{raised}; all that answer would follow it{self.losses()}"

    def losses(self) -> str:
        """The end of a sentence."""
        return f". What may be lost: {'; '.join(self.lost)}" if self.lost else ""


def declared(servers: RedisServers, id_: object) -> RedisServer:
    """The server called `id_`; RefusedError that lists them if there is none."""
    for server in servers.servers:
        if server.id == id_:
            return server
    known = ", ".join(one.id for one in servers.servers) or "none"
    raise RefusedError(f"There is no Redis server {shown(id_)}; declared in redis:servers: {known}.")


def decide(target: RedisServer, found: Sequence[Role], force: bool, named: str | None = None) -> Plan:
    """
    The plan; RefusedError if the target cannot become the master or, without `force`, should not.

    named (str)
        `host:port` that the Sentinels name; None without Sentinels.
    """
    mine = next(one for one in found if one.server == target)
    if mine.error:
        raise RefusedError(f"{target.id} cannot be promoted: {mine.error}. Nothing was changed.")
    try:
        master = chosen(found, named)
    except NoMaster as error:
        if named is not None:
            raise RefusedError(
                f"{target.id} was not promoted: the Sentinels do that by themselves. {error}"
            ) from error
        return _take_over(mine, found, force)
    if master.server == target:
        # A silent one may be a master of the same term, when it comes back: then this one is newer.
        doubt = any(one.error for one in found)
        return Plan(target, master, master.term + 1 if doubt else 0)
    _check_handover(mine, master)
    return Plan(target, master, master.term + 1)


def _check_handover(mine: Role, master: Role) -> None:
    """Only a replica that gets all the master writes can be handed over to."""
    there = address(mine.server)
    if mine.is_master or mine.follows != address(master.server):
        why = f"it does not follow {master.server.name}, which is the master: {mine.said()}"
    elif not mine.linked:
        why = f"it is not in sync with {master.server.name}"
    elif there not in dict(master.replicas):
        seen = ", ".join(name for name, _ in master.replicas) or "none"
        why = f"{master.server.name} knows no replica at {there} (it has: {shown(seen)[1:-1]})"
    else:
        return
    raise RefusedError(
        f"{mine.server.id} cannot be promoted now: {why}. Nothing was changed. "
        f"To set the others right first: salt-run flags.promote {master.server.id}"
    )


def _take_over(mine: Role, found: Sequence[Role], force: bool) -> Plan:
    doubts = tuple(_doubts(mine, found))
    if doubts and not force:
        raise RefusedError(
            f"{mine.server.id} was not promoted, as writes might be lost: {'; '.join(doubts)}. Nothing was "
            f"changed. To promote it all the same: salt-run flags.promote {mine.server.id} force=True"
        )
    return Plan(mine.server, None, max(one.term for one in found) + 1, doubts)


def _doubts(mine: Role, found: Sequence[Role]) -> Iterator[str]:
    """Each reason why another server may hold acknowledged writes that this one has not."""
    others = [one for one in found if one.server != mine.server]
    if mine.role == "replica" and mine.linked:
        heard = f"heard of its master {shown(mine.follows)[1:-1]} {mine.silent_seconds} s ago"
        yield f"{mine.server.id} {heard}, so that may live"
    if mine.role == "replica" and mine.silent_seconds < 0:
        yield f"{mine.server.id} was never in sync with a master since it started"
    for one in others:
        if one.error:
            if mine.is_master or address(one.server) != mine.follows:
                yield f"{one.server.id} may know more and does not answer ({one.error})"
        elif one.is_master:
            # One of an older term was left over, and is no master to anybody.
            if one.term >= mine.term:
                yield f"{one.server.id} is a master of term {one.term}, and what it took since would go"
        elif one.term > mine.term:
            yield f"{one.server.id} knows term {one.term}, {mine.server.id} only {mine.term}"
        elif not set(one.replication_ids[:1]) & set(mine.replication_ids):
            yield f"{one.server.id} holds data of another origin, so nobody can tell which has more"
        elif one.offset > mine.offset:
            yield f"{one.server.id} has more: {one.offset - mine.offset} bytes of the replication stream"
