"""balancer.configured and in_force: pillar and mine become the balancer's file, or nothing is touched."""

import copy
import grp
import hashlib
import http.server
import json
import os
import sys
import threading

import pytest
from salt.exceptions import SaltReqTimeoutError
from states_support import REPO

GROUP = grp.getgrgid(os.getegid()).gr_name
SETTINGS = {
    "workers": 1,
    "admin_listen": "127.0.0.1:9901",
    "admin_token_file": "/etc/sluice/admin.token",
    "alert_listen": "127.0.0.1:9902",
    "alert_tokens_file": "/etc/sluice/alert.tokens.json",
    "host_tokens_file": "/etc/sluice/host.tokens.json",
    "state_dir": "/var/lib/sluice/balancer",
    "access_log": "/var/log/sluice/access.log",
    "backend_network": "10.57.0.0/24",
    "redis": {"servers": {"redis-1": "10.57.0.12", "redis-2": "10.57.0.14"}},
    "redis_password_file": "/etc/sluice/r",
    "services": {
        "checkbox": {
            "listen": "0.0.0.0:80",
            "backend_port": 80,
            "tracks": {"stable": "N@checkbox_stable", "canary": "N@checkbox_canary"},
            "health": {"path": "/health"},
        }
    },
}
SERVICE = SETTINGS["services"]["checkbox"]
GOOD = {"stable": 70, "canary": 30}
ADDRESSES = {
    "N@checkbox_stable": {"checkbox-1": ["10.57.0.21"], "checkbox-2": ["10.57.0.22"]},
    "N@checkbox_canary": {"canary-1": ["10.57.0.31"]},
}


@pytest.fixture(scope="module")
def loaded(machine_of_module):
    return machine_of_module("lb-1")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sluice/balancer.json"


@pytest.fixture
def mined(loaded, monkeypatch):
    """What the mine holds: compound target to host id to what the host said."""
    held = copy.deepcopy(ADDRESSES)

    def get(target, function, tgt_type):
        assert (function, tgt_type) == ("sluice_address", "compound")
        found = held[target]
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setitem(loaded.modules._dict, "mine.get", get)
    return held


@pytest.fixture
def configure(loaded, path, mined, monkeypatch):
    """configure(weights, ...): apply balancer.configured with the real check of the real balancer."""
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    check = loaded.modules["balancer.check"].func
    monkeypatch.setattr(check, "__defaults__", (check.__defaults__[0], sys.executable))

    def apply(weights=GOOD, test=False, group=GROUP, traffic=None, **changed):
        settings = copy.deepcopy(SETTINGS) | changed
        traffic = {"checkbox": weights} if traffic is None else traffic
        before = state_of(path)
        ret = loaded.apply(
            "balancer.configured", test=test, name=str(path), settings=settings, traffic=traffic, group=group
        )
        if test or ret["result"] is False:
            assert state_of(path) == before, "the file on disk was touched"
        if ret["result"] is False:
            assert not ret["changes"]
            assert f"{path} is as it was" in ret["comment"]
        assert not [name for name in os.listdir(path.parent) if name != path.name] if path.exists() else True
        return ret

    return apply


def state_of(path):
    if not path.exists():
        return None
    status = path.stat()
    return path.read_bytes(), status.st_ino, status.st_mtime_ns, status.st_mode


def test_file_holds_what_pillar_and_mine_say(configure, path):
    ret = configure()
    assert ret["result"] is True, ret
    told = json.loads(path.read_text())
    assert told["services"]["checkbox"]["weights"] == GOOD
    assert told["services"]["checkbox"]["tracks"] == {
        "stable": {"checkbox-1": "10.57.0.21:80", "checkbox-2": "10.57.0.22:80"},
        "canary": {"canary-1": "10.57.0.31:80"},
    }
    assert told["services"]["checkbox"]["health"]["path"] == "/health"
    assert told["redis"] == {
        "servers": [
            {"id": "redis-1", "host": "10.57.0.12", "port": 6379},
            {"id": "redis-2", "host": "10.57.0.14", "port": 6379},
        ],
        "ha": "none",
        "sentinel_port": 26379,
        "username": "balancer",
        "password_file": "/etc/sluice/r",
    }
    assert ret["changes"]["checkbox"]["old"] is None
    assert path.stat().st_mode & 0o777 == 0o640


