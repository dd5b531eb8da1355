"""
A Redis server of a fleet: its users, its settings, and whom it follows; changed live where Redis can.

Passwords are read from the pillar `redis:users` here, and are in no argument, change, comment or process.
"""

from hashlib import sha256
from pathlib import Path

import sluice_redis_access
import sluice_redis_config
import sluice_redis_file
import sluice_redis_live
import sluice_redis_standing
import sluice_redis_watch
from sluice_errors import ConfigError, ReleaseError
from sluice_redis import RedisError
from sluice_redis_converge import Server
from sluice_redis_follow import put_in_role
from sluice_redis_machine import Unit, holds, put_back, running, write
from sluice_redis_watcher import Watcher

__virtualname__ = "redis_server"

SECRET_FILE = "/etc/sluice/redis.salt"


def __virtual__():
    return __virtualname__


def users(name, settings, place, user="redis", sentinel=False, secret=SECRET_FILE):
    """
    The users of `redis:users`, each with its rule of `redis:rules` and no other user; default is off.

    .. code-block:: yaml

        redis-users:
          redis_server.users:
            - name: /etc/redis/users.acl
            - settings: {{ settings | json }}
            - place: {{ place | json }}

    name (str)
        The ACL file. It holds the sha256 of each password.
    settings (dict)
        The pillar `redis` with its defaults, without users.
    place (dict)
        Where things lie: `conf` (its redis.conf), `aclfile`, `directory`, `log`, `unit_file`, and `tls` with
        `ca`, `cert` and `key`.
    user (str)
        Whose files these are. Default redis.
    sentinel (bool)
        Whether they are the users of the Sentinel here, by `redis:sentinel:rules`. Default False.
    secret (str)
        Where Salt keeps its own password of this machine. Default /etc/sluice/redis.salt.

    A running Redis is changed live, and connections stay, but for those of users that are gone. If it does
    not know a rule, nothing is changed, and the state fails with Redis' own words.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "the users are as pillar says"}
    path = Path(name)
    try:
        local = _local(settings, place, secret, sentinel)
        lines = _lines(settings, local, sentinel)
        text = sluice_redis_live.acl_text(lines)
        changes = {} if holds(path, text) else {"file": {"old": _is_there(path), "new": "written"}}
        redis = running(local)
        if redis is None:
            return _only_the_file(ret, path, text, changes, user)
        with redis:
            live, gone = _live_users(redis, lines, local, path)
            changes |= live
            if not changes:
                return ret
            if __opts__["test"]:
                return ret | {"result": None, "changes": changes, "comment": "users would be changed"}
            before = path.read_bytes() if path.exists() else None
            write(path, text, user)
            try:
                sluice_redis_live.set_users(redis, {one: lines[one] for one in live if one in lines}, gone)
            except RedisError:
                put_back(path, before, user)
                raise
    except (ReleaseError, OSError) as error:
        return ret | {"result": False, "comment": f"{_said(error)}. {name} is as it was."}
    return ret | {"changes": changes, "comment": "users changed; connections of the others stay"}


def configured(
    name, settings, place, unit="redis-server", user="redis", deadline_seconds=60, secret=SECRET_FILE
):
    """
    The settings of a Redis server, in force and in its file.

    .. code-block:: yaml

        redis-config:
          redis_server.configured:
            - name: /etc/redis/redis.conf
            - settings: {{ settings | json }}
            - place: {{ place | json }}

    name (str)
        Its redis.conf. One that Salt did not make is replaced once; afterwards it is Redis that writes it.
    settings, place, user, secret
        As for `users`.
    unit (str)
        Its systemd unit. Default redis-server.
    deadline_seconds (float)
        How long to wait for its turn to restart, and for it to be in sync afterwards. Default 60.

    What Redis can change while it runs is changed so, all or nothing. For the rest it is restarted: replicas
    one after the other, then the master, which waits until all of them have the new value and are in sync. If
    its turn does not come in time, the state fails and says who is waited for.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "the settings are in force"}
    try:
        local = _local(settings, place, secret)
        server = Server(local, Unit(unit, user, __salt__), deadline_seconds, __opts__["test"])
        is_ours = sluice_redis_file.is_ours(local.text())
        return ret | (server.converge() if is_ours else server.make())
    except (ReleaseError, OSError) as error:
        return ret | {"result": False, "comment": _said(error)}


