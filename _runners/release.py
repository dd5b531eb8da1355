"""
Ship a service to its canary, look at it, and stop it.

The steps `check`, `start`, `drain`, `verify`, `admit`, `confirm` and `fail` belong to `salt/canary.sls`;
`roll_check`, `roll_start`, `roll` and `roll_finish` to `salt/rolling.sls`; `plan`, `resume`, `undo`, `watch`,
`status`, `history`, `show`, `pin`, `unpin`, `promote`, `backup`, `clear`, `abort` and `report` are for
operators; `alert`, `push`, `ready`, `pushed` and `built` are called by the reactor. What they do stands in
`_utils/sluice_*.py`; here is only the edge to Salt.
"""

import functools
import logging

import sluice_alert
import sluice_config
import sluice_hook_orders
import sluice_ledger_orders
import sluice_ledger_show
import sluice_orders
import sluice_ready
import sluice_roll_orders
import sluice_roll_show
import sluice_states
import sluice_status
from sluice_errors import EventRefused, ReleaseError
from sluice_fleet import Fleet
from sluice_ledger import Ledger
from sluice_ledger_file import KEPT_BACKUPS
from sluice_runner import Failed, for_users, is_for_people
from sluice_steps import Steps

log = logging.getLogger(__name__)


def _for_users(function):
    """Turn the expected errors into text and an exit code. In this module, see sluice_runner."""

    @functools.wraps(function)
    def edge(*args, **kwargs):
        with for_users(f"release.{function.__name__}"):
            return function(*args, **kwargs)

    return edge


def _settings():
    return sluice_config.load(__opts__.get("sluice_release", sluice_config.PATH))


def _steps(service):
    return Steps(_settings(), service, Fleet(__opts__), lambda id_: __salt__["pillar.show_pillar"](id_))


def _who():
    return str(globals().get("__user__") or "unknown")


@_for_users
def check(service=None, version=None):
    """
    Make sure that a version can be released now; changes nothing.

    CLI Example:

    .. code-block:: bash

        salt-run release.check checkbox v2

    service, version (str)
        What to release. The version is a tag or branch of the service's git source.

    Returns a line that says what is ready. Fails with a line that says what is not: an unknown service or
    version, a source, Redis, balancer, canary host or database that does not answer, another release, or a
    standing alert.
    """
    return sluice_ready.check(_steps(service), version)


@_for_users
def start(service=None, version=None):
    """
    Open a release in the ledger. A step of canary.sls: from here on the canary host is to run `version`.

    CLI Example:

    .. code-block:: bash

        salt-run state.orchestrate canary pillar='{"service": "checkbox", "version": "v2"}'
    """
    return _steps(service).start(version, _who())


@_for_users
def drain(service):
    """
    Keep traffic away from the canary at every balancer. A step of canary.sls.

    CLI Example: see :py:func:`start`; to do it by hand use :py:func:`abort`.
    """
    return _steps(service).drain()


@_for_users
def verify(service):
    """
    Wait until the canary is healthy, and probe it from the balancers. A step of canary.sls.

    CLI Example: see :py:func:`start`.
    """
    return _steps(service).verify()


@_for_users
def admit(service):
    """
    Let the balancers send requests to the canary. A step of canary.sls.

    CLI Example: see :py:func:`start`.
    """
    return _steps(service).admit()


@_for_users
def confirm(service):
    """
    Read back at the balancers that the canary has its share. The last step of canary.sls.

    CLI Example: see :py:func:`start`.
    """
    return _steps(service).confirm()


@_for_users
def fail(service):
    """
    End the release because its installation failed, and say why. A step of canary.sls; always fails.

    CLI Example: see :py:func:`start`; to do it by hand use :py:func:`abort`.
    """
    raise _steps(service).fail(_last_state_run())


def _last_state_run():
    """What the minions returned to the latest state run this orchestration ordered, by minion id."""
    jobs = __salt__["jobs.list_jobs"](search_function="state.*", outputter=None, display_progress=False)
    latest = max(jobs, default=None)
    found = __salt__["jobs.lookup_jid"](latest) if latest else {}
    return found["data"] if set(found) == {"data", "outputter"} else found


@_for_users
def abort(service):
    """
    End the open release: a canary is drained at every balancer, a roll stops after the hosts it is at.

    Safe to repeat. The hosts of a roll stay at what they run.

    CLI Example:

    .. code-block:: bash

        salt-run release.abort checkbox

    service (str)
        Whose release to end.

    Returns what was done. Fails if a balancer could not be told; the others then were.
    """
    view = _steps(service)
    if not view.service.canary or view.ledger.open_release(view.name, "stable"):
        return sluice_roll_orders.abort(view, _who())
    return sluice_orders.abort(view, _who())


