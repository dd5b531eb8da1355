"""
A Redis server of a fleet: its users, its settings, and whom it follows; changed live where Redis can.

Passwords are read from the pillar `redis:users` here, and are in no argument, change, comment or process.
"""

import os
import shutil
import time
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import sluice_redis_access
import sluice_redis_config
import sluice_redis_file
import sluice_redis_live
import sluice_redis_roles
import sluice_redis_standing
import sluice_redis_watch
from sluice_errors import ConfigError, ReleaseError
from sluice_redis import RedisError

__virtualname__ = "redis_server"

SECRET_FILE = "/etc/sluice/redis.salt"
# Redis reads its data before it answers: a second or two for the sizes that are usual here.
START_SECONDS = 30
PAUSE_SECONDS = 0.1
# How long a stale master takes no writes while its data are copied.
COPY_SECONDS = 60
# Like Redis' own files: its group may read them, nobody else.
MODE = 0o640


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
        changes = {} if _holds(path, text) else {"file": {"old": _is_there(path), "new": "written"}}
        redis = _running(local)
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
            _write(path, text, user)
            try:
                sluice_redis_live.set_users(redis, {one: lines[one] for one in live if one in lines}, gone)
            except RedisError:
                _put_back(path, before, user)
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
        server = _Server(local, unit, user, deadline_seconds)
        if not sluice_redis_file.is_ours(local.text()):
            return ret | server.make()
        return ret | server.converge()
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
        redis = _running(local)
        if redis is None:
            return ret | {"result": None if __opts__["test"] else False, "comment": f"{name}: no Redis runs"}
        with redis:
            return ret | _in_role(local, redis)
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
        return ret | _watched(local, redis_local, settings["sentinel"], unit, user)
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
        changes = {} if _holds(path, text) else {"file": {"old": _is_there(path), "new": "written"}}
        for one, wanted in settings.items():
            place = Path(proc, one.replace(".", "/"))
            found = int(place.read_text()) if place.exists() else None
            if found is None or (found < wanted if one == "net.core.somaxconn" else found != wanted):
                if not _may_write(place):
                    not_allowed.append(f"{one} is {found} (want {wanted})")
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


def _may_write(place):
    """Whether a setting of the kernel can be written here; nothing is."""
    try:
        with place.open("r+"):
            return True
    except OSError:
        return False


def _watched(local, redis_local, pillar, unit, user):
    word = _password(_accounts(), sluice_redis_watch.USER)
    watch = sluice_redis_watch.of_master(pillar, len(local.plan.servers), word)
    own = sluice_redis_watch.of_itself(local.plan, word)
    text = local.text()
    if not sluice_redis_file.is_ours(text):
        changes = {"file": {"old": "the package's" if text else "absent", "new": "made"}}
        if __opts__["test"]:
            return {"result": None, "changes": changes, "comment": "would be made"}
        master = _master_here(redis_local)
        _stopped(unit)
        _write(local.conf, sluice_redis_watch.seed(local.plan, master, watch, own), user)
        _restart(unit)
        with _answering(local, unit):
            pass
        return {"changes": changes, "comment": f"made: it watches {master[0]}:{master[1]}"}
    redis, started = _running(local), {}
    if redis is None:
        started = {unit: "started"}
        if __opts__["test"]:
            return {"result": None, "changes": started, "comment": "would be started"}
        __salt__["service.start"](unit)
        redis = _answering(local, unit)
    with redis:
        wanted = sluice_redis_watch.differing(redis, text, watch, own)
        changes = started | sluice_redis_watch.told(wanted)
        at_start = sluice_redis_watch.stale_at_start(text, local.plan)
        if not at_start and sluice_redis_access.serves_another_certificate(local):
            at_start = {"tls-cert-file": local.plan.settings["tls-cert-file"]}
        changes |= sluice_redis_watch.told(at_start)
        if not changes:
            return {}
        if __opts__["test"]:
            return {"result": None, "changes": changes, "comment": "would be changed"}
        if wanted:
            sluice_redis_watch.set_live(redis, wanted, own, _master_here(redis_local))
            left = sluice_redis_watch.differing(redis, local.text(), watch, own)
            if left:
                raise RedisError(f"Sentinel did not take {', '.join(sorted(left))}")
    if not at_start:
        return {"changes": changes, "comment": "changed while it runs"}
    _stopped(unit)
    _write(local.conf, sluice_redis_file.edited(local.text(), at_start), user)
    _restart(unit)
    with _answering(local, unit):
        pass
    return {"changes": changes, "comment": f"restarted for {sluice_redis_live.named(at_start)}"}


