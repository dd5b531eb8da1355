"""balancer.drained, in_service and in_force, beside a real balancer."""

import contextlib
import json
import threading

import pytest
from salt.exceptions import CommandExecutionError

from tests.functional.balancer.misbehaving import Backend, Loop
from tests.functional.balancer.running import Balancer, wait_until

DRAINED = {"stable-1": {"old": "up", "new": "drained"}}
RESTORED = {"stable-1": {"old": "drained", "new": "restored"}}


@pytest.fixture(scope="module")
def loaded(machine_of_module):
    return machine_of_module("lb-1")


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A balancer with two stable backends and a canary."""
    loop = Loop()
    backends = {name: Backend(loop, name).start() for name in ("stable-1", "stable-2", "canary-1")}
    stable, canary = [backends["stable-1"], backends["stable-2"]], [backends["canary-1"]]
    tracks = {"stable": stable, "canary": canary}
    shop = Balancer(tmp_path_factory.mktemp("balancer"), tracks, {"stable": 70, "canary": 30}).start()
    shop.backend = backends
    yield shop
    shop.stop()
    for one in backends.values():
        one.stop()
    loop.stop()


@pytest.fixture
def shop(running, loaded, monkeypatch):
    """The balancer of this machine, with everything up and in service."""
    monkeypatch.setitem(loaded.modules["balancer.status"].func.__globals__, "CONFIG", str(running.path))
    for name, backend in running.backend.items():
        backend.healthy = True
        backend.close_gate()
        running.admin("POST", "/restore", {"service": "shop", "backend": name})
    running.admin("DELETE", "/alert/shop")
    return running.wait_for_backends()


@pytest.fixture
def apply(loaded, shop):
    """apply("drained", "stable-1", ...): the state's result; in test mode the balancer is as it was."""

    def run(function, name, test=False, **more):
        before = shop.backends()
        ret = loaded.apply(f"balancer.{function}", test=test, **({"name": name, "service": "shop"} | more))
        assert set(ret) >= {"name", "changes", "result", "comment"}
        assert ret["name"] == name
        if test:
            assert shop.backends() == before
        return ret

    return run


def drain(shop, name, **more):
    return shop.admin("POST", "/drain", {"service": "shop", "backend": name, **more})


@contextlib.contextmanager
def waiting_request(shop, name):
    """A request that waits at a backend until its gate is opened; or is cut off at the end."""
    backend = shop.backend[name]
    others = [one for one in shop.backend.values() if one is not backend]
    before = len(backend.requests("/wait"))
    for one in others:
        one.open_gate()
    clients = []
    while len(backend.requests("/wait")) == before:
        count = sum(len(one.requests("/wait")) for one in shop.backend.values())
        clients.append(threading.Thread(target=lambda: shop.get("/wait")))
        clients[-1].start()
        wait_until(
            lambda count=count: sum(len(one.requests("/wait")) for one in shop.backend.values()) > count,
            "the request is under way",
        )
    try:
        yield
    finally:
        backend.open_gate()
        for client in clients:
            client.join(20)


# Drained.


def test_drained_drains_as_test_mode_told_and_then_changes_nothing(apply, shop):
    planned = apply("drained", "stable-1", test=True)
    assert (planned["result"], planned["changes"]) == (None, DRAINED)
    ret = apply("drained", "stable-1")
    assert (ret["result"], ret["changes"]) == (True, DRAINED)
    assert shop.backends()["stable-1"] == "drained"
    assert "stable-1" not in shop.served_by(20)
    for test in (True, False):
        ret = apply("drained", "stable-1", test=test)
        assert (ret["result"], ret["changes"], ret["comment"]) == (True, {}, "stable-1 is drained")


def test_drained_takes_a_sentence_for_a_name(apply, shop):
    ret = apply("drained", "Drain it before the update", backend="stable-1")
    assert (ret["result"], ret["changes"]) == (True, DRAINED)
    assert shop.backends()["stable-1"] == "drained"