@_for_users
def plan(service, version=None):
    """
    Tell what a roll would do, host by host; changes nothing.

    CLI Example:

    .. code-block:: bash

        salt-run release.plan itrust
        salt-run release.plan itrust 20261124101500-0a1b2c3 --out=json

    service, version (str)
        What would be rolled. Default version: the one that waits for its turn, else the newest artifact.

    Returns text at the command line, and with `--out=json` or from other code a dict: `service`, `version`,
    `batches` (lists of ids), `hosts` (id to `now`, `half_way`, `changes`, `error`), `problems`. The exit code
    is 1 if there are problems, that is, if the roll could not begin now.
    """
    told = sluice_roll_show.plan(_steps(service), version)
    if is_for_people(__opts__, "release.plan"):
        text = sluice_roll_show.plan_text(told)
        if told["problems"]:
            raise Failed(text)
        return text
    return told | ({"retcode": 1} if told["problems"] else {})


@_for_users
def roll_check(service=None, version=None):
    """
    Make sure that a version can be rolled now; changes nothing on any host. A step of rolling.sls.

    CLI Example:

    .. code-block:: bash

        salt-run release.roll_check itrust

    service, version (str)
        See :py:func:`plan`.

    Returns a line with the batches. Fails with a line that says what is not ready: an unknown service or
    version, another roll, a pin, an alert, Redis or a balancer that does not answer, a batch that is too
    large. A queued roll that fails here, and one that a pin is in the
    way of, are written down as refused.
    """
    view = _steps(service)
    try:
        return sluice_roll_orders.check(view, version)
    except ReleaseError as error:
        sluice_roll_orders.refused(view, version, _who(), str(error))
        raise


@_for_users
def roll_start(service=None, version=None):
    """
    Open a roll in the ledger, with its hosts in their order. A step of rolling.sls.

    CLI Example:

    .. code-block:: bash

        salt-run state.orchestrate rolling pillar='{"service": "itrust"}'
    """
    return sluice_roll_orders.start(_steps(service), version, _who(), f"operator {_who()}").told()


@_for_users
def roll(service):
    """
    Update the hosts of the open roll, batch by batch. A step of rolling.sls.

    CLI Example: see :py:func:`roll_start`.

    Returns a line about how it went. Fails, with the roll stopped in the ledger, at an alert, an abort, a
    batch that cannot be spared, or more failed hosts than `roll:max_failures`.
    """
    return _to_its_end(_steps(service), lambda view: sluice_roll_orders.held(view).walk(), ended=False)


@_for_users
def roll_finish(service):
    """
    Let every later highstate run the version of the roll. The last step of rolling.sls.

    CLI Example: see :py:func:`roll_start`.
    """
    return _to_its_end(_steps(service), lambda view: sluice_roll_orders.held(view).finish())


@_for_users
def resume(service):
    """
    Go on with a roll whose process is gone, or that was stopped, from the last verified host.

    CLI Example:

    .. code-block:: bash

        salt-run release.resume itrust

    service (str)
        Whose roll to go on with. What each host that was begun truly runs is looked at first: one that has
        ended its update by itself is not updated again. Hosts that failed are tried again.

    Returns a line about how it went. Exit code 0 when all is done, 1 if it was stopped or refused.
    """
    return _to_its_end(_steps(service), sluice_roll_orders.resume)


@_for_users
def undo(service, id_=None):
    """
    Roll back to the version before a roll, as a roll of its own. An alert does not stop it.

    CLI Example:

    .. code-block:: bash

        salt-run release.undo itrust
        salt-run release.undo itrust 7

    service (str)
        Whose roll to take back.

    id_ (int)
        Which one, see `release.history`. Default: the last one, whether it is done, was stopped, or its
        process is gone. It becomes `undone` when all hosts run the version before it.

    Returns a line about how it went. Exit code 0 when all is done, 1 if it was stopped or refused.
    """
    return _to_its_end(_steps(service), lambda view: sluice_roll_orders.undo(view, id_, _who()))


def _to_its_end(view, work, ended=True):
    """Do what ends a roll, or may; then the one that waits begins by itself."""
    try:
        done = work(view)
    except ReleaseError:
        sluice_roll_orders.begin_queued(view)
        raise
    if ended:
        sluice_roll_orders.begin_queued(view)
    return done


@_for_users
def watch(service):
    """
    Print what happens in the roll that is open, with the time left, until it has ended.

    CLI Example:

    .. code-block:: bash

        salt-run release.watch itrust

    service (str)
        Whose roll to follow. If none is open, the outcome of the last one is told.

    Returns a line about the outcome. Exit code 0 if it is done; 1 if it was stopped, or its process is gone.
    """
    view = _steps(service)
    events = view.fleet.events(f"release/{view.name}/roll/", sluice_roll_show.LISTEN_SECONDS)
    ended = sluice_roll_show.watch(view, events, lambda line: print(line, flush=True))
    well, line = sluice_roll_show.outcome(view, ended)
    if not well:
        raise Failed(line)
    return line


