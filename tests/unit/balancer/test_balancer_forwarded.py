"""What a backend is told of who asked, and whose word the balancer takes for it."""

import pytest
from test_balancer_request import made

from balancer import networks, reader
from balancer.forwarded import OTHERS, OURS, address_in, asked, asked_through, rounds
from balancer.networks import Networks, plain_address, read_networks
from balancer.request import BadRequest
from balancer.routes import Route

PROXY = b"10.0.0.9"
TABLE = {"weights": {"stable": 100.0}, "alert": False, "tracks": {"stable": {}}}


def at_backend(*headers, trust=(), peer=PROXY, proto=b"http", **parts):
    """The request after its head was made, and the head's rows: small name to values."""
    request = made(*headers, **parts)
    request.check()
    request.id = b"id-1"
    request.route = Route("shop", lambda: 0.0)
    request.route.apply({**TABLE, "trust_forwarded_from": list(trust)})
    request.make_head(asked([peer], proto))
    rows = {}
    for row in request.head.decode("latin-1").split("\r\n")[1:-2]:
        name, _, value = row.partition(": ")
        rows.setdefault(name.lower(), []).append(value)
    return request, rows


def told(rows):
    """What a backend is told, by its five names."""
    names = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip", "forwarded")
    return tuple("|".join(rows[name]) for name in names)


HONEST = ("10.0.0.9", "http", "shop.test", "10.0.0.9", 'for=10.0.0.9;proto=http;host="shop.test"')
LIES = [
    (b"X-Forwarded-For", b"1.1.1.1"),
    (b"X-Forwarded-Proto", b"https"),
    (b"X-Forwarded-Host", b"bank.test"),
    (b"X-Real-IP", b"1.1.1.1"),
    (b"Forwarded", b"for=1.1.1.1;proto=https;host=bank.test"),
]


def test_a_strangers_word_is_replaced():
    request, rows = at_backend(*LIES)
    assert told(rows) == HONEST
    assert request.address == PROXY


def test_a_stranger_is_believed_nothing_though_others_are():
    _, rows = at_backend(*LIES, trust=["10.0.0.0/29", "fd00::/8"])
    assert told(rows) == HONEST


@pytest.mark.parametrize("name", sorted(OURS | OTHERS))
@pytest.mark.parametrize("trust", [(), ("10.0.0.9/32",)])
def test_no_disguise_of_who_asked_goes_through(name, trust):
    _, rows = at_backend(
        (name.replace(b"-", b"_"), b"lie"), (name.upper().replace(b"-", b"_"), b"lie"), trust=trust
    )
    assert "lie" not in str(rows)


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_what_else_tells_of_who_asked_is_for_trusted_proxies_alone(name):
    header = (name.title(), b"word")
    assert name.decode() not in at_backend(header)[1]
    assert at_backend(header, trust=["10.0.0.9/32"])[1][name.decode()] == ["word"]


def test_an_ipv6_client_is_quoted_in_forwarded_alone():
    _, rows = at_backend(peer=b"2001:db8::7", proto=b"https")
    assert told(rows) == (
        "2001:db8::7",
        "https",
        "shop.test",
        "2001:db8::7",
        'for="[2001:db8::7]";proto=https;host="shop.test"',
    )


def test_a_host_with_a_port_stands_in_forwarded_whole():
    _, rows = at_backend(host=b"[::1]:8080")
    assert rows["forwarded"] == ['for=10.0.0.9;proto=http;host="[::1]:8080"']


# Trusted proxies.