def test_drained_is_refused_below_the_minimum_and_says_who_is_up(apply, shop):
    drain(shop, "stable-2")
    planned = apply("drained", "stable-1", test=True)
    assert (planned["result"], planned["changes"]) == (False, {})
    assert planned["comment"] == (
        "stable-1 would not be drained: 0 of stable would be left up, min_available wants 1"
    )
    ret = apply("drained", "stable-1")
    assert (ret["result"], ret["changes"]) == (False, {})
    assert "min_available wants 1 (up: stable-1; drained: stable-2; down: none)" in ret["comment"]
    assert shop.backends()["stable-1"] == "up"


def test_drained_tells_how_many_requests_it_cut(apply, shop):
    with waiting_request(shop, "stable-1"):
        ret = apply("drained", "stable-1", deadline_seconds=0.2)
    assert (ret["result"], ret["changes"]) == (True, DRAINED)
    assert ret["comment"] == "stable-1 is drained; requests cut off at the deadline: 1"


def test_drained_waits_for_a_drain_that_is_under_way(apply, shop):
    with waiting_request(shop, "stable-1"):
        first = threading.Thread(target=drain, args=(shop, "stable-1"))
        first.start()
        wait_until(lambda: shop.backends()["stable-1"] == "drained", "the drain has begun")
        planned = apply("drained", "stable-1", test=True)
        assert (planned["result"], planned["changes"]) == (True, {})
        assert "1 in flight would be waited for" in planned["comment"]
        ret = apply("drained", "stable-1", deadline_seconds=0.2)
        assert (ret["result"], ret["changes"]) == (True, {})
        assert ret["comment"].endswith("cut off at the deadline: 1")
        first.join(20)


def test_a_backend_that_is_down_can_be_drained(apply, shop):
    shop.backend["stable-1"].healthy = False
    shop.wait_for_backends("down", ["stable-1"])
    change = {"stable-1": {"old": "down", "new": "drained"}}
    assert apply("drained", "stable-1", test=True)["changes"] == change
    assert apply("drained", "stable-1")["changes"] == change


def test_the_function_is_refused_too_unless_it_is_forced(loaded, shop):
    drain(shop, "stable-2")
    with pytest.raises(CommandExecutionError, match="stable-1 is not drained: 0 of stable would be left up"):
        loaded.modules["balancer.drain"]("shop", "stable-1")
    assert shop.backends()["stable-1"] == "up"
    assert loaded.modules["balancer.drain"]("shop", "stable-1", force=True) == {"in_flight": 0, "cut": 0}
    assert shop.backends()["stable-1"] == "drained"


@pytest.mark.parametrize("function", ["drained", "in_service"])
@pytest.mark.parametrize("test", [True, False])
def test_an_unknown_name_fails_with_the_known_ones(apply, function, test):
    ret = apply(function, "stable-9", test=test)
    assert (ret["result"], ret["changes"]) == (False, {})
    assert ret["comment"] == "unknown backend stable-9 of shop; known: canary-1, stable-1, stable-2"
    ret = apply(function, "stable-1", service="shoe", test=test)
    assert (ret["result"], ret["comment"]) == (False, "unknown service shoe; known: shop")


def test_a_deadline_that_is_none_fails_and_drains_nothing(apply, shop):
    ret = apply("drained", "stable-1", deadline_seconds=-1)
    assert (ret["result"], ret["changes"]) == (False, {})
    assert "want 0 to 3600" in ret["comment"]
    assert shop.backends()["stable-1"] == "up"


@pytest.mark.parametrize("function", ["drained", "in_service"])
def test_without_a_balancer_it_fails_in_words(loaded, monkeypatch, tmp_path, function):
    names = loaded.modules["balancer.status"].func.__globals__
    monkeypatch.setitem(names, "CONFIG", str(tmp_path / "balancer.json"))
    ret = loaded.apply(f"balancer.{function}", name="stable-1", service="shop")
    assert (ret["result"], ret["changes"]) == (False, {})
    assert "apply the balancer state" in ret["comment"]


# In service.


def test_in_service_restores_as_test_mode_told_and_then_changes_nothing(apply, shop):
    drain(shop, "stable-1")
    planned = apply("in_service", "stable-1", test=True)
    assert (planned["result"], planned["changes"]) == (None, RESTORED)
    ret = apply("in_service", "stable-1")
    assert (ret["result"], ret["changes"]) == (True, RESTORED)
    assert "stable-1" in shop.served_by(20)
    for test in (True, False):
        ret = apply("in_service", "stable-1", test=test)
        assert (ret["result"], ret["changes"], ret["comment"]) == (True, {}, "stable-1 is in service")


