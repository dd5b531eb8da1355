"""A real balancer answers as the description of its admin API promises."""

import subprocess
import sys
from pathlib import Path

import pytest
from misbehaving import Backend
from running import ADMIN_TOKEN, Balancer, ask

from balancer.openapi import description

# Each operation gets so many requests of each kind: about 15 s in all.
EXAMPLES = "15"
# All checks are on, but that weights sum to 100 cannot be said in a schema, so some that fit are refused.
SETTINGS = """
[[operations]]
include-name = "POST /weights"
checks.positive_data_acceptance.enabled = false
"""
# The checks try many wrong tokens and want 401 for each, so the limit on them is out of reach here.
PATIENT = """
import sys
from balancer import attempts
attempts.BURST = attempts.BURST_OVERALL = 10**9
from balancer.__main__ import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def checkbox(loop, tmp_path_factory):
    """A balancer with the names of the description's examples, so that orders are carried out."""
    backends = [Backend(loop, name).start() for name in ("checkbox-1", "checkbox-2", "canary-1")]
    directory = tmp_path_factory.mktemp("api")
    made = Balancer(directory, {"stable": backends[:2], "canary": backends[2:]}, {"stable": 70, "canary": 30})
    made.config["services"]["checkbox"] = made.config["services"].pop("shop")
    made.write()
    made.program = ["-c", PATIENT]
    yield made.start()
    made.stop()
    for one in backends:
        one.stop()


def test_what_is_open_says_so_and_all_else_wants_a_token(checkbox):
    for path, known in description()["paths"].items():
        for method, told in known.items():
            # What is for hosts alone is at the listener of the network.
            port = checkbox.alert_port if path.startswith("/backend") else checkbox.admin_port
            status = ask(port, method.upper(), path.replace("{service}", "checkbox")).status
            assert status == (200 if told.get("security") == [] else 401), (method, path)


def test_the_description_is_served_to_everybody(checkbox):
    answer = ask(checkbox.admin_port, "GET", "/openapi.json")
    assert answer.json == description()
    assert answer.headers["content-type"].startswith("application/json")


def test_a_field_that_is_not_known_is_refused_except_in_an_alert(checkbox):
    told = {"service": "checkbox", "backend": "checkbox-1", "deadline": 5}
    answer = checkbox.admin("POST", "/drain", told)
    assert answer.status == 400
    assert "'deadline' is not known, want service, backend, deadline_seconds, force" in answer.json["error"]
    assert checkbox.admin("POST", "/alert", {"service": "checkbox", "extra": 1}).status == 200
    assert checkbox.admin("DELETE", "/alert/checkbox").status == 200


def test_the_balancer_answers_as_described(checkbox):
    (checkbox.directory / "schemathesis.toml").write_text(SETTINGS)
    program = Path(sys.executable).with_name("schemathesis")
    words = [program, "run", f"http://127.0.0.1:{checkbox.admin_port}/openapi.json"]
    words += ["-n", EXAMPLES, "--generation-deterministic", "--no-color"]
    words += ["-H", f"Authorization: Bearer {ADMIN_TOKEN}", "--max-failures", "20"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=checkbox.directory)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
    assert checkbox.admin("GET", "/status").status == 200
    assert "Traceback" not in checkbox.said()
