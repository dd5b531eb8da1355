"""Who sent a webhook, and what it says: every forge, and everything that a hostile one may send."""

import hashlib
import json

import pytest
from push_payloads import AFTER, BEFORE, EVENTS, PUSHES, REPOSITORY, ZERO, payload
from sluice_config import Probe, RedisServers, Service, Settings
from sluice_errors import EventRefused
from sluice_webhook import Order, is_from, is_push, opened, sealed
from sluice_webhook_push import gist, named, read

from tests.support.forges import SECRETS, proof

FORGES = sorted(PUSHES)
KEY = b"k" * 32
SERVICE = Service(
    "itrust", "N@itrust", "", "itrust", "", "/", 8080, Probe(), artifacts="http://a/", repository=REPOSITORY
)
SETTINGS = Settings("", RedisServers(()), "", 0, "N@balancer", {"itrust": SERVICE})


def order(forge, body):
    return Order("itrust", forge, forge, hashlib.sha256(body).hexdigest(), gist(body))


def pushed(forge, **changes):
    return read(order(forge, payload(forge, **changes)), SERVICE)


@pytest.mark.parametrize("forge", FORGES)
def test_signed_push_is_from_its_forge(forge):
    body = payload(forge)
    assert is_from(forge, SECRETS[forge], proof(forge, body), body)


@pytest.mark.parametrize("forge", FORGES)
def test_push_signed_with_another_secret_is_forged(forge):
    body = payload(forge)
    assert not is_from(forge, SECRETS[forge], proof(forge, body, "guessed"), body)


@pytest.mark.parametrize("forge", FORGES)
@pytest.mark.parametrize("said", ["", "sha256=", "sha256=" + "0" * 64, "\udcff", "é" * 64, "x" * 100_000])
def test_proof_that_is_none_proves_nothing(forge, said):
    name = next(iter(proof(forge, b"")))
    assert not is_from(forge, SECRETS[forge], {name: said}, payload(forge))
    assert not is_from(forge, SECRETS[forge], {}, payload(forge))


@pytest.mark.parametrize("forge", ["github", "gitea"])
def test_body_that_was_changed_is_forged(forge):
    headers = proof(forge, payload(forge))
    assert not is_from(forge, SECRETS[forge], headers, payload(forge, after=BEFORE))


@pytest.mark.parametrize("forge", FORGES)
def test_forge_without_a_secret_is_nobody(forge):
    body = payload(forge)
    assert not is_from(forge, "", proof(forge, body, ""), body)


def test_proof_of_one_forge_is_none_for_another():
    body = payload("github")
    assert not is_from("gitlab", SECRETS["github"], proof("github", body), body)
    assert not is_from("gitea", SECRETS["github"], proof("github", body), body)


@pytest.mark.parametrize("forge", FORGES)
def test_other_events_of_a_forge_are_told_from_pushes(forge):
    name, push = EVENTS[forge]
    assert is_push(forge, {name: push}) and is_push(forge, {})
    assert not is_push(forge, {name: "ping"}) and not is_push(forge, {name: "Tag Push Hook"})


@pytest.mark.parametrize(
    ("forge", "who"), [("github", "codertocat"), ("gitlab", "jsmith"), ("gitea", "gitea")]
)
def test_push_of_the_branch_names_commit_and_pusher(forge, who):
    push = pushed(forge)
    assert (push.commit, push.who) == (AFTER, f"{forge} {who}")


@pytest.mark.parametrize("forge", FORGES)
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ref": "refs/heads/other"}, "pushes 'other' .want the branch main"),
        ({"ref": "refs/heads/main/x"}, "pushes 'main/x'"),
        ({"ref": "refs/heads/main\n"}, r"pushes 'main\\n'"),
        ({"ref": "main"}, "pushes 'main'"),
        ({"ref": "refs/heads/main;reboot"}, "pushes 'main;reboot' .want the branch main"),
        ({"ref": "refs/heads/$(touch /tmp/x)`id`"}, "want the branch main"),
        ({"ref": "refs/tags/v2"}, "the tag 'v2', and no branch"),
        ({"after": ZERO}, "was deleted"),
        ({"after": BEFORE}, "empty push"),
        ({"after": "main; reboot"}, "its commit 'main; reboot' is none"),
        ({"after": AFTER.upper()}, "is none"),
        ({"after": 7}, "no push"),
        ({"after": ["x"]}, "no push"),
        ({"ref": None}, "no push"),
        ({"ref": "refs/heads/" + "x" * 400}, "no push"),
        ({"before": {}}, "no push"),
        ({"repository": None, "project": None}, "its repository is none"),
        ({"repository": [REPOSITORY], "project": 1}, "its repository is none"),
        ({"repository": {"clone_url": [REPOSITORY]}, "project": {}}, "its repository is none"),
        ({"repository": {"clone_url": "https://evil.example.com/itrust.git"}, "project": {}}, "want https://git"),
    ],
)  # fmt: skip
def test_what_is_no_push_of_the_branch_is_refused_with_its_reason(forge, changes, reason):
    with pytest.raises(EventRefused, match=reason):
        pushed(forge, **changes)


