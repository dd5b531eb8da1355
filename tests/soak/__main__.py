"""`python -m tests.soak [--seconds N] [--seed S] [--pace P]`: 0 if all held, 1 if not."""

import argparse
import contextlib
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

from running import wait_until

from tests.soak import gauges, report
from tests.soak.judge import Judge
from tests.soak.records import AccessLog, BackendLogs
from tests.soak.stage import Stage
from tests.soak.traffic import Traffic
from tests.soak.trouble import Trouble

MAX_SECONDS = 3600
PROGRESS_SECONDS = 10


class Soak:
    """One run."""

    def __init__(self, directory, seconds, seed, pace):
        self._seconds, self._pause = seconds, min(1.5, seconds / 60)
        self._stage = Stage(directory)
        stage = self._stage
        self._traffic = Traffic(stage.balancer.port, stage.tls_port, stage.authority.context(), seed, pace)
        self._judge = Judge(self._traffic.asked, AccessLog(self._stage.balancer.access_log))
        logs = {name: backend.log for name, backend in self._stage.backends.items()}
        self._arrivals = BackendLogs(logs)
        self._memory = gauges.Memory()
        self._ended = threading.Event()
        self._seed = seed
        self._trouble = None

    def run(self):
        """Everything, in order; the result."""
        try:
            self._stage.start()
            return self._run()
        finally:
            self._ended.set()
            self._stage.stop()

    def _run(self):
        began = time.monotonic()
        files = self._files()
        self._trouble = Trouble(self._stage, self._traffic, self._judge, self._seed)
        watching = threading.Thread(target=self._watch, daemon=True)
        self._traffic.start()
        watching.start()
        try:
            self._trouble.run(began + self._seconds, self._pause)
        except (AssertionError, OSError) as error:
            self._judge.violate(f"trouble came to an end: {error!r}")
        self._traffic.stop()
        seconds = time.monotonic() - began
        self._ended.set()
        watching.join()
        time.sleep(0.5)
        self._look(finally_=True)
        return self._result(seconds, files)

    # While it runs.

    def _watch(self):
        began = last = time.monotonic()
        while not self._ended.wait(1.0):
            self._look()
            # Not while the balancer is restarted.
            with contextlib.suppress(AttributeError, OSError):
                self._memory.sample(self._stage.processes())
            if time.monotonic() - last >= PROGRESS_SECONDS:
                last = time.monotonic()
                self._say(round(last - began))

    def _look(self, finally_=False):
        known = len(self._judge.violations)
        self._judge.look(finally_)
        self._arrivals.read(self._judge.arrived)
        for error in self._traffic.errors[:]:
            self._traffic.errors.remove(error)
            self._judge.violate(f"a user met {error}")
        for what in self._judge.violations[known : known + 20]:
            print(f"   VIOLATION ({self._trouble.now}): {what}", flush=True)

    def _say(self, seconds):
        judge, steps = self._judge, sum(self._trouble.done.values())
        excused, violations = sum(judge.excused.values()), len(judge.violations)
        told = f"{judge.seen} requests, {excused} excused, {violations} violations"
        print(f"   [{seconds:4d} s] {told}; step {steps + 1}: {self._trouble.now}", flush=True)

    # Afterwards.

    def _files(self):
        """Open files by process, besides connections of users and backends."""
        pids = self._stage.processes()
        return {name: gauges.files_besides(pid, self._stage.ports) for name, pid in pids.items()}

    def _check_files(self, before):
        """After the users are gone no process has more open than before they came."""
        typical = max(count for name, count in before.items() if name != "supervisor")
        told = {}
        for name, pid in self._stage.processes().items():
            allowed = before.get(name, typical)
            now = self._settled(pid, allowed)
            told[name] = {"before": allowed, "after": now}
            if now > allowed:
                self._judge.violate(f"{name} has {now} files open, {allowed} before")
            lines = self._users(pid)
            if lines:
                self._judge.violate(f"{name} still has {len(lines)} connections of users that are gone")
        return told

    def _users(self, pid):
        ports = self._stage.balancer.port, self._stage.tls_port
        return [remote for port in ports for remote in gauges.client_ports(pid, port)]

    def _settled(self, pid, allowed):
        """The fewest files in some seconds: connections of users that left end, health checks come and go."""
        counts = []

        def so():
            counts.append(gauges.files_besides(pid, self._stage.ports))
            return not self._users(pid) and counts[-1] <= allowed

        with contextlib.suppress(AssertionError):
            wait_until(so, "files are closed", 10)
        return min(counts)

    def _result(self, seconds, before):
        files = self._check_files(before)
        memory = report.memory(self._memory.samples)
        for wrong in report.growing(memory):
            self._judge.violate(wrong)
        judge, trouble, asked = self._judge, self._trouble, self._traffic.asked
        return {
            "seconds": round(seconds),
            "seed": self._seed,
            "requests": len(asked),
            "per_second": round(len(asked) / seconds),
            "arrived_at_backends": self._arrivals.count,
            "failed": sum("failed without" in what for what in judge.violations),
            "excused": dict(judge.excused),
            "bad_on_purpose": judge.bad_on_purpose,
            "left_early": self._traffic.left_early,
            "lost_idle": self._traffic.lost_idle,
            "trouble": trouble.done,
            "shares": trouble.shares,
            "measured_ms": {what: report.quantiles(s) for what, s in trouble.measured.items() if s},
            "latest_arrival_ms": {w: round(1000 * s, 1) for w, s in judge.latest_after.items()},
            "latency_ms": report.latency(asked, trouble.quiet),
            "memory": memory,
            "files": files,
            "violations": judge.violations,
        }


def main():
    parser = argparse.ArgumentParser(prog="tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="how long (default 600)")
    parser.add_argument("--seed", default=str(int(time.time())), help="repeats the order of the steps")
    parser.add_argument("--pace", type=float, default=1.0, help="how fast users go on (default 1)")
    parser.add_argument("--output", type=Path, default=Path("build/soak.json"))
    args = parser.parse_args()
    if not 5 <= args.seconds <= MAX_SECONDS:
        parser.error(f"--seconds: {args.seconds}, want 5 to {MAX_SECONDS}")
    with tempfile.TemporaryDirectory(prefix="sluice-soak-") as directory:
        os.chmod(directory, 0o700)
        try:
            result = Soak(Path(directory), args.seconds, args.seed, args.pace).run()
        except KeyboardInterrupt:
            print("soak: stopped; nothing is judged, and all that it started is ended", file=sys.stderr)
            return 130
    report.write(result, args.output)
    print(report.table(result))
    print(f"  written to {args.output}; seed {args.seed}")
    for what in result["violations"][:20]:
        print(f"  NOT KEPT: {what}")
    if not result["violations"]:
        print("  no request failed that had a healthy backend, and all else held")
    return 1 if result["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
