"""
Whom a Redis server is to follow, from what lives; and whether it is its turn to restart.

What lives wins: what the Sentinels say, a master with replicas, the highest term. The pillar's word on the
first master counts where nothing lives yet (ADR 31). Here it is decided; states act.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sluice_config import RedisServer, RedisServers
from sluice_redis import Redis, RedisError
from sluice_redis_live import difference, named, settings_of
from sluice_redis_roles import Role, address, ask, in_order, together
from sluice_redis_sentinel import NoMaster
from sluice_redis_servers import find_role

# A live server answers in milliseconds; one whose machine is busy with its own highstate may take longer.
ASK_SECONDS = 2.0


@dataclass(frozen=True)
class Standing:
    """What a server is to be: a replica of `follows`, or with None the master. `why` says from what."""

    follows: RedisServer | None
    why: str


class Undecided(RedisError):
    """Nobody can tell who is the master; the message says what to do."""


def everyone(servers: Sequence[RedisServer]) -> list[Role]:
    """What each says of itself and how many keys it has (`reply`), in their order; all are asked at once."""
    found = together(
        servers, lambda one: ask(one, ASK_SECONDS, ("DBSIZE",)), 2 * ASK_SECONDS, lambda known: False
    )
    return in_order(servers, found)


def first(others: Sequence[Role], declared: RedisServers, id_: str, first_master: str) -> Standing:
    """
    What a server without data is to be. Pure.

    others
        What the other declared servers say.
    first_master
        The pillar's `redis:master`, for when none of them says anything.

    Raises Undecided if it would become a master without data of replicas that have some: they would lose it.
    """
    alive = [one for one in others if one.role]
    master = best(alive)
    if master:
        return Standing(master.server, f"{master.server.name} is the master")
    refusing = [one for one in others if "refuses" in one.error]
    if refusing:
        raise Undecided(
            f"{refusing[0].error}: who is the master cannot be asked. Apply the state there first: "
            f"salt {refusing[0].server.id} state.apply redis"
        )
    mine = [one for one in declared.servers if one.id == id_]
    orphans = [one for one in alive if _has_data(one)]
    for one in orphans:
        if mine and one.follows == address(mine[0]):
            raise Undecided(
                f"{one.server.name} holds data and waits for this machine as its master, but this machine "
                "has none: starting it would empty the others. Promote one that has data: "
                f"salt-run flags.promote {max(orphans, key=_age).server.id}"
            )
    followed = {one.follows for one in orphans}
    for server in declared.servers:
        if address(server) in followed:
            return Standing(server, f"{orphans[0].server.name} follows it, and none is a master now")
    chosen = next((one for one in declared.servers if one.id == first_master), None)
    if chosen is None or chosen.id == id_:
        return Standing(None, "nothing lives yet, and pillar redis:master names this machine")
    return Standing(chosen, "nothing lives yet, and pillar redis:master names it")


def best(alive: Sequence[Role]) -> Role | None:
    """
    The true one of the masters: of the highest term; of several such the one that others follow, or the only
    one with data. None if there is none. Undecided if they cannot be told apart. Pure.
    """
    term = max((one.term for one in alive), default=0)
    masters = [one for one in alive if one.is_master and one.term == term]
    for tell_apart in (_is_followed, _has_data):
        if len(masters) > 1:
            masters = list(filter(tell_apart, masters)) or masters
    if len(masters) > 1 and any(map(_has_data, masters)):
        raise Undecided(
            f"{len(masters)} servers say that they are the master, of the same term: "
            f"{'; '.join(one.said() for one in masters)}. Choose one: "
            f"salt-run flags.promote {masters[0].server.id} force=True"
        )
    return masters[0] if len(masters) == 1 else None


def now(me: Role, others: Sequence[Role], declared: RedisServers, first_master: str) -> Standing:
    """
    What a running server is to be.

    With `ha: sentinel` the Sentinels' word counts if they have one. Raises Undecided, or NoMaster while the
    true master does not answer: then everything is better left as it is.
    """
    if declared.ha == "sentinel":
        try:
            named = find_role(declared, ASK_SECONDS)
            return _standing(named, me, "the Sentinels name it")
        except NoMaster:
            pass
    alive = [me, *(one for one in others if one.role)]
    master = best(alive)
    if master is None and not any(map(_has_data, alive)):
        # Fresh servers, each on its own, or some of them in their role already.
        chosen = next((one for one in alive if one.is_master and one.server.id == first_master), None)
        if chosen:
            return _standing(chosen, me, "nothing lives yet, and pillar redis:master names it")
    if master is None:
        raise NoMaster(f"no master answers: {'; '.join(one.said() for one in (me, *others))}")
    return _standing(master, me, f"it is the master of term {master.term}")


def _standing(master: Role, me: Role, why: str) -> Standing:
    return Standing(None if address(master.server) == address(me.server) else master.server, why)


def _is_followed(one: Role) -> bool:
    return bool(one.replicas)


def _has_data(one: Role) -> bool:
    return isinstance(one.reply, int) and one.reply > 0


def _age(one: Role) -> tuple[int, int]:
    return one.term, one.offset


def waits_for(
    me: Role, others: Sequence[RedisServer], wanted: Mapping[str, str], seconds: float = ASK_SECONDS
) -> str:
    """
    Why it is not this server's turn to restart yet; empty if it is.

    Replicas come first, one after the other by id, the master last, when all of them have restarted with
    `wanted` and are in sync again. A replica does not wait for one that is dead, the master does.
    """
    for one in sorted(others, key=lambda server: server.id):
        if me.is_master or one.id < me.server.id:
            said = _not_done(one, wanted, must_live=me.is_master, seconds=seconds)
            if said:
                return said
    return ""


def _not_done(one: RedisServer, wanted: Mapping[str, str], must_live: bool, seconds: float) -> str:
    role = ask(one, seconds)
    if role.error:
        return role.error if must_live else ""
    if role.is_master:
        # A replica's own master restarts after it; one that a master sees was left over by a promotion.
        return ""
    if not role.linked:
        return f"{one.name} is not in sync"
    try:
        with Redis(one, seconds) as redis:
            left = difference(wanted, settings_of(redis))
    except RedisError as error:
        return str(error)
    return f"{one.name} has not restarted for {named(left)} yet" if left else ""


def as_user(servers: Mapping[str, str], port: int, login: RedisServer, ha: str) -> RedisServers:
    """The declared servers, each logged in to as `login` is; id to address."""
    made = (replace(login, id=id_, host=host, port=port) for id_, host in servers.items())
    return RedisServers(tuple(made), ha)
