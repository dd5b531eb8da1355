"""
Feature flags that pillar or a state file declares.

Apply them to the Redis hosts: the master's host does the work, the others say so and change nothing.
"""

import sluice_flag_input
import sluice_flag_orders
import sluice_flag_show
from sluice_errors import ReleaseError
from sluice_flag_store import Wanted, differences, shown_value

__virtualname__ = "flag"


def __virtual__():
    return __virtualname__


def present(name, value=0, owner=None, description=None, expires=None, value_wins=False):
    """
    Make sure that a flag exists, and of whom and for how long.

    .. code-block:: yaml

        key1:
          flag.present:
            - owner: pictures
            - description: Shows the picture
            - expires: 2027-03-31

    name (str)
        The flag.
    value (int, bool or str)
        The value to begin with: 1 or 0 (also on, off, true, false), or one of its variants. Default 0. It is
        written only where the flag has none, so that a highstate never flips what an operator flipped.
    owner, description, expires (str)
        As for :py:func:`flag.describe <salt.modules.flag.describe>`. An empty text removes it; what is not
        given stays as it is.
    value_wins (bool)
        The flag is held at `value`, whoever changed it. Default False.

    A value that is a variant needs the variants first: put `flag.rules` before.
    """

    def edit(flag):
        document = sluice_flag_input.described(flag, owner, description, expires)
        declared = sluice_flag_input.value_of(value, flag)
        return Wanted(declared if wins or flag.value is None else flag.value, document)

    def said(flag):
        if flag.value == sluice_flag_input.value_of(value, flag):
            return f"{name} is as declared"
        by = flag.history[0].by if flag.history else "unknown"
        return (
            f"{name} is as declared, but for its value: {shown_value(flag.value)}, last changed by {by}; "
            "the declared one is for a flag without a value"
        )

    try:
        wins = sluice_flag_input.flag_of("value_wins", value_wins)
    except ReleaseError as error:
        return _failed(name, error)
    return _state(name, edit, said)


def rules(name, rules=None, variants=None):
    """
    Make sure that a flag has these rules and variants, and no others. Its value stays.

    .. code-block:: yaml

        key1-for-some:
          flag.rules:
            - name: key1
            - rules:
                match:
                  - percentage: 10

    name (str)
        The flag. One that is not there yet is made, without a value.
    rules, variants (dict)
        See docs/reference/flag-rules.md. Default of each: none, so what it has is removed.
    """

    def edit(flag):
        return Wanted(flag.value, sluice_flag_input.ruled(flag, rules or {}, variants or {}))

    return _state(name, edit, lambda _: f"{name} has these rules")


def absent(name):
    """
    Make sure that a flag does not exist: applications take it as off. Its history stays for 90 days.

    .. code-block:: yaml

        key1:
          flag.absent

    name (str)
        The flag.
    """
    return _state(name, lambda _: Wanted(None, None), lambda _: f"{name} is absent")


def _state(name, edit, said):
    """Carry out an edit where the master is; `said` tells of a flag that needs none."""
    ret = {"name": name, "changes": {}, "result": True, "comment": ""}
    try:
        flags = sluice_flag_orders.at_minion(__opts__["id"], __pillar__.get("redis"), "state")
        if not flags.has_redis():
            return _failed(name, f"{flags.here} has no Redis: apply the states of flags to the Redis hosts")
        own = flags.own_role()
        if own.error and __opts__["test"]:
            return ret | {
                "result": None,
                "comment": f"{name} would be looked at once Redis runs: {own.error}",
            }
        # Its host need not know who the master is: at a first highstate there may be none yet.
        if own.role == "replica" or flags.master().id != flags.here:
            return ret | {"comment": "nothing to do here: the host of Redis' master looks after flags"}
        if __opts__["test"]:
            return _planned(ret, flags.plan(name, edit), said)
        # No replica is waited for: one that is not there yet is no failure, and the next run repeats it.
        done = flags.apply(name, edit, acknowledge=False)
    except ReleaseError as error:
        return _failed(name, error)
    comment = sluice_flag_show.line(done) if done.change.entries else said(done.change.after)
    return ret | {"changes": _changes(done.change), "comment": comment}


def _planned(ret, change, said):
    if not change.entries:
        return ret | {"comment": said(change.after)}
    return ret | {"result": None, "changes": _changes(change), "comment": f"{ret['name']} would be changed"}


def _failed(name, error):
    return {"name": str(name), "changes": {}, "result": False, "comment": str(error)}


def _changes(change):
    """`value` and the entries of the document that differ, each with old and new."""
    pairs = [pair for entry in change.entries for pair in differences(entry).items()]
    return {key: {"old": old, "new": new} for key, (old, new) in pairs}
