"""balancer.drained and in_service on a host that is no balancer: all balancers or none."""

import contextlib
import http.client
import threading

import pytest

from tests.functional.balancer.misbehaving import Backend, Loop
from tests.functional.balancer.running import HOST_TOKEN, Balancer, wait_until
from tests.support.ports import free_port

BOTH_DRAINED = {name: {"old": "up", "new": "drained"} for name in ("lb-1", "lb-2")}
BOTH_RESTORED = {name: {"old": "drained", "new": "restored"} for name in ("lb-1", "lb-2")}


@pytest.fixture(scope="module")
def loaded(machine_of_module):
    return machine_of_module("itrust-2")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two balancers on one port of two addresses, as two machines have it, before the same three hosts."""
    loop = Loop()
    hosts = {name: Backend(loop, name).start() for name in ("itrust-1", "itrust-2", "itrust-3")}
    port, made = free_port(), {}
    for number, name in ((1, "lb-1"), (2, "lb-2")):
        one = Balancer(tmp_path_factory.mktemp(name), {"stable": list(hosts.values())})
        one.config["alert"]["listen"] = f"127.0.0.{number}:{port}"
        one.shop["weights"], one.shop["min_available"] = {"stable": 100}, {"stable": "60%"}
        del one.shop["tracks"]["canary"]
        one.write()
        made[name] = one.start().wait_for_backends()
    yield made, hosts, port
    for one in [*made.values(), *hosts.values()]:
        one.stop()
    loop.stop()


@pytest.fixture
def fleet(pair):
    """The two, with everything up and in service."""
    made, hosts, _ = pair
    for one in made.values():
        if one._process is None:
            one.start()
        for name, host in hosts.items():
            host.healthy = True
            one.admin("POST", "/restore", {"service": "shop", "backend": name})
        one.admin("DELETE", "/alert/shop")
        one.wait_for_backends()
    return made


@pytest.fixture
def token(tmp_path):
    path = tmp_path / "balancer-host.token"
    path.write_text(HOST_TOKEN.format("itrust-2") + "\n")
    return path


@pytest.fixture
def apply(loaded, fleet, pair, token):
    """apply("drained", ...): the state's result, as itrust-2; in test mode the balancers are as they were."""

    def run(function, name="itrust-2", test=False, **more):
        told = {
            "name": name,
            "service": "shop",
            "balancers": {"lb-1": "127.0.0.1", "lb-2": ["127.0.0.2"]},
            "port": pair[2],
            "token_file": str(token),
        }
        before = states(fleet) if test else None
        ret = loaded.apply(f"balancer.{function}", test=test, **told | more)
        if test:
            assert states(fleet) == before
        assert HOST_TOKEN.format("itrust-2") not in str(ret)
        return ret

    return run


def states(fleet, host="itrust-2"):
    return {name: one.backends()[host] for name, one in fleet.items() if one._process is not None}


def order(one, what, host="itrust-2", **more):
    return one.admin("POST", f"/{what}", {"service": "shop", "backend": host, **more})


def test_a_host_is_drained_at_all_and_in_service_at_all_as_test_mode_told(apply, fleet):
    planned = apply("drained", test=True)
    assert (planned["result"], planned["changes"]) == (None, BOTH_DRAINED)
    ret = apply("drained")
    assert (ret["result"], ret["changes"]) == (True, BOTH_DRAINED)
    assert states(fleet) == {"lb-1": "drained", "lb-2": "drained"}
    for test in (True, False):
        ret = apply("drained", test=test)
        assert (ret["result"], ret["changes"], ret["comment"]) == (True, {}, "itrust-2 is drained")
    planned = apply("in_service", test=True)
    assert (planned["result"], planned["changes"]) == (None, BOTH_RESTORED)
    ret = apply("in_service")
    assert (ret["result"], ret["changes"]) == (True, BOTH_RESTORED)
    assert states(fleet) == {"lb-1": "up", "lb-2": "up"}
    for test in (True, False):
        ret = apply("in_service", test=test)
        assert (ret["result"], ret["changes"], ret["comment"]) == (True, {}, "itrust-2 is in service")


