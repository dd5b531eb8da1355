"""
Feature flags, from the Salt master.

Servers and passwords come from /etc/sluice/release.json. What the orders do stands in
`_utils/sluice_flag_*.py`; here is only the edge to Salt. At a terminal they answer with text; with
`--out=json`, and to other code, with data.
"""

import functools
import time

import sluice_config
import sluice_flag_input
import sluice_flag_orders
import sluice_flag_show
import sluice_redis_failover
import sluice_redis_table
from sluice_errors import RefusedError
from sluice_flag_orders import Flags
from sluice_flag_watch import Watch
from sluice_runner import Failed, for_users, is_for_people

__func_alias__ = {"set_": "set", "list_": "list"}


def _for_users(function):
    """Turn the expected errors into text and an exit code. In this module, see sluice_runner."""

    @functools.wraps(function)
    def edge(*args, **kwargs):
        with for_users(f"flags.{function.__name__}"):
            return function(*args, **kwargs)

    return edge


def _servers():
    path = __opts__.get("sluice_release", sluice_config.PATH)
    servers = sluice_config.load(path).redis
    if not servers.servers:
        raise RefusedError(
            f"{path} names no Redis servers. Give the master's pillar redis:servers, then apply its state."
        )
    return servers


def _flags():
    by = sluice_flag_input.who(globals().get("__user__"), "master")
    return Flags(_servers().user("writer"), by)


def _answer(function, text, data):
    """`text()` if people read it, else `data()`."""
    return text() if is_for_people(__opts__, f"flags.{function}") else data()


def _done(function, done):
    return _answer(function, lambda: sluice_flag_show.line(done), lambda: sluice_flag_show.told_done(done))


@_for_users
def set_(name, value, wait=False, timeout=sluice_flag_orders.SPREAD_SECONDS, new=False):
    """
    Give a flag a value. Safe to repeat.

    CLI Example:

    .. code-block:: bash

        salt-run flags.set key1 1
        salt-run flags.set key1 1 wait=True

    name (str)
        The flag.
    value (int, bool or str)
        1 or 0 (also on, off, true, false), or the name of one of the flag's variants. Where a flag declares
        variants, `on` is the variant of that name and is quoted twice: `'"on"'`.
    wait (bool)
        Return when every server has it, read back at each. Default False: when one replica has it.
    timeout (float, seconds)
        How long `wait` may take, 0.1-86400. Default 5.
    new (bool)
        Make the flag if there is none of this name. Default False: refuse, and name those that look like it.

    Returns a line, or `{"flag", "value", "was", "changed", "master", "replicas"}`, with `wait` instead of
    `replicas` `servers_ms` (id to milliseconds from the write until the value was read there) and `ms` in
    all.

    Fails for an unknown flag or a wrong value, if there is no master or Redis refuses; also, and says so,
    when it is set but no replica (with `wait`: not every one) had it in time.
    """
    seconds = sluice_flag_input.seconds_of("timeout", timeout)
    waits, is_new = sluice_flag_input.flag_of("wait", wait), sluice_flag_input.flag_of("new", new)
    return _done("set", _flags().set(name, value, new=is_new, wait_seconds=seconds if waits else None))


@_for_users
def describe(name, owner=None, description=None, expires=None):
    """
    Say what a flag is for. A flag that is not there yet is made, without a value: that is off.

    CLI Example:

    .. code-block:: bash

        salt-run flags.describe key1 owner=pictures description='Shows the picture' expires=2027-03-31

    name (str)
        The flag.
    owner, description (str)
        One line each. An empty text removes it; what is not given stays.
    expires (str)
        The day, YYYY-MM-DD, from which on lists mark it as stale (UTC). It goes on working.

    Returns and fails as :py:func:`set_`.
    """
    return _done("describe", _flags().describe(name, owner, description, expires))


@_for_users
def rules(name, rules=None, variants=None):
    """
    Give a flag rules and variants, see docs/reference/flag-rules.md.

    CLI Example:

    .. code-block:: bash

        salt-run flags.rules key1 '{"match": [{"percentage": 10}]}'

    name (str)
        The flag. One that is not there yet is made, without a value.
    rules, variants (dict)
        Replace those it has; `{}` removes them; what is not given stays.

    Returns and fails as :py:func:`set_`, and for rules that contradict.
    """
    return _done("rules", _flags().rule(name, rules, variants))


@_for_users
def delete(name):
    """
    Remove a flag, value and description; applications take it as off. Its history stays for 90 days.

    CLI Example:

    .. code-block:: bash

        salt-run flags.delete key1

    name (str)
        The flag.

    Returns and fails as :py:func:`set_`.
    """
    return _done("delete", _flags().delete(name))


@_for_users
def get(name, servers=False):
    """
    All of one flag.

    CLI Example:

    .. code-block:: bash

        salt-run flags.get key1
        salt-run flags.get key1 servers=True

    name (str)
        The flag.
    servers (bool)
        Also ask every server for its value. Default False.

    Returns text, or `value` (None if absent), `owner`, `description`, `expires`, `variants`, `rules` as far
    as it has them, `stale` (bool), `changed` (UTC) and `by` of the latest change, `outside` (bool: changed
    since by redis-cli or another program), `problem` if some of it cannot be read, and `servers`: id to value
    or error.

    Fails for an unknown flag, or if no server answers.
    """
    flags, asks, now = _flags(), sluice_flag_input.flag_of("servers", servers), time.time()
    flag = flags.get(name)
    values = flags.values(name) if asks else {}
    return _answer(
        "get",
        lambda: sluice_flag_show.one(flag, now, values),
        lambda: sluice_flag_show.told(flag, now) | ({"servers": values} if asks else {}),
    )