def test_in_service_waits_until_the_backend_is_up(apply, shop):
    shop.backend["stable-1"].healthy = False
    shop.wait_for_backends("down", ["stable-1"])
    planned = apply("in_service", "stable-1", test=True)
    assert (planned["result"], planned["changes"]) == (True, {})
    assert "stable-1 is down (want up): status 503 (want 200); it would be waited for" in planned["comment"]
    drain(shop, "stable-1")
    returned = []
    state = threading.Thread(target=lambda: returned.append(apply("in_service", "stable-1")))
    state.start()
    shop.wait_for_backends("down", ["stable-1"])
    assert returned == []
    shop.backend["stable-1"].healthy = True
    state.join(30)
    assert [(ret["result"], ret["changes"]) for ret in returned] == [(True, RESTORED)]
    assert shop.backends()["stable-1"] == "up"


def test_in_service_fails_if_the_backend_does_not_come_up_in_time(apply, shop):
    drain(shop, "stable-1")
    before = shop.said().count("stable-1 is down")
    shop.backend["stable-1"].healthy = False
    wait_until(lambda: shop.said().count("stable-1 is down") > before, "the health check sees it")
    ret = apply("in_service", "stable-1", timeout_seconds=1)
    assert (ret["result"], ret["changes"]) == (False, RESTORED)
    assert ret["comment"] == "after 1 s: stable-1 is down (want up): status 503 (want 200)"
    shop.backend["stable-1"].healthy = True
    shop.wait_for_backends("up", ["stable-1"])


def test_a_canary_under_an_alert_is_not_in_service(apply, shop):
    shop.admin("POST", "/alert", {"service": "shop", "reason": "orders fail"})
    ret = apply("in_service", "canary-1", timeout_seconds=0)
    assert ret["result"] is False
    assert ret["comment"] == (
        "after 0 s: canary-1 is up, but canary gets no traffic: an alert stands (orders fail)"
    )
    assert apply("in_service", "stable-1", timeout_seconds=0)["result"] is True


def test_a_canary_that_is_declared_to_have_nothing_is_in_service_with_it(apply, shop):
    shop.shop["weights"] = {"stable": 100, "canary": 0}
    shop.write()
    assert shop.admin("POST", "/reload").status == 200
    try:
        assert apply("in_service", "canary-1", timeout_seconds=0)["result"] is True
    finally:
        shop.shop["weights"] = {"stable": 70, "canary": 30}
        shop.write()
        assert shop.admin("POST", "/reload").status == 200


# In force.


@pytest.fixture
def tokens(shop):
    """The files of tokens, put back afterwards."""
    paths = [shop.directory / name for name in ("admin.token", "alert.tokens.json")]
    texts = [path.read_text() for path in paths]
    yield paths
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    wait_until(lambda: shop.admin("POST", "/reload").status == 200, "the old tokens are good again")


def test_in_force_is_when_new_tokens_are(loaded, shop, tokens):
    admin, alert = tokens
    workers = shop.worker_pids()
    alert.write_text(json.dumps({"monitor": "token-of-a-monitor"}))
    admin.write_text("another-admin-token")
    ret = loaded.apply("balancer.in_force", name=str(shop.path))
    assert (ret["result"], ret["changes"]) == (True, {})
    told = {"service": "shop", "reason": "bad"}
    knocked = shop.admin("POST", "/alert", told, token="token-of-a-monitor", port=shop.alert_port)
    assert knocked.status == 200
    assert shop.admin("GET", "/status").status == 401
    assert shop.worker_pids() == workers


def test_in_force_fails_with_the_words_about_a_bad_token(loaded, shop, tokens):
    tokens[1].write_text('{"admin": "token-of-a-monitor"}')
    ret = loaded.apply("balancer.in_force", name=str(shop.path), timeout_seconds=0)
    assert ret["result"] is False
    assert "alert.tokens.json: a host cannot be called 'admin'" in ret["comment"]
    assert "token-of-a-monitor" not in ret["comment"]
