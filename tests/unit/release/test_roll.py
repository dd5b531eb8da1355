"""The walk of a roll, and the orders about it, against hosts and balancers made of data."""

import itertools
import sqlite3
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import salt.client
import salt.exceptions
import sluice_ledger
import sluice_ready
import sluice_roll
import sluice_roll_hosts
import sluice_roll_job
import sluice_roll_orders
import sluice_roll_show
import sluice_runner
from sluice_config import Probe, Service
from sluice_errors import ReleaseError
from sluice_fleet import Answer, Fleet
from sluice_ledger import Artifact
from sluice_service import ServiceView

HOSTS = ["web-1", "web-2", "web-3", "web-4"]


class Web:
    """Four hosts and two balancers that answer as told. `applied` holds who ran its state, call by call."""

    def __init__(self):
        self.opts = {}
        self.hosts, self.mined = list(HOSTS), list(HOSTS)
        self.runs = dict.fromkeys(HOSTS, "v1")
        self.half_way = {}
        self.states = dict.fromkeys(HOSTS, "up")
        self.bad, self.reverts, self.silent = set(), False, set()
        self.alert, self.minimum = None, 0
        self.applied, self.events = [], []
        # Called with the hosts that are about to run their state.
        self.before_apply = lambda ids: None

    def members(self, target):
        return {"N@web": self.hosts, "N@balancer": ["lb-1", "lb-2"]}.get(target, target.split(","))

    def needed(self, target, _what):
        return self.members(target)

    def addresses(self, _target):
        return dict.fromkeys(self.mined, "10.0.0.1")

    def call(self, ids, fun, *args, timeout=0, **kwargs):
        ids = list(ids)
        if fun == "state.apply" and not kwargs.get("test"):
            self.applied.append(ids)
            self.before_apply(ids)
        silent = Answer(error="no answer within 5 s")
        return {id_: silent if id_ in self.silent else self.one(id_, fun, kwargs) for id_ in ids}

    def ask(self, ids, fun, *args, **kwargs):
        answers = self.call(ids, fun, *args, **kwargs)
        for id_, answer in answers.items():
            if answer.error:
                raise ReleaseError(f"{id_}: {fun} failed: {answer.error}")
        return {id_: answer.value for id_, answer in answers.items()}

    def one(self, id_, fun, kwargs):
        if fun == "webapp.version":
            return Answer({"version": self.runs[id_], "half_way": self.half_way.get(id_)})
        if fun == "balancer.status":
            return Answer(self.status())
        if fun == "state.apply":
            return self.apply(id_, kwargs)
        return Answer([])

    def apply(self, id_, kwargs):
        if kwargs.get("test"):
            version = kwargs["pillar"]["release"]["web"]["stable"]["version"]
            return Answer({"x": {"__id__": "web-app", "result": None, "comment": f"to {version}"}})
        version = self.wanted(id_)
        if id_ in self.bad and version != "v1":
            if not self.reverts:
                self.states[id_] = "drained"
                self.half_way[id_] = {"version": version, "step": "verify", "reason": "503"}
            failed = {"x": {"__id__": "web-app", "result": False, "comment": "503 from /health"}}
            return Answer(failed, error="failed")
        self.runs[id_], self.states[id_] = version, "up"
        self.half_way.pop(id_, None)
        return Answer({"x": {"__id__": "web-app", "result": True, "comment": ""}})

    def status(self):
        backends = {host: {"state": state} for host, state in self.states.items()}
        tracks = {"stable": {"backends": backends, "min_available": self.minimum}}
        return {"services": {"web": {"alert": self.alert, "tracks": tracks}}}

    def fire(self, tag, data):
        self.events.append((tag, data))


@pytest.fixture
def web():
    return Web()