TRUST = ["10.0.0.0/24", "fd00::/8"]
THROUGH = {
    "one client": ([b"7.7.7.7"], "7.7.7.7, 10.0.0.9", b"7.7.7.7"),
    "a stranger's word before it": ([b"1.1.1.1, 7.7.7.7"], "7.7.7.7, 10.0.0.9", b"7.7.7.7"),
    "in two headers": ([b"1.1.1.1", b"7.7.7.7"], "7.7.7.7, 10.0.0.9", b"7.7.7.7"),
    "through two proxies": ([b"1.1.1.1, 7.7.7.7, 10.0.0.5"], "7.7.7.7, 10.0.0.5, 10.0.0.9", b"7.7.7.7"),
    "through a proxy of IPv6": ([b"2001:DB8::1, fd00::5"], "2001:db8::1, fd00::5, 10.0.0.9", b"2001:db8::1"),
    "with ports": ([b"7.7.7.7:4000"], "7.7.7.7, 10.0.0.9", b"7.7.7.7"),
    "brackets and a port": ([b"[2001:db8::1]:4000"], "2001:db8::1, 10.0.0.9", b"2001:db8::1"),
    "IPv4 in IPv6's clothes": ([b"7.7.7.7, ::ffff:10.0.0.5"], "7.7.7.7, 10.0.0.5, 10.0.0.9", b"7.7.7.7"),
    "all of them trusted": ([b"10.0.0.1, 10.0.0.2"], "10.0.0.1, 10.0.0.2, 10.0.0.9", b"10.0.0.1"),
    "no address": ([b"unknown"], "10.0.0.9", PROXY),
    "no address at the end": ([b"7.7.7.7, unknown"], "10.0.0.9", PROXY),
    "no address in the middle": ([b"7.7.7.7, _x, 10.0.0.5"], "10.0.0.5, 10.0.0.9", b"10.0.0.5"),
    "an address with more": ([b"7.7.7.7; rm"], "10.0.0.9", PROXY),
    "a number too large": ([b"7.7.7.777"], "10.0.0.9", PROXY),
    "empty": ([b""], "10.0.0.9", PROXY),
    "an empty element": ([b"7.7.7.7,"], "10.0.0.9", PROXY),
    "missing": ([], "10.0.0.9", PROXY),
}


@pytest.mark.parametrize(("sent", "chain", "client"), THROUGH.values(), ids=list(THROUGH))
def test_of_a_trusted_proxy_counts_what_trusted_proxies_wrote(sent, chain, client):
    request, rows = at_backend(*[(b"X-Forwarded-For", value) for value in sent], trust=TRUST)
    assert rows["x-forwarded-for"] == [chain]
    assert rows["x-real-ip"] == [client.decode()]
    assert request.address == client


def test_a_chain_has_an_end():
    _, rows = at_backend((b"X-Forwarded-For", b",".join([b"10.0.0.1"] * 4000)), trust=TRUST)
    assert rows["x-forwarded-for"][0].count(",") == 32


def test_forwarded_tells_the_chain_with_protocol_and_host_at_the_client():
    sent = [(b"X-Forwarded-For", b"2001:db8::1, 10.0.0.5"), (b"X-Forwarded-Proto", b"HTTPS")]
    _, rows = at_backend(*sent, (b"X-Forwarded-Host", b"bank.test:444"), trust=TRUST)
    assert told(rows) == (
        "2001:db8::1, 10.0.0.5, 10.0.0.9",
        "https",
        "bank.test:444",
        "2001:db8::1",
        'for="[2001:db8::1]";proto=https;host="bank.test:444", for=10.0.0.5, for=10.0.0.9',
    )
    assert rows["host"] == ["shop.test"]


@pytest.mark.parametrize("value", [b"wss", b"https, http", b"", b"https;x"])
def test_a_doubtful_protocol_is_the_connections_own(value):
    assert at_backend((b"X-Forwarded-Proto", value), trust=TRUST)[1]["x-forwarded-proto"] == ["http"]
    twice = [(b"X-Forwarded-Proto", b"https")] * 2
    assert at_backend(*twice, trust=TRUST)[1]["x-forwarded-proto"] == ["http"]


@pytest.mark.parametrize("value", [b"a b", b'a"b', b"", b"user@bank.test", b"bank.test:99999", b"a/b"])
def test_a_doubtful_host_is_the_requests_own(value):
    _, rows = at_backend((b"X-Forwarded-Host", value), trust=TRUST)
    assert rows["x-forwarded-host"] == ["shop.test"]


def test_theirs_of_forwarded_and_real_ip_are_not_read():
    sent = [(b"Forwarded", b"for=1.1.1.1"), (b"X-Real-IP", b"1.1.1.1")]
    assert told(at_backend(*sent, trust=TRUST)[1]) == HONEST


# Via.


