"""HTTPS at a running balancer: handshakes, names, certificates that change, ends that are no clean ends."""

import contextlib
import hashlib
import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest
from running import PATIENCE, ROOT, Balancer, read_all, read_until, wait_until
from test_balancer_streams import push_until_stuck
from test_balancer_upgrade import Switching

from tests.support.certificates import Authority
from tests.support.ports import free_port

LAST = "Connection: close\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


class Site:
    """Services `shop` and `bank` on one plain and one TLS listener; `shop` comes first."""

    def __init__(self, made, authority):
        self.balancer, self.authority = made, authority
        self.port = int(made.shop["tls"]["listen"].rpartition(":")[2])

    @contextlib.contextmanager
    def connect(self, name="shop.example", context=None):
        """A TLS connection; `name` is asked for with SNI, and the certificate must have it."""
        context = context or self.authority.context()
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as line,
            # An end that is no orderly one is to be seen as such.
            context.wrap_socket(line, server_hostname=name, suppress_ragged_eofs=False) as wire,
        ):
            yield wire

    def ask(self, path="/", host="shop.example", name=None, more=LAST):
        """The answer to one request, as bytes."""
        with self.connect(name or host) as wire:
            wire.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode())
            return read_all(wire)

    def fingerprint(self, name="shop.example"):
        with self.connect(name) as wire:
            return hashlib.sha256(wire.getpeercert(binary_form=True)).hexdigest()

    def put(self, service, pair):
        """Put a pair on disk, the certificate first, as a careless script does."""
        for kind, content in zip(("certificate", "key"), pair, strict=True):
            path = self.balancer.directory / f"{service}.{kind}"
            fresh = path.with_suffix(".new")
            fresh.write_bytes(content)
            fresh.replace(path)

    def tls(self, service="shop"):
        return self.balancer.status()["services"][service]["tls"]


def with_tls(made, service, port, **settings):
    files = {f"{kind}_file": str(made.directory / f"{service}.{kind}") for kind in ("certificate", "key")}
    return {"listen": f"127.0.0.1:{port}", **files, **settings}


def build(made, authority, shop, bank):
    """Write the file and the pairs of two services."""
    port = free_port()
    made.shop["hosts"] = ["shop.example", "*.shop.example"]
    made.shop["tls"] = with_tls(made, "shop", port)
    tracks = {"stable": {bank.name: bank.address}, "canary": {}}
    tls = with_tls(made, "bank", port)
    made.config["services"]["bank"] = {**made.shop, "hosts": ["bank.example"], "tracks": tracks, "tls": tls}
    made.write()
    site = Site(made, authority)
    site.put("shop", authority.pair("shop.example", "*.shop.example"))
    site.put("bank", authority.pair("bank.example"))
    return site


def is_up(made, service):
    told = made.status()["services"][service]["tracks"]["stable"]["backends"]
    return all(one["state"] == "up" for one in told.values())


def ready(site):
    site.balancer.start()
    for service in ("shop", "bank"):
        wait_until(lambda s=service: is_up(site.balancer, s), f"{service} is up")
    return site


@pytest.fixture(scope="module")
def site(loop, authority, tmp_path_factory):
    """One that no test changes."""
    from misbehaving import Backend

    shop, bank = (Backend(loop, name).start() for name in ("shop-1", "bank-1"))
    made = Balancer(tmp_path_factory.mktemp("site"), {"stable": [shop]}, workers=1)
    yield_site = build(made, authority, shop, bank)
    made.shop["tls"]["redirect"] = True
    made.write()
    yield_site.shop = shop
    yield ready(yield_site)
    made.stop()
    shop.stop()
    bank.stop()


@pytest.fixture
def own_site(request, backend, balancer, authority):
    """One of the test's own; with as many workers as it wants."""
    shop, bank = backend("shop-1"), backend("bank-1")
    made = balancer(start=False, tracks={"stable": [shop]}, workers=getattr(request, "param", 1))
    found = build(made, authority, shop, bank)
    found.shop = shop
    return found


# Handshakes.


def test_a_request_is_answered_over_tls_and_the_backend_is_told_so(site):
    assert site.ask("/told").endswith(b"shop-1")
    (seen,) = site.shop.requests("/told")
    assert seen.one("x-forwarded-proto") == "https"
    assert seen.one("x-forwarded-for") == "127.0.0.1"
    assert seen.one("forwarded") == 'for=127.0.0.1;proto=https;host="shop.example"'