def in_role(name, settings, place, user="redis", secret=SECRET_FILE):
    """
    The server follows the true master, or is it. What lives decides, so a failover is never undone.

    .. code-block:: yaml

        redis-role:
          redis_server.in_role:
            - name: redis-2
            - settings: {{ settings | json }}
            - place: {{ place | json }}

    name (str)
        The minion's id.
    settings, place, user, secret
        As for `users`.

    A master that a promotion left over becomes a replica of the true one. Its data are copied aside before,
    into `stale/` of its data directory: writes that only it has are in there, and the comment says where.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": ""}
    try:
        local = _local(settings, place, secret)
        if len(local.plan.servers) < 2:
            return ret | {"comment": "a single server"}
        redis = running(local)
        if redis is None:
            return ret | {"result": None if __opts__["test"] else False, "comment": f"{name}: no Redis runs"}
        with redis:
            return ret | put_in_role(local, redis, __opts__["test"])
    except sluice_redis_standing.Undecided as error:
        return ret | {"result": False, "comment": _said(error)}
    except sluice_redis_standing.NoMaster as error:
        said = f"{_said(error)}. Left as it is; docs/howto/promote-a-redis.md"
        return ret | {"comment": said, "warnings": [said]}
    except (ReleaseError, OSError) as error:
        return ret | {"result": False, "comment": _said(error)}


def watched(name, settings, place, redis_place, unit="redis-sentinel", user="redis", secret=SECRET_FILE):
    """
    The Sentinel of this machine: it watches the master, and promotes a replica with the others when it dies.

    .. code-block:: yaml

        redis-sentinel-config:
          redis_server.watched:
            - name: /etc/redis/sentinel.conf
            - settings: {{ settings | json }}
            - place: {{ sentinel_place | json }}
            - redis_place: {{ place | json }}

    name (str)
        Its file. One that Salt did not make is replaced once; afterwards it is Sentinel that writes it.
    settings, user, secret
        As for `users`.
    place (dict)
        Where Sentinel's things lie, as for `users`.
    redis_place (dict)
        The same of the Redis here, which is asked who the master is when Sentinel does not know one.
    unit (str)
        Its systemd unit. Default redis-sentinel.

    What Sentinel learned is never taken from it: the master it found, its epochs, other Sentinels.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "Sentinel watches as pillar says"}
    try:
        local = _local(settings, place, secret, sentinel=True)
        redis_local = _local(settings, redis_place, secret)
        word = _password(_accounts(), sluice_redis_watch.USER)
        watcher = Watcher(
            local, redis_local, Unit(unit, user, __salt__), settings["sentinel"], word, __opts__["test"]
        )
        return ret | watcher.bring_in_line()
    except (ReleaseError, OSError) as error:
        return ret | {"result": False, "comment": _said(error)}