def test_file_holds_how_redis_is_reached(configure, path):
    told = {"port": 6380, "ha": "sentinel", "sentinel": {"port": 26380}, "ca": "/etc/sluice/redis-ca.pem"}
    ret = configure(redis=SETTINGS["redis"] | told)
    assert ret["result"] is True, ret
    written = json.loads(path.read_text())["redis"]
    assert {server["port"] for server in written["servers"]} == {6380}
    assert (written["ha"], written["sentinel_port"]) == ("sentinel", 26380)
    assert written["tls"] == {"ca": "/etc/sluice/redis-ca.pem"}


def test_file_has_no_redis_without_its_pillar(configure, path):
    assert configure(redis={})["result"] is True
    assert "redis" not in json.loads(path.read_text())


@pytest.mark.parametrize(
    ("told", "written"),
    [
        (None, {"stable": 1, "canary": 0}),
        ({"stable": "50%"}, {"stable": "50%", "canary": 0}),
        ({"stable": 0, "canary": 1}, {"stable": 0, "canary": 1}),
    ],
)
def test_file_holds_how_many_backends_a_drain_must_leave(configure, path, told, written):
    more = {} if told is None else {"min_available": told}
    ret = configure(services={"checkbox": SERVICE | more})
    assert ret["result"] is True, ret
    assert json.loads(path.read_text())["services"]["checkbox"]["min_available"] == written


def test_a_service_without_canary_has_no_minimum_for_one(configure, path):
    alone = SERVICE | {"tracks": {"stable": "N@checkbox_stable"}}
    assert configure({"stable": 100}, services={"checkbox": alone})["result"] is True
    assert json.loads(path.read_text())["services"]["checkbox"]["min_available"] == {"stable": 1}


def test_new_secrets_do_not_restart_the_balancer(machine):
    low = machine("lb-1").modules["state.show_low_sls"]("balancer")
    (service,) = [chunk for chunk in low if chunk["state"] == "service"]
    assert service["watch"] == [{"python_env": "balancer-environment"}, {"file": "balancer-unit"}]
    names = [f"balancer-{name}-file" for name in ("admin-token", "redis-password", "alert-tokens")]
    files = [chunk for chunk in low if chunk["__id__"] in names]
    assert [chunk["require_in"] for chunk in files] == [[{"service": "balancer-service"}]] * 3
    assert not any("watch_in" in chunk for chunk in low)


@pytest.mark.parametrize(
    ("ca", "file"),
    [
        ("-----BEGIN CERTIFICATE-----\nx\n", "/etc/sluice/redis-ca.pem"),
        ("/etc/ssl/certs/own.pem", "/etc/ssl/certs/own.pem"),
    ],
)
def test_whose_certificates_of_redis_are_believed_comes_from_pillar(machine, ca, file):
    one = machine("lb-1", extra_pillar={"redis": {"tls": {"enabled": True, "ca": ca, "key": "a secret"}}})
    found = one.modules["state.show_low_sls"]("balancer", pillar=one.opts["pillar_override"])
    low = {chunk["__id__"]: chunk for chunk in found}
    told = low["balancer-config"]["settings"]["redis"]
    assert told["ca"] == file
    assert set(told["servers"]) == {"redis-1", "redis-2", "redis-3"}
    assert not {"users", "tls"} & set(told)
    made = low.get("balancer-redis-ca-file")
    assert (made and made["contents"]) == (ca if file.startswith("/etc/sluice") else None)


def test_no_condition_makes_a_ratio_edit_slow(machine):
    """Any state with one has Salt load all state modules, 0.8 s for a run that takes less than 2."""
    low = machine("lb-1").modules["state.show_low_sls"]("balancer")
    assert len(low) > 10
    assert [c["__id__"] for c in low if {"unless", "onlyif", "creates", "check_cmd"} & set(c)] == []