@pytest.fixture
def view(settings, web, monkeypatch):
    monkeypatch.setattr(sluice_roll_hosts, "UP_SECONDS", 0.05)
    monkeypatch.setattr(sluice_roll_hosts, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(sluice_roll, "SOAK_POLL_SECONDS", 0.01)
    monkeypatch.setattr(sluice_ready, "check_redis", lambda view: None)
    service = Service("web", "N@web", "", "web", "", "/health", 80, Probe())
    made = ServiceView(replace(settings, services={"web": service}), "web", web, lambda _id: {})
    web.wanted = lambda id_: sluice_ledger.desired(made.settings.ledger, "web", "stable", id_).version
    return made


def with_roll(view, **values):
    view.service = replace(view.service, roll=replace(view.service.roll, **values))


def begun(view, version="v2"):
    return sluice_roll_orders.start(view, version, "me", "operator me")


def rolled(view, version="v2"):
    roll = begun(view, version)
    roll.walk()
    roll.finish()
    return roll


def states(view):
    return {row.host: row.state for row in view.ledger.hosts(view.ledger.last_release("web", "stable"))}


def process_dies(view):
    with sqlite3.connect(view.ledger.path) as db:
        db.execute("UPDATE releases SET pid = 1, pid_started = 'long ago' WHERE state = 'running'")


@pytest.fixture
def at_v1(view):
    """All hosts were rolled to v1."""
    rolled(view, "v1")
    view.fleet.applied.clear()
    return view


def test_hosts_are_updated_in_order_and_batches_and_the_version_is_kept(at_v1, web):
    with_roll(at_v1, batches=(1, 2), first="web-3", last="web-1")
    rolled(at_v1)
    assert web.applied == [["web-3"], ["web-2", "web-4"], ["web-1"]]
    assert at_v1.ledger.last_release("web", "stable").state == "done"
    assert sluice_ledger.versions(at_v1.ledger.path, "web") == {"stable": "v2"}


def test_progress_is_on_the_bus_with_the_time_left(at_v1, web, monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(sluice_roll, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    web.events.clear()
    rolled(at_v1)
    assert [tag.rpartition("/")[2] for tag, _ in web.events][:4] == ["started", "batch", "host", "host"]
    assert web.events[-1][0] == "release/web/roll/done"
    assert web.events[-1][1] | {"done": 4, "total": 4, "eta_seconds": 0.0} == web.events[-1][1]
    # A batch takes one tick of this clock, and three are left after the first.
    assert [data["eta_seconds"] for tag, data in web.events if tag.endswith("batch")] == [None, 3.0, 2.0, 1.0]


def test_first_failure_stops_the_roll_and_the_others_are_not_touched(at_v1, web):
    web.bad = {"web-2"}
    with pytest.raises(
        ReleaseError, match="web-2 failed: web-app: 503 from /health.*2 not begun.*resume web.*undo web"
    ):
        begun(at_v1).walk()
    assert states(at_v1) == {"web-1": "verified", "web-2": "failed", "web-3": "pending", "web-4": "pending"}
    assert [web.wanted(host) for host in HOSTS] == ["v2", "v1", "v1", "v1"]
    assert at_v1.ledger.last_release("web", "stable").state == "stopped"


def test_host_that_failed_gets_the_version_before_if_pillar_says_so(at_v1, web):
    with_roll(at_v1, on_failure="revert")
    web.bad = {"web-1"}
    with pytest.raises(ReleaseError, match="web-1 reverted: web-app: 503"):
        begun(at_v1).walk()
    assert (web.runs["web-1"], web.states["web-1"], states(at_v1)["web-1"]) == ("v1", "up", "reverted")


def test_host_that_went_back_by_itself_is_reverted_without_another_run(at_v1, web):
    web.bad, web.reverts = {"web-1"}, True
    with pytest.raises(ReleaseError, match="web-1 reverted"):
        begun(at_v1).walk()
    assert web.applied == [["web-1"]]


def test_failures_within_the_budget_do_not_stop_the_roll(at_v1, web):
    with_roll(at_v1, max_failures=1)
    web.bad = {"web-2"}
    assert "3 of 4 hosts verified; web-2 failed: web-app: 503" in begun(at_v1).walk()


def test_minion_that_does_not_answer_is_skipped_and_counts(at_v1, web):
    web.silent = {"web-2"}
    with pytest.raises(ReleaseError, match="web-2 skipped: no answer within 5 s"):
        begun(at_v1).walk()
    assert web.applied == [["web-1"]]


def test_hosts_that_are_gone_are_skipped_within_the_budget(at_v1, web):
    with_roll(at_v1, max_failures=2)
    roll = begun(at_v1)
    web.hosts.remove("web-2")
    web.mined.remove("web-3")
    said = roll.walk()
    assert "2 of 4 hosts verified" in said
    assert (
        "web-2 skipped: its key is gone" in said and "web-3 skipped: its address is not in the mine" in said
    )


def test_host_that_is_removed_during_its_own_update_is_skipped(at_v1, web):
    with_roll(at_v1, max_failures=1)

    def remove(ids):
        if ids == ["web-2"]:
            web.hosts.remove("web-2")
            web.silent.add("web-2")

    web.before_apply = remove
    assert "web-2 skipped: its key is gone: it was removed during its update" in begun(at_v1).walk()


def test_host_that_says_it_is_done_but_runs_another_version_failed(at_v1, web):
    web.wanted = lambda id_: "v1"
    with pytest.raises(ReleaseError, match=r"it runs v1 \(want v2\)"):
        begun(at_v1).walk()


def test_host_that_a_balancer_does_not_see_up_failed(at_v1, web):
    web.apply = lambda id_, kwargs: (
        web.runs.update({id_: "v2"}) or web.states.update({id_: "down"}) or Answer({})
    )
    with pytest.raises(ReleaseError, match=r"web-1 failed: lb-1 sees it down \(want up\)"):
        begun(at_v1).walk()


def test_alert_stops_the_roll_before_the_next_host(at_v1, web):
    web.before_apply = lambda ids: setattr(web, "alert", {"reason": "slow", "by": "web-1", "at": "noon"})
    with pytest.raises(ReleaseError, match="An alert stands for web at lb-1.*slow"):
        begun(at_v1).walk()
    assert web.applied == [["web-1"]]


def test_batch_that_cannot_be_spared_stops_the_roll_untouched(at_v1, web):
    web.minimum, web.states["web-4"] = 3, "down"
    with pytest.raises(ReleaseError, match="web-1 cannot be spared at lb-1: 2 would be left up"):
        begun(at_v1).walk()
    assert web.applied == []


def test_own_minimum_of_the_roll_holds_besides(at_v1, web):
    with_roll(at_v1, min_available="75%")
    web.states["web-4"] = "down"
    with pytest.raises(ReleaseError, match="min_available wants 3"):
        begun(at_v1).walk()


def test_balancer_that_does_not_answer_stops_the_roll(at_v1, web):
    roll = begun(at_v1)
    web.silent = {"lb-2"}
    with pytest.raises(ReleaseError, match="lb-2: balancer.status failed"):
        roll.walk()
    assert web.applied == []


def test_verified_host_that_goes_down_while_it_is_watched_stops_the_roll(at_v1, web):
    with_roll(at_v1, soak_seconds=5)
    web.status_before, looks = web.status, []

    def status():
        looks.append(1)
        if len(looks) > 8:
            web.states["web-1"] = "down"
        return web.status_before()

    web.status = status
    with pytest.raises(ReleaseError, match="web-1 was verified, but lb-1 sees it down"):
        begun(at_v1).walk()
    assert web.applied == [["web-1"]]


def test_abort_of_a_roll_in_another_process_stops_it_after_the_hosts_it_is_at(at_v1, web, monkeypatch):
    roll = begun(at_v1)

    def abort(_ids):
        with monkeypatch.context() as patched:
            patched.setattr(type(roll.release), "held_elsewhere", True)
            assert "stops after the hosts it is at" in sluice_roll_orders.abort(at_v1, "somebody")

    web.before_apply = abort
    with pytest.raises(ReleaseError, match="the roll is aborted. aborted by somebody"):
        roll.walk()
    assert states(at_v1)["web-1"] == "verified" and web.applied == [["web-1"]]
    assert at_v1.ledger.last_release("web", "stable").state == "aborted"


def test_abort_of_a_roll_whose_process_is_gone_ends_it_at_once(at_v1):
    begun(at_v1)
    process_dies(at_v1)
    assert "aborted; its process was gone" in sluice_roll_orders.abort(at_v1, "somebody")
    assert sluice_roll_orders.abort(at_v1, "somebody") == "web: no roll was open"


def killed_in_the_middle(view, web, host):
    """A roll whose process dies while `host` runs its state, which comes to its end all the same."""

    def die(ids):
        if ids == [host]:
            raise KeyboardInterrupt

    web.before_apply = die
    with pytest.raises(KeyboardInterrupt):
        begun(view).walk()
    process_dies(view)
    web.before_apply = lambda ids: None
    web.applied.clear()


def test_resume_does_not_repeat_a_host_that_ended_its_update_by_itself(at_v1, web):
    killed_in_the_middle(at_v1, web, "web-2")
    web.runs["web-2"] = "v2"
    assert "4 of 4 hosts verified" in sluice_roll_orders.resume(at_v1)
    assert web.applied == [["web-3"], ["web-4"]]


def test_resume_repeats_the_one_host_that_was_left_half_way(at_v1, web):
    killed_in_the_middle(at_v1, web, "web-2")
    web.half_way["web-2"], web.states["web-2"] = {"version": "v2", "step": "stop"}, "drained"
    assert sluice_roll_orders.resume(at_v1).endswith("begun before and repeated: web-2")
    assert web.applied == [["web-2"], ["web-3"], ["web-4"]]
    assert at_v1.ledger.last_release("web", "stable").state == "done"


def test_resume_waits_for_states_that_still_run(at_v1, web):
    killed_in_the_middle(at_v1, web, "web-2")
    asked, one = [], web.one

    def answer(id_, fun, kwargs):
        if fun == "saltutil.is_running":
            asked.append(id_)
            web.runs["web-2"] = "v2" if len(asked) > 2 else "v1"
            return Answer([{"jid": "1"}] if len(asked) < 3 else [])
        return one(id_, fun, kwargs)

    web.one = answer
    sluice_roll_orders.resume(at_v1)
    assert asked == ["web-2"] * 3 and web.applied == [["web-3"], ["web-4"]]


def test_resume_of_a_roll_that_was_stopped_tries_the_failed_host_again(at_v1, web):
    web.bad = {"web-2"}
    with pytest.raises(ReleaseError):
        begun(at_v1).walk()
    web.bad = set()
    web.applied.clear()
    assert "4 of 4" in sluice_roll_orders.resume(at_v1)
    assert web.applied == [["web-2"], ["web-3"], ["web-4"]]


def test_resume_is_refused_while_an_alert_stands_and_changes_nothing(at_v1, web):
    killed_in_the_middle(at_v1, web, "web-2")
    web.alert = {"reason": "slow"}
    with pytest.raises(ReleaseError, match="An alert stands"):
        sluice_roll_orders.resume(at_v1)
    assert states(at_v1)["web-2"] == "updating" and web.applied == []


def test_nothing_to_resume_is_said_with_the_last_roll(at_v1):
    with pytest.raises(ReleaseError, match="no roll is left to go on with .*1 to v1, is done"):
        sluice_roll_orders.resume(at_v1)


def test_roll_is_refused_while_one_of_a_dead_process_is_open(at_v1, web):
    killed_in_the_middle(at_v1, web, "web-2")
    with pytest.raises(ReleaseError, match="nothing was changed.*interrupted.*resume web.*undo web"):
        sluice_roll_orders.check(at_v1, "v3")


def test_undo_rolls_back_in_the_face_of_an_alert_and_marks_the_other_undone(at_v1, web):
    rolled(at_v1)
    web.alert = {"reason": "slow"}
    assert "4 of 4 hosts verified" in sluice_roll_orders.undo(at_v1, None, "me")
    assert set(web.runs.values()) == {"v1"}
    ids = {row.id: (row.state, row.trigger) for row in at_v1.ledger.history("web")}
    assert ids[2][0] == "undone" and ids[3] == ("done", "undo of 2")
    assert sluice_ledger.versions(at_v1.ledger.path, "web") == {"stable": "v1"}


def test_undo_goes_back_from_the_middle_of_a_roll_whose_process_died(at_v1, web):
    killed_in_the_middle(at_v1, web, "web-2")
    sluice_roll_orders.undo(at_v1, None, "me")
    assert set(web.runs.values()) == {"v1"}
    assert at_v1.ledger.release(2).state == "undone"


def test_undo_of_the_first_roll_has_no_way_back(at_v1):
    with pytest.raises(ReleaseError, match="there is no way back"):
        sluice_roll_orders.undo(at_v1, None, "me")


@pytest.mark.parametrize("id_", [99, "x", True, -1])
def test_undo_of_no_roll_is_refused(at_v1, id_):
    with pytest.raises(ReleaseError, match="history"):
        sluice_roll_orders.undo(at_v1, id_, "me")


def test_version_is_the_newest_artifact_or_the_queued_one(at_v1):
    with pytest.raises(ReleaseError, match="No version of web is known"):
        sluice_roll_orders.wanted(at_v1)
    for version in ("v7", "v8"):
        at_v1.ledger.add_artifact(Artifact("web", version, f"http://a/{version}", "0" * 64))
    assert sluice_roll_orders.wanted(at_v1).url == "http://a/v8"
    at_v1.ledger.queue("web", "v7", "push", "push 1")
    assert sluice_roll_orders.wanted(at_v1).version == "v7"


def test_version_that_was_never_built_is_refused(at_v1):
    at_v1.service = replace(at_v1.service, artifacts="http://a/")
    with pytest.raises(ReleaseError, match=r"web v9 has no artifact in the ledger \(newest: none\)"):
        sluice_roll_orders.check(at_v1, "v9")


@pytest.mark.parametrize("version", ["--x", "../v2", "v2\n", 2])
def test_version_that_is_no_name_is_refused(at_v1, version):
    with pytest.raises(ReleaseError, match="is not a version"):
        sluice_roll_orders.check(at_v1, version)


def test_pinned_service_is_not_rolled_elsewhere(at_v1):
    at_v1.ledger.pin("web", "v1", "me", "exam week")
    with pytest.raises(ReleaseError, match="pinned to v1.*exam week.*unpin web"):
        sluice_roll_orders.check(at_v1, "v2")


def test_batch_that_would_leave_too_few_is_refused_at_the_check(at_v1):
    with_roll(at_v1, batches=(3,), min_available=2)
    with pytest.raises(ReleaseError, match="nothing was changed. Batch 1"):
        sluice_roll_orders.check(at_v1, "v2")


def test_queued_roll_begins_when_no_other_is_open(at_v1, monkeypatch):
    started = []
    monkeypatch.setattr(sluice_roll_job, "start", lambda opts, *what: started.append(what))
    assert sluice_roll_orders.begin_queued(at_v1) is None
    begun(at_v1)
    at_v1.ledger.queue("web", "v3", "push", "push 1")
    assert sluice_roll_orders.begin_queued(at_v1) is None
    at_v1.ledger.end(at_v1.ledger.open_release("web", "stable"), "stopped", "x")
    assert sluice_roll_orders.begin_queued(at_v1) == "v3" and started == [("web", "v3")]


def test_queued_roll_that_may_not_begin_is_refused_in_the_ledger_but_waits_while_another_runs(at_v1):
    at_v1.ledger.queue("web", "v3", "push", "push 1")
    roll = begun(at_v1)
    sluice_roll_orders.refused(at_v1, "v3", "me", "another runs")
    assert at_v1.ledger.queued("web")
    at_v1.ledger.end(roll.release, "stopped", "x")
    sluice_roll_orders.refused(at_v1, "v3", "me", "an alert stands")
    assert [(row.state, row.reason) for row in at_v1.ledger.history("web")][1] == (
        "refused",
        "an alert stands",
    )


def test_plan_tells_each_host_and_changes_nothing(at_v1, web):
    web.silent = {"web-4"}
    with_roll(at_v1, batches=(1, "50%"))
    told = sluice_roll_show.plan(at_v1, "v2")
    text = sluice_roll_show.plan_text(told)
    assert told["batches"] == [["web-1"], ["web-2", "web-3"], ["web-4"]]
    assert "web-1          v1 -> v2\n      ~ web-app: to v2" in text
    assert "web-4          does not tell: no answer" in text
    assert web.applied == [] and len(at_v1.ledger.history("web")) == 1


def test_plan_tells_why_the_roll_could_not_begin(at_v1, web):
    web.alert = {"reason": "slow"}
    assert "An alert stands" in sluice_roll_show.plan(at_v1, "v2")["problems"][0]


def test_watch_tells_the_events_of_its_roll_until_the_ledger_says_it_ended(at_v1):
    roll, said = begun(at_v1), []

    def events():
        yield "host", {"release": 99, "host": "other"}
        yield (
            "host",
            {"release": 2, "host": "web-1", "state": "verified", "done": 1, "total": 4, "eta_seconds": 9.0},
        )
        at_v1.ledger.end(roll.release, "stopped", "an alert\x1b[31m")
        yield None

    ended = sluice_roll_show.watch(at_v1, events(), said.append)
    assert said == ["[1/4, about 9 s left] web-1 verified"]
    assert sluice_roll_show.outcome(at_v1, ended)[0] is False


def test_watch_ends_when_the_process_of_the_roll_is_gone(at_v1):
    begun(at_v1)
    process_dies(at_v1)
    ended = sluice_roll_show.watch(at_v1, iter([None]), print)
    well, line = sluice_roll_show.outcome(at_v1, ended)
    assert not well and "its process is gone. Go on with: salt-run release.resume web" in line


def test_event_from_the_bus_is_shown_in_one_printable_line():
    line = sluice_roll_show.event_text(
        "host", {"host": "a\nb", "state": "\x1b[31m", "note": "x", "eta_seconds": "y"}
    )
    assert line.isprintable()


def test_ledger_that_cannot_be_written_is_said_and_leaves_the_roll_resumable(at_v1, web, monkeypatch):
    roll = begun(at_v1)
    web.alert = {"reason": "slow"}

    def full(*_args):
        raise ReleaseError("database or disk is full")

    monkeypatch.setattr(at_v1.ledger, "end", full)
    with pytest.raises(ReleaseError, match="disk is full.*still stands as running"):
        roll.walk()


def test_roll_is_not_done_while_the_turn_of_a_host_has_not_come(at_v1):
    with pytest.raises(ReleaseError, match="4 not begun. It is not at its end"):
        begun(at_v1).finish()
    assert sluice_ledger.versions(at_v1.ledger.path, "web") == {"stable": "v1"}


def test_order_that_is_interrupted_says_so_and_fails():
    said = pytest.raises(sluice_runner.Failed, match="release.watch was interrupted")
    with said, sluice_runner.for_users("release.watch"):
        # What Salt makes of Ctrl-C.
        raise SystemExit(0)


def test_balancer_that_falls_silent_after_an_update_stops_the_roll_and_resume_looks_again(at_v1, web):
    web.before_apply = lambda ids: web.silent.add("lb-2")
    with pytest.raises(ReleaseError, match="lb-2: balancer.status failed.*web-1 updating; 3 not begun"):
        begun(at_v1).walk()
    web.before_apply, web.silent = lambda ids: None, set()
    assert "4 of 4" in sluice_roll_orders.resume(at_v1)
    assert web.applied == [["web-1"], ["web-2"], ["web-3"], ["web-4"]]


def test_master_that_dies_while_a_host_is_updated_is_told_in_one_line(monkeypatch):
    def dies(*_args, **_kwargs):
        yield {}
        raise salt.exceptions.SaltClientError("Salt request timed out. " + "Advice. " * 50)

    client = MagicMock()
    client.return_value.__enter__.return_value.cmd_iter_no_block = dies
    monkeypatch.setattr(salt.client, "LocalClient", client)
    with pytest.raises(ReleaseError, match="state.apply: the master did not answer .*Is salt-master running"):
        Fleet({}).call(["web-1"], "state.apply")
