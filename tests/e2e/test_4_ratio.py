"""The ratio is a line in pillar."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.fleet import TRAFFIC

APPLY = ("master", "salt", "lb*", "state.apply", "balancer")


@pytest.fixture
def ratio(canary):
    """A canary whose ratio may be edited; the old one is put back."""
    before = canary.ok("master", "cat", TRAFFIC)
    yield canary
    canary.ok("master", "tee", TRAFFIC, text=before)
    canary.wait_for_weights(stable=70.0, canary=30.0)


def test_saved_ratio_applies_by_itself_within_five_seconds(ratio, users):
    ratio.edit_ratio(55, 45)
    assert ratio.wait_for_weights(stable=55.0, canary=45.0) < 5


def test_saved_ratio_applies_with_the_state(ratio, users):
    ratio.ok("master", "systemctl", "stop", "salt-master")
    ratio.edit_ratio(90, 10)
    ratio.ok("master", "systemctl", "start", "salt-master")
    ratio.wait_for_master()
    ratio.ok(*APPLY, timeout=60)
    assert ratio.weights() == {"stable": 90.0, "canary": 10.0}


def test_orders_that_meet_each_other_and_the_pushes_of_edits_all_end(ratio, users):
    ratio.edit_ratio(60, 40)
    ratio.wait_for_weights(stable=60.0, canary=40.0)
    with ThreadPoolExecutor(4) as pool:
        orders = [pool.submit(ratio.on, *APPLY, timeout=60) for _ in range(3)]
        ratio.edit_ratio(65, 35)
        assert [order.result().returncode for order in orders] == [0, 0, 0]
    ratio.wait_for_weights(stable=65.0, canary=35.0)


@pytest.mark.parametrize(
    ("stable", "canary_weight", "words"),
    [("110", "-10", "-10"), ("'many'", "30", "number"), ("80", "30", "110"), ("100", "", "None")],
)
def test_bad_weights_are_refused_and_the_last_good_ones_stay(ratio, users, stable, canary_weight, words):
    ratio.edit_ratio(stable, canary_weight)
    done = ratio.on(*APPLY, timeout=60)
    assert done.returncode != 0
    assert words in done.stdout
    assert "Traceback" not in done.stdout
    assert ratio.weights() == {"stable": 70.0, "canary": 30.0}


def test_pillar_that_does_not_render_changes_nothing(ratio, users):
    ratio.ok("master", "tee", TRAFFIC, text="traffic: {checkbox: [unclosed\n")
    done = ratio.on(*APPLY, timeout=60)
    assert done.returncode != 0
    assert ratio.weights() == {"stable": 70.0, "canary": 30.0}