def _master_here(local):
    """Host and port of the master, as the Redis of this machine has it."""
    redis = _running(local)
    if redis is None:
        raise RedisError("no Redis runs here that could say who the master is")
    with redis:
        me = sluice_redis_roles.state(redis, local.admin())
    host, _, port = (me.follows or sluice_redis_roles.address(local.admin())).rpartition(":")
    return host, int(port)


def _stopped(unit):
    # Sentinel writes its file whenever it likes: nothing is written beside it while it runs.
    __salt__["service.stop"](unit)


class _Server:
    """The Redis server of this machine, while its settings are brought in line."""

    def __init__(self, local, unit, user, deadline):
        self.local, self.plan, self.unit, self.user, self.deadline = local, local.plan, unit, user, deadline

    def make(self):
        """Its first file, in the role that what lives leaves it."""
        _refuse_foreign_data(self.local)
        standing = _first_standing(self.local, self.deadline)
        follows = (standing.follows.host, standing.follows.port) if standing.follows else None
        role = f"replica of {standing.follows.name}" if follows else "master"
        changes = {"file": {"old": "the package's", "new": "made"}, "role": {"old": "", "new": role}}
        if __opts__["test"]:
            return {
                "result": None,
                "changes": changes,
                "comment": f"would be made: {role}, as {standing.why}",
            }
        old = self.local.text()
        if old:
            _write(self.local.conf.with_suffix(".conf.package"), old, self.user)
        _write(self.local.conf, sluice_redis_file.seed(self.plan.settings, follows), self.user)
        _restart(self.unit)
        with _answering(self.local, self.unit) as redis:
            self._verify(redis)
        return {"changes": changes, "comment": f"made: {role}, as {standing.why}"}

    def converge(self):
        """Live what can be, the rest by a restart in its turn."""
        redis = _running(self.local)
        if redis is None:
            if __opts__["test"]:
                return {"result": None, "changes": {self.unit: "started"}, "comment": "would be started"}
            __salt__["service.start"](self.unit)
            redis = _answering(self.local, self.unit)
            started = {self.unit: "started"}
        else:
            started = {}
        with redis:
            found = sluice_redis_live.settings_of(redis)
            wanted = self._differing(found)
            at_start = sluice_redis_live.fixed(wanted)
            live = {name: value for name, value in wanted.items() if name not in at_start}
            in_file = sluice_redis_live.stale_in_file(self.local.text(), self.plan.settings)
            changes = started | sluice_redis_live.told(wanted, found)
            for name in in_file.keys() - wanted.keys():
                changes[name] = {"old": "another value in the file", "new": "as it runs"}
            if not changes:
                return {}
            if __opts__["test"]:
                return {"result": None, "changes": changes, "comment": _planned(at_start)}
            if live or in_file.keys() - at_start.keys():
                sluice_redis_live.set_live(redis, live)
                self._verify(redis, live)
        if not at_start:
            return {"changes": changes, "comment": "changed while it runs" if live else "the file is written"}
        return self._restarted(at_start, changes, live)

    def _differing(self, found):
        wanted = sluice_redis_live.difference(self.plan.settings, found)
        if self.plan.tls and not wanted and sluice_redis_access.serves_another_certificate(self.local):
            # The same name once more: Redis reads the files again.
            wanted["tls-cert-file"] = self.plan.settings["tls-cert-file"]
        return wanted

    def _verify(self, redis, only=None):
        """Read back; RedisError if Redis took a value as another one."""
        found = sluice_redis_live.settings_of(redis)
        left = sluice_redis_live.difference(self.plan.settings if only is None else only, found)
        if left:
            name = min(left)
            raise RedisError(
                f"Redis has {name} as {found.get(name)!r} (want {left[name]!r}); write it as Redis shows it"
                if name not in sluice_redis_file.SECRET
                else f"Redis did not take {name}"
            )

    def _restarted(self, at_start, changes, live):
        waited = self._wait_for_turn(at_start)
        if waited.said:
            changes = {one: change for one, change in changes.items() if one not in at_start}
            what = sluice_redis_live.named(at_start)
            said = (
                f"{what}: Redis takes this at its start only, and it is not this server's turn to restart: "
                f"after {self.deadline:g} s {waited.said}. Nothing was restarted. Apply the state to all of "
                "them (salt -N redis state.apply redis); take one that is gone for good out of redis:servers"
            )
            return {"result": False, "changes": changes, "comment": said}
        text = self.local.text()
        _write(self.local.conf, sluice_redis_file.edited(text, at_start), self.user)
        _restart(self.unit)
        with _answering(self.local, self.unit) as redis:
            self._verify(redis, at_start)
            self._wait_for_sync(redis)
        so = "changed while it runs; " if live else ""
        return {
            "changes": changes,
            "comment": f"{so}restarted for {sluice_redis_live.named(at_start)}{waited}",
        }

    def _wait_for_turn(self, at_start):
        others, waited = _others(self.local), _Waited()
        if not others:
            return waited
        while True:
            with _answering(self.local, self.unit) as redis:
                me = sluice_redis_roles.state(redis, self.local.admin())
            waited.said = sluice_redis_standing.waits_for(me, others, at_start)
            if not waited.said or waited.seconds > self.deadline:
                return waited
            waited.add(waited.said)
            time.sleep(5 * PAUSE_SECONDS)

    def _wait_for_sync(self, redis):
        deadline = time.monotonic() + self.deadline
        redis.extend(self.deadline + START_SECONDS)
        while True:
            me = sluice_redis_roles.state(redis, self.local.admin())
            if me.is_master or me.linked:
                return
            if time.monotonic() > deadline:
                raise RedisError(
                    f"restarted, but not in sync with {me.follows} after {self.deadline:g} s; see its log "
                    f"and that of its master"
                )
            time.sleep(PAUSE_SECONDS)