def test_if_the_second_refuses_the_first_is_restored(apply, fleet):
    order(fleet["lb-2"], "drain", "itrust-1")
    planned = apply("drained", test=True)
    assert (planned["result"], planned["changes"]) == (False, {})
    assert planned["comment"] == (
        "lb-2: itrust-2 would not be drained: 1 of stable would be left up, min_available wants 2"
    )
    ret = apply("drained")
    assert (ret["result"], ret["changes"]) == (False, {})
    assert ret["comment"] == (
        "lb-2: itrust-2 is not drained: 1 of stable would be left up, min_available wants 2; restored at lb-1"
    )
    assert states(fleet) == {"lb-1": "up", "lb-2": "up"}


def test_what_somebody_else_drained_is_not_restored_with_it(apply, fleet):
    order(fleet["lb-1"], "drain")
    order(fleet["lb-2"], "drain", "itrust-1")
    ret = apply("drained")
    assert ret["result"] is False
    assert "restored" not in ret["comment"]
    assert states(fleet) == {"lb-1": "drained", "lb-2": "up"}


def test_one_that_does_not_answer_keeps_the_others_from_being_drained(apply, fleet):
    fleet["lb-2"].stop()
    for test in (True, False):
        ret = apply("drained", test=test)
        assert (ret["result"], ret["changes"]) == (False, {})
        assert "lb-2: the balancer does not answer at 127.0.0.2:" in ret["comment"]
        assert states(fleet) == {"lb-1": "up"}


def test_one_that_dies_while_it_drains_leaves_nothing_half_drained(apply, fleet, pair):
    hosts = pair[1]
    hosts["itrust-2"].close_gate()
    for name in ("itrust-1", "itrust-3"):
        hosts[name].open_gate()
    clients = []
    while not hosts["itrust-2"].requests("/wait"):
        count = sum(len(one.requests("/wait")) for one in hosts.values())
        clients.append(threading.Thread(target=ask, args=(fleet["lb-2"],)))
        clients[-1].start()
        wait_until(
            lambda count=count: sum(len(one.requests("/wait")) for one in hosts.values()) > count,
            "the request is under way",
        )
    returned = []
    state = threading.Thread(target=lambda: returned.append(apply("drained", deadline_seconds=60)))
    state.start()
    wait_until(lambda: states(fleet)["lb-2"] == "drained", "the second drains")
    fleet["lb-2"].kill()
    state.join(60)
    hosts["itrust-2"].open_gate()
    for client in clients:
        client.join(30)
    (ret,) = returned
    assert (ret["result"], ret["changes"]) == (False, {})
    assert "restored at lb-1" in ret["comment"]
    assert "it may be drained at lb-2, not restored: lb-2: the balancer does not answer" in ret["comment"]
    assert states(fleet) == {"lb-1": "up"}