def test_many_requests_share_a_connection_and_go_to_their_services(site):
    with site.connect() as wire:
        for host, name in (
            ("shop.example", b"shop-1"),
            ("bank.example", b"bank-1"),
            ("a.shop.example", b"shop-1"),
        ):
            wire.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert read_until(wire, name)
        wire.sendall(b"GET / HTTP/1.1\r\nHost: other.example\r\n\r\n")
        assert read_until(wire, b"\r\n\r\n").startswith(b"HTTP/1.1 421 ")


def test_only_http_1_1_is_agreed_upon(site):
    context = site.authority.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with site.connect(context=context) as wire:
        assert wire.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_good_versions_and_ciphers_alone_are_taken(site, version):
    context = site.authority.context()
    context.minimum_version = context.maximum_version = version
    with site.connect(context=context) as wire:
        assert wire.version().replace(".", "_") == version.name
        cipher, _, _ = wire.cipher()
        assert "GCM" in cipher or "CHACHA20" in cipher
        assert version == ssl.TLSVersion.TLSv1_3 or cipher.startswith("ECDHE")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
@pytest.mark.parametrize("ciphers", ["DEFAULT:@SECLEVEL=0", "AES128-SHA:@SECLEVEL=0", "ECDHE+AES128+SHA"])
def test_an_old_client_is_refused(site, ciphers):
    context = site.authority.context()
    context.set_ciphers(ciphers)
    if ciphers.startswith("DEFAULT"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    else:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)), site.connect(context=context):
        pass


def test_what_is_no_handshake_is_refused_and_counted(site):
    sample = f'sluice_kept_out_connections_total{{listener="127.0.0.1:{site.port}",reason="tls"}}'
    before = site.balancer.metrics()[sample]
    with socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        assert b"HTTP" not in read_all(line)
    wait_until(lambda: site.balancer.metrics()[sample] == before + 1, "the connection is counted")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not there")
def test_curl_is_content(site):
    to = ["--connect-to", f"shop.example:443:127.0.0.1:{site.port}", "--cacert", str(site.authority.path)]
    said = subprocess.run(
        ["curl", "-sS", "--max-time", "20", *to, "https://shop.example/curl"], capture_output=True, check=True
    )
    assert said.stdout == b"shop-1"


# Names.


@pytest.mark.parametrize("name", ["shop.example", "bank.example", "b.shop.example", "BANK.example"])
def test_the_certificate_is_that_of_the_service_with_the_name(site, name):
    with site.connect(name):
        pass


def test_who_asks_for_no_name_or_an_unknown_one_gets_the_first_certificate(site):
    context = site.authority.context()
    context.check_hostname = False
    for name in (None, "other.example"):
        with site.connect(name, context) as wire:
            names = {value for _, value in wire.getpeercert()["subjectAltName"]}
            assert names == {"shop.example", "*.shop.example"}


def test_the_host_decides_whatever_name_the_handshake_had(site):
    assert site.ask(host="bank.example", name="shop.example").endswith(b"bank-1")


# From http to https.


@pytest.mark.parametrize(
    ("line", "location"),
    [
        (b"GET /a?b=c", b"/a?b=c"),
        (b"POST /a", b"/a"),
        (b"GET //evil.example/", b"//evil.example/"),
        (b"OPTIONS *", b"/"),
    ],
)
def test_everybody_is_sent_to_https_with_host_and_target_as_they_were(site, line, location):
    raw = line + b" HTTP/1.1\r\nHost: A.Shop.example:8080\r\nConnection: close\r\n\r\n"
    said = site.balancer.send(raw)
    assert said.startswith(b"HTTP/1.1 308 Permanent Redirect\r\n")
    assert b"\r\nLocation: https://a.shop.example:%d%b\r\n" % (site.port, location) in said


def test_who_has_no_redirect_is_served_without_tls(site):
    said = site.balancer.send(b"GET / HTTP/1.1\r\nHost: bank.example\r\nConnection: close\r\n\r\n")
    assert said.endswith(b"bank-1")


def test_a_certificate_can_be_asked_for_without_https(site):
    raw = b"GET /.well-known/acme-challenge/x HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"
    assert site.balancer.send(raw).endswith(b"shop-1")