def kernel(name, settings, proc="/proc/sys"):
    """
    Settings of the kernel, now and after the next boot; a machine that may not set them says so.

    .. code-block:: yaml

        redis-kernel:
          redis_server.kernel:
            - name: /etc/sysctl.d/60-sluice-redis.conf
            - settings:
                vm.overcommit_memory: 1

    name (str)
        The file below /etc/sysctl.d.
    settings (dict)
        Name to integer. `net.core.somaxconn` is only ever raised.
    proc (str)
        Where the kernel has them. Default /proc/sys.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "the kernel's settings are in force"}
    path, not_allowed = Path(name), []
    try:
        text = "".join(f"{one} = {value}\n" for one, value in sorted(settings.items()))
        changes = {} if holds(path, text) else {"file": {"old": _is_there(path), "new": "written"}}
        for one, wanted in settings.items():
            place = Path(proc, one.replace(".", "/"))
            found = int(place.read_text()) if place.exists() else None
            if found is None or (found < wanted if one == "net.core.somaxconn" else found != wanted):
                if not _may_set(place):
                    now = "not there" if found is None else found
                    not_allowed.append(f"{one}, which is {now} (want {wanted})")
                    continue
                changes[one] = {"old": found, "new": wanted}
                if not __opts__["test"]:
                    place.write_text(f"{wanted}\n")
        if "file" in changes and not __opts__["test"]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    except (OSError, ValueError) as error:
        return ret | {"result": False, "comment": _said(error)}
    if not_allowed:
        ret["comment"] = (
            f"this machine may not set {', '.join(not_allowed)}: "
            "a container has the kernel of its host, set it there"
        )
    if changes:
        ret |= {"changes": changes, "result": None if __opts__["test"] else True}
    return ret


def _may_set(place):
    """Whether a setting of the kernel can be written here; nothing is."""
    try:
        with place.open("r+"):
            return True
    except OSError:
        return False


def _local(settings, place, secret, sentinel=False):
    """The server of this machine, or its Sentinel; ConfigError if pillar cannot be meant."""
    if not isinstance(settings, dict):
        raise ConfigError(f"pillar redis is a {type(settings).__name__}; want a dict")
    accounts = _accounts()
    unit_file = Path(place["unit_file"])
    mark = f"redis-{sha256(unit_file.read_bytes()).hexdigest()[:12]}" if unit_file.exists() else ""
    where = sluice_redis_config.Place(
        place["aclfile"], place["directory"], place["log"], mark, place.get("tls") or {}
    )
    pillar = {**settings, "users": accounts}
    if sentinel:
        pillar["port"] = settings["sentinel"]["port"]
    plan = sluice_redis_config.plan(pillar, __grains__["id"], where)
    word = sluice_redis_access.local_password(Path(secret), make=not __opts__["test"])
    return sluice_redis_access.Local(
        Path(place["conf"]),
        plan,
        _password(accounts, "admin"),
        word,
        sluice_redis_access.PACKAGED_SENTINEL if sentinel else sluice_redis_access.PACKAGED,
    )


def _accounts():
    # Not by pillar.get: Salt 3008 answers a state with asterisks.
    accounts = __pillar__.get("redis", {}).get("users", {})
    if not isinstance(accounts, dict) or not all(isinstance(one, dict) for one in accounts.values()):
        raise ConfigError("pillar redis:users: want a name and a password in each line")
    _password(accounts, "admin")
    return accounts


def _password(accounts, name):
    word = accounts.get(name, {}).get("password")
    if not isinstance(word, str) or not word or not word.isprintable():
        raise ConfigError(f"pillar redis:users:{name}:password is empty or not one line of text")
    return word


def _lines(settings, local, sentinel):
    """User to rights, as the ACL file has them."""
    accounts, rules = _accounts(), settings.get("rules") or {}
    if sentinel:
        rules = sluice_redis_watch.rules(settings["sentinel"], accounts)
        accounts = {name: accounts[name] for name in rules}
    for name in accounts:
        if name in ("default", sluice_redis_live.LOCAL_USER):
            raise ConfigError(f"pillar redis:users:{name}: this name is taken; choose another one")
        if not isinstance(rules.get(name), str):
            raise ConfigError(f"pillar redis:users:{name} has no line in redis:rules")
        if not sluice_redis_config.ID.match(str(name)):
            raise ConfigError(f"pillar redis:users: {name!r} is not a name of letters, digits, . _ and -")
    passwords = {name: _password(accounts, name) for name in accounts}
    return sluice_redis_live.acl_lines(passwords, rules, local.local_password)


def _live_users(redis, lines, local, path):
    """What differs in a running Redis, and who is to go. Both empty for one that has another ACL file yet."""
    wanted = sluice_redis_live.understood(redis, lines)
    if sluice_redis_file.parsed(local.text()).get("aclfile") != str(path):
        return {}, []
    found = sluice_redis_live.users_of(redis)
    return sluice_redis_live.users_told(wanted, found), sorted(found.keys() - wanted.keys())


def _only_the_file(ret, path, text, changes, user):
    said = "no Redis runs: its rules are read when it starts"
    if not changes:
        return ret | {"comment": f"the file is as pillar says; {said}"}
    if __opts__["test"]:
        return ret | {"result": None, "changes": changes, "comment": "would be written"}
    write(path, text, user)
    return ret | {"changes": changes, "comment": f"written; {said}"}


def _is_there(path):
    return "other" if path.exists() else "absent"


def _said(error):
    return str(error).rstrip(".")