class _Waited:
    """How long, and for what; `said` is what is still waited for."""

    def __init__(self):
        self.said, self._begun, self._for = "", time.monotonic(), []

    @property
    def seconds(self):
        return time.monotonic() - self._begun

    def add(self, said):
        if said not in self._for:
            self._for.append(said)

    def __str__(self):
        return f" after {self.seconds:.1f} s of waiting ({'; '.join(self._for)})" if self._for else ""


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
    _write(path, text, user)
    return ret | {"changes": changes, "comment": f"written; {said}"}


def _in_role(local, redis):
    declared = _declared(local)
    me = sluice_redis_roles.state(redis, local.admin(), ("DBSIZE",))
    others = sluice_redis_standing.everyone(_others(local))
    standing = sluice_redis_standing.now(me, others, declared, local.plan.first_master)
    if standing.follows is None:
        return _promoted(me, redis, standing)
    master = standing.follows
    if me.follows == sluice_redis_roles.address(master):
        return {"comment": f"a replica of {master.name}: {standing.why}"}
    old = f"replica of {me.follows}" if me.follows else f"master of term {me.term}"
    changes = {"role": {"old": old, "new": f"replica of {master.name}"}}
    if __opts__["test"]:
        return {"result": None, "changes": changes, "comment": f"would follow {master.name}: {standing.why}"}
    kept = _copy_aside(local, redis) if me.is_master and me.reply else ""
    for words in (("REPLICAOF", master.host, str(master.port)), ("CLIENT", "UNPAUSE"), ("CONFIG", "REWRITE")):
        redis.call(*words)
    after = sluice_redis_roles.state(redis, local.admin())
    if after.follows != sluice_redis_roles.address(master):
        raise RedisError(f"REPLICAOF {master.host}: it still says {after.said()}")
    return {"changes": changes, "comment": f"follows {master.name} now: {standing.why}{kept}"}