@_for_users
def clear(service):
    """
    Clear the alert of a service: in Redis, then at every balancer; then read back. Safe to repeat.

    CLI Example:

    .. code-block:: bash

        salt-run release.clear checkbox

    service (str)
        Whose alert to clear. Its canary gets its declared share again.

    Returns what was done. Fails, with the alert still standing, if Redis or a balancer does not answer.
    """
    return sluice_orders.clear(_steps(service))


def push():
    """
    Apply the balancer state everywhere, because pillar changed. Called by reactor/pillar.sls.

    CLI Example:

    .. code-block:: bash

        salt-run release.push

    Returns the balancers' ids with None, or why one refused; refusals are logged as errors as well.
    """
    fleet = Fleet(__opts__)
    refused = sluice_states.apply_balancer(fleet, fleet.members(_settings().balancers))
    for id_, why in refused.items():
        if why:
            log.error("release.push: %s keeps its last good configuration: %s", id_, why)
    return refused


def ready():
    """
    Knock at every alert door without raising an alert. Called by reactor/ready.sls after the master started,
    so that all that an alert needs is loaded by then, and a closed door is in the log before it is needed.

    CLI Example:

    .. code-block:: bash

        salt-run release.ready

    Returns what each door said: `ok` or why not.
    """
    settings = _settings()
    doors = sluice_alert.try_doors(settings, Fleet(__opts__).addresses(settings.balancers))
    for name, said in doors.items():
        if said != "ok":
            log.warning("release.ready: the alert door %s is closed: %s", name, said)
    return doors


@_for_users
def status(service=None):
    """
    Tell what is on what with which weight, and whether an alert stands.

    CLI Example:

    .. code-block:: bash

        salt-run release.status checkbox
        salt-run release.status checkbox --out=json

    service (str)
        One service; all of them by default.

    Returns text at the command line, and with `--out=json` or from other code a dict: service name to
    `release`, `roll`, `queued`, `pin`, `alert`, `hosts`, `balancers`, `problems`. The exit code is 1 if there
    are problems, such as a balancer that does not answer.
    """
    names = [service] if service else list(_settings().services)
    reports = sluice_status.gather([_steps(name) for name in names])
    failed = any(report["problems"] for report in reports.values())
    if is_for_people(__opts__, "release.status"):
        text = sluice_status.text(reports)
        if failed:
            raise Failed(text)
        return text
    return reports | ({"retcode": 1} if failed else {})


@_for_users
def history(service=None, limit=20):
    """
    Tell which releases there were, canaries and rolls, also those that were queued or refused.

    CLI Example:

    .. code-block:: bash

        salt-run release.history itrust
        salt-run release.history limit=100 --out=json

    service (str)
        Whose; those of all services by default.

    limit (int, 1 to 10000)
        How many, newest first. Default 20.

    Returns text at the command line, and with `--out=json` or from other code a list of dicts with all
    columns of the ledger's `releases`, `seconds` (what it took, or has taken so far) and `interrupted` (True
    if it should be running, and its process is gone).
    """
    rows = sluice_ledger_show.history(_settings(), service, limit)
    return sluice_ledger_show.history_text(rows) if is_for_people(__opts__, "release.history") else rows


@_for_users
def show(id_):
    """
    Tell all that the ledger knows of one release: its steps, and what became of each host.

    CLI Example:

    .. code-block:: bash

        salt-run release.show 7
        salt-run release.show 7 --out=json

    id_ (int)
        Which one, see :py:func:`history`.

    Returns text at the command line, and with `--out=json` or from other code a dict as in
    :py:func:`history`, with `steps` (`name`, `at`, `note`), `hosts` (`host`, `batch`, `state`, `before`,
    `note`, `at`) and `artifact` (or None).
    """
    told = sluice_ledger_show.show(Ledger(_settings().ledger), id_)
    return sluice_ledger_show.show_text(told) if is_for_people(__opts__, "release.show") else told


@_for_users
def pin(service, version=None, reason=""):
    """
    Keep a service at a version, whatever is built or ordered, until :py:func:`unpin`.

    CLI Example:

    .. code-block:: bash

        salt-run release.pin itrust 20261124101500-0a1b2c3d4e reason='exam week'

    service, version (str)
        What to keep. A service that is built needs an artifact of the version in the ledger.

    reason (str)
        One line of at most 200 characters; every roll that is refused tells it.

    Returns a line. No host is touched: one that runs another version takes this one up at its next state run.
    Refused while a roll is open; one that was stopped half-way cannot be resumed after it.
    """
    return sluice_ledger_orders.pin(_steps(service), version, _who(), reason)