def test_second_run_changes_nothing(configure, path):
    configure()
    before = state_of(path)
    ret = configure()
    assert (ret["result"], ret["changes"]) == (True, {})
    assert state_of(path) == before


@pytest.mark.parametrize("begin", [None, GOOD])
def test_test_mode_tells_the_changes_of_the_real_run(configure, path, begin):
    if begin:
        configure(begin)
    weights = {"stable": 95, "canary": 5}
    planned = configure(weights, test=True)
    assert planned["result"] is None
    assert planned["changes"] == configure(weights)["changes"] != {}
    ret = configure(weights, test=True)
    assert (ret["result"], ret["changes"]) == (True, {})


def test_ratio_edit_shows_old_and_new_weights(configure):
    configure()
    change = configure({"stable": 95, "canary": 5})["changes"]["checkbox"]
    assert (change["old"]["weights"], change["new"]["weights"]) == (GOOD, {"stable": 95, "canary": 5})


@pytest.mark.parametrize(
    "weights",
    [{"stable": 100, "canary": 0}, {"stable": 66.6, "canary": 33.4}, {"stable": 0.0, "canary": 100}],
)
def test_good_weights_are_taken(configure, path, weights):
    assert configure(weights)["result"] is True
    assert json.loads(path.read_text())["services"]["checkbox"]["weights"] == weights


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"stable": 130, "canary": -30}, "traffic:checkbox:stable is 130: want 0 to 100 percent"),
        ({"stable": -30, "canary": 130}, "traffic:checkbox:stable is -30: want 0 to 100 percent"),
        ({"stable": 70, "canary": -0.1}, "traffic:checkbox:canary is -0.1: want 0 to 100 percent"),
        ({"stable": "70", "canary": 30}, "traffic:checkbox:stable is '70': want a number of percent"),
        ({"stable": 70, "canary": "30%"}, "traffic:checkbox:canary is '30%': want a number of percent"),
        ({"stable": 70, "canary": None}, "traffic:checkbox:canary is None: want a number of percent"),
        ({"stable": 70, "canary": [30]}, "traffic:checkbox:canary is [30]: want a number of percent"),
        ({"stable": 100, "canary": False}, "traffic:checkbox:canary is False: want a number of percent"),
        ({"stable": float("nan"), "canary": 30}, "traffic:checkbox:stable is nan: want 0 to 100"),
        ({"stable": float("inf"), "canary": 30}, "traffic:checkbox:stable is inf: want 0 to 100"),
        ({"stable": 10**400, "canary": 30}, "traffic:checkbox:stable is 1000"),
        ({"stable": 1e308, "canary": 1e308}, "traffic:checkbox:stable is 1e+308: want 0 to 100"),
        ({"stable": 70, "canary": 31}, "traffic:checkbox: the weights sum to 101: want 100"),
        ({"stable": 0, "canary": 0}, "traffic:checkbox: the weights sum to 0: want 100"),
        ({"stable": 70, "canary": 29.9}, "traffic:checkbox: the weights sum to 99.9: want 100"),
        ({"stable": 100}, "traffic:checkbox has stable: want stable, canary"),
        ({"canary": 100}, "traffic:checkbox has canary: want stable, canary"),
        ({"stable": 70, "canary": 20, "beta": 10}, "traffic:checkbox has stable, canary, beta: want"),
        ({"stable": 70, "Canary": 30}, "traffic:checkbox has stable, Canary: want stable, canary"),
        ({True: 70, "canary": 30}, "traffic:checkbox has True, canary: want stable, canary"),
        ({}, "traffic:checkbox has nothing: want stable, canary"),
        ([70, 30], "traffic:checkbox is [70, 30]: want a weight for each of stable, canary"),
        ("70/30", "traffic:checkbox is '70/30': want a weight for each of stable, canary"),
        (30, "traffic:checkbox is 30: want a weight for each of stable, canary"),
        (None, "traffic:checkbox is None: want a weight for each of stable, canary"),
        ({f"track{i}\n": 1 for i in range(100)}, "and more: want stable, canary"),
    ],
)
def test_bad_weights_are_refused_and_the_file_is_as_it_was(configure, path, weights, said):
    for begin in (None, "as it was"):
        if begin:
            path.parent.mkdir()
            path.write_text(begin)
        for test in (True, False):
            ret = configure(weights, test=test)
            assert ret["result"] is False
            assert said in ret["comment"]
            assert "pillar traffic:checkbox" in ret["comment"]
            assert len(ret["comment"]) < 400
            assert "\n" not in ret["comment"]
    assert path.read_text() == "as it was"


