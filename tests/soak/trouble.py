"""What is done to the balancer while users are at it: one step after the other, each put on record."""

import contextlib
import json
import os
import random
import signal
import time

from running import MONITOR_TOKEN, wait_until

from tests.soak import gauges
from tests.soak.judge import Ended
from tests.soak.stage import CANARY, SPARE, STABLE, WORKERS

DRAIN_SECONDS = 20
# The share of a thousand requests is within one request per hundred of its target.
SHARE_REQUESTS, SHARE_POINTS = 1000, 1.0
SHARE_SECONDS = 15
# The part of a run in which the balancer is restarted.
RESTARTS = 0.4


class Trouble:
    """The steps; each leaves the balancer as it found it."""

    def __init__(self, stage, traffic, judge, seed):
        self._stage, self._traffic, self._judge = stage, traffic, judge
        self._dice = random.Random(f"{seed} trouble")
        self._balancer = stage.balancer
        self.choose_veterans()
        self.done, self.now = {}, ""
        self.measured = {"worker replaced": [], "alert": [], "reload": [], "drain": [], "restart": []}
        self.shares = []
        self.quiet = []

    def choose_veterans(self):
        """Workers that are not killed, for their memory is watched."""
        self.veterans = set(sorted(self._balancer.worker_pids())[:1])

    def steps(self):
        """Every step once, in any order."""
        steps = [
            self.weights,
            self.add_and_remove_a_backend,
            self.kill_a_worker,
            self.kill_a_backend,
            self.restart_a_backend,
            self.drain_restart_restore,
            self.freeze_a_backend,
            self.alert_at_the_admin_api,
            self.alert_at_its_own_listener,
            self.alert_by_redis,
            self.alert_by_the_monitor,
            self.lose_redis,
            self.refuse_a_bad_file,
            self.restart_the_balancer,
            self.change_the_certificate,
        ]
        self._dice.shuffle(steps)
        return steps

    def run(self, until, seconds_between):
        """Every step once, and on until the time has come; the one under way is brought to its end."""
        began = time.monotonic()
        while time.monotonic() < until:
            for step in self.steps():
                if time.monotonic() >= until and step.__name__ in self.done:
                    return
                # Later not, for the memory of processes is watched over a long time.
                late = time.monotonic() > began + RESTARTS * (until - began)
                if step == self.restart_the_balancer and late and step.__name__ in self.done:
                    continue
                self.now = step.__name__
                step()
                self.done[step.__name__] = self.done.get(step.__name__, 0) + 1
                time.sleep(self._dice.uniform(0.5, 1.5) * seconds_between)

    # The file.

    def _reload(self):
        self._balancer.write()
        began = time.monotonic()
        answer = self._balancer.admin("POST", "/reload")
        assert answer.status == 200, answer.body
        self.measured["reload"].append(time.monotonic() - began)

    def weights(self):
        """Another ratio, and the share that comes of it."""
        canary = self._dice.choice((1, 5, 12.5, 33.3, 50))
        self._check_no_alert()
        self._balancer.shop["weights"] = {"stable": 100 - canary, "canary": canary}
        self._reload()
        self._measure_share(canary)
        self._balancer.shop["weights"] = {"stable": 70, "canary": 30}
        self._reload()

    def _measure_share(self, target):
        """The canary's share of what users begin from now on."""
        since = time.monotonic()
        first = len(self._traffic.asked)
        deadline = since + SHARE_SECONDS

        def enough():
            return len(self._traffic.asked) - first > SHARE_REQUESTS * 1.3 or time.monotonic() > deadline

        wait_until(enough, "requests", SHARE_SECONDS + 10)
        upto = time.monotonic()
        served = [a for a in self._traffic.asked[first:] if since < a.began and a.status == 200]
        self._judge.look_at_visits([one for one in served if one.user], target)
        served = [one for one in served if not one.user]
        canary = sum(one.backend in CANARY for one in served)
        self.quiet.append((since, upto))
        share = 100 * canary / len(served)
        # What was begun but has not ended yet is missing here: some slow ones.
        off = abs(canary - target / 100 * len(served))
        allowed = SHARE_POINTS / 100 * max(len(served), SHARE_REQUESTS)
        self.shares.append({"target": target, "share": round(share, 2), "requests": len(served)})
        if off > allowed:
            self._judge.violate(f"share of the canary {share:.2f} % of {len(served)}, want {target} %")

    def add_and_remove_a_backend(self):
        spare = self._stage.backends[SPARE]
        stable = self._balancer.shop["tracks"]["stable"]
        stable[SPARE] = spare.address
        self._reload()
        self._stage.up([SPARE])
        time.sleep(0.5)
        del stable[SPARE]
        self._reload()
        gone = self._judge.forbid({SPARE}, "removed: from the file")
        time.sleep(0.3)
        gone.until = time.monotonic()

    def refuse_a_bad_file(self):
        """A slip of the pen, for a moment; nothing changes."""
        self._balancer.write(json.dumps(self._balancer.config)[:-20])
        assert self._balancer.admin("POST", "/reload").status == 400
        self._reload()

    # Processes.

    def kill_a_worker(self):
        """SIGKILL; the connections it had are those that the kernel lists just before."""
        victim = self._dice.choice(sorted(self._balancer.worker_pids() - self.veterans))
        self._stage.stop_process(victim)
        ports = [
            port
            for listener in (self._balancer.port, self._stage.tls_port)
            for port in gauges.client_ports(victim, listener)
        ]
        at = time.monotonic()
        self._judge.lost_lines.update(dict.fromkeys(ports, at))
        os.kill(victim, signal.SIGKILL)

        def replaced():
            pids = self._balancer.worker_pids()
            return victim not in pids and self._balancer.status()["workers"] == WORKERS

        wait_until(replaced, "another worker")
        self.measured["worker replaced"].append(time.monotonic() - at)

    def restart_the_balancer(self):
        began = time.monotonic()
        # Nothing is forbidden: until it is there again the entry says when tunnels to canaries ended.
        stopping = self._judge.forbid(CANARY, "restart: tunnels to the canary end", began)
        stopping.since, stopping.until = began + 5, began
        self._stage.restart_balancer()
        self.measured["restart"].append(time.monotonic() - began)
        self.choose_veterans()

    def change_the_certificate(self):
        self._stage.new_certificate()
        answer = self._balancer.admin("POST", "/reload")
        assert answer.status == 200, answer.body

    def _backend(self):
        return self._stage.backends[self._dice.choice((*STABLE, *CANARY))]

    def kill_a_backend(self):
        self._end(self._backend(), signal.SIGKILL)

    def restart_a_backend(self):
        """SIGTERM without a drain: it closes its listener and idle connections at once."""
        self._end(self._backend(), signal.SIGTERM)

    def _end(self, backend, number):
        # On record before it happens: a verdict may come at any time.
        record = Ended(backend.name, time.monotonic(), float("inf"))
        self._judge.ended.append(record)
        _, record.until = backend.end(number)
        time.sleep(self._dice.uniform(0, 1))
        backend.start()
        self._stage.up([backend.name])

    def drain_restart_restore(self):
        """As a rolling update does it: nothing at all may fail."""
        backend = self._backend()
        order = {"service": "shop", "backend": backend.name, "deadline_seconds": DRAIN_SECONDS}
        began = time.monotonic()
        answer = self._balancer.admin("POST", "/drain", order)
        assert answer.status == 200, answer.body
        drained = self._judge.forbid({backend.name}, "drained: the call had returned")
        self.measured["drain"].append(time.monotonic() - began)
        if answer.json["cut"]:
            self._judge.violate(f"a drain of {DRAIN_SECONDS} s cut {answer.json['cut']} requests off")
        # Nothing comes, though it is there.
        time.sleep(0.5)
        backend.end(signal.SIGTERM)
        backend.start()
        drained.until = time.monotonic()
        answer = self._balancer.admin("POST", "/restore", {"service": "shop", "backend": backend.name})
        assert answer.json == {"restored": True}, answer.body
        self._stage.up([backend.name])

    def freeze_a_backend(self):
        """SIGSTOP for a while: what is under way waits, and then is answered."""
        backend = self._backend()
        self._stage.stop_process(backend.process.pid)
        try:
            time.sleep(self._dice.uniform(0.5, 2))
        finally:
            os.kill(backend.process.pid, signal.SIGCONT)
        self._stage.up([backend.name])

    # Alerts.

    @contextlib.contextmanager
    def _alerted(self, door):
        """What an alert means; cleared in the end."""
        began = time.monotonic()
        yield
        standing = self._judge.forbid(CANARY, f"alert at {door}: the call had returned", began)
        self.measured["alert"].append(standing.since - began)
        assert self._balancer.weights()["canary"] == 0
        time.sleep(self._dice.uniform(0.3, 1.0))
        assert self._balancer.alert() is not None
        standing.until = time.monotonic()
        self._clear()

    def _clear(self):
        """As `salt-run release.clear` does it: in Redis, then at the balancer, then look."""
        if self._stage.redis.alive(self._stage.master):
            self._redis("DEL", "sluice:alert:shop")
        answer = self._balancer.admin("DELETE", "/alert/shop")
        assert answer.json == {"cleared": True}, answer.body
        time.sleep(0.1)
        self._check_no_alert()

    def _check_no_alert(self):
        alert = self._balancer.alert()
        if alert is not None:
            self._judge.violate(f"an alert stands that nobody raised, or that was cleared: {alert}")

    def alert_at_the_admin_api(self):
        with self._alerted("the admin API"):
            answer = self._balancer.admin("POST", "/alert", {"service": "shop", "reason": "soak"})
            assert answer.status == 200, answer.body

    def alert_at_its_own_listener(self):
        port, order = self._balancer.alert_port, {"service": "shop", "reason": "soak"}
        with self._alerted("its listener"):
            answer = self._balancer.admin("POST", "/alert", order, MONITOR_TOKEN, port)
            assert answer.status == 200, answer.body

    def alert_by_redis(self):
        with self._alerted("Redis"):
            assert self._redis("SET", "sluice:alert:shop", "soak") == "OK"
            wait_until(self._balancer.alert, "the alert")

    def alert_by_the_monitor(self):
        """The canary answers with errors; nobody tells the balancer."""
        canaries = [self._stage.backends[name] for name in CANARY]
        with self._alerted("the monitor"):
            for backend in canaries:
                backend.be_bad(True)
            wait_until(self._balancer.alert, "the alert of the monitor", 30)
            # While the alert stands nothing is judged; when it is cleared the window starts anew.
            for backend in canaries:
                backend.be_bad(False)

    def lose_redis(self):
        """Alerts work without a master; then another server is it, and the old one follows."""
        stage, old = self._stage, self._stage.master
        stage.redis.kill(old)
        self.alert_at_its_own_listener()
        stage.master = next(server for server in stage.redis.hosts if server != old)
        stage.redis.promote(stage.master)
        wait_until(lambda: self._reads_from(stage.master), "the new master is found")
        stage.redis.restart(old)
        stage.redis.call(old, "REPLICAOF", stage.redis.hosts[stage.master], str(stage.redis.port))

    def _reads_from(self, server):
        return self._balancer.status()["redis_servers"][server]["reads"]

    def _redis(self, *words):
        return self._stage.redis.call(self._stage.master, *words, user="operator")
