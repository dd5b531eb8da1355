"""Several Redis servers: the balancer finds the master, and none of them makes it miss or forget an alert."""

import time

import pytest
from running import MONITOR_TOKEN, Load, redis_settings, wait_until
from sluice_redis_failover import promote

from tests.support.redis_fleet import RedisFleet, password

KEY = "sluice:alert:shop"
CANARY = "sluice:canary:shop"
# "Within seconds": a look, a time-out and what a busy computer adds.
SECONDS = 6.0


@pytest.fixture
def fleet(tmp_path):
    with RedisFleet(tmp_path / "fleet") as made:
        yield made


@pytest.fixture
def start(tmp_path, backend, balancer):
    """Starts balancers that are connected to a fleet, a third of their traffic on a canary."""
    tracks = {"stable": [backend("stable-1")], "canary": [backend("canary-1")]}

    def start(fleet, master="redis-1"):
        made = balancer(
            tracks=tracks, weights={"stable": 70, "canary": 30}, redis=redis_settings(fleet, tmp_path)
        )
        made.canary = tracks["canary"][0]
        wait_for_use(made, master)
        return made

    return start


@pytest.fixture
def shop(fleet, start):
    return start(fleet)


def used(shop):
    """The servers that alerts are read from, and written to."""
    servers = shop.status()["redis_servers"]
    return [next((name for name, told in servers.items() if told[use]), None) for use in ("reads", "writes")]


def wait_for_use(shop, reads, writes="the same", seconds=SECONDS):
    wanted = [reads, reads if writes == "the same" else writes]
    wait_until(lambda: used(shop) == wanted, f"alerts are read and written at {wanted}", seconds)


def wait_for_alert(shop):
    return wait_until(shop.alert, "an alert stands", SECONDS)


def wait_for_key(fleet, server, key, value):
    wait_until(lambda: fleet.call(server, "GET", key) == value, f"{key} at {server} is {value}", SECONDS)


def wait_for_there(fleet, server, key):
    wait_until(lambda: fleet.call(server, "EXISTS", key), f"{server} has {key}", SECONDS)


def clear(fleet, server, shop):
    """What `release.clear` does, which goes round twice."""
    for _ in range(2):
        fleet.call(server, "DEL", KEY)
        assert shop.admin("DELETE", "/alert/shop").status == 200
        if shop.alert() is None and not fleet.call(server, "EXISTS", KEY):
            return
    raise AssertionError(f"the alert came back: {shop.alert()}")


def post_alert(shop, reason="bad"):
    told = {"service": "shop", "reason": reason}
    assert shop.admin("POST", "/alert", told, token=MONITOR_TOKEN, port=shop.alert_port).status == 200


def test_the_status_and_metrics_tell_which_server_is_used(fleet, shop):
    servers = shop.status()["redis_servers"]
    assert servers["redis-1"] == {"role": "master", "term": 0, "reads": True, "writes": True, "error": None}
    assert servers["redis-2"] == {
        "role": "replica",
        "term": 0,
        "reads": False,
        "writes": False,
        "error": None,
    }
    fleet.kill("redis-3")
    wait_until(lambda: shop.status()["redis_servers"]["redis-3"]["error"], "redis-3 is away", SECONDS)
    found = shop.metrics()
    up = [found[f'sluice_redis_up{{server="redis-{number}"}}'] for number in (1, 2, 3)]
    assert up == [1, 1, 0]
    assert found['sluice_redis_used{server="redis-1",use="reads"}'] == 1
    assert found['sluice_redis_used{server="redis-1",use="writes"}'] == 1
    assert found['sluice_redis_used{server="redis-2",use="reads"}'] == 0
    assert found['sluice_redis_failures_total{what="line"}'] >= 1
    assert found['sluice_redis_failures_total{what="alert"}'] == 0


def test_a_promotion_is_followed_without_a_restart(fleet, shop):
    promote(fleet.declared("admin"), "redis-2")
    wait_for_use(shop, "redis-2")
    fleet.call("redis-2", "SET", KEY, "bad")
    assert wait_for_alert(shop)["reason"] == "bad"


def test_alerts_come_and_are_cleared_while_the_master_moves(fleet, shop):
    servers, master = list(fleet.hosts), "redis-1"
    with Load(shop.port) as load:
        for term in range(1, 5):
            master = servers[term % 3]
            promote(fleet.declared("admin"), master)
            if term % 2:
                # Raised at once, whatever the balancer knows of the master yet.
                fleet.call(master, "SET", KEY, f"round {term}")
            else:
                post_alert(shop, f"round {term}")
            assert wait_for_alert(shop)["reason"] == f"round {term}"
            assert shop.weights()["canary"] == 0
            wait_for_use(shop, master)
            wait_for_there(fleet, master, KEY)
            clear(fleet, master, shop)
    assert load.failed == []
    # More than one look at all keys.
    looked = time.monotonic() + 2.5
    wait_until(lambda: time.monotonic() > looked, "the keys were read again")
    assert shop.alert() is None


