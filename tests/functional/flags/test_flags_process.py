"""The service as a process: its file, tokens and certificates, its start, reload and stop."""

import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.request

import pytest

from tests.support.certificates import Authority
from tests.support.fake_systemd import FakeSystemd
from tests.support.flag_service import PATIENCE, PREFIX, ROOT, TOKEN, environment
from tests.support.redis_fleet import RedisFleet, wait_for

BODY = {"context": {}}


def ended(service, *more):
    """What a start says that does not come to be."""
    done = subprocess.run(
        service.command(*more), cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=PATIENCE
    )
    assert "Traceback" not in done.stderr
    return done.returncode, (done.stdout + done.stderr).strip()


def test_a_bad_file_token_or_address_is_told_and_nothing_is_started(shared_fleet, flags):
    service = flags(shared_fleet, start=False)
    assert ended(service, "--check") == (0, f"{service.path}: good")
    service.write_tokens("{")
    assert ended(service, "--check") == (
        2,
        f"flags: {service.tokens_file}: not JSON, want a JSON object of reader's name to token, at least one",
    )
    service.write_tokens({"tests": TOKEN})
    service.start()
    code, said = ended(service)
    assert (code, said) == (
        2,
        f"flags: cannot listen on 127.0.0.1:{service.port}: Address already in use",
    )
    service.config["stale_seconds"] = 0
    service.write()
    mistake = "$.stale_seconds: is 0, want a number, 2 to 3600"
    assert ended(service, "--check") == (2, f"{service.path}:\n  {mistake}")


def status(service, token):
    return service.post(f"{PREFIX}/key1", BODY, token=token).status


@pytest.mark.parametrize("how", ["by itself", "SIGHUP"])
def test_other_tokens_are_taken_over_live_and_bad_ones_change_nothing(shared_fleet, flags, how):
    service = flags(shared_fleet)
    # A connection that is open, and whose token was good.
    with service.connect() as line:
        raw = f"POST {PREFIX}/key1 HTTP/1.1\r\nHost: a\r\nX-API-Key: {TOKEN}\r\nContent-Length: 14\r\n\r\n"
        raw = raw.encode() + b'{"context":{}}'

        def answer():
            line.sendall(raw)
            return line.recv(4096).split()[1]

        assert answer() != b"401"
        service.write_tokens({"one": "another-token-of-the-tests", "two": "token-number-two-of-tests"})
        if how == "SIGHUP":
            os.kill(service.process.pid, signal.SIGHUP)
        wait_for(lambda: status(service, TOKEN) == 401, PATIENCE, "the old token is refused")
        assert answer() == b"401"
    for token in ("another-token-of-the-tests", "token-number-two-of-tests"):
        assert status(service, token) == 404
    for bad in ("", "{", "[]", json.dumps({"a": "not good"})):
        service.write_tokens(bad)
        wait_for(lambda: service.health()["errors"].get("tokens"), PATIENCE, "the error is told")
        assert status(service, "another-token-of-the-tests") == 404
        assert service.metrics()["sluice_flags_tokens_refused"] == 1
    service.write_tokens({"tests": TOKEN})
    wait_for(lambda: status(service, TOKEN) == 404, PATIENCE, "the token is taken over")
    assert service.health()["errors"] == {}
    assert "another-token" not in service.said()


class Asking:
    """A client that asks without a pause, on a new connection each time."""

    def __init__(self, service):
        self._service, self._over = service, False
        self.answers, self.failures = 0, []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over = True
        self._thread.join(PATIENCE)

    def _run(self):
        while not self._over:
            try:
                answer = self._service.evaluate("key1")
                assert answer.status == 200, answer.body
                self.answers += 1
            except Exception as error:
                self.failures.append(repr(error))

    def wait_for(self, more):
        goal = self.answers + more
        wait_for(lambda: self.answers >= goal, PATIENCE, f"{more} more answers")


def test_a_restart_refuses_nobody_and_systemd_is_told(shared_fleet, flags, tmp_path):
    shared_fleet.call("redis-1", "SET", "key1", "1")
    systemd = FakeSystemd(tmp_path)
    service = flags(shared_fleet, start=False)

    def launch(wait):
        before, kept, told = systemd.launch()
        service.start(wait=wait, before=before, told=told, kept=kept)

    try:
        launch(wait=True)
        wait_for(lambda: "1" in systemd.values("READY"), PATIENCE, "systemd is told that it is ready")
        wait_for(lambda: systemd.values("WATCHDOG"), PATIENCE, "systemd is told that it lives")
        wait_for(
            lambda: any("flags from redis-2" in text for text in systemd.values("STATUS")),
            PATIENCE,
            "systemd is told where the flags come from",
        )
        with Asking(service) as asking:
            for _ in range(2):
                asking.wait_for(20)
                assert service.stop() == 0
                launch(wait=False)
            asking.wait_for(20)
        assert asking.failures == []
        assert systemd.values("STOPPING")
    finally:
        service.stop()
        systemd.stop()