@pytest.mark.parametrize("traffic", [[], "x", 7, [{"checkbox": GOOD}]])
def test_traffic_that_is_no_mapping_is_refused(configure, traffic):
    ret = configure(traffic=traffic)
    assert ret["result"] is False
    assert f"pillar traffic is {traffic!r}" in ret["comment"]


def test_weights_of_no_service_are_refused(configure):
    assert "pillar traffic:checkbox is None" in configure(traffic={"chekbox": GOOD})["comment"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"services": []}, "pillar balancer:services is []"),
        ({"services": {"checkbox": None}}, "pillar balancer:services:checkbox is None"),
        ({"services": {"checkbox": SERVICE | {"listen": None}}}, "services:checkbox:listen is missing"),
        ({"services": {"checkbox": SERVICE | {"backend_port": None}}}, "checkbox:backend_port is missing"),
        (
            {"services": {"checkbox": {"listen": "0.0.0.0:80", "backend_port": 80}}},
            "checkbox:tracks is missing",
        ),
        ({"services": {"checkbox": SERVICE | {"tracks": ["stable"]}}}, "checkbox:tracks is ['stable']"),
        (
            {"services": {"checkbox": SERVICE | {"tracks": {"canary": "x"}}}},
            "checkbox:tracks has canary: want stable",
        ),
        ({"services": {"checkbox": SERVICE | {"health": "/x"}}}, "checkbox:health is '/x'"),
        ({"services": {"checkbox": SERVICE | {"min_available": 1}}}, "checkbox:min_available is 1: want"),
        ({"backend_network": "10.57.0.1/24"}, "balancer:backend_network: 10.57.0.1/24 has host bits set"),
        ({"redis": {"host": "10.57.0.12"}}, "pillar redis:servers is None: want an address for each id"),
        ({"redis": {"servers": ["redis-1"]}}, "pillar redis:servers is ['redis-1']"),
    ],
)
def test_settings_that_cannot_be_used_are_named(configure, changed, said):
    ret = configure(**changed)
    assert ret["result"] is False
    assert said in ret["comment"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"workers": 0}, "$.workers: is 0, want a whole number"),
        ({"services": {"checkbox": SERVICE | {"listen": "localhost:80"}}}, "checkbox.listen"),
        ({"services": {"checkbox": SERVICE | {"health": {"rise": -1}}}}, "health.rise: is -1"),
        ({"services": {"checkbox": SERVICE | {"backend_port": 0}}}, "tracks.canary.canary-1"),
        (
            {"services": {"checkbox": SERVICE | {"min_available": {"stable": "half"}}}},
            '$.services.checkbox.min_available.stable: is "half", want a number of backends',
        ),
        (
            {"services": {"checkbox": SERVICE | {"min_available": {"beta": 1}}}},
            "min_available.beta: not a known key, want one of canary, stable",
        ),
    ],
)
def test_a_file_that_the_balancer_refuses_is_not_put_in_place(configure, changed, said):
    ret = configure(**changed)
    assert ret["result"] is False
    assert said in ret["comment"]
    assert ".balancer.json.new" not in ret["comment"]


def test_missing_balancer_says_what_to_do(configure, loaded, monkeypatch):
    check = loaded.modules["balancer.check"].func
    monkeypatch.setattr(check, "__defaults__", (check.__defaults__[0], "/nowhere/python"))
    ret = configure()
    assert ret["result"] is False
    assert "/nowhere/python is not there; apply the balancer state" in ret["comment"]


