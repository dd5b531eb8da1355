"""The update of a web application on one host, step by step; each step may be the last one that happens."""

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import sluice_webapp
import sluice_webapp_files
from sluice_errors import ReleaseError
from sluice_webapp import Found, Marker, version_of
from sluice_webapp_files import WantedFile


class Machine(Protocol):
    """What an update needs to do on its host; each raises ReleaseError with what went wrong."""

    def check(self) -> None:
        """What the application needs is there."""

    def drain(self) -> bool:
        """No balancer sends requests here; whether that was changed."""

    def stop(self) -> None:
        """The server is stopped."""

    def start(self) -> None:
        """The server is started, without the pages it compiled before."""

    def install(self) -> None:
        """The packages have the wanted versions; the server is still stopped."""

    def verify(self) -> None:
        """The application is well and warm."""

    def restore(self) -> None:
        """All balancers send requests here."""


@dataclass(frozen=True)
class Wanted:
    """What is to run."""

    host: str
    service: str
    home: Path
    release: str
    files: list[WantedFile]
    reverts: bool


@dataclass(frozen=True)
class Outcome:
    """How it ended: result and comment of the state, and whether the host is on the wanted version."""

    result: bool
    comment: str
    changed: bool = True


class Update:
    """One update. What it does is in `marker` before it is done."""

    def __init__(self, wanted: Wanted, found: Found, machine: Machine) -> None:
        self.wanted, self.found, self.machine = wanted, found, machine
        self.version = version_of(wanted.release)
        old = found.marker
        # An update that was cut off while it drained may have done so.
        drained = old is not None and (old.drained or old.step == "drain")
        self.marker = Marker(wanted.release, old.before if old else found.release, "begin", drained)

    def run(self) -> Outcome:
        """Do all that is left to do."""
        if self.found.marker and not sluice_webapp.must_restart(self.found, self.wanted.release):
            self.marker = self.found.marker
            return self._give_back(f"{self.version} was verified before")
        try:
            self._prepare()
            self._drain()
        except (ReleaseError, OSError) as error:
            return self._untouched(str(error))
        try:
            self._change()
        except (ReleaseError, OSError) as error:
            return self._failed(str(error))
        return self._give_back(f"{self.version} runs")

    def _prepare(self) -> None:
        """Everything that can fail without the host being touched."""
        self.machine.check()
        sluice_webapp_files.stage(self.wanted.files)
        # What an update that did not end has left is no state to go back to.
        if self.found.marker is None or sluice_webapp_files.before(self.wanted.home) is None:
            paths = [one.path for one in self.wanted.files]
            sluice_webapp_files.keep_before(self.wanted.home, paths, self.found.release)

    def _drain(self) -> None:
        self._step("drain")
        try:
            changed = self.machine.drain()
        except ReleaseError as error:
            # Nothing is in flight to a server that does not run, so it may be changed undrained.
            if self.found.active:
                raise ReleaseError(f"it cannot be drained: {error}") from error
            self._step("drain", drained=False)
            return
        # A host that was drained before anyone updated it is somebody's wish, and stays so.
        self._step("drain", drained=self.marker.drained or changed)

    def _change(self) -> None:
        self._step("switch")
        self.machine.stop()
        self.machine.install()
        sluice_webapp_files.put(self.wanted.files)
        sluice_webapp.switch(self.wanted.home, self.wanted.release)
        self._step("start")
        self.machine.start()
        self._step("verify")
        self.machine.verify()
        self._step("restore")

    def _give_back(self, done: str) -> Outcome:
        """The host's traffic, if it was an update that took it."""
        try:
            if self.marker.drained:
                self.machine.restore()
        except ReleaseError as error:
            said = f"{self.wanted.host}: {done} and is well, but is not in service: {error}"
            return Outcome(False, f"{_line(said)}. The next run tries again; see docs/howto/stuck-drain.md")
        self._end()
        return Outcome(True, f"{done}; {self._place()}")

    def _place(self) -> str:
        if self.marker.drained:
            return f"{self.wanted.host} was drained for it and is in service again"
        if self.found.active:
            return f"{self.wanted.host} was drained before, and stays so"
        return "it was not running, so nobody was drained"

    def _untouched(self, why: str) -> Outcome:
        """Nothing was changed on the host: what an earlier update left stays, everything else goes."""
        sluice_webapp_files.unstage(self.wanted.files)
        if self.found.marker:
            self._keep(self.found.marker)
            state = f"An update to {version_of(self.found.marker.release)} is still unfinished here"
        else:
            self._end()
            state = "Nothing was changed: what runs goes on running"
        return Outcome(False, f"{self.wanted.host}: {_line(why)}. {state}.", changed=False)

    def _failed(self, why: str) -> Outcome:
        said = f"{self.wanted.host}: {self.version} failed: {_line(why)}"
        before = sluice_webapp_files.before(self.wanted.home)
        sluice_webapp_files.unstage(self.wanted.files)
        if not self.wanted.reverts or before is None:
            return self._stays(said, why)
        return self._revert(said, before)

    def _stays(self, said: str, why: str) -> Outcome:
        self._keep(replace(self.marker, reason=_line(why)))
        drained = "It stays drained" if self.marker.drained else "It was not in service before"
        return Outcome(
            False,
            f"{said}. {drained}; look at `journalctl -u tomcat10` there, then apply again or go back: "
            f"docs/howto/set-up-itrust.md",
        )

    def _revert(self, said: str, before: str) -> Outcome:
        old = version_of(before)
        try:
            self._step("revert")
            self.machine.stop()
            sluice_webapp_files.put_back(self.wanted.home)
            sluice_webapp.switch(self.wanted.home, before)
            self.machine.start()
            self.machine.verify()
            if self.marker.drained:
                self.machine.restore()
        except (ReleaseError, OSError) as error:
            return self._stays(f"{said}; going back to {old} failed too: {_line(str(error))}", str(error))
        self._end()
        place = "is in service again" if self.marker.drained else "is where it was"
        return Outcome(False, f"{said}. Reverted: {old} runs, was verified and {place}.", changed=False)

    def _step(self, step: str, drained: bool | None = None) -> None:
        is_drained = self.marker.drained if drained is None else drained
        self._write(replace(self.marker, step=step, drained=is_drained))

    def _write(self, marker: Marker) -> None:
        self.marker = marker
        sluice_webapp.write_marker(self.wanted.home, marker)

    def _keep(self, marker: Marker) -> None:
        """The same at an end that is bad already: a disk that is full must not hide why."""
        with contextlib.suppress(OSError):
            self._write(marker)

    def _end(self) -> None:
        sluice_webapp.remove_marker(self.wanted.home)
        sluice_webapp_files.forget_before(self.wanted.home)


def _line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
