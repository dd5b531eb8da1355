"""The fleet as a tester sees it: commands on the master, services that die, users on the balancer."""

import contextlib
import json
import re
import time

from lab import machines
from lab.errors import LabError
from lab.load import Load
from lab.process import wait_until

TRAFFIC = "/srv/sluice/pillar/lab/traffic.sls"


class Fleet:
    """A lab that is up and highstated."""

    def __init__(self, lab):
        self.lab = lab

    def on(self, machine, *words, timeout=120, text=None):
        """Run a command on a machine and return the finished process."""
        return self._run(machines.exec_in, machine, words, timeout, text)

    def ok(self, machine, *words, timeout=120, text=None):
        """The same, but the command must succeed; what it printed."""
        return self._run(machines.check_in, machine, words, timeout, text)

    def _run(self, way, machine, words, timeout, text):
        try:
            return way(self.lab, machine, list(words), timeout=timeout, input=text)
        except LabError as error:
            if "no end after" not in str(error):
                raise
            raise LabError(f"{error}\n{self.at_work()}") from error

    def at_work(self):
        """What each minion is at and the end of its journal: for an order that does not end."""
        asked = ["salt", "--static", "--out=json", "--timeout=5", "*", "saltutil.running"]
        journal = ["journalctl", "--no-pager", "-u", "salt-minion", "-n", "15"]
        try:
            told = machines.exec_in(self.lab, "master", asked, timeout=30).stdout
            busy = [id_ for id_, jobs in json.loads(told).items() if jobs]
            ends = [machines.exec_in(self.lab, id_, journal, timeout=10).stdout for id_ in busy]
        except (LabError, ValueError) as error:
            return f"and what the minions are at cannot be told: {error}"
        return "\n".join([f"at work: {told}", *ends])

    def orchestrate(self, version, service="checkbox"):
        """Ship a version as a user would; the finished process with everything it said."""
        pillar = json.dumps({"service": service, "version": version})
        words = ["salt-run", "state.orchestrate", "canary", f"pillar={pillar}"]
        return self.on("master", *words, timeout=300)

    def ship(self, version="v2"):
        """A canary that serves: ship it unless it is there."""
        if self.weights()["canary"] == 0 or self.release_version() != version:
            done = self.orchestrate(version)
            assert done.returncode == 0, done.stdout + done.stderr

    def clear(self):
        """No alert."""
        self.ok("master", "salt-run", "release.clear", "checkbox")

    def reset(self):
        """No release, no alert."""
        self.ok("master", "salt-run", "release.abort", "checkbox")
        self.clear()

    def status(self):
        said = self.on("master", "salt-run", "release.status", "checkbox", "--out=json").stdout
        return json.loads(said)["checkbox"]

    def release_version(self):
        release = self.status()["release"]
        return release["version"] if release else None

    def weights(self):
        """The weights in force at the balancer, from its own metrics: works with everything else dead."""
        said = self.ok("lb-1", "curl", "-sf", "http://127.0.0.1:9901/metrics")
        pattern = r'sluice_weight_effective_percent\{service="checkbox",track="(\w+)"\} (\S+)'
        return {track: float(weight) for track, weight in re.findall(pattern, said)}

    def wait_for_weights(self, seconds=15, **wanted):
        """Wait until the balancer has these weights in force; how long it took."""
        started = time.monotonic()
        wait_until(lambda: self.weights() == wanted, f"weights {wanted}", seconds, pause=0.05)
        return time.monotonic() - started

    @contextlib.contextmanager
    def stopped(self, machine, unit):
        """A service that is down for a while."""
        self.ok(machine, "systemctl", "stop", unit)
        try:
            yield
        finally:
            self.ok(machine, "systemctl", "start", unit)

    def wait_for_master(self):
        """The master answers, and its minions are back."""

        def back():
            return self.on("master", "salt", "--timeout=3", "canary-1", "test.ping").returncode == 0

        wait_until(back, "the master and canary-1", 90, pause=0.5)

    def edit_ratio(self, stable, canary):
        """Save the ratio, as an operator with an editor does."""
        text = f"traffic:\n  checkbox:\n    stable: {stable}\n    canary: {canary}\n"
        self.ok("master", "tee", TRAFFIC, text=text)

    def users(self, rate=50.0):
        """Users on the balancer; to be started and stopped."""
        return Load(self.lab.machine("lb-1").address, 80, rate, self.lab.network)
