"""A running balancer behind another one that tells by the PROXY protocol who connected to it."""

import shutil
import socket
import subprocess

import pytest
from running import PATIENCE, read_all, wait_until
from test_balancer_https import with_tls

from tests.support.certificates import Authority
from tests.support.ports import free_port

V1 = b"PROXY TCP4 203.0.113.7 127.0.0.1 4096 80\r\n"
V2 = (
    b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24"
    + bytes.fromhex("20010db8" + "0" * 23 + "7")
    + bytes(15)
    + b"\1\x10\0\0P"
)
GET = b"GET %b HTTP/1.1\r\nHost: shop.example\r\nX-Request-Id: %b\r\nConnection: close\r\n\r\n"


@pytest.fixture
def site(backend, balancer, tmp_path):
    """`shop` with and without TLS, behind proxies on this machine."""
    authority = Authority(tmp_path)
    stable = backend("shop-1")
    made = balancer(start=False, tracks={"stable": [stable]}, workers=2)
    made.tls_port = free_port()
    made.shop["proxy_protocol"] = {"from": ["127.0.0.1"]}
    made.shop["tls"] = with_tls(made, "shop", made.tls_port)
    for kind, content in zip(("certificate", "key"), authority.pair("shop.example"), strict=True):
        (made.directory / f"shop.{kind}").write_bytes(content)
    made.write()
    made.backend, made.authority = stable, authority
    return made.start().wait_for_backends()


def seen(site, path):
    (request,) = site.backend.requests(path)
    return request


@pytest.mark.parametrize(("header", "client"), [(V1, "203.0.113.7"), (V2, "2001:db8::7")])
def test_backend_and_log_are_told_of_the_client_behind_the_proxy(site, header, client):
    assert site.send(header + GET % (b"/plain", b"plain")).endswith(b"shop-1")
    assert seen(site, "/plain").one("x-forwarded-for") == client
    assert seen(site, "/plain").one("x-real-ip") == client
    assert site.log_line("plain")["client"] == client
    with socket.create_connection(("127.0.0.1", site.tls_port), timeout=PATIENCE) as line:
        line.sendall(header)
        with site.authority.context().wrap_socket(line, server_hostname="shop.example") as wire:
            wire.sendall(GET % (b"/tls", b"tls"))
            assert read_all(wire).endswith(b"shop-1")
    assert seen(site, "/tls").one("x-forwarded-for") == client
    assert seen(site, "/tls").one("x-forwarded-proto") == "https"


def test_who_comes_past_the_proxy_is_refused_and_counted(site):
    sample = f'sluice_kept_out_connections_total{{listener="127.0.0.1:{site.port}",reason="proxy"}}'
    assert site.metrics()[sample] == 0
    assert site.send(GET % (b"/past", b"past")) == b""
    wait_until(lambda: site.metrics()[sample] == 1, "the connection is counted")
    # From an address that is no proxy's a header changes nothing.
    with socket.create_connection(
        ("127.0.0.1", site.port), timeout=PATIENCE, source_address=("127.0.0.2", 0)
    ) as line:
        line.sendall(V1 + GET % (b"/past", b"past"))
        assert read_all(line) == b""
    wait_until(lambda: site.metrics()[sample] == 2, "the connection is counted")
    assert site.backend.requests("/past") == []


def test_the_proxy_comes_and_goes_with_a_reload(site):
    told = site.shop.pop("proxy_protocol")
    site.write()
    assert site.admin("POST", "/reload").status == 200
    assert site.status()["services"]["shop"]["proxy_protocol"] is None
    assert site.send(GET % (b"/without", b"a")).endswith(b"shop-1")
    assert site.send(V1 + GET % (b"/with", b"b")).startswith(b"HTTP/1.1 400 ")
    site.shop["proxy_protocol"] = told
    site.write()
    assert site.admin("POST", "/reload").status == 200
    assert site.status()["services"]["shop"]["proxy_protocol"] == ["127.0.0.1/32"]
    assert site.send(V1 + GET % (b"/with", b"c")).endswith(b"shop-1")


def test_limits_of_trust_are_about_the_client_not_the_proxy(site):
    site.shop["trust_forwarded_from"] = ["203.0.113.0/24"]
    site.write()
    assert site.admin("POST", "/reload").status == 200
    raw = (GET % (b"/edge", b"edge")).replace(b"Host", b"X-Forwarded-For: 198.51.100.9\r\nHost")
    assert site.send(V1 + raw).endswith(b"shop-1")
    assert seen(site, "/edge").one("x-forwarded-for") == "198.51.100.9, 203.0.113.7"


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not there")
@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c"])
def test_haproxy_is_understood(site, option, tmp_path):
    front = free_port()
    file = tmp_path / "haproxy.cfg"
    file.write_text(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n"
        f"listen front\n bind 127.0.0.1:{front}\n server sluice 127.0.0.1:{site.port} {option}\n"
    )
    process = subprocess.Popen(["haproxy", "-db", "-f", str(file)])
    try:
        wait_until(lambda: is_open(front), "haproxy listens")
        with site.connect(front) as line:
            line.sendall(GET % (b"/ha", b"ha"))
            assert read_all(line).endswith(b"shop-1")
        assert seen(site, "/ha").one("x-forwarded-for") == "127.0.0.1"
    finally:
        process.terminate()
        process.wait(PATIENCE)


def is_open(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
