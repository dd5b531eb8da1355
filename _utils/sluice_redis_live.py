"""A running Redis or Sentinel of this machine: log in, read its settings and users, change what differs."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack

from sluice_config import RedisServer
from sluice_redis import Redis, RedisError
from sluice_redis_config import FIXED
from sluice_redis_file import MANY, SECRET, parsed, same

# Salt's own log-in on each machine, so that a changed password of `admin` is no lock-out. Its password is
# made on the machine and never leaves it.
LOCAL_USER = "salt"
LOCAL_RULES = "~* &* +@all"
# Nobody can be `default`: it is off and has no password. Its rights are those with which Redis 7.0 reads its
# append-only file at a start; without them it drops every transaction in there, and says so only in its log.
DEFAULT_USER = "off ~* &* +@all"
# Off and without a password: Redis reads the rules of a user with it before a real one gets them.
SCRATCH = "sluice:check"
# Setting up replication, or a rewrite of the file on a slow disk; a healthy Redis answers in milliseconds.
SECONDS = 5.0
# In this order, each only when the last is done: a port that is taken must be free first.
NETWORK = ("bind", "port", "tls-port")
HIDDEN = "(secret)"
# Nothing logs by this name, and Redis takes it at its start only: it holds a digest of the systemd unit, so
# that a changed unit is a reason to restart like any other, and other servers can see whose is done.
UNIT_MARK = "syslog-ident"


def connect(candidates: Iterable[RedisServer], seconds: float = SECONDS) -> Redis:
    """Log in as the first that Redis takes. RedisError, of a refusal if there was one, if it takes none."""
    refused = RedisError("there is no log-in to try")
    for one in candidates:
        try:
            with ExitStack() as stack:
                redis = stack.enter_context(Redis(one, seconds))
                redis.call("PING")
                stack.pop_all()
            return redis
        except RedisError as error:
            if error.code == "LOADING":
                # This is the one, and it takes this log-in; it has just started.
                raise
            refused = error if error.code or not refused.code else refused
    raise refused


def settings_of(redis: Redis) -> dict[str, str]:
    """All settings of a running Redis."""
    return pairs(redis.call("CONFIG", "GET", "*"))


def writes_file(redis: Redis) -> bool:
    """Whether Redis is at work on a new append-only file."""
    return "aof_rewrite_in_progress:1" in str(redis.call("INFO", "persistence"))


def pairs(reply: object) -> dict[str, str]:
    """A reply of names and values, one after the other."""
    if not isinstance(reply, list) or len(reply) % 2:
        raise RedisError("it answers with no list of pairs")
    return {str(name): str(value) for name, value in zip(reply[::2], reply[1::2], strict=True)}


def difference(wanted: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """Those of `wanted` that are otherwise in `found`."""
    return {
        name: value
        for name, value in wanted.items()
        if name not in found or not same(name, found[name], value)
    }


def stale_in_file(text: str, wanted: Mapping[str, str]) -> dict[str, str]:
    """Those of `wanted` that the file has otherwise. What it does not have at all is at its default."""
    found = {name: value for name, value in parsed(text).items() if name not in MANY - {"bind"}}
    return {name: value for name, value in difference(wanted, found).items() if name in found}


def named(settings: Iterable[str]) -> str:
    """Settings in a message; the one that stands for the systemd unit by what it means."""
    return ", ".join("its unit" if name == UNIT_MARK else name for name in sorted(settings))


def told(wanted: Mapping[str, str], found: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What changes, for a user to read; secrets are not told."""
    return {
        name: {"old": HIDDEN, "new": f"{HIDDEN}, another one"}
        if name in SECRET
        else {"old": found.get(name, ""), "new": value}
        for name, value in sorted(wanted.items())
    }


def fixed(names: Mapping[str, str]) -> dict[str, str]:
    """Those settings that Redis takes at its start only."""
    return {name: value for name, value in names.items() if name in FIXED}