@_for_users
def list_():
    """
    Every flag, also those that only redis-cli knows; those past their expiry are marked STALE.

    CLI Example:

    .. code-block:: bash

        salt-run flags.list

    Returns a table, or name to what :py:func:`get` returns. Fails if no server answers.
    """
    found, now = _flags().all(), time.time()
    return _answer(
        "list",
        lambda: sluice_flag_show.listing(found, now),
        lambda: {flag.name: sluice_flag_show.told(flag, now) for flag in found},
    )


@_for_users
def history(name):
    """
    Who changed a flag when, newest first, the last 100 times.

    CLI Example:

    .. code-block:: bash

        salt-run flags.history key1

    name (str)
        The flag; also one that was deleted within the last 90 days.

    Returns a table, or a list of `{"at", "by", "what", "from", "to"}`; `what` is `set`, `describe`, `rules`
    or `delete`. A first entry with `at: None` is a change made by redis-cli or another program since.

    Fails for an unknown flag, or if no server answers.
    """
    flag = _flags().get(name)
    return _answer(
        "history", lambda: sluice_flag_show.history(flag), lambda: sluice_flag_show.told_history(flag)
    )


@_for_users
def wait(name, value, timeout=30):
    """
    Wait until every server has this value of a flag.

    CLI Example:

    .. code-block:: bash

        salt-run flags.wait key1 1 timeout=10

    name (str), value (int, bool or str)
        As for :py:func:`set_`.
    timeout (float, seconds)
        0.1-86400. Default 30.

    Returns a line, or id of the server to milliseconds. Fails with the servers that do not have it in time.
    """
    seen = _flags().wait(name, value, sluice_flag_input.seconds_of("timeout", timeout))
    return _answer(
        "wait",
        lambda: f"every server has it: {sluice_flag_show.reached(seen)}",
        lambda: {id_: one.ms for id_, one in seen.items()},
    )


@_for_users
def watch(name="all", seconds=60):
    """
    Print the changes of a flag, or of all, as they come.

    CLI Example:

    .. code-block:: bash

        salt-run flags.watch key1 seconds=300

    name (str)
        The flag. Default all.
    seconds (float)
        How long to listen, 0.1-86400; then it ends by itself. Default 60.

    Returns how many changes there were, or a list of `{"flag", "at", "by", "what", "from", "to"}`, oldest
    first. Goes on when the master is lost and another one takes over; fails if there is none at the end.
    """
    flags, listens = _flags(), sluice_flag_input.seconds_of("seconds", seconds)
    watching, seen = Watch(flags.reader, sluice_flag_input.watched_name(name)), []
    for flag, entry in watching.changes(listens):
        seen.append({"flag": flag} | sluice_flag_show.told_entry(entry))
        _tell("watch", sluice_flag_show.event(flag, entry))
    count = f"{len(seen)} change{'' if len(seen) == 1 else 's'} in {listens:g} s"
    return _answer("watch", lambda: count, lambda: seen)


@_for_users
def servers():
    """
    Every Redis server: whether it is the master or a replica, of which term, and how far behind.

    CLI Example:

    .. code-block:: bash

        salt-run flags.servers
        salt-run flags.servers --out=json

    Returns a table, or id to `{"address", "reachable", "error", "role", "term", "offset", "behind_bytes",
    "follows", "link", "silent_seconds", "version"}`; `role` is `master`, `stale master` (left over by a
    promotion: nobody writes there) or `replica`. The exit code is 1, and a line says why, if none can be
    taken for the master.
    """
    rows, problem = sluice_redis_table.rows(_servers())
    if not is_for_people(__opts__, "flags.servers"):
        return rows | ({"retcode": 1} if problem else {})
    text = sluice_redis_table.text(rows)
    if problem:
        raise Failed(f"{text}\n{problem}")
    return text


@_for_users
def promote(server, force=False, test=False):
    """
    Make another Redis the master, and all others that answer its replicas. Safe to repeat.

    CLI Example:

    .. code-block:: bash

        salt-run flags.promote redis-2
        salt-run flags.promote redis-2 test=True
        salt-run flags.promote redis-2 force=True

    server (str)
        The id of a server in `redis:servers`. If it is the master already, only those that do not follow it
        are set right.
    force (bool)
        Go on though acknowledged writes may be lost, with a master that is gone. Default False: refuse, and
        name the server that has more or may have.
    test (bool)
        Only say what would be done. Default False.

    A master that lives hands over: writers wait, up to a second in general and 5 at most, and no acknowledged
    write is lost. Each step is printed as it is done and read back.

    Returns a line, or `{"master", "was" (id or None), "term", "changed" (bool), "followers" (ids), "silent"
    (id to why), "lost" (what may be)}`; with `test` a line that says what would be done.

    Fails, with nothing changed, if it refuses; or says how things stand and how to go on, if a step failed.
    """
    checks = {"force": force, "test": test}
    force, test = (sluice_flag_input.flag_of(name, value) for name, value in checks.items())
    admins = _servers().user("admin")
    if test:
        return sluice_redis_failover.plan(admins, server, force).line()
    done = sluice_redis_failover.promote(admins, server, force, functools.partial(_tell, "promote"))
    return _answer("promote", done.line, done.told)


def _tell(function, line):
    """Print at once, if people read it."""
    if is_for_people(__opts__, f"flags.{function}"):
        # Salt's own way, a progress event, shows each as a nested dict of five lines.
        print(line, flush=True)