def test_with_tls_nobody_is_sent_anywhere(site):
    assert site.ask("/a").startswith(b"HTTP/1.1 200 ")


# What goes through.


def test_an_absolute_target_must_name_https(site):
    for scheme, status in (("https", b"200"), ("http", b"400")):
        said = site.ask(f"{scheme}://shop.example/x")
        assert said.split(b" ")[1] == status


def test_a_refusal_is_read_to_its_end(site):
    with site.connect() as wire:
        wire.sendall(b"GET / HTTP/1.1\r\nHost: shop.example\r\nHost: x\r\n\r\n" + b"x" * 100_000)
        said = read_all(wire)
        assert said.startswith(b"HTTP/1.1 400 ")
        assert said.endswith(b"want exactly one Host\n")


def test_a_large_upload_and_a_large_download_arrive_whole(site):
    size = 20 * 2**20
    with site.connect() as wire:
        wire.sendall(b"POST /upload HTTP/1.1\r\nHost: shop.example\r\nContent-Length: %d\r\n\r\n" % size)
        part = os.urandom(2**16)
        for _ in range(size // len(part)):
            wire.sendall(part)
        assert read_until(wire, str(size).encode())
        wire.sendall(
            b"GET /download?megabytes=20 HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"
        )
        said = read_all(wire)
        assert len(said.partition(b"\r\n\r\n")[2]) == size


def test_a_client_that_does_not_read_fills_no_memory(site):
    before = site.balancer.worker_memory()[0]
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(site.connect()) for _ in range(5)]
        for wire in wires:
            wire.sendall(b"GET /download?megabytes=100 HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        for wire in wires:
            assert read_until(wire, b"\r\n\r\n")
        # A request that is answered has seen whatever came before it.
        for _ in range(20):
            assert site.ask().endswith(b"shop-1")
        assert site.balancer.worker_memory()[0] - before < 30


def test_an_upload_to_a_backend_that_does_not_read_is_held_back_with_tls(own_site):
    site = ready(own_site)
    before = site.balancer.worker_memory()[0]
    with site.connect() as wire:
        wire.sendall(
            b"POST /pause?seconds=30 HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 9999999999\r\n\r\n"
        )
        wait_until(lambda: site.shop.requests("/pause"), "the request arrived")
        assert push_until_stuck(wire) < 100 * 2**20
        assert site.balancer.worker_memory()[0] - before < 30


def test_half_an_answer_does_not_pass_for_a_whole_one(site):
    for path in ("/short", "/short-chunked"):
        with site.connect() as wire:
            wire.sendall(f"GET {path} HTTP/1.1\r\nHost: shop.example\r\n\r\n".encode())
            # An orderly end of TLS would be read as b"".
            with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
                while wire.recv(65536):
                    pass


def test_an_orderly_end_of_an_answer_is_an_orderly_end_of_tls(site):
    with site.connect() as wire:
        wire.sendall(f"GET / HTTP/1.1\r\nHost: shop.example\r\n{LAST}\r\n".encode())
        said = b""
        while part := wire.recv(65536):
            said += part
        assert said.endswith(b"shop-1")


def test_a_client_that_leaves_leaves_nothing_behind(site):
    for _ in range(5):
        with site.connect() as wire:
            wire.sendall(b"GET /wait HTTP/1.1\r\nHost: shop.example\r\n\r\n")
            wait_until(lambda: in_flight(site) > 0, "the request is under way")
        wait_until(lambda: in_flight(site) == 0, "nothing is under way")


def in_flight(site):
    return site.balancer.status()["services"]["shop"]["tracks"]["stable"]["backends"]["shop-1"]["in_flight"]


# Certificates that change.


class TlsLoad:
    """Clients that ask over TLS without a pause, half of them on a new connection each time."""

    def __init__(self, site, clients=4):
        self._site, self.failed, self.good = site, [], 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n % 2 == 0,)) for n in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def wait_for(self, more):
        goal = self.good + more
        wait_until(lambda: self.good >= goal or self.failed, f"{more} more requests")

    def _run(self, fresh):
        context = self._site.authority.context()
        while not self._stop.is_set():
            try:
                with self._site.connect(context=context) as wire:
                    for _ in range(1 if fresh else 50):
                        wire.sendall(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
                        assert read_until(wire, b"shop-1").startswith(b"HTTP/1.1 200 ")
                        self.good += 1
            except (OSError, AssertionError) as error:
                self.failed.append(repr(error))


@pytest.mark.parametrize("own_site", [2], indirect=True)
def test_a_new_certificate_is_in_force_at_once_and_no_request_fails(own_site):
    ready(own_site)
    with own_site.connect() as old, TlsLoad(own_site) as load:
        load.wait_for(50)
        for _ in range(3):
            before = own_site.tls()["sha256"]
            own_site.put("shop", own_site.authority.pair("shop.example"))
            wait_until(lambda b=before: own_site.tls()["sha256"] != b, "the certificate is another", 5)
            assert own_site.fingerprint() == own_site.tls()["sha256"]
            load.wait_for(50)
        # A connection from before goes on.
        old.sendall(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        assert read_until(old, b"shop-1")
    assert load.failed == []


@pytest.mark.parametrize("own_site", [2], indirect=True)
def test_a_bad_pair_is_refused_and_the_good_one_stays_also_in_a_new_worker(own_site):
    made = ready(own_site).balancer
    before = own_site.fingerprint()
    refused = 'sluice_certificate_refused{service="shop"}'
    assert (own_site.tls()["error"], made.metrics()[refused]) == (None, 0)
    certificate, _ = own_site.authority.pair("shop.example")
    own_site.put("shop", (certificate, b"no key at all"))
    wait_until(lambda: own_site.tls()["error"], "the pair is refused")
    assert own_site.tls()["error"].endswith("shop.key: holds no private key in PEM")
    assert (own_site.tls()["sha256"], made.metrics()[refused]) == (before, 1)
    for pid in made.worker_pids():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: fingerprint_or_none(own_site), "new workers serve")
    assert {own_site.fingerprint() for _ in range(10)} == {before}
    # Ratios and all else can be changed meanwhile.
    made.shop["weights"] = {"stable": 90, "canary": 10}
    made.write()
    assert made.admin("POST", "/reload").status == 200
    own_site.put("shop", own_site.authority.pair("shop.example"))
    wait_until(lambda: own_site.tls()["error"] is None, "a good pair is taken")
    assert own_site.fingerprint() == own_site.tls()["sha256"] != before
    assert made.metrics()[refused] == 0


def fingerprint_or_none(site):
    with contextlib.suppress(OSError):
        return site.fingerprint()


def test_nothing_shows_a_key(own_site):
    made = ready(own_site).balancer
    secret = (made.directory / "shop.key").read_text().splitlines()[1]
    own_site.put("shop", (b"broken", (made.directory / "shop.key").read_bytes()))
    wait_until(lambda: own_site.tls()["error"], "the pair is refused")
    everything = made.said() + str(made.status()) + made.admin("GET", "/metrics").body.decode()
    everything += "".join(path.read_text() for path in made.state_dir.iterdir() if path.is_file())
    assert "PRIVATE" not in everything
    assert secret not in everything


def test_the_end_of_a_certificate_is_shown(own_site):
    made = ready(own_site).balancer
    with own_site.connect() as wire:
        until = ssl.cert_time_to_seconds(wire.getpeercert()["notAfter"])
    assert made.metrics()['sluice_certificate_expiry_timestamp_seconds{service="shop"}'] == until


def test_a_service_without_a_certificate_stops_no_other_and_gets_one_live(own_site):
    made = own_site.balancer
    path = made.directory / "shop.key"
    path.unlink()
    ready(own_site)
    assert "shop.key: No such file or directory" in own_site.tls()["error"]
    assert own_site.tls()["sha256"] is None
    assert own_site.ask(host="bank.example").endswith(b"bank-1")
    own_site.put("shop", own_site.authority.pair("shop.example"))
    wait_until(lambda: own_site.tls()["error"] is None, "the pair is taken")
    assert own_site.ask().endswith(b"shop-1")


def test_tls_comes_and_goes_with_a_reload_and_a_bad_pair_of_new_files_is_refused(own_site):
    made = own_site.balancer
    tls = {name: made.config["services"][name].pop("tls") for name in ("shop", "bank")}
    made.write()
    ready(own_site)
    assert own_site.tls() is None
    made.shop["tls"] = {**tls["shop"], "key_file": tls["bank"]["key_file"]}
    made.write()
    answer = made.admin("POST", "/reload")
    assert answer.status == 400
    (said,) = answer.json["mistakes"]
    assert said.startswith("$.services.shop.tls: ") and said.endswith("the key is not the certificate's")
    made.shop["tls"] = tls["shop"]
    made.write()
    assert made.admin("POST", "/reload").status == 200
    assert own_site.ask().endswith(b"shop-1")
    del made.shop["tls"]
    made.write()
    assert made.admin("POST", "/reload").status == 200
    with pytest.raises(OSError), own_site.connect():
        pass


def test_a_stop_waits_for_handshakes_and_not_for_idle_clients(own_site):
    made = ready(own_site).balancer
    with (
        own_site.connect() as idle,
        socket.create_connection(("127.0.0.1", own_site.port), timeout=PATIENCE) as line,
    ):
        idle.sendall(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        assert read_until(idle, b"shop-1")
        line.sendall(b"\x16")
        context = own_site.authority.context()
        client_in, client_out = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = context.wrap_bio(client_in, client_out, server_hostname="shop.example")
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        made.stop(wait=False)
        begun = time.monotonic()
        line.sendall(client_out.read()[1:])
        while True:
            client_in.write(line.recv(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                client.do_handshake()
                break
        client.write(b"GET /late HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        line.sendall(client_out.read())
        client_in.write(read_all(line))
        assert client.read(65536).startswith(b"HTTP/1.1 200 ")
        assert made.stop() == 0
        assert time.monotonic() - begun < 15
        assert len(own_site.shop.requests("/late")) == 1


def test_a_check_tells_of_a_bad_pair_and_takes_the_file(own_site):
    (own_site.balancer.directory / "shop.key").write_bytes(b"")
    words = [sys.executable, "-m", "balancer", "--config", str(own_site.balancer.path), "--check"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{own_site.balancer.path}: good\n"
    key = own_site.balancer.directory / "shop.key"
    told = f"{own_site.balancer.path}: good, but $.services.shop.tls: {key}: holds no private key in PEM\n"
    assert done.stderr == told


def test_a_tunnel_goes_through_tls_both_ways_and_to_its_end(loop, balancer, authority):
    echo = Switching(loop, "echo-1").start()
    made = balancer(start=False, tracks={"stable": [echo]}, workers=1)
    site = ready(build(made, authority, echo, echo))
    try:
        with site.connect() as wire:
            offer = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
            wire.sendall(f"GET /echo HTTP/1.1\r\nHost: shop.example\r\n{offer}\r\n".encode())
            assert read_until(wire, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
            for _ in range(20):
                wire.sendall(b"x" * 50_000 + b"\n")
                assert len(read_until(wire, b"\n")) == 50_001
            echo.stop()
            with contextlib.suppress(OSError):
                assert wire.recv(100) == b""
    finally:
        echo.stop()


def test_a_listener_may_want_tls_1_3(own_site):
    for name in ("shop", "bank"):
        own_site.balancer.config["services"][name]["tls"]["min_version"] = "1.3"
    own_site.balancer.write()
    ready(own_site)
    context = own_site.authority.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)), own_site.connect(context=context):
        pass
    with own_site.connect() as wire:
        assert wire.version() == "TLSv1.3"


def test_an_http_client_of_the_library_is_served(site):
    connection = http.client.HTTPSConnection("127.0.0.1", site.port, timeout=PATIENCE, context=quiet(site))
    for number in range(3):
        connection.request("POST", "/upload", b"x" * number, {"Host": "shop.example"})
        assert connection.getresponse().read() == str(number).encode()
    connection.close()


def quiet(site):
    context = site.authority.context()
    context.check_hostname = False
    return context


def test_who_is_kept_on_a_track_gets_a_secure_cookie(own_site):
    made = own_site.balancer
    secret = made.directory / "affinity.secret"
    secret.write_text("an affinity secret that only the tests know")
    made.shop["affinity"] = {"secret_file": str(secret), "release": "1"}
    made.write()
    ready(own_site)
    assert b"HttpOnly; SameSite=Lax; Secure\r\n" in own_site.ask()
    assert "Secure" not in made.get("/", Host="shop.example").headers["set-cookie"]