def test_a_stop_under_load_ends_within_seconds(shared_fleet, flags):
    shared_fleet.call("redis-1", "SET", "key1", "1")
    service = flags(shared_fleet)
    with Asking(service) as asking:
        asking.wait_for(20)
        started = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - started < 6
    assert (service.state_dir / "snapshot.json").exists()


@pytest.fixture
def authority(tmp_path):
    (tmp_path / "authority").mkdir()
    return Authority(tmp_path / "authority")


def test_https_with_a_certificate_that_is_renewed_live(shared_fleet, flags, authority, tmp_path):
    shared_fleet.call("redis-1", "SET", "key1", "1")
    files = {"certificate_file": tmp_path / "a.pem", "key_file": tmp_path / "a.key"}

    def renew(days):
        for path, text in zip(files.values(), authority.pair("localhost", days=days), strict=True):
            path.write_bytes(text)

    renew(10)
    service = flags(shared_fleet, start=False, tls={name: str(path) for name, path in files.items()})
    service.start(wait=False)

    def get(path, body=None):
        headers = {"X-API-Key": TOKEN}
        url = f"https://localhost:{service.port}{path}"
        with urllib.request.urlopen(
            urllib.request.Request(url, body, headers), timeout=PATIENCE, context=authority.context()
        ) as answer:
            return json.loads(answer.read()) if path != "/metrics" else answer.read().decode()

    def is_up():
        try:
            return get("/health")["status"] == "ok"
        except OSError:
            assert service.process.poll() is None, service.said()
            return False

    wait_for(is_up, PATIENCE, "it answers")
    assert get(f"{PREFIX}/key1", b'{"context": {}}')["value"] is True

    def expiry():
        (row,) = [
            row for row in get("/metrics").splitlines() if row.startswith("sluice_flags_certificate_exp")
        ]
        return float(row.split()[1])

    before = expiry()
    renew(50)
    wait_for(lambda: expiry() > before + 86_400, PATIENCE, "the new certificate is in force")
    files["key_file"].write_text("torn")
    wait_for(lambda: get("/health")["errors"].get("certificate"), PATIENCE, "the error is told")
    with (
        pytest.raises(ssl.SSLError),
        ssl.create_default_context().wrap_socket(
            socket.create_connection(("127.0.0.1", service.port), PATIENCE), server_hostname="localhost"
        ),
    ):
        pass
    assert get("/health")["status"] == "ok"
    assert ended(service, "--check")[0] == 2


def test_redis_is_read_over_tls_and_not_without_its_authority(tmp_path, flags):
    with RedisFleet(tmp_path / "tls", replicas=1, tls=True) as fleet:
        fleet.call("redis-1", "SET", "key1", "1")
        service = flags(fleet, start=False)
        tls = {"ca": str(fleet.tls[0]), "check_hostname": False}
        service.config["redis"]["tls"] = tls
        service.write()
        service.start()
        service.wait_for_value("key1", True)
        service.stop()
        other = flags(fleet, start=False)
        (tmp_path / "other").mkdir()
        other.config["redis"]["tls"] = tls | {"ca": str(Authority(tmp_path / "other").path)}
        other.write()
        other.start()
        assert other.ask("GET", "/health").status == 503
        assert "certificate verify failed" in other.health()["servers"]["redis-1"]["error"]


def test_the_log_is_opened_anew_after_a_rotation(shared_fleet, flags):
    service = flags(shared_fleet)
    service.evaluate("key1")
    wait_for(lambda: "key1" in service.access_log.read_text(), PATIENCE, "the line is written")
    service.access_log.rename(service.access_log.with_suffix(".1"))
    os.kill(service.process.pid, signal.SIGUSR1)
    wait_for(service.access_log.exists, PATIENCE, "there is a new log")
    service.evaluate("key2")
    wait_for(lambda: "key2" in service.access_log.read_text(), PATIENCE, "the line is in the new log")
