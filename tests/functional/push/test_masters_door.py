"""What the door of a real salt-api lets in."""

import json

import pytest
from push_support import PASSWORD, ask, log_in, push_of

from tests.support.forges import SECRETS, proof

HOOK = "/hook/release/itrust/built"
# All clients of salt-api, and all addresses of rest_cherrypy.
CLIENTS = (
    "local",
    "local_async",
    "local_batch",
    "local_subset",
    "runner",
    "runner_async",
    "wheel",
    "wheel_async",
    "ssh",
)
PLACES = ("/", "/run", "/minions", "/jobs", "/keys", "/events", "/stats", "/ws", "/token", "/app", "/index")


def test_token_of_the_build_server_opens_the_hook_and_ends_with_its_log_out(api, token):
    sent = {"X-Auth-Token": token}
    assert ask(api.url + HOOK, {"result": "FAILURE"}, sent)[0] == 200
    assert ask(api.url + "/logout", b"", sent)[0] == 200
    assert ask(api.url + HOOK, {}, sent)[0] == 401


@pytest.mark.parametrize("place", PLACES)
def test_token_opens_nothing_but_the_hook(api, token, place):
    sent = {"X-Auth-Token": token, "Accept": "application/json"}
    low = json.dumps([{"client": name, "tgt": "*", "fun": "test.ping"} for name in CLIENTS]).encode()
    assert ask(api.url + place, low, sent)[0] in (404, 405)
    assert ask(api.url + place, None, sent, method="GET")[0] in (404, 405)


@pytest.mark.parametrize("client", CLIENTS)
def test_no_client_of_salt_api_runs_anything_for_the_build_server(api, token, client):
    low = {"client": client, "tgt": "*", "fun": "test.ping"}
    mine = {"username": "jenkins", "password": PASSWORD, "eauth": "file"}
    assert ask(f"{api.url}/", low | {"token": token}, {"X-Auth-Token": token})[0] == 404
    assert ask(f"{api.url}/run", low | mine)[0] == 404


def test_master_runs_nothing_for_the_build_server_either(master):
    words = ("-a", "file", "--username=jenkins", f"--password={PASSWORD}")
    ordered = master.salt_cli().run(*words, "test.ping", minion_tgt="*")
    run = master.salt_run_cli().run(*words, "manage.up")
    assert "Authorization error" in ordered.stdout
    assert "Authentication failure" in run.stdout + run.stderr


@pytest.mark.parametrize(
    "sent",
    [
        {}, {"X-Auth-Token": ""}, {"X-Auth-Token": "0" * 64}, {"X-Auth-Token": "../../x"},
        {"Cookie": "session_id=" + "0" * 64},
    ],
)  # fmt: skip
def test_report_without_a_good_token_is_refused(api, sent):
    status, _, body = ask(api.url + HOOK, {"result": "SUCCESS"}, sent)
    assert status == 401 and b"Log in first" in body


def test_preflight_of_a_browser_is_no_log_in(api):
    # rest_cherrypy answers any origin, and its code takes such a request for a log-in (3008.3).
    origin = {"Origin": "http://evil.example.com", "Access-Control-Request-Method": "POST"}
    status, headers, _ = ask(api.url + HOOK, None, origin, method="OPTIONS")
    assert status == 405 and "Set-Cookie" not in headers and "Access-Control-Allow-Origin" not in headers


def test_operator_of_the_fleet_is_no_build_server(api):
    status, _, body = log_in(api, "operator", "not-a-secret-of-an-operator")
    token = json.loads(body)["return"][0]["token"]
    status, _, body = ask(api.url + HOOK, {}, {"X-Auth-Token": token})
    assert status == 403 and b"release_hook:users" in body


@pytest.mark.parametrize(
    "told",
    [
        b"", b"{", b"[]", b"null", b"[" * 4000, b"\xff\xfe", b"!!python/object/apply:os.system ['true']",
        b'{"username": "jenkins"}', b'{"username": ["jenkins"], "password": {}, "eauth": "file"}',
        b'{"username": "jenkins", "password": "", "eauth": "file"}',
        b'{"username": "jenkins", "password": "wrong", "eauth": "file"}',
        b'{"username": "^filename", "password": "wrong", "eauth": "file"}',
        b'{"username": "jenkins", "password": "wrong", "eauth": "../file"}',
    ],
)  # fmt: skip
def test_bad_log_in_is_refused(api, told):
    status, headers, body = ask(f"{api.url}/login", told)
    assert status in (400, 401) and "X-Auth-Token" not in headers and b"Traceback" not in body


