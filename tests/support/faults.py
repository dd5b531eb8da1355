"""Faults of machines and of their network, each for as long as a `with` lasts.

Rules and queues are made in the machine's own network namespace, with this computer's tools: they are gone
with the machine, whatever happens to the test.
"""

import contextlib

from lab import machines
from lab.process import run

# A machine's end of its cable.
DEVICE = "host0"
TABLE = "sluice_fault"
# Bridge port states (bridge(8)).
DISABLED, FORWARDING = "0", "3"


class Faults:
    """What can be done to the machines of a lab."""

    def __init__(self, fleet):
        self._fleet, self._lab = fleet, fleet.lab

    def _in_network_of(self, machine, *words, text=None):
        machines.in_network(self._lab, machine, words, input=text)

    @contextlib.contextmanager
    def frozen(self, machine, unit="nginx"):
        """All processes of a service stand still; the kernel goes on taking connections for them."""
        kill = ["systemctl", "kill", "--kill-whom=all"]
        self._fleet.ok(machine, *kill, "--signal=STOP", unit)
        try:
            yield
        finally:
            self._fleet.ok(machine, *kill, "--signal=CONT", unit)

    @contextlib.contextmanager
    def _rule(self, machine, rule):
        """A rule for all that comes in, of connections old and new."""
        chain = f"chain input {{ type filter hook input priority -10; {rule}; }}"
        self._in_network_of(machine, "nft", "-f", "-", text=f"table ip {TABLE} {{ {chain}; }}\n")
        try:
            yield
        finally:
            self._in_network_of(machine, "nft", "delete", "table", "ip", TABLE)

    def resetting(self, machine, port=80):
        """Every packet to the port is answered with a reset."""
        return self._rule(machine, f"tcp dport {port} reject with tcp reset")

    def swallowing(self, machine, port=80):
        """Packets to the port vanish; the machine is there otherwise."""
        return self._rule(machine, f"tcp dport {port} drop")

    @contextlib.contextmanager
    def unplugged(self, machine):
        """Nothing goes in or out, and neither side is told."""
        port = f"vb-{machines.full_name(self._lab, machine)}"
        run(["bridge", "link", "set", "dev", port, "state", DISABLED])
        try:
            yield
        finally:
            run(["bridge", "link", "set", "dev", port, "state", FORWARDING])

    @contextlib.contextmanager
    def half_open(self, machine, unit="nginx"):
        """The other side forgets all its connections, and its end of none of them arrives."""
        with self.unplugged(machine):
            self._fleet.ok(machine, "systemctl", "restart", unit)
            yield

    @contextlib.contextmanager
    def slow(self, machine, kbit=64, loss_percent=5):
        """
        A poor line: what the machine sends queues for up to a second, and some of what comes in is lost.

        Not by netem, which some kernels lack.
        """
        queue = ["tbf", "rate", f"{kbit}kbit", "burst", "4kb", "latency", "1s"]
        self._in_network_of(machine, "tc", "qdisc", "add", "dev", DEVICE, "root", *queue)
        try:
            with self._rule(machine, f"numgen random mod 100 < {loss_percent} drop"):
                yield
        finally:
            self._in_network_of(machine, "tc", "qdisc", "delete", "dev", DEVICE, "root")