def _promoted(me, redis, standing):
    """This machine is the master. One that lives is never made so by a highstate."""
    if me.is_master:
        return {"comment": f"the master: {standing.why}"}
    return {"result": False, "comment": f"a replica, although {standing.why}; see flags.promote"}


def _copy_aside(local, redis):
    """Copy the data of a master that is left over; what to say about it. It takes no writes meanwhile."""
    settings = sluice_redis_live.settings_of(redis)
    source = Path(settings["dir"], settings["appenddirname"])
    target = Path(settings["dir"], "stale", datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"))
    redis.extend(COPY_SECONDS)
    redis.call("CLIENT", "PAUSE", str(COPY_SECONDS * 1000), "WRITE")
    try:
        target.parent.mkdir(mode=0o700, exist_ok=True)
        shutil.copytree(source, target)
    except OSError as error:
        redis.call("CLIENT", "UNPAUSE")
        raise RedisError(
            f"its old data cannot be copied to {target} ({error}); it is left as it is"
        ) from error
    return f". Its old data are in {target}"


def _first_standing(local, deadline):
    """What it is to be, asked again while a server lives that does not let Salt in yet."""
    end = time.monotonic() + deadline
    while True:
        others = sluice_redis_standing.everyone(_others(local))
        try:
            return sluice_redis_standing.first(
                others, _declared(local), local.plan.id, local.plan.first_master
            )
        except sluice_redis_standing.Undecided:
            if time.monotonic() > end or not any("refuses" in one.error for one in others):
                raise
            time.sleep(PAUSE_SECONDS)


def _refuse_foreign_data(local):
    """A Redis that Salt did not make may be somebody's: its data would be left behind."""
    redis = _running(local)
    if redis is None:
        return
    with redis:
        keys = redis.call("DBSIZE")
    if keys:
        raise RedisError(
            f"{local.conf} was not made by Salt, and its Redis holds {keys} keys. Move them elsewhere and "
            "empty it, or take this machine out of the role"
        )


def _declared(local):
    return sluice_redis_standing.as_user(local.plan.servers, local.plan.port, local.admin(), local.plan.ha)


def _others(local):
    return [one for one in _declared(local).servers if one.id != local.plan.id]


def _running(local):
    """A connection to the Redis of this machine; None if none answers. RedisError if it lets nobody in."""
    try:
        return sluice_redis_live.connect(local.candidates())
    except RedisError as error:
        if error.code in ("WRONGPASS", "NOAUTH", "NOPERM"):
            raise RedisError(
                f"{error}. Salt has no log-in here. If the password of admin was changed before Salt had a "
                "user of its own on this machine, restart Redis: it reads its users at its start"
            ) from error
        return None


def _answering(local, unit):
    """The same after a start, waited for."""
    deadline = time.monotonic() + START_SECONDS
    while (redis := _running(local)) is None:
        if time.monotonic() > deadline:
            raise RedisError(
                f"{unit} does not answer {START_SECONDS} s after its start; "
                f"see `journalctl -u {unit}` and its log"
            )
        time.sleep(PAUSE_SECONDS)
    return redis


def _restart(unit):
    # A changed unit is read anew before it is started by it.
    __salt__["service.systemctl_reload"]()
    if not __salt__["service.restart"](unit):
        raise RedisError(f"{unit} does not start; see `journalctl -u {unit}` and its log")


def _planned(at_start):
    so = f"; restarted in its turn for {sluice_redis_live.named(at_start)}" if at_start else ""
    return f"would be changed while it runs{so}"


def _holds(path, text):
    return path.exists() and path.read_bytes() == text.encode()


def _is_there(path):
    return "other" if path.exists() else "absent"


def _put_back(path, before, user):
    if before is None:
        path.unlink(missing_ok=True)
    else:
        _write(path, before.decode(), user)


def _write(path, text, user):
    """Put a file in place whole."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "w") as handle:
        os.fchmod(handle.fileno(), MODE)
        # The group is that of the folder: Redis' own.
        shutil.chown(fresh, user, path.parent.stat().st_gid)
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    fresh.replace(path)


def _said(error):
    return str(error).rstrip(".")