def test_an_alert_raised_while_there_is_no_master_is_written_to_the_next(fleet, shop):
    fleet.kill("redis-1")
    post_alert(shop)
    fleet.promote("redis-2")
    wait_for_there(fleet, "redis-2", KEY)


def test_an_alert_that_a_failover_lost_is_written_again(fleet, shop):
    fleet.call("redis-2", "REPLICAOF", "NO", "ONE")
    fleet.call("redis-1", "SET", KEY, "nobody else heard")
    assert wait_for_alert(shop)["reason"] == "nobody else heard"
    fleet.kill("redis-1")
    assert fleet.call("redis-2", "EXISTS", KEY) == 0
    fleet.promote("redis-2")
    wait_for_there(fleet, "redis-2", KEY)
    assert shop.alert()["reason"] == "nobody else heard"


def test_a_stale_master_that_returns_is_neither_heard_nor_told(fleet, shop):
    fleet.call("redis-1", "SET", KEY, "of long ago")
    wait_for_alert(shop)
    fleet.kill("redis-1")
    fleet.promote("redis-2")
    wait_for_use(shop, "redis-2")
    clear(fleet, "redis-2", shop)
    fleet.restart("redis-1")
    wait_until(lambda: shop.status()["redis_servers"]["redis-1"]["role"] == "master", "it is seen", SECONDS)
    assert used(shop) == ["redis-2", "redis-2"]
    assert fleet.call("redis-1", "GET", KEY) == "of long ago"
    # Nor is it used where no other is left.
    fleet.kill("redis-2")
    fleet.kill("redis-3")
    wait_for_use(shop, None)
    assert shop.status()["redis"] == "disconnected"
    assert shop.alert() is None
    assert "says it is the master, too, and is left alone" in shop.said()


def test_a_frozen_master_is_noticed_a_replica_heard_and_the_successor_followed(fleet, shop):
    fleet.pause("redis-1")
    post_alert(shop)
    wait_until(lambda: used(shop) in (["redis-2", None], ["redis-3", None]), "a replica is heard", SECONDS)
    fleet.promote("redis-2")
    wait_for_use(shop, "redis-2")
    wait_for_there(fleet, "redis-2", KEY)
    fleet.resume("redis-1")
    wait_until(lambda: shop.status()["redis_servers"]["redis-1"]["role"] == "master", "it is back", SECONDS)
    assert used(shop) == ["redis-2", "redis-2"]


def test_alerts_stand_without_any_server_and_one_raised_meanwhile_is_found(fleet, shop):
    fleet.call("redis-1", "SET", KEY, "bad")
    wait_for_alert(shop)
    for server in fleet.hosts:
        fleet.kill(server)
    wait_for_use(shop, None)
    assert shop.alert()["reason"] == "bad"
    assert shop.served_by(20) == {"stable-1": 20}
    assert shop.admin("DELETE", "/alert/shop").json == {"cleared": True}
    for server in fleet.hosts:
        fleet.restart(server)
    assert wait_for_alert(shop)["reason"] == "bad"


def test_a_master_that_came_back_empty_is_told_again(fleet, shop):
    post_alert(shop)
    wait_for_there(fleet, "redis-1", KEY)
    fleet.kill("redis-1")
    for kept in (fleet.folder / "redis-1" / "appendonlydir").iterdir():
        kept.unlink()
    fleet.restart("redis-1")
    wait_for_there(fleet, "redis-1", KEY)


@pytest.fixture
def watched(tmp_path):
    with RedisFleet(tmp_path / "fleet", sentinels=True) as made:
        yield made


def test_a_failover_by_sentinel_is_followed_and_the_old_master_is_left_alone(watched, start):
    shop = start(watched)
    watched.kill("redis-1")
    post_alert(shop)
    successor = wait_until(lambda: used(shop)[1], "there is another master", 20)
    assert successor in ("redis-2", "redis-3")
    wait_for_there(watched, successor, KEY)
    clear(watched, successor, shop)
    watched.call(successor, "SET", KEY, "of now")
    assert wait_for_alert(shop)["reason"] == "of now"
    watched.restart("redis-1")
    wait_until(lambda: shop.status()["redis_servers"]["redis-1"]["role"], "the old master is back", SECONDS)
    assert used(shop) == [successor, successor]


def test_redis_is_reached_by_tls_and_only_with_a_certificate_of_the_authority(tmp_path, start):
    with RedisFleet(tmp_path / "fleet", tls=True) as fleet:
        shop = start(fleet)
        fleet.call("redis-1", "SET", KEY, "bad")
        assert wait_for_alert(shop)["reason"] == "bad"
        with RedisFleet(tmp_path / "others", replicas=0, tls=True) as others:
            shop.config["redis"]["tls"]["ca"] = str(others.tls[0])
            shop.write()
            wait_for_use(shop, None)
            errors = [told["error"] for told in shop.status()["redis_servers"].values()]
            wait_until(lambda: "CERTIFICATE_VERIFY_FAILED" in shop.said(), "the log says why", SECONDS)
            assert all(errors)


