"""How many backends a drain must leave up, as the file says it."""

import json

import pytest
import sluice_balancer_config

from balancer import config
from balancer.draining import listed
from balancer.reader import ConfigError

ADDRESSES = {f"shop-{number}": f"10.0.0.{number}:80" for number in range(1, 8)}


def parsed(min_available=None, backends=7, tracks=("stable", "canary")):
    hosts = dict(list(ADDRESSES.items())[:backends])
    shop = {
        "listen": "0.0.0.0:80",
        "weights": {track: 100 if track == "stable" else 0 for track in tracks},
        "tracks": {track: hosts if track == "stable" else {} for track in tracks},
    }
    if min_available is not None:
        shop["min_available"] = min_available
    told = {
        "admin": {"listen": "127.0.0.1:9901", "token_file": "/etc/sluice/admin.token"},
        "state_dir": "/var/lib/sluice",
        "services": {"shop": shop},
    }
    return config.parse(json.dumps(told).encode()).services["shop"]


def test_one_of_stable_and_none_of_canary_is_the_default():
    shop = parsed()
    assert (shop.needed("stable"), shop.needed("canary")) == (1, 0)
    assert parsed({"canary": "10%"}).needed("stable") == 1
    assert parsed(tracks=("stable",)).needed("stable") == 1


@pytest.mark.parametrize(
    ("wanted", "backends", "needed"),
    [
        (0, 7, 0),
        (3, 7, 3),
        (9, 7, 9),
        (10_000, 7, 10_000),
        ("0%", 7, 0),
        ("1%", 7, 1),
        ("14%", 7, 1),
        ("15%", 7, 2),
        ("50%", 7, 4),
        ("50%", 6, 3),
        ("50%", 1, 1),
        ("100%", 7, 7),
        ("100%", 0, 0),
    ],
)
def test_a_percentage_is_of_the_track_and_rounded_up(wanted, backends, needed):
    assert parsed({"stable": wanted}, backends).needed("stable") == needed


@pytest.mark.parametrize(
    "wanted",
    [
        -1,
        10_001,
        1.0,
        1.5,
        True,
        None,
        [],
        {},
        "1",
        "50",
        "%",
        "-1%",
        "101%",
        "1000%",
        "5.5%",
        "50 %",
        "٣%",
        "50%\n",
    ],
)
def test_anything_else_is_a_mistake_told_with_its_path(wanted):
    with pytest.raises(ConfigError) as refused:
        parsed({"stable": wanted})
    assert refused.value.mistakes == [
        f"$.services.shop.min_available.stable: is {json.dumps(wanted)}, "
        'want a number of backends, 0 to 10000, or "0%" to "100%"'
    ]


def test_a_track_that_the_service_has_not_is_a_mistake():
    with pytest.raises(ConfigError) as refused:
        parsed({"canary": 0}, tracks=("stable",))
    assert refused.value.mistakes == [
        "$.services.shop.min_available.canary: not a known key, want one of stable"
    ]
    with pytest.raises(ConfigError, match="min_available: is 1, want an object"):
        parsed(1)


def test_many_backends_are_told_short():
    states = {f"shop-{number}": "up" for number in range(100)}
    assert listed(states).startswith("up: shop-0, shop-1, ")
    assert "shop-9 and 90 more; drained: none; down: none" in listed(states)


def test_a_slip_in_a_services_pillar_is_named():
    settings = {"services": {"shop": {"listen": "0.0.0.0:80", "backend_port": 1, "tracks": {}, "helth": {}}}}
    with pytest.raises(sluice_balancer_config.ConfigError, match="shop:helth is not known: want"):
        sluice_balancer_config.services(settings)
