"""What the balancers' answers mean."""

import pytest
import sluice_balancers as balancers

SHARE = {"stable": 70, "canary": 30}


def test_balancer_in_order_is_ready(fleet):
    assert balancers.not_ready(fleet.status("lb-1"), "checkbox", ["canary-1"], SHARE, "lb-1") is None


def test_standing_alert_is_told_with_its_reason_and_the_way_out(fleet):
    fleet.alerts["lb-1"] = {"reason": "slow", "by": "canary-1", "at": "noon"}
    why = balancers.not_ready(fleet.status("lb-1"), "checkbox", ["canary-1"], SHARE, "lb-1")
    assert "at lb-1 since noon (by canary-1: slow)" in why
    assert "salt-run release.clear checkbox" in why


def test_canary_without_a_backend_is_not_ready(fleet):
    why = balancers.not_ready(fleet.status("lb-1"), "checkbox", ["canary-2"], SHARE, "lb-1")
    assert "lb-1 does not know canary-2" in why


def test_production_that_is_down_is_not_ready(fleet):
    status = fleet.status("lb-1")
    status["services"]["checkbox"]["tracks"]["stable"]["backends"]["checkbox-1"]["state"] = "down"
    why = balancers.not_ready(status, "checkbox", ["canary-1"], SHARE, "lb-1")
    assert "no stable host of checkbox up (checkbox-1 down)" in why


def test_ratio_that_was_not_applied_is_not_ready(fleet):
    why = balancers.not_ready(
        fleet.status("lb-1"), "checkbox", ["canary-1"], {"stable": 50, "canary": 50}, "lb-1"
    )
    assert "declares canary 30, stable 70" in why and "pillar says canary 50, stable 50" in why


def test_share_is_in_force_only_with_the_canary_up(fleet):
    assert balancers.not_in_force(fleet.status("lb-1"), "checkbox", ["canary-1"], SHARE, "lb-1") is None
    fleet.state["lb-1"] = "down"
    why = balancers.not_in_force(fleet.status("lb-1"), "checkbox", ["canary-1"], SHARE, "lb-1")
    assert why == "lb-1 sees canary-1 down (want up)"


@pytest.mark.parametrize(
    ("mined", "address"),
    [
        (["10.0.0.1"], "10.0.0.1"),
        (["nonsense", "10.0.0.1"], "10.0.0.1"),
        ({"__saltmine_acl__": 1, "__data__": ["10.0.0.1"]}, "10.0.0.1"),
        (["fd00::1"], "fd00::1"),
        (["10.0.0.1; rm -rf /"], None),
        (["evil.example.org"], None),
        (["0.0.0.0"], None),
        (["224.0.0.1"], None),
        ([167772161], None),
        ([], None),
        (None, None),
        ({"x": ["10.0.0.1"]}, None),
    ],
)
def test_only_an_address_from_the_mine_is_used(mined, address):
    assert balancers.mine_address(mined) == address