def test_no_stable_address_is_refused_with_the_next_step(configure, mined):
    configure()
    mined["N@checkbox_stable"] = {}
    ret = configure()
    assert ret["result"] is False
    assert "checkbox: no address is known of any stable host (N@checkbox_stable)" in ret["comment"]
    assert "mine.update" in ret["comment"]


def test_a_service_whose_hosts_are_not_there_yet_keeps_no_other_from_being_served(configure, mined, path):
    mined["N@itrust"] = {}
    itrust = {"listen": "0.0.0.0:8080", "backend_port": 8080, "tracks": {"stable": "N@itrust"}}
    traffic = {"checkbox": GOOD, "itrust": {"stable": 100}}
    services = {"checkbox": SERVICE, "itrust": itrust}
    for comment in (f"{path} written", "the file is as pillar and mine say"):
        ret = configure(services=services, traffic=traffic)
        assert (ret["result"], ret.get("warnings")) == (True, None)
        assert ret["comment"] == f"{comment}; not served yet, as no host is known: itrust"
        assert set(json.loads(path.read_text())["services"]) == {"checkbox"}
    mined["N@itrust"] = {"itrust-1": ["10.57.0.41"]}
    assert configure(services=services, traffic=traffic)["comment"] == f"{path} written"
    told = json.loads(path.read_text())["services"]["itrust"]
    assert told["tracks"] == {"stable": {"itrust-1": "10.57.0.41:8080"}}
    assert told["min_available"] == {"stable": 1}
    # Now it is served, and a mine that forgot its hosts ends that for nobody.
    mined["N@itrust"] = {}
    ret = configure(services=services, traffic=traffic)
    assert ret["result"] is False
    assert "itrust: no address is known of any stable host (N@itrust)" in ret["comment"]


def test_a_canary_without_address_gets_no_traffic_and_a_warning(configure, mined, path):
    mined["N@checkbox_canary"] = {"canary-1": []}
    ret = configure()
    assert ret["result"] is True
    assert "canary-1 gets no traffic" in ret["warnings"][0]
    assert json.loads(path.read_text())["services"]["checkbox"]["tracks"]["canary"] == {}


@pytest.mark.parametrize(
    "said", ["8.8.8.8", "169.254.169.254", "0.0.0.0", "localhost", "10.57.0.31; id", 7, None, {"x": 1}, [[]]]
)
def test_an_address_that_is_none_of_the_network_is_not_used(configure, mined, path, said):
    mined["N@checkbox_canary"] = {"canary-1": [said]}
    ret = configure()
    assert ret["result"] is True
    assert ret["warnings"]
    assert json.loads(path.read_text())["services"]["checkbox"]["tracks"]["canary"] == {}


def test_addresses_of_version_6_stand_in_brackets(configure, mined, path):
    mined["N@checkbox_stable"] = {"checkbox-1": ["fd00::21"]}
    mined["N@checkbox_canary"] = {}
    assert configure(backend_network="fd00::/64")["result"] is True
    tracks = json.loads(path.read_text())["services"]["checkbox"]["tracks"]
    assert tracks["stable"] == {"checkbox-1": "[fd00::21]:80"}


def test_mine_that_cannot_be_asked_is_told(configure, mined):
    mined["N@checkbox_stable"] = SaltReqTimeoutError("Message timed out")
    ret = configure()
    assert ret["result"] is False
    assert (
        "the mine cannot be asked for the addresses of N@checkbox_stable: Message timed out" in ret["comment"]
    )


@pytest.mark.parametrize(
    "old", ["", "[]", "null", '"x"', '{"services": []}', '{"services": null}', "\x80\xff"]
)
def test_whatever_stands_in_the_file_is_replaced(configure, path, old):
    path.parent.mkdir()
    path.write_bytes(old.encode("latin-1"))
    planned = configure(test=True)
    ret = configure()
    assert (planned["result"], ret["result"]) == (None, True)
    assert planned["changes"] == ret["changes"]
    assert configure()["changes"] == {}


