"""
Feature flags, from a Redis host (which writes if it is the master) or an application's host (which reads).

:depends: nothing but the Python standard library

Servers and passwords come from the minion's pillar `redis`. A write anywhere but at the master is refused
with the command to use. On the Salt master the same orders are `salt-run flags.*`.
"""

import functools
import time

import salt.utils.args
import salt.utils.user
import sluice_flag_input
import sluice_flag_orders
import sluice_flag_show
from salt.exceptions import CommandExecutionError
from sluice_errors import ReleaseError
from sluice_flag_watch import Watch

__virtualname__ = "flag"
__func_alias__ = {"set_": "set", "list_": "list"}


def __virtual__():
    return __virtualname__


def _for_users(function):
    """Turn the expected errors into Salt's; all others keep their traceback."""

    @functools.wraps(function)
    def edge(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except ReleaseError as error:
            raise CommandExecutionError(str(error)) from error

    return edge


def _flags(published=None):
    """
    The flags as this minion may handle them.

    published
        What Salt passes along with an order, such as who gave it; nothing else may be among it.
    """
    published = published or {}
    if unknown := salt.utils.args.clean_kwargs(**published):
        salt.utils.args.invalid_kwargs(unknown)
    user = published.get("__pub_user") or salt.utils.user.get_specific_user()
    return sluice_flag_orders.at_minion(__opts__["id"], __pillar__.get("redis"), user)


@_for_users
def set_(name, value, wait=False, timeout=sluice_flag_orders.SPREAD_SECONDS, new=False, **kwargs):
    """
    Give a flag a value. Safe to repeat.

    CLI Example:

    .. code-block:: bash

        salt redis-1 flag.set key1 1
        salt redis-1 flag.set key1 1 wait=True

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

    Returns `{"flag", "value", "was", "changed", "master", "replicas"}`, with `wait` instead of `replicas`
    `servers_ms` (id to milliseconds from the write until the value was read there) and `ms` in all.

    Raises CommandExecutionError if this is not the master, for an unknown flag or a wrong value, if Redis
    refuses, and also when it is set but no replica (with `wait`: not every one) had it in time.
    """
    seconds = sluice_flag_input.seconds_of("timeout", timeout)
    waits, is_new = sluice_flag_input.flag_of("wait", wait), sluice_flag_input.flag_of("new", new)
    return sluice_flag_show.told_done(
        _flags(kwargs).set(name, value, new=is_new, wait_seconds=seconds if waits else None)
    )


@_for_users
def describe(name, owner=None, description=None, expires=None, **kwargs):
    """
    Say what a flag is for. A flag that is not there yet is made, without a value: that is off.

    CLI Example:

    .. code-block:: bash

        salt redis-1 flag.describe key1 owner=pictures description='Shows the picture' expires=2027-03-31

    name (str)
        The flag.
    owner, description (str)
        One line each. An empty text removes it; what is not given stays.
    expires (str)
        The day, YYYY-MM-DD, from which on lists mark it as stale (UTC). It goes on working.

    Returns as :py:func:`set_`. Raises CommandExecutionError as it does.
    """
    return sluice_flag_show.told_done(_flags(kwargs).describe(name, owner, description, expires))


@_for_users
def rules(name, rules=None, variants=None, **kwargs):
    """
    Give a flag rules and variants, see docs/reference/flag-rules.md.

    CLI Example:

    .. code-block:: bash

        salt redis-1 flag.rules key1 '{"match": [{"percentage": 10}]}'

    name (str)
        The flag. One that is not there yet is made, without a value.
    rules, variants (dict)
        Replace those it has; `{}` removes them; what is not given stays.

    Returns as :py:func:`set_`. Raises CommandExecutionError as it does, and for rules that contradict.
    """
    return sluice_flag_show.told_done(_flags(kwargs).rule(name, rules, variants))


@_for_users
def delete(name, **kwargs):
    """
    Remove a flag, value and description; applications take it as off. Its history stays for 90 days.

    CLI Example:

    .. code-block:: bash

        salt redis-1 flag.delete key1

    name (str)
        The flag.

    Returns as :py:func:`set_`. Raises CommandExecutionError as it does.
    """
    return sluice_flag_show.told_done(_flags(kwargs).delete(name))


@_for_users
def get(name, servers=False):
    """
    All of one flag.

    CLI Example:

    .. code-block:: bash

        salt redis-1 flag.get key1
        salt checkbox-1 flag.get key1 servers=True

    name (str)
        The flag.
    servers (bool)
        Also ask every server for its value. Default False.

    Returns `value` (None if absent), `owner`, `description`, `expires`, `variants`, `rules` as far as it has
    them, `stale` (bool), `changed` (UTC) and `by` of the latest change, `outside` (bool: changed since by
    redis-cli or another program), `problem` if some of it cannot be read, and `servers`: id to value or
    error.

    Raises CommandExecutionError for an unknown flag, or if no server answers.
    """
    flags, asks = _flags(), sluice_flag_input.flag_of("servers", servers)
    told = sluice_flag_show.told(flags.get(name), time.time())
    return told | ({"servers": flags.values(name)} if asks else {})


@_for_users
def list_():
    """
    Every flag, also those that only redis-cli knows.

    CLI Example:

    .. code-block:: bash

        salt redis-1 flag.list

    Returns name to what :py:func:`get` returns. Raises CommandExecutionError if no server answers.
    """
    return {flag.name: sluice_flag_show.told(flag, time.time()) for flag in _flags().all()}


@_for_users
def history(name):
    """
    Who changed a flag when, newest first, the last 100 times.

    CLI Example:

    .. code-block:: bash

        salt redis-1 flag.history key1

    name (str)
        The flag; also one that was deleted within the last 90 days.

    Returns a list of `{"at", "by", "what", "from", "to"}`; `what` is `set`, `describe`, `rules` or `delete`.
    A first entry with `at: None` is a change made by redis-cli or another program since.

    Raises CommandExecutionError for an unknown flag, or if no server answers.
    """
    return sluice_flag_show.told_history(_flags().get(name))


@_for_users
def wait(name, value, timeout=30):
    """
    Wait until every server has this value of a flag.

    CLI Example:

    .. code-block:: bash

        salt redis-1 flag.wait key1 1 timeout=10

    name (str), value (int, bool or str)
        As for :py:func:`set_`.
    timeout (float, seconds)
        0.1-86400. Default 30.

    Returns id of the server to milliseconds. Raises CommandExecutionError that names the servers without it.
    """
    seconds = sluice_flag_input.seconds_of("timeout", timeout)
    return {id_: one.ms for id_, one in _flags().wait(name, value, seconds).items()}


@_for_users
def watch(name="all", seconds=30):
    """
    The changes of a flag, or of all, as this minion's server hears of them, told at the end;
    `salt-run flags.watch` prints them as they come.

    CLI Example:

    .. code-block:: bash

        salt redis-2 flag.watch key1 seconds=10

    name (str)
        The flag. Default all.
    seconds (float)
        How long to listen, 0.1-86400. Default 30.

    Returns a list of `{"flag", "at", "by", "what", "from", "to"}`, oldest first.

    Raises CommandExecutionError if no server can be heard.
    """
    flags, listens = _flags(), sluice_flag_input.seconds_of("seconds", seconds)
    watching = Watch(flags.reader, sluice_flag_input.watched_name(name))
    return [{"flag": flag} | sluice_flag_show.told_entry(entry) for flag, entry in watching.changes(listens)]