@_for_users
def unpin(service):
    """
    Let a service be rolled again. It stays at its version until a roll. Safe to repeat.

    CLI Example:

    .. code-block:: bash

        salt-run release.unpin itrust

    service (str)
        Which one.
    """
    return sluice_ledger_orders.unpin(_steps(service))


@_for_users
def promote(service):
    """
    Make the version that serves as the canary the one that stable is to run; its release is done.

    CLI Example:

    .. code-block:: bash

        salt-run release.promote checkbox

    service (str)
        Whose canary.

    Returns a line that says how the hosts get it; none is touched. Refused if no canary serves, an alert
    stands or cannot be asked for, a roll is open, or the service is pinned to another version.
    """
    return sluice_ledger_orders.promote(_steps(service), _who())


@_for_users
def backup(directory=None, keep=KEPT_BACKUPS):
    """
    Copy the ledger while it is in use, look whether the copy is sound, and remove the oldest copies.

    CLI Example:

    .. code-block:: bash

        salt-run release.backup
        salt-run release.backup directory=/var/backups/sluice/ledger keep=30

    directory (str)
        Where to, an absolute path, made if it is not there. Default: `backups` beside the ledger.

    keep (int, 1 to 3660)
        How many copies stay there. Default 14.

    Returns a line with the path of the copy. Fails, with all older copies kept, if the ledger is damaged or
    the disk is full.
    """
    return sluice_ledger_orders.backup(Ledger(_settings().ledger), directory, keep)


def alert(event=None):
    """
    Raise the alert an event asks for, if its sender may. Called by reactor/alert.sls.

    CLI Example: none; to raise one by hand: ``salt-call event.send release/checkbox/alert``

    event (str)
        JSON text of `{"tag": ..., "data": ...}`, all of it hostile but the id the master wrote into it.

    Returns what each door said, or why the event was refused. Never raises.
    """
    try:
        settings, fleet = _settings(), Fleet(__opts__)
        accepted = sluice_alert.accept(event, settings, fleet.nodegroups)
    except EventRefused as error:
        log.warning("release.alert: refused: %s", error)
        return {"refused": str(error)}
    except ReleaseError as error:
        log.error("release.alert: %s", error)
        return {"refused": str(error)}
    doors = sluice_alert.raise_everywhere(accepted, settings, fleet.addresses(settings.balancers))
    level = logging.WARNING if "ok" in doors.values() else logging.CRITICAL
    log.log(level, "release.alert: %(service)s by %(by)s at %(at)s: %(reason)s", accepted)
    log.log(level, "release.alert: doors for %s: %s", accepted["service"], doors)
    return {"alert": accepted, "doors": doors}


def pushed(event=None):
    """
    Have a push built, if it is one of the service's branch. Called by reactor/pushed.sls.

    CLI Example: none; to build by hand, start the job in Jenkins

    event (str)
        JSON text of the event, all of it hostile but what the seal of the master's own door covers.

    Returns a line, or `{"refused": why}`, which is in the ledger as well. Never raises.
    """
    try:
        settings = _settings()
        order = sluice_hook_orders.opened(event, settings)
        done = sluice_hook_orders.pushed(order, settings.service(order.service), Ledger(settings.ledger))
    except ReleaseError as error:
        log.warning("release.pushed: %s", error)
        return {"refused": str(error)}
    log.info("release.pushed: %s", done)
    return done


def built(event=None):
    """
    Roll what was built, if it is what was pushed. Called by reactor/built.sls.

    CLI Example: see :py:func:`report`

    event (str)
        JSON text of the event, all of it hostile but what the seal of the master's own door covers.

    Returns a line, or `{"refused": why}`, which is in the ledger as well. Never raises. The roll is a job of
    its own and goes on after this.
    """
    try:
        order = sluice_hook_orders.opened(event, _settings())
        done = sluice_hook_orders.built(order, _steps(order.service))
    except ReleaseError as error:
        log.warning("release.built: %s", error)
        return {"refused": str(error)}
    log.info("release.built: %s", done)
    return done


@_for_users
def report(service, version, url, sha256, commit):
    """
    Report a build by hand, as its build server does: when the master was away for longer than that tried.

    CLI Example:

    .. code-block:: bash

        salt-run release.report itrust 20261124101500-0a1b2c3d4e \\
            url=http://jenkins:8081/itrust/20261124101500-0a1b2c3d4e/iTrust.war sha256=... commit=...

    service, version, url, sha256, commit (str)
        As the build's console tells them; `sha256` is beside the artifact as well, `commit` whole.

    Returns a line. Fails, with the reason in the ledger, if it is not to be rolled.
    """
    view = _steps(service)
    told = {"version": version, "url": url, "sha256": sha256, "commit": commit}
    return sluice_hook_orders.built(sluice_hook_orders.by_hand(view.service, told, _who()), view)
