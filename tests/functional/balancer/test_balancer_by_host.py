"""Several services on one listener of a running balancer."""

import json

import pytest
from running import read_all, wait_until


@pytest.fixture
def street(backend, balancer):
    """`shop` and `bank` on one listener, told apart by Host; one worker."""
    shop, bank = backend("shop-1"), backend("bank-1")
    made = balancer(start=False, tracks={"stable": [shop]}, workers=1)
    made.shop["hosts"] = ["shop.example", "*.shop.example"]
    tracks = {"stable": {"bank-1": bank.address}, "canary": {}}
    made.config["services"]["bank"] = {**made.shop, "hosts": ["bank.example"], "tracks": tracks}
    made.write()
    made.start()
    for service in ("shop", "bank"):
        wait_until(lambda s=service: state(made, s) == "up", f"{service} is up")
    return made


def state(balancer, service):
    told = balancer.status()["services"][service]["tracks"]["stable"]["backends"]
    return next(iter(told.values()))["state"]


def asked(host, path="/", more=b""):
    return b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (path.encode(), host, more)


LAST = b"Connection: close\r\n"


def test_requests_of_one_connection_go_to_the_services_of_their_hosts(street):
    raw = (
        asked(b"shop.example")
        + asked(b"Bank.Example.:80")
        + asked(b"a.b.shop.example")
        + asked(b"bank.example", more=LAST)
    )
    said = street.send(raw)
    bodies = [part for part in said.split(b"\r\n\r\n") if part.startswith((b"shop-1", b"bank-1"))]
    assert [body[:6] for body in bodies] == [b"shop-1", b"bank-1", b"shop-1", b"bank-1"]


def test_a_host_of_no_service_is_answered_421_and_the_connection_goes_on(street):
    said = street.send(asked(b"other.example") + asked(b"bank.example", more=LAST))
    first, _, rest = said.partition(b"HTTP/1.1 200")
    assert first.startswith(b"HTTP/1.1 421 Misdirected Request\r\n")
    assert b"421 Misdirected Request: no service here has this Host" in first
    assert rest.endswith(b"bank-1")
    wait_until(
        lambda: (
            street.metrics()['sluice_requests_total{backend="none",code="4xx",service="none",track="none"}']
            == 1
        ),
        "the request is counted under none",
    )


def test_log_and_metrics_name_the_service_that_answered(street):
    street.send(asked(b"bank.example", "/who", b"X-Request-Id: of-the-bank\r\n" + LAST))
    street.send(asked(b"no.example", "/who", b"X-Request-Id: of-nobody\r\n" + LAST))
    told = street.log_line("of-the-bank")
    assert (told["service"], told["backend"], told["status"]) == ("bank", "bank-1", 200)
    told = street.log_line("of-nobody")
    assert (told["service"], told["backend"], told["status"]) == ("none", "none", 421)
    sample = 'sluice_requests_total{backend="bank-1",code="2xx",service="bank",track="stable"}'
    assert street.metrics()[sample] == 1


def test_what_is_refused_before_its_host_is_known_counts_for_the_first_service(street):
    assert street.send(b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert street.metrics()['sluice_refused_requests_total{service="shop"}'] == 1


def test_hosts_change_live_on_connections_that_are_open(street):
    with street.connect() as line:
        line.sendall(asked(b"new.example"))
        assert line.recv(65536).startswith(b"HTTP/1.1 421 ")
        street.shop["hosts"].append("new.example")
        street.write()
        assert street.admin("POST", "/reload").status == 200
        assert "new.example" in street.status()["services"]["shop"]["hosts"]
        line.sendall(asked(b"new.example", more=LAST))
        assert read_all(line).endswith(b"shop-1")


def test_a_service_without_hosts_gets_what_no_other_has(street):
    del street.shop["hosts"]
    street.write()
    assert street.admin("POST", "/reload").status == 200
    assert street.send(asked(b"whatever.example", more=LAST)).endswith(b"shop-1")
    assert street.send(b"GET / HTTP/1.0\r\n\r\n").endswith(b"shop-1")
    assert street.send(asked(b"bank.example", more=LAST)).endswith(b"bank-1")


def test_an_alert_or_a_drain_concerns_its_own_service_alone(street):
    assert street.admin("POST", "/alert", {"service": "bank", "reason": "x"}).status == 200
    order = {"service": "bank", "backend": "bank-1", "force": True}
    assert street.admin("POST", "/drain", order).json == {"in_flight": 0, "cut": 0}
    assert street.send(asked(b"bank.example", more=LAST)).startswith(b"HTTP/1.1 503 ")
    assert street.send(asked(b"shop.example", more=LAST)).endswith(b"shop-1")


def test_a_host_of_two_services_is_refused_by_a_reload_and_named(street):
    street.shop["hosts"].append("bank.example")
    street.write()
    answer = street.admin("POST", "/reload")
    assert answer.status == 400
    (said,) = json.loads(answer.body)["mistakes"]
    assert said.startswith("$.services.bank.hosts: bank.example is $.services.shop's already")
    assert street.send(asked(b"bank.example", more=LAST)).endswith(b"bank-1")
