"""The steps of a release, and the orders about it, against a fleet made of data."""

import pytest
import sluice_orders
import sluice_steps
from sluice_errors import ReleaseError
from sluice_steps import Steps


@pytest.fixture
def steps(settings, fleet, pillar, monkeypatch):
    monkeypatch.setattr(sluice_steps, "IN_FORCE_SECONDS", 0.2)
    monkeypatch.setattr(sluice_steps, "POLL_SECONDS", 0.01)
    return Steps(settings, "checkbox", fleet, pillar)


def through(steps, *names):
    steps.start("v2", "me")
    for name in names:
        getattr(steps, name)()


def test_whole_story_ends_serving(steps, fleet):
    through(steps, "drain", "verify", "admit", "confirm")
    assert steps.ledger.open_release("checkbox").state == "serving"
    assert fleet.state == {"lb-1": "up", "lb-2": "up"}
    names = [step["name"] for step in steps.ledger.steps(steps.ledger.open_release("checkbox"))]
    assert names == ["start", "drain", "verify", "admit", "confirm"]


def test_second_run_of_the_same_version_does_not_drain(steps, fleet):
    through(steps, "drain", "verify", "admit", "confirm")
    fleet.calls.clear()
    through(steps, "drain", "verify", "admit", "confirm")
    assert "balancer.drain" not in [call[0] for call in fleet.calls]
    assert steps.ledger.last_release("checkbox").id == 1


@pytest.mark.parametrize("step", ["drain", "verify", "admit", "confirm"])
def test_balancer_that_dies_at_any_step_fails_the_release(steps, fleet, step):
    order = ["drain", "verify", "admit", "confirm"]
    through(steps, *order[: order.index(step)])
    fleet.silent.add("lb-2")
    with pytest.raises(ReleaseError, match=f"failed at the step '{step}'.*lb-2.*no answer") as failed:
        getattr(steps, step)()
    assert "salt-run release.abort checkbox" in str(failed.value)
    assert steps.ledger.last_release("checkbox").state == "failed"
    assert fleet.state["lb-1"] == "drained"


def test_weight_that_does_not_come_into_force_fails_the_release_drained(steps, fleet):
    fleet.on["balancer.restore"] = lambda _id: None
    through(steps, "drain", "verify", "admit")
    with pytest.raises(ReleaseError, match=r"lb-1 sees canary-1 drained \(want up\)"):
        steps.confirm()
    assert steps.ledger.last_release("checkbox").state == "failed"


def test_weight_finer_than_balancers_tell_is_the_same_weight(steps, fleet, settings, pillar):
    share = {"stable": 66.66666, "canary": 33.33334}
    fine = Steps(settings, "checkbox", fleet, lambda id_: {"traffic": {"checkbox": share}})
    assert fine.share("lb-1") == {"stable": 66.667, "canary": 33.333}


def test_alert_in_the_middle_fails_the_release_at_once(steps, fleet):
    through(steps, "drain", "verify", "admit")
    fleet.alerts["lb-2"] = {"reason": "slow"}
    with pytest.raises(ReleaseError, match="An alert stands for checkbox at lb-2"):
        steps.confirm()
    assert fleet.state == {"lb-1": "drained", "lb-2": "drained"}


def test_bad_probe_fails_the_release_with_the_canary_drained(steps, fleet):
    fleet.probed = fleet.probed | {"errors": 12, "failures": ["GET /getPic: 500"]}
    through(steps, "drain")
    with pytest.raises(ReleaseError, match="12 of 60 probe requests failed.*canary-1 drained at lb-1, lb-2"):
        steps.verify()
    assert "balancer.restore" not in [call[0] for call in fleet.calls]


def test_unhealthy_canary_fails_the_release(steps, fleet):
    fleet.on["probe.wait"] = lambda _id: "503 for 60 s"
    through(steps, "drain")
    with pytest.raises(ReleaseError, match=r"got 503 for 60 s from http://10.0.0.31:80/health \(want 200\)"):
        steps.verify()


