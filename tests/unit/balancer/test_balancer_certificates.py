"""Certificates and keys as they are found on disk, and TLS in the file."""

import copy
import datetime
import json
import ssl
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from balancer import config
from balancer.certificates import CertificateError, Certificates, not_after, read_pair
from balancer.listeners import listeners_of
from balancer.reader import ConfigError
from balancer.tls import server_context
from tests.support.certificates import Authority, private


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def tls(tmp_path):
    return SimpleNamespace(certificate_file=tmp_path / "a.pem", key_file=tmp_path / "a.key")


def put(tls, pair):
    tls.certificate_file.write_bytes(pair[0])
    tls.key_file.write_bytes(pair[1])


def test_a_good_pair_is_read_with_its_end(authority, tls):
    put(tls, authority.pair("a.example", days=30))
    pair = read_pair(tls)
    left = pair.expires_at - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(days=29) < left < datetime.timedelta(days=31)
    assert not pair.has_expired
    assert "PRIVATE" in pair.pem and "PRIVATE" not in repr(pair)


def test_an_end_after_2049_is_read(authority, tls):
    put(tls, authority.pair("a.example", days=365 * 40))
    assert read_pair(tls).expires_at.year > 2060


@pytest.mark.parametrize("length", [0, 1, 2, 5, 40, 100, 150])
def test_a_certificate_that_is_cut_short_is_no_crash(authority, length):
    certificate = ssl.PEM_cert_to_DER_cert(authority.pair("a.example")[0].decode())
    with pytest.raises((ValueError, IndexError)):
        not_after(certificate[:length])


def test_a_chain_goes_with_the_certificate(authority, tls):
    certificate, key = authority.pair("a.example")
    put(tls, (b"a comment\n" + certificate + authority.path.read_bytes(), b"# mine\n" + key))
    assert read_pair(tls).pem.count("BEGIN CERTIFICATE") == 2


def said(tls):
    with pytest.raises(CertificateError) as refused:
        read_pair(tls)
    assert "PRIVATE KEY-----\n" not in str(refused.value)
    return str(refused.value)


def test_what_is_wrong_with_a_pair_is_told(authority, tls):
    certificate, key = authority.pair("a.example")
    _, other = authority.pair("a.example")
    both = f"{tls.certificate_file}, {tls.key_file}"
    old = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    traditional = old.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.BestAvailableEncryption(b"x"),
    )
    damaged = certificate.replace(certificate[200:240], b"A" * 40)
    cases = [
        ((certificate, other), f"{both}: the key is not the certificate's"),
        ((certificate, private(old)), f"{both}: the key is not the certificate's"),
        ((key, key), f"{tls.certificate_file}: holds no certificate in PEM"),
        ((certificate, certificate), f"{tls.key_file}: holds no private key in PEM"),
        ((b"", key), f"{tls.certificate_file}: holds no certificate in PEM"),
        ((certificate, private(old, b"x")), f"{tls.key_file}: is encrypted; want a key without a passphrase"),
        ((certificate, traditional), f"{tls.key_file}: is encrypted; want a key without a passphrase"),
    ]
    for pair, wanted in cases:
        put(tls, pair)
        assert said(tls) == wanted
    put(tls, (damaged, key))
    assert said(tls).startswith(str(tls.certificate_file))
    tls.key_file.unlink()
    assert said(tls) == f"{tls.key_file}: No such file or directory; want it readable by the balancer's user"


class Services(dict):
    """As much of the services as certificates are of."""

    def __init__(self, **tls):
        super().__init__({name: SimpleNamespace(name=name, tls=told) for name, told in tls.items()})


def test_a_pair_is_better_than_an_expired_one(authority, tls):
    services = Services(a=tls)
    put(tls, authority.pair("a.example", days=-1))
    known = Certificates(services)
    assert known.pem("a") and known.errors == {}
    put(tls, authority.pair("a.example"))
    assert known.take_over(services, known.read(services))
    good = known.pem("a")
    put(tls, authority.pair("a.example", days=-2))
    assert not known.take_over(services, known.read(services))
    assert known.pem("a") == good
    assert known.errors["a"].startswith("the certificate expired at ")


def test_other_files_that_are_bad_are_a_mistake_of_the_file_and_the_same_ones_are_not(
    authority, tls, tmp_path
):
    services = Services(a=tls)
    put(tls, authority.pair("a.example"))
    known = Certificates(services)
    tls.key_file.write_bytes(b"")
    assert known.read(services).mistakes == []
    other = SimpleNamespace(certificate_file=tls.certificate_file, key_file=tmp_path / "none")
    (mistake,) = known.read(Services(a=other)).mistakes
    assert mistake.startswith(f"$.services.a.tls: {tmp_path / 'none'}: No such file")


def test_a_service_that_goes_takes_its_pair_with_it(authority, tls):
    services = Services(a=tls)
    put(tls, authority.pair("a.example"))
    known = Certificates(services)
    assert known.take_over({}, known.read({}))
    assert known.pem("a") is None