def test_other_servers_of_the_file_are_taken_over_live(fleet, shop, tmp_path):
    shop.config["redis"]["servers"] = shop.config["redis"]["servers"][1:2]
    shop.write()
    wait_for_use(shop, "redis-2", None)
    del shop.config["redis"]
    shop.write()
    wait_until(lambda: shop.status()["redis"] == "off", "Redis is off", SECONDS)
    post_alert(shop)
    shop.config["redis"] = redis_settings(fleet, tmp_path)
    shop.write()
    wait_for_use(shop, "redis-1")
    wait_for_there(fleet, "redis-1", KEY)


def test_a_refused_password_is_said_once_and_not_shown(fleet, start, tmp_path):
    shop = start(fleet)
    (tmp_path / "redis.password").write_text("not-the-right-one\n")
    for server in fleet.hosts:
        fleet.call(server, "CLIENT", "KILL", "USER", "balancer")
    wait_for_use(shop, None)
    post_alert(shop)
    assert shop.served_by(20) == {"stable-1": 20}
    line = 'sluice_redis_failures_total{what="line"}'
    before = shop.metrics()[line]
    wait_until(lambda: shop.metrics()[line] >= before + 6, "it was tried again", 20)
    for server, host in fleet.hosts.items():
        assert shop.said().count(f"redis {server} ({host}:{fleet.port}): refuses balancer") == 1
    assert "want the password of pillar redis:users:balancer:password" in shop.said()
    assert "not-the-right-one" not in shop.said()
    (tmp_path / "redis.password").write_text(password("balancer"))
    wait_for_use(shop, "redis-1", seconds=10)
    wait_for_there(fleet, "redis-1", KEY)


# sluice:canary:<service>


def test_the_canary_key_follows_weight_lease_alert_and_backends(fleet, shop):
    wait_for_key(fleet, "redis-1", CANARY, "30")
    assert 20 < fleet.call("redis-1", "TTL", CANARY) <= 30
    order = {"service": "shop", "weights": {"stable": 99.5, "canary": 0.5}, "lease_seconds": 2}
    assert shop.admin("POST", "/weights", order).status == 200
    wait_for_key(fleet, "redis-1", CANARY, "0.5")
    wait_for_key(fleet, "redis-1", CANARY, "30")
    post_alert(shop)
    wait_for_key(fleet, "redis-1", CANARY, None)
    wait_for_there(fleet, "redis-1", KEY)
    clear(fleet, "redis-1", shop)
    wait_for_key(fleet, "redis-1", CANARY, "30")
    shop.canary.stop()
    wait_for_key(fleet, "redis-1", CANARY, None)
    shop.canary.start()
    wait_for_key(fleet, "redis-1", CANARY, "30")
    shop.admin("POST", "/drain", {"service": "shop", "backend": "canary-1"})
    wait_for_key(fleet, "redis-1", CANARY, None)
    shop.admin("POST", "/restore", {"service": "shop", "backend": "canary-1"})
    wait_for_key(fleet, "redis-1", CANARY, "30")
    shop.shop["weights"] = {"stable": 100, "canary": 0}
    shop.write()
    wait_for_key(fleet, "redis-1", CANARY, None)


def test_the_canary_key_is_written_to_the_new_master(fleet, shop):
    wait_for_key(fleet, "redis-1", CANARY, "30")
    fleet.promote("redis-2")
    fleet.call("redis-2", "DEL", CANARY)
    wait_for_key(fleet, "redis-2", CANARY, "30")


def test_a_canary_key_that_another_balancer_deleted_is_there_again_soon(fleet, shop, start):
    other = start(fleet)
    order = {"service": "shop", "weights": {"stable": 100, "canary": 0}, "lease_seconds": 600}
    assert other.admin("POST", "/weights", order).status == 200
    wait_for_key(fleet, "redis-1", CANARY, None)
    wait_until(lambda: fleet.call("redis-1", "GET", CANARY) == "30", "it is written again", 12)


def test_a_canary_key_that_is_refused_is_counted_and_in_nobodys_way(fleet, shop):
    wait_for_key(fleet, "redis-1", CANARY, "30")
    fleet.call("redis-1", "ACL", "SETUSER", "balancer", "clearselectors")
    order = {"service": "shop", "weights": {"stable": 60, "canary": 40}, "lease_seconds": 600}
    assert shop.admin("POST", "/weights", order).status == 200
    counted = 'sluice_redis_failures_total{what="canary"}'
    wait_until(lambda: shop.metrics()[counted] >= 2, "it is counted", SECONDS)
    assert shop.said().count("sluice:canary:shop is not written") == 1
    fleet.call("redis-1", "SET", KEY, "bad")
    assert wait_for_alert(shop)["reason"] == "bad"