def test_service_without_a_repository_takes_no_push():
    nowhere = Service("itrust", "N@itrust", "", "itrust", "", "/", 8080, Probe())
    with pytest.raises(EventRefused, match="want one set in pillar"):
        read(order("github", payload("github")), nowhere)


def test_first_push_of_the_branch_counts():
    assert pushed("github", before=ZERO, created=True).commit == AFTER


@pytest.mark.parametrize(
    "pusher", [None, 1, "x", [], {"name": ["x"]}, {"name": "a b"}, {"name": "x" * 80}, {"name": "-rf"}]
)
def test_pusher_with_a_strange_name_is_unknown(pusher):
    assert pushed("github", pusher=pusher).who == "github unknown"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "no JSON object"),
        (b"{", "no JSON object"),
        (b"[]", "no JSON object"),
        (b"null", "no JSON object"),
        (b'"push"', "no JSON object"),
        (b"payload=%7B%7D", "must send application/json"),
        (b'{"ref": "\xff\xfe"}', "no UTF-8 .byte 9"),
        (b"\x00" * 100, "no JSON object"),
        (b"[" * 100_000, "no JSON object"),
        (b'{"ref":' * 100_000, "no JSON object"),
        (b'{"ref": ' + b"9" * 5000 + b"}", "no JSON object"),
    ],
)
def test_body_that_is_no_json_object_is_refused(body, reason):
    with pytest.raises(EventRefused, match=reason):
        gist(body)


def test_huge_push_travels_as_a_small_gist():
    commits = [{"id": AFTER, "message": "x" * 1000}] * 2000
    told = gist(payload("github", commits=commits))
    assert len(told) < 1000 and json.loads(told)["after"] == AFTER


def test_half_characters_are_refused_without_an_error_of_their_own():
    with pytest.raises(EventRefused, match="want the branch main"):
        pushed("gitea", ref="refs/heads/\ud800")


def test_pushed_commit_names_a_refusal():
    assert named(order("github", payload("github", ref="refs/heads/x"))) == AFTER[:12]
    assert named(order("github", payload("github", after="$(id)"))) == "unknown"
    assert named(Order("itrust", "github", "github", "", "{")) == "unknown"


def event(**changes):
    return json.dumps(sealed(order("github", payload("github")), KEY) | changes)


def test_sealed_order_is_opened_as_it_was():
    assert opened(event(), KEY, SETTINGS) == order("github", payload("github"))


@pytest.mark.parametrize(
    "forged",
    [
        {"seal": ""}, {"seal": None}, {"seal": ["x"]}, {"seal": "0" * 64}, {"seal": "\udcff"},
        {"order": None}, {"order": {}}, {"order": '{"service": "itrust"}'}, {"order": "\ud800"},
    ],
)  # fmt: skip
def test_order_whose_seal_is_not_the_doors_is_refused(forged):
    with pytest.raises(EventRefused, match="seal"):
        opened(event(**forged), KEY, SETTINGS)


def test_minion_that_fires_the_events_of_salt_api_is_refused():
    body = json.dumps({"version": "v", "result": "SUCCESS"})
    hers = {"body": body, "post": {}, "headers": {"X-Auth-Token": "stolen"}}
    with pytest.raises(EventRefused, match="no seal"):
        opened(json.dumps(hers), KEY, SETTINGS)


@pytest.mark.parametrize("text", [None, 7, "", "[]", "{", "[" * 100_000])
def test_event_that_is_no_json_object_is_refused(text):
    with pytest.raises(EventRefused, match="no JSON object"):
        opened(text, KEY, SETTINGS)


def test_without_a_key_no_order_is_opened():
    with pytest.raises(EventRefused, match="no seal"):
        opened(json.dumps(sealed(order("github", payload("github")), b"")), b"", SETTINGS)


def test_order_for_a_service_that_is_gone_is_refused():
    gone = Settings("", RedisServers(()), "", 0, "N@balancer", {})
    with pytest.raises(EventRefused, match="'itrust' is not known"):
        opened(event(), KEY, gone)
