"""Who is what, from the minion id alone."""

import pytest
import sluice_nodegroups
from sluice_errors import ConfigError

GROUPS = {
    "stable": "checkbox-*",
    "canary": "L@canary-1,canary-2",
    "checkbox": "N@stable or N@canary",
    "listed": ["lb-1", "lb-2"],
    "grains": "G@role:balancer",
    "loop": "N@loop",
}


@pytest.mark.parametrize(
    ("target", "id_", "expected"),
    [
        ("checkbox-*", "checkbox-1", True),
        ("checkbox-*", "xcheckbox-1", False),
        ("E@check.*-[12]", "checkbox-2", True),
        ("L@a,b", "b", True),
        ("L@a,b", "a,b", False),
        ("N@checkbox", "canary-2", True),
        ("N@checkbox", "canary-3", False),
        ("N@checkbox and not canary-*", "canary-1", False),
        ("a or b and c", "a", True),
        ("( a or b ) and c", "a", False),
        ("not ( a or b )", "c", True),
        ("N@listed", "lb-2", True),
        ("N@listed", "lb-3", False),
    ],
)
def test_target_holds_exactly_its_ids(target, id_, expected):
    assert sluice_nodegroups.matches(target, id_, GROUPS) is expected


@pytest.mark.parametrize(
    "target",
    ["N@grains", "I@role:x", "N@nobody", "N@loop", "a b", "( a", "a or", "", "not"],
)
def test_target_that_ids_cannot_decide_is_an_error(target):
    with pytest.raises(ConfigError):
        sluice_nodegroups.matches(target, "a", GROUPS)


def test_members_are_sorted():
    assert sluice_nodegroups.members("N@listed", ["lb-2", "x", "lb-1"], GROUPS) == ["lb-1", "lb-2"]
