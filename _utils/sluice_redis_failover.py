"""
Make a replica the master, so that no acknowledged write is lost; finish what was interrupted.

What is to be done is decided in sluice_redis_choice; here it is done, and each step is read back. There are
never two masters on purpose: one that lives hands over, one that is gone loses by its term when it comes back
(ADR 32).
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from sluice_config import RedisServer, RedisServers
from sluice_errors import RefusedError, ReleaseError
from sluice_redis import Redis, RedisError
from sluice_redis_choice import Plan, decide, declared
from sluice_redis_handover import ASK_SECONDS, Tell, by_redis, by_sentinel, until
from sluice_redis_roles import TERM_KEY, Role, address, ask
from sluice_redis_sentinel import NoMaster, named_master
from sluice_redis_servers import roles

# A replica that has to fetch all data again: some hundred megabytes.
FOLLOW_SECONDS = 60.0


class PromotionError(ReleaseError):
    """It was begun and not finished; the message says how things stand and how to go on."""


@dataclass(frozen=True)
class Done:
    """What a promotion did. `silent`: id of each server that could not be told, to why."""

    master: str
    was: str
    term: int
    changed: bool
    followers: tuple[str, ...]
    silent: dict[str, str]
    lost: tuple[str, ...]

    def told(self) -> dict[str, object]:
        """As data."""
        return asdict(self) | {"was": self.was or None}

    def line(self) -> str:
        """One sentence or a few."""
        what = "is the master now" if self.changed else "was the master already"
        follow = f"; {', '.join(self.followers)} follow it" if self.followers else "; nobody follows it"
        silent = [
            f" {id_} could not be told, and is not to be written to: {why}."
            for id_, why in self.silent.items()
        ]
        lost = f" What may be lost: {'; '.join(self.lost)}." if self.lost else ""
        return f"{self.master} {what}, of term {self.term}{follow}.{''.join(silent)}{lost}"


def plan(servers: RedisServers, id_: object, force: bool = False) -> Plan:
    """What `promote` would do; RefusedError if it would refuse."""
    target = declared(servers, id_)
    try:
        named = named_master(servers, ASK_SECONDS) if servers.ha == "sentinel" else None
    except NoMaster as error:
        raise RefusedError(
            f"{target.id} was not promoted, for with redis:ha sentinel that is theirs. {error}"
        ) from error
    return decide(target, roles(servers, ASK_SECONDS), force, named)


def promote(servers: RedisServers, id_: object, force: bool = False, tell: Tell = lambda _: None) -> Done:
    """
    Make the server `id_` the master, and all others that answer its replicas. Safe to repeat.

    servers
        Logged in to as `admin`.
    force (bool)
        Go on though writes may be lost. Only for a master that is gone. Default False.
    tell
        Called with a line before each step.

    Raises RefusedError if nothing was changed, PromotionError if something was.
    """
    made = plan(servers, id_, force)
    tell(made.line())
    try:
        _become_master(servers, made, tell)
        others = [one for one in roles(servers, ASK_SECONDS) if one.server != made.target]
        reached = [one.server for one in others if not one.error]
        _point(others, made.target, tell)
        _raise_term(made, tell)
        _keep([made.target, *reached])
        _wait_for_followers(reached, made.target)
        now = _checked(made)
    except RedisError as error:
        raise PromotionError(_half_way(servers, made, error)) from error
    return Done(
        master=made.target.id,
        was=made.was.server.id if made.was else "",
        term=now.term,
        changed=not made.is_there,
        followers=tuple(one.id for one in reached),
        silent={one.server.id: one.error for one in others if one.error},
        lost=made.lost,
    )


def _become_master(servers: RedisServers, made: Plan, tell: Tell) -> None:
    if made.is_there:
        return
    if made.was:
        hand_over = by_sentinel if servers.ha == "sentinel" else by_redis
        hand_over(servers, made.was.server, made.target, tell)
        return
    tell(f"{made.target.name} becomes the master")
    with Redis(made.target, ASK_SECONDS) as redis:
        redis.call("REPLICAOF", "NO", "ONE")


def _point(others: Iterable[Role], master: RedisServer, tell: Tell) -> None:
    """All that answer are to follow the master, also one that is left over as a master."""
    for one in others:
        if not one.error and one.follows != address(master):
            tell(f"{one.server.name} is to follow it")
            with Redis(one.server, ASK_SECONDS) as redis:
                redis.call("REPLICAOF", master.host, str(master.port))


def _raise_term(made: Plan, tell: Tell) -> None:
    """From here on an old master that comes back is known to be one."""
    if not made.term:
        return
    tell(f"the term is raised to {made.term}")

    def is_set() -> bool:
        with Redis(made.target, ASK_SECONDS) as redis:
            try:
                redis.call("SET", TERM_KEY, str(made.term))
            except RedisError as error:
                # Where redis:min_replicas_to_write wants some, the first has to be in sync.
                if error.code != "NOREPLICAS":
                    raise
                return False
        return True

    if not until(FOLLOW_SECONDS, is_set):
        raise RedisError(f"{made.target.name} takes no write, as too few replicas are in sync with it")


def _wait_for_followers(others: Iterable[RedisServer], master: RedisServer) -> None:
    late = list(others)

    def is_done() -> bool:
        late[:] = [one for one in late if not _follows(ask(one, ASK_SECONDS), master)]
        return not late

    if not until(FOLLOW_SECONDS, is_done):
        said = "; ".join(ask(one, ASK_SECONDS).said() for one in late)
        raise RedisError(f"not in sync with it in {FOLLOW_SECONDS:g} s: {said}")


def _checked(made: Plan) -> Role:
    now = ask(made.target, ASK_SECONDS)
    if now.error or not now.is_master or now.term < made.term:
        raise RedisError(f"{made.target.name} is not the master of term {made.term}: {now.said()}")
    return now


def _follows(one: Role, master: RedisServer) -> bool:
    return one.linked and one.follows == address(master)


def _keep(servers: Iterable[RedisServer]) -> None:
    """Each writes into its file what it is now, for when it restarts; one that cannot stops no other."""
    failed = []
    for server in servers:
        try:
            with Redis(server, ASK_SECONDS) as redis:
                redis.call("CONFIG", "REWRITE")
        except RedisError as error:
            failed.append(str(error))
    if failed:
        raise RedisError("; ".join(failed))


def _half_way(servers: RedisServers, made: Plan, error: RedisError) -> str:
    stands = "; ".join(one.said() for one in roles(servers, ASK_SECONDS))
    return (
        f"The promotion of {made.target.id} was not finished: {error}. As it stands: {stands}. "
        f"When that is mended, go on with: salt-run flags.promote {made.target.id}"
    )
