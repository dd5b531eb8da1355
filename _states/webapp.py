"""
A web application on Tomcat, updated without a failed request: drained, changed, verified, back in service.

All of it happens when, and only when, something will change. What an update was about to do stands on the
host's disk before it is done, so the next run ends one that was killed at any point.
"""

import contextlib
import shutil
import tempfile
from pathlib import Path

import sluice_sql
import sluice_webapp
import sluice_webapp_files
import sluice_webapp_health
from salt.exceptions import CommandExecutionError
from sluice_errors import ConfigError, ReleaseError
from sluice_sql import Server
from sluice_webapp_files import WantedFile
from sluice_webapp_health import Health
from sluice_webapp_update import Update, Wanted

__virtualname__ = "webapp"


def __virtual__():
    return __virtualname__


def running(
    name,
    release,
    health,
    files=(),
    home=None,
    unit="tomcat10",
    packages=None,
    clear=(),
    balancers=None,
    database=None,
    drain_seconds=30,
    on_failure="revert",
):
    """
    An application runs a release with these files, and is well; a change of either is an update of the host.

    The update: what may fail is done beside what runs; the host is drained at all balancers, which refuse if
    the service would be left with too few; the server is stopped, switched, started and verified; then the
    balancers give the host its traffic back.

    .. code-block:: yaml

        itrust-application:
          webapp.running:
            - name: itrust
            - release: v2-0123456789ab
            - health: {port: 8080, path: /iTrust/login.jsp, timeout_seconds: 60, warm_up_paths: []}
            - balancers: {lb-1: 10.57.0.11}
            - files:
              - name: /etc/tomcat10/Catalina/localhost/iTrust.xml
                source: salt://itrust/files/context.xml
                group: tomcat
                mode: '0640'
                secret: True

    name (str)
        The service at the balancers.
    release (str)
        A directory in `<home>/artifacts`, named version, `-` and 12 digits of the hash. The link
        `<home>/current` comes to point to it.
    health (dict)
        `port`, `path`: must answer 200, here on loopback. `timeout_seconds` (default 60): how long after the
        start. `warm_up_paths` (default none): pages that are asked for once before users do; each must
        answer, and neither 404 nor 500 or more.
    files (list of dict)
        Templates in Jinja that the server reads when it starts: `name`, `source`, `mode` (default '0644'),
        `user` and `group` (default root), `context`, and `secret` (default False): its differences are not
        shown. They may read secrets from `pillar`, so that none stands in an argument.
    home (str)
        Default `/srv/<name>`.
    unit (str)
        The server's systemd unit. Default tomcat10.
    packages (dict)
        Package to version that must be installed; one that has another is changed during the update.
        Default none.
    clear (list of str)
        Directories whose content the server made from the old release: removed before each start.
    balancers (dict)
        Balancer to address, all of which send requests here. `{}` is an error while the application runs:
        they are not known. Default: the host stands behind no balancer and is not drained.
    database (dict)
        `name`, `host`, `port`, `user`, and `password`: the key of pillar that holds it. Before the drain this
        user must be able to log in there, and the server must take writes: else users would lose their
        sessions with the restart. Default none.
    drain_seconds (float)
        What is still in flight after this is cut off. Default 30.
    on_failure (str)
        A release that does not become well: `revert`: the one before is put back, verified and in service;
        `stay`: the host stays drained. Either way the state fails. Default revert.

    In test mode `changes` are the same. With nothing to change, only the health page is asked.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": ""}
    home = Path(home or f"/srv/{name}")
    try:
        if on_failure not in ("revert", "stay"):
            raise ConfigError(f"on_failure is {on_failure!r}; want revert or stay")
        wanted_files = [_rendered(**one) for one in files]
        found = _found(home, wanted_files, unit, packages or {})
        changes = sluice_webapp.changes(found, release)
        machine = _Machine(
            name, unit, _health(health), packages or {}, clear, balancers, drain_seconds, database
        )
        if __opts__["test"] or not changes:
            return ret | _told(changes, found, release, machine)
        wanted = Wanted(__grains__["id"], name, home, release, wanted_files, on_failure == "revert")
        machine.enable(found)
        if changes.keys() == {"at boot"}:
            return ret | {"changes": changes, "comment": f"{unit} is started at boot"}
        outcome = Update(wanted, found, machine).run()
    except (ReleaseError, OSError) as error:
        return ret | {"result": False, "comment": f"{__grains__['id']}: {str(error).rstrip('.')}."}
    told = changes if outcome.changed else {}
    return ret | {"result": outcome.result, "changes": told, "comment": outcome.comment}


def _told(changes, found, release, machine):
    """The outcome of a run that does nothing: in test mode, or because nothing is to be done."""
    if changes:
        if found.active and sluice_webapp.must_restart(found, release):
            refused = machine.would_refuse()
            if refused:
                return {"result": False, "comment": f"it would be updated, but {refused}"}
        return {"result": None, "changes": changes, "comment": "the host would be updated"}
    if __opts__["test"]:
        return {"comment": f"{sluice_webapp.version_of(release)} runs"}
    said = sluice_webapp_health.said(machine.health)
    if said:
        hint = "Nothing was to be changed, so it was left as it is; does its database answer?"
        return {"result": False, "comment": f"{__grains__['id']}: {said}. {hint}"}
    return {"comment": f"{sluice_webapp.version_of(release)} runs and is well"}


def _health(told):
    """The pillar's `health`; ConfigError if something that is no such thing stands there."""
    try:
        return Health(
            f"http://127.0.0.1:{int(told['port'])}",
            str(told["path"]),
            float(told.get("timeout_seconds", 60)),
            tuple(map(str, told.get("warm_up_paths") or ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"health is not as it must be: {type(error).__name__} {error}") from error


def _found(home, files, unit, packages):
    """The host as it is."""
    differences = {str(one.path): sluice_webapp_files.difference(one) for one in files}
    installed = {one: __salt__["pkg.version"](one) for one in packages}
    return sluice_webapp.Found(
        sluice_webapp.current(home),
        bool(__salt__["service.status"](unit)),
        bool(__salt__["service.enabled"](unit)),
        sluice_webapp.read_marker(home),
        {path: told for path, told in differences.items() if told},
        {
            one: {"old": found, "new": packages[one]}
            for one, found in installed.items()
            if found != packages[one]
        },
    )


def _rendered(name, source, mode="0644", user="root", group="root", context=None, secret=False):
    """A template as the file it becomes; ReleaseError with what is wrong with it or its pillar."""
    folder = tempfile.mkdtemp(prefix="sluice-webapp-")
    try:
        dest = Path(folder, "rendered")
        done = __salt__["cp.get_template"](source, str(dest), template="jinja", context=context or {})
        if not done or not dest.exists():
            raise ReleaseError(f"{source} cannot be made: it is not on the master")
        text = dest.read_bytes()
    except ReleaseError:
        raise
    # Whatever stands in a template or is missing in pillar ends as one line.
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ReleaseError(f"{source} cannot be made: {lines[0] if lines else error!r}") from error
    finally:
        shutil.rmtree(folder)
    return WantedFile(Path(name), text, int(str(mode), 8), user, group, secret)


class _Machine:
    """This host, for an update."""

    def __init__(self, service, unit, health, packages, clear, balancers, drain_seconds, database):
        self.service, self.unit, self.health, self.packages = service, unit, health, packages
        self.clear, self.balancers, self.drain_seconds = clear, balancers, drain_seconds
        self.database = database

    def enable(self, found):
        if not found.enabled and not __salt__["service.enable"](self.unit):
            raise ReleaseError(f"{self.unit} cannot be made to start at boot")

    def check(self):
        """The database takes log-ins and writes; its other needs the states before this one saw to."""
        if self.database:
            told = dict(self.database)
            name, word = told.pop("name"), sluice_sql.secret(__pillar__, told.pop("password"))
            sluice_sql.check_writable(Server(**told, password=word), name)

    def drain(self):
        if self.balancers is None:
            return False
        return bool(self._balanced("balancer.drained", deadline_seconds=self.drain_seconds)["changes"])

    def would_refuse(self):
        """Why an update would not touch the host, or None."""
        try:
            self.check()
            self.drain()
        except ReleaseError as error:
            return str(error)
        return None

    def restore(self):
        if self.balancers is not None:
            self._balanced("balancer.in_service")

    def _balanced(self, function, **arguments):
        if not self.balancers:
            raise ReleaseError(
                "no balancer is known here: the mine names none. `salt 'lb*' mine.update`, or see "
                f"{self.service}:balancers in docs/reference/pillar.md"
            )
        ret = __states__[function](
            name=__grains__["id"], service=self.service, balancers=self.balancers, **arguments
        )
        if ret["result"] is False:
            raise ReleaseError(ret["comment"])
        return ret

    def stop(self):
        if not __salt__["service.stop"](self.unit):
            raise ReleaseError(f"{self.unit} does not stop")

    def install(self):
        if not self.packages:
            return
        wanted = [{one: version} for one, version in sorted(self.packages.items())]
        try:
            __salt__["pkg.install"](pkgs=wanted, refresh=False)
        except CommandExecutionError as error:
            raise ReleaseError(f"packages: {error}") from error
        other = [one for one, version in self.packages.items() if __salt__["pkg.version"](one) != version]
        if other:
            raise ReleaseError(f"{', '.join(sorted(other))} did not get the version that pillar wants")
        # Debian's package starts the server when it is upgraded.
        self.stop()

    def start(self):
        for folder in self.clear:
            with contextlib.suppress(FileNotFoundError):
                for path in Path(folder).iterdir():
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        __salt__["service.systemctl_reload"]()
        if not __salt__["service.start"](self.unit):
            raise ReleaseError(f"{self.unit} does not start")

    def verify(self):
        said = sluice_webapp_health.trouble(self.health, lambda: bool(__salt__["service.status"](self.unit)))
        if said:
            raise ReleaseError(said)