def ask(one):
    """A request that may be broken off."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        one.get("/wait")


def test_in_service_waits_for_one_that_starts_meanwhile(apply, fleet):
    apply("drained")
    fleet["lb-2"].stop()
    returned = []
    state = threading.Thread(target=lambda: returned.append(apply("in_service", timeout_seconds=60)))
    state.start()
    wait_until(lambda: states(fleet)["lb-1"] == "up", "the first has restored it")
    assert returned == []
    fleet["lb-2"].start()
    state.join(60)
    assert [(ret["result"], ret["changes"]) for ret in returned] == [(True, BOTH_RESTORED)]
    assert states(fleet) == {"lb-1": "up", "lb-2": "up"}


def test_in_service_fails_if_one_does_not_answer_in_time(apply, fleet):
    apply("drained")
    fleet["lb-2"].stop()
    ret = apply("in_service", timeout_seconds=0.5)
    assert ret["result"] is False
    assert ret["comment"].startswith("after 0.5 s: lb-2: the balancer does not answer at 127.0.0.2:")
    assert states(fleet) == {"lb-1": "up"}


def test_a_host_that_is_down_may_always_be_drained(apply, fleet, pair):
    for host in pair[1].values():
        host.healthy = False
    for one in fleet.values():
        one.wait_for_backends("down")
    ret = apply("drained")
    assert ret["result"] is True
    assert states(fleet) == {"lb-1": "drained", "lb-2": "drained"}


@pytest.mark.parametrize("function", ["drained", "in_service"])
@pytest.mark.parametrize("test", [True, False])
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"balancers": {}}, "no balancer is known, so nothing can be drained"),
        ({"balancers": ["lb-1"]}, "no balancer is known"),
        ({"balancers": {"lb-1": "evil.example.org"}}, "lb-1 has no address ('evil.example.org'); salt lb-1"),
        ({"balancers": {"lb-1": "10.0.0.1; id"}}, "lb-1 has no address"),
        ({"port": 0}, "port is 0: want 1 to 65535"),
        ({"port": True}, "port is True: want 1 to 65535"),
        ({"service": "../status"}, "'../status' is not the name of a service"),
        ({"service": 7}, "7 is not the name of a service"),
        ({"service": "shoe"}, "lb-1: there is no such service with a backend itrust-2"),
        (
            {"token_file": "/nowhere/token"},
            "/nowhere/token: No such file or directory; put balancer_host_token",
        ),
    ],
)
def test_what_cannot_be_meant_fails_in_words(apply, fleet, function, test, more, said):
    ret = apply(function, test=test, **more)
    assert (ret["result"], ret["changes"]) == (False, {})
    assert said in ret["comment"]
    assert states(fleet) == {"lb-1": "up", "lb-2": "up"}


@pytest.mark.parametrize("function", ["drained", "in_service"])
def test_another_backend_than_its_own_is_refused(apply, fleet, function):
    order(fleet["lb-1"], "drain", "itrust-1")
    ret = apply(function, backend="itrust-1")
    assert (ret["result"], ret["changes"]) == (False, {})
    assert ret["comment"] == "this host is itrust-2 at lb-1 (want itrust-1); its token is for no other"
    assert states(fleet, "itrust-1") == {"lb-1": "drained", "lb-2": "up"}


@pytest.mark.parametrize("text", ["", "two words", "sword\nfish"])
def test_a_token_that_is_none_is_refused_and_not_quoted(apply, token, text):
    token.write_text(text)
    ret = apply("drained")
    assert ret["result"] is False
    assert (
        "want one line of printable ASCII without spaces; correct pillar balancer_host_token"
        in ret["comment"]
    )
    assert "sword" not in ret["comment"] and "words" not in ret["comment"]


def test_a_wrong_token_is_refused_by_the_balancer(apply, token, fleet):
    token.write_text("a-token-of-nobody")
    ret = apply("drained")
    assert ret["result"] is False
    assert ret["comment"].startswith("lb-1: want a valid token")
    assert states(fleet) == {"lb-1": "up", "lb-2": "up"}


def test_two_hosts_that_drain_at_once_do_not_keep_each_other_from_it(loaded, fleet, pair, tmp_path):
    """One of three may go: of two at once exactly one does, and no balancer has half of each."""
    rets = {}

    def run(host):
        path = tmp_path / host
        path.write_text(HOST_TOKEN.format(host))
        rets[host] = loaded.apply(
            "balancer.drained",
            name=host,
            service="shop",
            balancers={"lb-1": "127.0.0.1", "lb-2": "127.0.0.2"},
            port=pair[2],
            token_file=str(path),
        )

    both = [threading.Thread(target=run, args=(host,)) for host in ("itrust-1", "itrust-2")]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    assert sorted(ret["result"] for ret in rets.values()) == [False, True]
    for host, ret in rets.items():
        wanted = "drained" if ret["result"] else "up"
        assert states(fleet, host) == {"lb-1": wanted, "lb-2": wanted}