def test_abort_during_admit_wins(steps, fleet, settings, pillar):
    through(steps, "drain", "verify")

    def abort_meanwhile(id_):
        fleet.state[id_] = "up"
        if id_ == "lb-2":
            fleet.on.clear()
            sluice_orders.abort(Steps(settings, "checkbox", fleet, pillar), "operator")
            fleet.state = {"lb-1": "up", "lb-2": "up"}

    fleet.on["balancer.restore"] = abort_meanwhile
    with pytest.raises(ReleaseError, match="aborted by operator"):
        steps.admit()
    assert fleet.state == {"lb-1": "drained", "lb-2": "drained"}
    assert steps.ledger.last_release("checkbox").state == "aborted"


def test_balancers_that_keep_users_hear_of_the_release_before_anyone_comes_in(steps, fleet):
    fleet.positions = {"lb-1": "1", "lb-2": "0"}

    def apply(id_):
        assert fleet.state["lb-1"] == fleet.state["lb-2"] == "drained"
        fleet.positions[id_] = "1"
        return {}

    fleet.on["state.apply"] = apply
    through(steps, "drain", "verify", "admit")
    assert fleet.positions == {"lb-1": "1", "lb-2": "1"}
    assert [call[1] for call in fleet.calls if call[0] == "state.apply"] == [["lb-2"]]


def test_balancer_that_does_not_hear_of_the_release_fails_it(steps, fleet):
    fleet.positions = {"lb-2": "0"}
    state = {"__id__": "balancer-config", "result": False, "comment": "no address", "__run_num__": 1}
    fleet.on["state.apply"] = lambda _id: {"one": state}
    wanted = r"lb-2 keeps users .* for release 0 \(want 1\): balancer-config: no address"
    with pytest.raises(ReleaseError, match=wanted):
        through(steps, "drain", "verify", "admit")
    assert fleet.state == {"lb-1": "drained", "lb-2": "drained"}


def test_without_affinity_no_balancer_state_is_applied(steps, fleet):
    through(steps, "drain", "verify", "admit")
    assert "state.apply" not in [call[0] for call in fleet.calls]


def test_step_without_a_release_is_refused(steps, fleet):
    with pytest.raises(ReleaseError, match="holds no open release"):
        steps.admit()
    assert fleet.calls == []


def test_failed_installation_ends_the_release_with_the_reason(steps, fleet):
    through(steps, "drain")
    states = {"x": {"__id__": "checkbox-build", "result": False, "comment": "npm ci failed"}}
    error = steps.fail({"canary-1": states})
    assert "canary-1: checkbox-build: npm ci failed" in str(error)
    assert steps.ledger.last_release("checkbox").reason == "install: canary-1: checkbox-build: npm ci failed"


def test_failed_installation_without_a_known_reason_points_at_the_output(steps):
    through(steps, "drain")
    assert "see above" in str(steps.fail({}))


def test_broken_pillar_fails_confirm_and_says_how_to_look(steps):
    through(steps, "drain", "verify", "admit")
    steps.pillar = lambda _id: {"_errors": ["Rendering SLS 'traffic' failed"]}
    with pytest.raises(ReleaseError, match="does not render.*pillar.show_pillar lb-1"):
        steps.confirm()


def test_abort_tells_which_balancer_could_not_be_told(steps, fleet):
    through(steps, "drain", "verify", "admit", "confirm")
    fleet.silent.add("lb-2")
    with pytest.raises(ReleaseError, match="lb-2: no answer.*may still get traffic there; repeat"):
        sluice_orders.abort(steps, "me")
    assert fleet.state["lb-1"] == "drained"
    fleet.silent.clear()
    assert "no release was open; canary-1 drained at lb-1, lb-2" in sluice_orders.abort(steps, "me")


def test_clear_touches_nothing_while_a_balancer_is_silent(steps, fleet):
    fleet.silent.add("lb-2")
    with pytest.raises(ReleaseError, match="lb-2: balancer.status failed"):
        sluice_orders.clear(steps)
    assert "balancer.clear" not in [call[0] for call in fleet.calls]