def set_live(redis: Redis, wanted: Mapping[str, str]) -> None:
    """
    Change what can be changed while it runs, all or nothing but for ports, and keep it in the file.

    RedisError with Redis' own reason; ports are then as they were.
    """
    plain = {name: value for name, value in wanted.items() if name not in NETWORK}
    if plain:
        redis.call("CONFIG", "SET", *(word for pair in sorted(plain.items()) for word in pair))
    ports = [(name, wanted[name]) for name in NETWORK if name in wanted]
    # What closes comes before what opens: both may be the same port.
    ports.sort(key=lambda pair: pair[1] != "0")
    before = settings_of(redis) if ports else {}
    done: list[str] = []
    for name, value in ports:
        try:
            redis.call("CONFIG", "SET", name, value)
        except RedisError:
            for other in reversed(done):
                redis.call("CONFIG", "SET", other, before[other])
            raise
        done.append(name)
    redis.call("CONFIG", "REWRITE")
    if wanted.keys() & {"port", "tls-port"}:
        # Whoever came in by the old port, without TLS perhaps, comes back by the new one.
        for kind in ("normal", "pubsub", "replica", "master"):
            redis.call("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


def acl_lines(users: Mapping[str, str], rules: Mapping[str, str], local_password: str) -> dict[str, str]:
    """
    User to its rights, as in an ACL file. `users`: name to password, each with a rule of its name.

    Only the sha256 of a password is in it.
    """
    found = {"default": DEFAULT_USER, LOCAL_USER: f"on #{_digest(local_password)} {LOCAL_RULES}"}
    for name, password in sorted(users.items()):
        found[name] = f"on #{_digest(password)} {' '.join(rules[name].split())}"
    return found


def _digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def acl_text(lines: Mapping[str, str]) -> str:
    """The ACL file."""
    return "".join(f"user {name} {rights}\n" for name, rights in lines.items())


def users_of(redis: Redis) -> dict[str, str]:
    """User to rights in Redis' own words."""
    return {name: rights for name, rights in map(_user, _listed(redis)) if name != SCRATCH}


def _listed(redis: Redis) -> list[object]:
    reply = redis.call("ACL", "LIST")
    if not isinstance(reply, list):
        raise RedisError("it answers ACL LIST with no list")
    return list(reply)


def _user(line: object) -> tuple[str, str]:
    # `user NAME ...`; SETUSER adds a flag that a line of a file does not.
    _, name, *words = str(line).split(" ")
    return name, " ".join(word for word in words if word != "sanitize-payload")


def understood(redis: Redis, lines: Mapping[str, str]) -> dict[str, str]:
    """
    The same users in Redis' own words, to compare with `users_of`.

    RedisError names the user and what Redis does not know in its rights; no user was touched then.
    """
    found = {}
    try:
        for name, rights in lines.items():
            try:
                redis.call("ACL", "SETUSER", SCRATCH, "reset", *rights.split(" "), "off")
            except RedisError as error:
                raise RedisError(f"user {name}: {error}", error.code) from error
            shown = dict(map(_user, _listed(redis)))[SCRATCH]
            found[name] = _switched(shown, rights.split(" ")[0])
    finally:
        redis.call("ACL", "DELUSER", SCRATCH)
    return found


def _switched(rights: str, state: str) -> str:
    """Rights with `off` as the scratch user has it, or `on` as the real one."""
    return f"{state}{rights.removeprefix('off')}"


def set_users(redis: Redis, lines: Mapping[str, str], gone: Sequence[str]) -> None:
    """
    Give users their rights and passwords, and remove those that are gone.

    Not by ACL LOAD: in Redis 7.0 that closes every connection, also of users who are as they were. SETUSER
    leaves the connections of all but removed users alone.
    """
    for name, rights in lines.items():
        redis.call("ACL", "SETUSER", name, "reset", *rights.split(" "))
    if gone:
        redis.call("ACL", "DELUSER", *gone)


def users_told(lines: Mapping[str, str], found: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What changes for users, for a user to read: never a password, and not its digest."""
    changed = {}
    for name in sorted({*lines, *found}):
        old, new = found.get(name), lines.get(name)
        if old == new:
            continue
        if old is None or new is None:
            changed[name] = {"old": "present" if old else "absent", "new": "present" if new else "absent"}
        elif _without_password(old) == _without_password(new):
            changed[name] = {"old": HIDDEN, "new": f"{HIDDEN}, another one"}
        else:
            changed[name] = {"old": _without_password(old), "new": _without_password(new)}
    return changed


def _without_password(rights: str) -> str:
    return " ".join(word for word in rights.split(" ") if not word.startswith("#"))