def test_via_is_appended_to():
    _, rows = at_backend((b"Via", b"1.0 fred, 1.1 p.example"), (b"via", b"1.1 q"))
    assert rows["via"] == ["1.0 fred, 1.1 p.example", "1.1 q", "1.1 sluice"]


def test_via_names_the_version_that_was_received():
    assert at_backend(version="1.0")[1]["via"] == ["1.0 sluice"]


def test_connection_cannot_take_via_away():
    assert at_backend((b"Connection", b"via"), (b"Via", b"1.1 q"))[1]["via"] == ["1.1 q", "1.1 sluice"]


@pytest.mark.parametrize(
    ("via", "count"),
    [
        (b"1.1 sluice", 1),
        (b"1.1 sluice, 1.0 fred, HTTP/1.1 Sluice (comment),1.1 sluice", 3),
        (b"1.1 sluice.example, 1.1 my-sluice, 1.1 fred (1.1)", 0),
        (b"", 0),
    ],
)
def test_rounds_are_counted_in_via(via, count):
    assert rounds(via) == count


def test_a_request_that_goes_in_circles_is_stopped():
    at_backend((b"Via", b"1.1 sluice, 1.1 sluice"), (b"Via", b"1.1 sluice, 1.1 sluice"))
    with pytest.raises(BadRequest) as refused:
        at_backend(
            (b"Via", b"1.1 sluice, 1.1 sluice, 1.1 x"), (b"Via", b"1.1 sluice, 1.1 sluice, 1.1 sluice")
        )
    assert refused.value.status == 508


def test_trace_context_goes_through_untouched():
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    state = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
    _, rows = at_backend(
        (b"traceparent", parent.encode()), (b"tracestate", state.encode()), (b"tracestate", b"x=1")
    )
    assert rows["traceparent"] == [parent]
    assert rows["tracestate"] == [state, "x=1"]


# Networks.


def test_an_address_is_in_its_networks():
    some = Networks(["10.0.0.0/8", "192.0.2.7/32", "fd00::/8"])
    for address in (b"10.1.2.3", b"192.0.2.7", b"fd12::1", b"::ffff:10.0.0.1"):
        assert some.hold(address) and some.hold(address)
    for address in (b"11.0.0.1", b"192.0.2.8", b"fe80::1", b"unknown", b"", b"::a00:1", b"\xff"):
        assert not some.hold(address)


def test_only_so_many_answers_are_remembered():
    some = Networks(["10.0.0.0/8"])
    for number in range(networks.MAX_REMEMBERED + 5):
        some.hold(b"10.%d.%d.1" % divmod(number, 256))
    assert len(some._known) <= networks.MAX_REMEMBERED


def test_addresses_are_written_plainly():
    assert plain_address("::ffff:10.0.0.1") == "10.0.0.1"
    assert plain_address("fe80::1%eth0") == "fe80::1"
    assert plain_address("10.0.0.1") == "10.0.0.1"
    assert plain_address("::1") == "::1"


def test_an_element_is_an_address_or_nothing():
    assert address_in(b" \t2001:DB8:0::1 ") == b"2001:db8::1"
    assert address_in(b"1") is None
    assert address_in(b"::1]") is None
    assert asked_through(asked([PROXY], b"http"), [], Networks([])).address == PROXY


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("10.0.0.1", '$.x: is "10.0.0.1", want a list of at most 1000 networks, like 10.0.0.0/8'),
        (["10.0.0.1/8"], '$.x[0]: is "10.0.0.1/8", want 10.0.0.0/8: the address has bits beyond the prefix'),
        (["10.0.0.0/8", "x"], '$.x[1]: is "x", want a network like 10.0.0.0/8 or fd00::/8, or one address'),
        ([10], "$.x[0]: is 10, want a network like 10.0.0.0/8 or fd00::/8, or one address"),
        ([""], '$.x[0]: is "", want a network like 10.0.0.0/8 or fd00::/8, or one address'),
    ],
)
def test_what_is_no_network_is_told(value, said):
    read = reader.Reader()
    read_networks(read, value, "$.x")
    assert read.mistakes == [said]


def test_networks_are_kept_as_they_are_written_best():
    read = reader.Reader()
    assert read_networks(read, ["10.0.0.1", "FD00::/8"], "$.x") == ("10.0.0.1/32", "fd00::/8")
    assert read.mistakes == []
