"""The published OpenFeature providers for Python and for Node."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

from tests.support.flag_service import PATIENCE, TOKEN
from tests.support.redis_fleet import wait_for

NODE = Path(__file__).parent / "node"
# It loads from a registry.
INSTALL_SECONDS = 120
DOCUMENTS = {
    "sdk-text": {"variants": {"off": "grey", "on": "red"}},
    "sdk-number": {"variants": {"off": 0, "on": 3}},
    "sdk-float": {"variants": {"off": 0.5, "on": 1.5}},
    "sdk-object": {"variants": {"off": {}, "on": {"size": 3}}},
    "sdk-half": {"rules": {"match": [{"percentage": 50}]}},
}


@pytest.fixture(scope="module", autouse=True)
def known(shared):
    for name, document in DOCUMENTS.items():
        shared.fleet.call("redis-1", "SET", f"sluice:flag:{name}", json.dumps(document))
    for name in ("sdk-on", *DOCUMENTS):
        shared.fleet.call("redis-1", "SET", name, "1")
    shared.fleet.call("redis-1", "SET", "sdk-off", "0")
    shared.wait_for_value("sdk-off", False)


# As each SDK calls what is asked: flag, default, context, and what comes of it.
ASKED = [
    ("boolean", "sdk-on", False, {}, True, "on", "STATIC", None),
    ("boolean", "sdk-off", True, {}, False, "off", "DISABLED", None),
    ("string", "sdk-text", "none", {}, "red", "on", "STATIC", None),
    ("integer", "sdk-number", 7, {}, 3, "on", "STATIC", None),
    ("float", "sdk-float", 7.5, {}, 1.5, "on", "STATIC", None),
    ("object", "sdk-object", {"a": 1}, {}, {"size": 3}, "on", "STATIC", None),
    ("boolean", "sdk-nope", True, {}, True, None, "ERROR", "FLAG_NOT_FOUND"),
    ("boolean", "sdk-text", True, {}, True, None, "ERROR", "TYPE_MISMATCH"),
    ("boolean", "sdk-half", True, {"plan": "free"}, True, None, "ERROR", "TARGETING_KEY_MISSING"),
]


@pytest.fixture
def client(shared):
    """The Python SDK's."""

    def make(token=TOKEN):
        provider = OFREPProvider(
            f"http://127.0.0.1:{shared.port}",
            headers_factory=lambda: {"Authorization": f"Bearer {token}"},
            timeout=PATIENCE,
        )
        providers.append(provider)
        api.set_provider(provider)
        return api.get_client()

    providers = []
    yield make
    api.clear_providers()
    for provider in providers:
        provider.session.close()


@pytest.mark.parametrize(("kind", "flag", "default", "context", "value", "variant", "reason", "error"), ASKED)
def test_the_python_provider(client, kind, flag, default, context, value, variant, reason, error):
    details = getattr(client(), f"get_{kind}_details")(flag, default, EvaluationContext(None, context))
    assert (details.value, details.variant) == (value, variant)
    assert details.reason == reason
    assert (details.error_code.value if details.error_code else None) == error


def test_the_python_provider_splits_users_as_the_engine_does(shared, client):
    ours = client()
    for number in range(40):
        context = EvaluationContext(f"user-{number}")
        details = ours.get_boolean_details("sdk-half", False, context)
        assert details.value is shared.value("sdk-half", targetingKey=f"user-{number}")
        assert details.reason in ("SPLIT", "UNKNOWN")


def test_the_python_provider_sees_a_change_and_its_own_default_without_a_token(shared, client):
    ours = client()
    shared.fleet.call("redis-1", "SET", "sdk-flip", "1")
    wait_for(lambda: ours.get_boolean_value("sdk-flip", False), PATIENCE, "the change is seen")
    refused = client(token="wrong").get_boolean_details("sdk-flip", False)
    assert (refused.value, refused.error_code.value) == (False, "GENERAL")


@pytest.fixture(scope="session")
def node(tmp_path_factory):
    """The published Node provider, installed from its lock file."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    place = tmp_path_factory.mktemp("node")
    for path in NODE.iterdir():
        if path.is_file():
            shutil.copy(path, place)
    words = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    try:
        done = subprocess.run(words, cwd=place, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        said = done.stderr.strip()[-300:] if done.returncode else ""
    except subprocess.TimeoutExpired:
        said = f"it took more than {INSTALL_SECONDS} s"
    if said:
        pytest.skip(f"npm ci: {said}")
    return place


def test_the_node_provider(shared, node):
    kinds = {
        "boolean": "Boolean",
        "string": "String",
        "integer": "Number",
        "float": "Number",
        "object": "Object",
    }
    questions = [
        {"type": kinds[kind], "flag": flag, "fallback": default, "context": context}
        for kind, flag, default, context, *_ in ASKED
    ]
    users = [f"user-{number}" for number in range(20)]
    questions += [
        {"type": "Boolean", "flag": "sdk-half", "fallback": False, "context": {"targetingKey": user}}
        for user in users
    ]
    told = {"baseUrl": f"http://127.0.0.1:{shared.port}", "token": TOKEN, "questions": questions}
    done = subprocess.run(
        ["node", "ask.js"], cwd=node, input=json.dumps(told), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    for asked, answer in zip(ASKED, answers, strict=False):
        *_, value, variant, reason, error = asked
        assert answer["value"] == value, asked
        assert answer.get("errorCode") == error, asked
        if error is None:
            assert (answer["variant"], answer["reason"]) == (variant, reason), asked
    split = [answer["value"] for answer in answers[len(ASKED) :]]
    assert split == [shared.value("sdk-half", targetingKey=user) for user in users]
