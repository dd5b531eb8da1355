"""Which service gets a request at a listener that several share."""

import copy
import json
import time

import pytest

from balancer import config
from balancer.hosts import NONE, Names, plain, to_https
from balancer.reader import ConfigError
from balancer.request import Request
from balancer.routes import Route

SERVICE = {"listen": "0.0.0.0:80", "weights": {"stable": 100}, "tracks": {"stable": {"a-1": "10.0.0.1:80"}}}
NOWHERE = Route(NONE, time.monotonic)


def names(**services):
    """A listener with these services; each is told its hosts."""
    made = Names(NOWHERE)
    made.take_over([(Route(name, time.monotonic), hosts, 0) for name, hosts in services.items()])
    return made


def parse(**hosts):
    """The services of a file in which each has these hosts, or none if they are None."""
    services = {}
    for name, told in hosts.items():
        services[name] = copy.deepcopy(SERVICE) | ({} if told is None else {"hosts": told})
    file = {"admin": {"listen": "127.0.0.1:1", "token_file": "/t"}, "state_dir": "/s", "services": services}
    return config.parse(json.dumps(file).encode()).services


def mistakes(**hosts):
    with pytest.raises(ConfigError) as refused:
        parse(**hosts)
    return refused.value.mistakes


SHARED = {
    "shop": ["shop.example", "*.shop.example"],
    "deep": ["*.b.shop.example"],
    "bank": ["bank.example", "xn--bcher-kva.example", "10.0.0.7"],
}
FOUND = {
    b"shop.example": "shop",
    b"SHOP.Example": "shop",
    b"shop.example.": "shop",
    b"shop.example:8080": "shop",
    b"Shop.example.:80": "shop",
    b"a.shop.example": "shop",
    b"a.b.c.shop.example": "shop",
    b"b.shop.example": "shop",
    b"a.b.shop.example": "deep",
    b"A.B.Shop.Example.:443": "deep",
    b"bank.example": "bank",
    b"xn--bcher-kva.example": "bank",
    b"XN--BCHER-KVA.example": "bank",
    b"10.0.0.7": "bank",
    b"10.0.0.7:80": "bank",
    b"a.bank.example": NONE,
    b"notshop.example": NONE,
    b"shop.example.org": NONE,
    b"shop.example..": NONE,
    b".shop.example": "shop",
    b"example": NONE,
    b"": NONE,
    b".": NONE,
    b"[::1]": NONE,
    b"[::1]:80": NONE,
    b"*.shop.example": "shop",
    b"a" * 250 + b".shop.example": NONE,
}


@pytest.mark.parametrize(("host", "service"), FOUND.items())
def test_a_host_leads_to_its_service(host, service):
    assert names(**SHARED).find(host).name == service


@pytest.mark.parametrize(("host", "service"), FOUND.items())
def test_what_no_other_has_is_the_defaults(host, service):
    found = names(**SHARED, rest=[]).find(host).name
    assert found == ("rest" if service == NONE else service)


def test_a_single_service_without_hosts_takes_all_without_a_look():
    one = names(shop=[])
    assert one.only.name == one.first.name == "shop"


def test_a_single_service_with_hosts_takes_only_these():
    one = names(shop=["shop.example"])
    assert one.only is None
    assert one.find(b"other.example") is NOWHERE


def test_what_is_refused_unseen_counts_for_the_default_or_else_the_first():
    assert names(**SHARED).first.name == "shop"
    assert names(**SHARED, rest=[]).first.name == "rest"
    assert names().first.name == NONE


def test_a_name_of_a_thousand_labels_is_not_cut_into_them():
    many = names(**SHARED)
    begin = time.process_time()
    for _ in range(1000):
        many.find(b"a." * 15_000 + b"shop.example")
    assert time.process_time() - begin < 1


def test_the_part_of_a_host_that_counts():
    assert plain(b"A.Example.:80") == b"a.example"
    assert plain(b"[::1]:80") == b"[::1]"


# In the file.


def test_hosts_are_kept_in_small_letters_and_without_the_dot_at_the_end():
    assert parse(shop=["Shop.Example.", "*.Shop.example"])["shop"].hosts == ("shop.example", "*.shop.example")


def test_services_may_share_an_address_if_all_but_one_have_hosts():
    found = parse(shop=["shop.example"], bank=["bank.example"], rest=None)
    assert {service.listen for service in found.values()} == {found["shop"].listen}