def test_a_change_on_disk_is_seen_and_no_key_is_kept_for_that(authority, tls):
    services = Services(a=tls)
    put(tls, authority.pair("a.example"))
    before = Certificates.on_disk(services)
    assert all(len(one) == 64 for one in before)
    put(tls, authority.pair("a.example"))
    assert Certificates.on_disk(services) != before


# The choice in a handshake, without a network.


def handshake(context, authority, name):
    """The names in the certificate that a client sees which asks for this name."""
    client_context = authority.context()
    client_context.check_hostname = False
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=name)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(5):
        for end in (client, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return {value for _, value in client.getpeercert()["subjectAltName"]}


def test_the_name_that_is_asked_for_chooses_the_certificate(authority):
    hosts = {"a": ["a.example"], "w": ["*.w.example"], "rest": []}
    pairs = {name: b"".join(authority.pair(f"{name}.cert")).decode() for name in hosts}
    told = {"min_version": "1.2", "certificates": [(hosts[name], pairs[name]) for name in hosts]}
    context = server_context(told)
    asked = {"a.example": "a", "A.Example": "a", "x.y.w.example": "w", "w.example": "rest", None: "rest"}
    for name, service in asked.items():
        assert handshake(context, authority, name) == {f"{service}.cert"}, name


def test_without_a_certificate_no_handshake_succeeds(authority):
    context = server_context({"min_version": "1.2", "certificates": []})
    with pytest.raises(ssl.SSLError):
        handshake(context, authority, "a.example")


# In the file.

TLS = {"listen": "0.0.0.0:443", "certificate_file": "/c.pem", "key_file": "/c.key"}
SERVICE = {"listen": "0.0.0.0:80", "weights": {"stable": 100}, "tracks": {"stable": {"a-1": "10.0.0.1:80"}}}


def parse(**services):
    """A file with these services, each told by what it has besides."""
    told = {name: copy.deepcopy(SERVICE) | more for name, more in services.items()}
    file = {"admin": {"listen": "127.0.0.1:1", "token_file": "/t"}, "state_dir": "/s", "services": told}
    return config.parse(json.dumps(file).encode()).services


def mistakes(**services):
    with pytest.raises(ConfigError) as refused:
        parse(**services)
    return refused.value.mistakes


def test_tls_has_defaults():
    found = parse(a={"tls": TLS})["a"]
    assert (found.tls.redirect, found.tls.min_version) == (False, "1.2")
    assert [str(door.address) for door in found.doors] == ["0.0.0.0:80", "0.0.0.0:443"]
    assert [found.redirect_port(door) for door in found.doors] == [0, 0]


def test_only_the_plain_listener_sends_to_https():
    found = parse(a={"tls": {**TLS, "redirect": True}})["a"]
    assert [found.redirect_port(door) for door in found.doors] == [443, 0]


@pytest.mark.parametrize(
    ("key", "value", "want"),
    [
        ("listen", "443", '"443", want an IP address and a port, like 10.0.0.1:80'),
        ("certificate_file", "c.pem", '"c.pem", want an absolute path'),
        ("key_file", None, "null, want an absolute path"),
        ("redirect", "yes", '"yes", want true or false'),
        ("redirect", 1, "1, want true or false"),
        ("min_version", "1.1", '"1.1", want "1.2" or "1.3"'),
        ("min_version", 1.2, '1.2, want "1.2" or "1.3"'),
        ("min_version", ["1.2"], '["1.2"], want "1.2" or "1.3"'),
    ],
)
def test_a_mistake_in_tls_is_told(key, value, want):
    assert mistakes(a={"tls": {**TLS, key: value}}) == [f"$.services.a.tls.{key}: is {want}"]


def test_an_address_is_served_in_one_way():
    assert mistakes(a={"tls": {**TLS, "listen": "0.0.0.0:80"}}) == [
        "$.services.a.tls.listen: 0.0.0.0:80 is $.services.a.listen already and served as plain HTTP there, "
        "not as TLS 1.2; want both alike or another address"
    ]
    a, b = {"hosts": ["a.example"]}, {"hosts": ["b.example"]}
    (told,) = mistakes(a={**a, "tls": TLS}, b={**b, "tls": {**TLS, "min_version": "1.3"}})
    assert told.startswith(
        "$.services.b.tls.listen: 0.0.0.0:443 is $.services.a.tls.listen already and served"
    )


def test_two_defaults_at_one_tls_listener_are_told():
    told = mistakes(a={"tls": TLS}, b={"listen": "0.0.0.0:81", "tls": TLS})
    assert told == [
        "$.services.b.tls.listen: 0.0.0.0:443 is $.services.a's already, and neither has hosts; "
        "want hosts for one at least"
    ]


def test_services_share_a_tls_listener_and_workers_get_pairs_for_it_alone():
    a, b = {"hosts": ["a.example"], "tls": TLS}, {"hosts": ["b.example"], "tls": TLS}
    found = listeners_of(parse(a=a, b=b).values())
    assert list(found) == ["0.0.0.0:80", "0.0.0.0:443"]
    assert found["0.0.0.0:80"].table(str.upper) == {}
    table = found["0.0.0.0:443"].table({"a": "pem of a"}.get)
    assert table == {"tls": {"min_version": "1.2", "certificates": [(("a.example",), "pem of a")]}}