def test_a_removed_service_shows(configure, path):
    configure()
    shop = SERVICE | {"listen": "0.0.0.0:81"}
    both = {"checkbox": SERVICE, "shop": shop}
    added = configure(services=both, traffic={"checkbox": GOOD, "shop": GOOD})
    assert list(added["changes"]) == ["shop"]
    removed = configure()
    assert removed["changes"]["shop"]["new"] is None


def test_mode_and_group_are_put_right(configure, path):
    configure()
    path.chmod(0o666)
    planned = configure(test=True)
    assert planned["changes"] == {"mode": {"old": "0666", "new": "0640"}}
    assert configure()["changes"] == planned["changes"]
    assert path.stat().st_mode & 0o777 == 0o640
    assert configure()["changes"] == {}


def test_unknown_group_is_told(configure):
    ret = configure(group="no-such-group")
    assert ret["result"] is False
    assert "there is no group no-such-group" in ret["comment"]


def test_file_that_cannot_be_written_is_told(configure, path):
    path.parent.write_text("in the way")
    ret = configure()
    assert ret["result"] is False
    assert "cannot be" in ret["comment"]


class FakeAdmin(http.server.BaseHTTPRequestHandler):
    """An admin API that works by a file with the hash `sha256`, and takes `after_reload` when told to."""

    sha256 = after_reload = None
    refuses = False
    reloads = 0

    def do_GET(self):
        self.tell(200, {"config": {"sha256": type(self).sha256}})

    def do_POST(self):
        type(self).reloads += 1
        if self.refuses:
            self.tell(400, {"error": "the file is refused", "mistakes": ["$.workers: is 0"]})
            return
        type(self).sha256 = self.after_reload
        self.do_GET()

    def tell(self, status, told):
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def admin(loaded, path, tmp_path, monkeypatch):
    """An admin API on the loopback, and the file that names it."""
    handler = type("Handler", (FakeAdmin,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        (tmp_path / "token").write_text("swordfish")
        path.parent.mkdir()
        listen = f"127.0.0.1:{server.server_port}"
        path.write_text(json.dumps({"admin": {"listen": listen, "token_file": str(tmp_path / "token")}}))
        monkeypatch.setitem(loaded.modules["balancer.status"].func.__globals__, "CONFIG", str(path))
        yield handler
        server.shutdown()
        thread.join()


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_in_force_when_the_balancer_works_by_the_file(loaded, admin, path):
    admin.sha256 = admin.after_reload = sha256(path)
    ret = loaded.apply("balancer.in_force", name=str(path))
    assert (ret["result"], ret["changes"]) == (True, {})


def test_in_force_has_the_file_taken_over(loaded, admin, path):
    admin.after_reload = sha256(path)
    assert loaded.apply("balancer.in_force", name=str(path))["result"] is True
    assert admin.reloads == 1


def test_in_force_fails_with_the_words_of_the_balancer(loaded, admin, path):
    admin.refuses = True
    ret = loaded.apply("balancer.in_force", name=str(path), timeout_seconds=0)
    assert ret["result"] is False
    assert "the file is refused: $.workers: is 0. See `journalctl -u sluice-balancer`" in ret["comment"]
    assert "swordfish" not in str(ret)


def test_in_force_fails_while_another_file_is(loaded, admin, path):
    admin.sha256 = admin.after_reload = "0" * 64
    ret = loaded.apply("balancer.in_force", name=str(path), timeout_seconds=0)
    assert ret["result"] is False
    assert "still works by another file (000000000000)" in ret["comment"]


def test_in_force_without_balancer_or_file_fails_in_words(loaded, path, tmp_path, monkeypatch):
    monkeypatch.setitem(loaded.modules["balancer.status"].func.__globals__, "CONFIG", str(path))
    ret = loaded.apply("balancer.in_force", name=str(path), timeout_seconds=0)
    assert ret["result"] is False
    assert str(path) in ret["comment"]


def test_in_force_asks_nobody_in_test_mode(loaded, path):
    ret = loaded.apply("balancer.in_force", test=True, name=str(path))
    assert (ret["result"], ret["changes"]) == (True, {})