LONG = ".".join(["a" * 60] * 5)
NOT_A_NAME = "want a host name, with *. before it at most, and without a port"
WRONG = {
    "port": (["shop.example:80"], f'$.services.a.hosts[0]: is "shop.example:80", {NOT_A_NAME}'),
    "scheme": (["http://shop.example"], f'$.services.a.hosts[0]: is "http://shop.example", {NOT_A_NAME}'),
    "star": (["*"], f'$.services.a.hosts[0]: is "*", {NOT_A_NAME}'),
    "star inside": (["a.*.example"], f'$.services.a.hosts[0]: is "a.*.example", {NOT_A_NAME}'),
    "part of a label": (["b*.example"], f'$.services.a.hosts[0]: is "b*.example", {NOT_A_NAME}'),
    "empty label": (["a..example"], f'$.services.a.hosts[0]: is "a..example", {NOT_A_NAME}'),
    "empty": ([""], f'$.services.a.hosts[0]: is "", {NOT_A_NAME}'),
    "hyphen": (["-a.example"], f'$.services.a.hosts[0]: is "-a.example", {NOT_A_NAME}'),
    "line": (["a.example\n"], f'$.services.a.hosts[0]: is "a.example\\n", {NOT_A_NAME}'),
    "second": (["a.example", 7], f"$.services.a.hosts[1]: is 7, {NOT_A_NAME}"),
    "long": ([LONG], f'$.services.a.hosts[0]: is "{LONG[:79]}, {NOT_A_NAME}'),
    "umlaut": (
        ["bücher.example"],
        '$.services.a.hosts[0]: is "b\\u00fccher.example", '
        'want it as clients send it: "xn--bcher-kva.example"',
    ),
    "twice": (["a.example", "A.example."], "$.services.a.hosts: a.example stands there twice"),
}


@pytest.mark.parametrize(("hosts", "said"), WRONG.values(), ids=list(WRONG))
def test_a_host_that_is_none_is_told(hosts, said):
    assert mistakes(a=hosts) == [said]


@pytest.mark.parametrize("hosts", [[], "a.example", {}, None, ["a.example"] * 1001])
def test_hosts_are_a_list(hosts):
    file = copy.deepcopy(SERVICE) | {"hosts": hosts}
    with pytest.raises(ConfigError) as refused:
        top = {"admin": {"listen": "127.0.0.1:1", "token_file": "/t"}, "state_dir": "/s"}
        config.parse(json.dumps({**top, "services": {"a": file}}).encode())
    (said,) = refused.value.mistakes
    assert said.startswith("$.services.a.hosts: is ")
    assert said.endswith('want a list of 1 to 1000 names, like ["shop.example", "*.shop.example"]')


def test_a_host_of_two_services_at_one_address_is_told():
    assert mistakes(a=["x.example", "*.y.example"], b=["X.example.", "*.y.example"]) == [
        "$.services.b.hosts: x.example is $.services.a's already, both at 0.0.0.0:80",
        "$.services.b.hosts: *.y.example is $.services.a's already, both at 0.0.0.0:80",
    ]


def test_two_services_at_one_address_without_hosts_are_told():
    assert mistakes(a=None, b=["b.example"], c=None) == [
        "$.services.c.listen: 0.0.0.0:80 is $.services.a's already, and neither has hosts; "
        "want hosts for one at least"
    ]


def test_the_name_that_stands_for_no_service_is_refused():
    assert mistakes(none=None) == ["$.services.none: stands for no service at all, want another name"]


# From http to https.


@pytest.mark.parametrize(
    ("host", "target", "location"),
    [
        (b"shop.example", b"/a?b=c", b"https://shop.example/a?b=c"),
        (b"Shop.Example.:8080", b"/", b"https://shop.example/"),
        (b"[::1]:80", b"/a", b"https://[::1]/a"),
        (b"10.0.0.1", b"*", b"https://10.0.0.1/"),
        (b"shop.example", b"//evil.example/", b"https://shop.example//evil.example/"),
    ],
)
def test_a_redirect_keeps_host_and_target(host, target, location):
    answer = to_https(host, target, 443)
    assert (answer.status, answer.lines) == (308, (b"Location: " + location + b"\r\n",))


def test_another_port_than_443_is_named():
    assert to_https(b"a.example:80", b"/", 8443).lines == (b"Location: https://a.example:8443/\r\n",)


@pytest.mark.parametrize("host", [b"", b".", b"a%2f.example", b"a&b", b"(a)", b"a" * 254, b"a!b", b"user=a"])
def test_an_odd_host_is_sent_nowhere(host):
    assert to_https(host, b"/", 443).status == 421


def test_a_certificates_challenge_is_answered_without_https():
    assert to_https(b"a.example", b"/.well-known/acme-challenge/x", 443) is None


def test_a_redirect_is_per_service():
    shared = Names(NOWHERE)
    routes = {name: Route(name, time.monotonic) for name in ("a", "b")}
    shared.take_over([(routes["a"], ["a.example"], 443), (routes["b"], [], 0)])
    for host, status in ((b"a.example", 308), (b"b.example", None)):
        request = Request(0.0)
        request.host, request.target = host, b"/"
        shared.lead(request)
        assert (request.answer and request.answer.status) == status


def test_a_single_service_with_a_redirect_is_looked_at():
    one = Names(NOWHERE)
    one.take_over([(Route("a", time.monotonic), [], 443)])
    assert one.only is None
