"""What a service says of affinity, testers and the choice within a track, and what is wrong with it."""

import copy
import json

import pytest
from test_balancer_config import GOOD, SHOP, mistakes

from balancer import config, testers
from balancer.affinity import Affinity

AFFINITY = {"kind": "cookie", "secret_file": "/etc/sluice/affinity.secret", "release": "12"}
TESTERS = {"header": "X-Track", "cookie": "track", "from": ["10.0.0.0/8", "fd00::/8"]}


def with_shop(**keys):
    told = copy.deepcopy(GOOD)
    told["services"]["shop"].update(keys)
    return json.dumps(told).encode()


def shop(**keys):
    return config.parse(with_shop(**keys)).services["shop"]


def test_affinity_and_testers_are_off_unless_they_are_there():
    assert (shop().affinity, shop().testers) == (None, None)
    assert shop(affinity={"kind": "none"}).affinity is None


def test_the_choice_within_a_track_has_defaults():
    assert (shop().balance, shop().slow_start_seconds) == ("least_connections", 0)
    found = shop(balance="round_robin", slow_start_seconds=30)
    assert (found.balance, found.slow_start_seconds) == ("round_robin", 30)


def test_a_mirror_has_defaults():
    assert vars(shop(mirror={"percent": 5, "to": "canary"}).mirror) == {"percent": 5, "max_in_flight": 8}
    assert shop().mirror is None


def test_affinity_has_defaults():
    found = shop(affinity=AFFINITY).affinity
    assert isinstance(found, Affinity)
    assert (found.cookie, found.release, found.max_age_seconds) == ("sluice_shop", "12", 604800)


def test_testers_become_settings():
    assert shop(testers=TESTERS).testers == testers.Testers("X-Track", "track", ("10.0.0.0/8", "fd00::/8"))
    only = shop(testers={"cookie": "track", "from": ["0.0.0.0/0"]}).testers
    assert only == testers.Testers(None, "track", ("0.0.0.0/0",))


NAME = "want letters, digits, - and _, at most 64 in all"
FREE = "want a name of letters, digits and - that no other use has"


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("affinity.kind", "address", 'is "address", want "cookie" or "none"'),
        ("affinity.secret_file", None, "is null, want an absolute path"),
        ("affinity.release", None, "is null, want an id of letters, digits, - and _, at most 64 in all"),
        ("affinity.release", 12, "is 12, want an id of letters, digits, - and _, at most 64 in all"),
        ("affinity.cookie", "a b", f'is "a b", {NAME}'),
        ("affinity.cookie", "a;b", f'is "a;b", {NAME}'),
        ("affinity.cookie", "a\r\nb", f'is "a\\r\\nb", {NAME}'),
        ("affinity.max_age_seconds", 0, "is 0, want a whole number, 60 to 34560000"),
        ("affinity.secret", "x", "not a known key, want one of cookie, kind, max_age_seconds, release,"),
        ("testers.from", None, "is null, want a list of at most 1000 networks"),
        ("testers.from", [], "is empty, want the networks that testers ask from"),
        ("testers.header", "Host", f'is "Host", {FREE}'),
        ("testers.header", "x-forwarded-for", f'is "x-forwarded-for", {FREE}'),
        ("testers.header", "X Track", f'is "X Track", {FREE}'),
        ("mirror.percent", None, "is null, want a number, 0 to 100"),
        ("mirror.percent", 101, "is 101, want a number, 0 to 100"),
        ("mirror.to", "stable", 'is "stable", want "canary", and a track of that name'),
        ("mirror.max_in_flight", 0, "is 0, want a whole number, 1 to 1000"),
        ("balance", "random", 'is "random", want "least_connections" or "round_robin"'),
        ("balance", ["round_robin"], 'is ["round_robin"], want "least_connections" or "round_robin"'),
        ("slow_start_seconds", -1, "is -1, want a number, 0 to 3600"),
        ("testers.cookie", "a=b", 'is "a=b", want a cookie\'s name'),
    ],
)
def test_a_mistake_is_told(key, value, wanted):
    part, _, name = key.partition(".")
    table = {"affinity": dict(AFFINITY), "testers": dict(TESTERS), "mirror": {"percent": 5}}
    if name:
        table[part][name] = value
    else:
        table[part] = value
    found = mistakes(with_shop(**table))
    assert any(told.startswith(f"{SHOP}.{key}: {wanted}") for told in found), found


def test_testers_without_header_and_cookie_are_told():
    assert mistakes(with_shop(testers={"from": ["10.0.0.0/8"]})) == [
        f"{SHOP}.testers: has neither header nor cookie, want one at least"
    ]