def test_log_in_cannot_choose_how_long_it_lasts(api):
    told = json.loads(log_in(api, "jenkins", PASSWORD, token_expire=10**9)[2])["return"][0]
    # Salt adds the start to it, in floating point.
    assert round(told["expire"] - told["start"]) == 43_200


@pytest.mark.parametrize(
    ("place", "status"),
    [
        ("/hook", 404), ("/hook/", 404), ("/hook/release/itrust", 404), ("/hook/release/checkbox/built", 404),
        ("/hook/release/itrust/built/x", 404), ("/hook/release/..%2fitrust/built", 404),
        ("/hook/release/itrust/pushed", 404), ("/hook/release/itrust/pushed/bitbucket", 404),
        ("/hook/minion/start", 404), ("/hook/release/itrust;x/built", 404), ("/hook/release/%00/built", 404),
    ],
)  # fmt: skip
def test_other_hooks_are_not_there_and_do_not_reach_the_bus(api, token, place, status):
    assert ask(api.url + place, {}, {"X-Auth-Token": token})[0] == status


@pytest.mark.parametrize("forge", sorted(SECRETS))
def test_unsigned_and_forged_push_is_refused_and_in_the_ledger(api, ledger, forge):
    body = push_of()
    for sent in {}, proof(forge, body, "guessed-secret-guessed"):
        status, _, said = ask(f"{api.url}/hook/release/itrust/pushed/{forge}", body, sent)
        assert status == 401 and b"Refused: its proof X-" in said
    # The second one within a minute is not written down: anybody can send thousands.
    found = [one for one in ledger.history("itrust") if one.who == f"{forge} (unproved)"]
    assert [(one.state, one.version) for one in found] == [("refused", "unknown")]
    assert "is missing" in found[0].reason


def test_log_in_of_the_build_server_does_not_make_a_push(api, token):
    assert ask(f"{api.url}/hook/release/itrust/pushed/github", push_of(), {"X-Auth-Token": token})[0] == 401


def test_event_of_a_forge_that_is_no_push_is_taken_and_ignored(api):
    body = b'{"zen": "Keep it logically awesome.", "hook_id": 1}'
    sent = proof("github", body) | {"X-GitHub-Event": "ping"}
    status, _, said = ask(f"{api.url}/hook/release/itrust/pushed/github", body, sent)
    assert status == 200 and json.loads(said) == {"success": True, "ignored": "This event is no push."}


@pytest.mark.parametrize("body", [b"\xff", b"{", b"[" * 90_000, b"payload=%7B%7D"])
def test_signed_body_that_is_no_json_is_refused(api, body):
    status, _, said = ask(f"{api.url}/hook/release/itrust/pushed/github", body, proof("github", body))
    assert status == 400 and said.startswith(b'{"error": "Refused: ')


def test_larger_bodies_than_a_hook_takes_are_refused(api, token):
    for size, status in (65_000, 413), (4_000_000, 413), (6_000_000, 413):
        assert send(api, HOOK, b"x" * size, {"X-Auth-Token": token}) == status
    assert send(api, "/hook/release/itrust/pushed/github", b"x" * 6_000_000, {}) == 413
    for size in 5_000, 6_000_000:
        assert send(api, "/login", b"x" * size, {}) == 413


def send(api, place, body, sent):
    """The status; a server that answers before it has read all may break off the rest."""
    try:
        return ask(api.url + place, body, sent)[0]
    except OSError:
        return 413


def test_no_secret_is_in_the_logs(api, token):
    ask(f"{api.url}/hook/release/itrust/pushed/gitlab", push_of(), proof("gitlab", push_of()))
    log_in(api, "jenkins", "wrong-" + PASSWORD)
    text = "".join(path.read_text(errors="replace") for path in api.logs)
    assert token not in text and PASSWORD not in text
    assert not [secret for secret in SECRETS.values() if secret in text]
