"""What a report of a build must say for its artifact to be rolled."""

import json

import pytest
from sluice_config import Probe, Service
from sluice_webhook import Order
from sluice_webhook_built import Build, BuildRefused, read

COMMIT = "0a1b2c3d4e" + "5" * 30
VERSION = f"20261124101500-{COMMIT[:10]}"
ARTIFACTS = "http://10.57.0.16:8081/"
REPORT = {
    "version": VERSION, "url": f"{ARTIFACTS}itrust/{VERSION}/iTrust.war", "sha256": "a" * 64,
    "commit": COMMIT, "branch": "main", "result": "SUCCESS", "build_url": "http://10.57.0.16:8080/job/itrust/7/",
}  # fmt: skip
SERVICE = Service("itrust", "N@itrust", "", "itrust", "", "/", 8080, Probe(), artifacts=ARTIFACTS)


def told(body=None, service=SERVICE, **changes):
    body = json.dumps(REPORT | changes) if body is None else body
    return read(Order("itrust", "built", "jenkins", "", body), service)


def test_report_of_a_good_build_is_taken_as_it_is():
    assert told() == Build(VERSION, REPORT["url"], "a" * 64, COMMIT, REPORT["build_url"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"result": "FAILURE"}, "ended with 'FAILURE' .want SUCCESS., see http://10.57.0.16:8080/job/itrust/7/"),
        ({"result": "UNSTABLE"}, "ended with 'UNSTABLE'"),
        ({"result": True}, "ended with ''"),
        ({"branch": "other"}, "built from 'other' .want the branch main"),
        ({"branch": "main; reboot"}, "built from 'main; reboot'"),
        ({"branch": ["main"]}, "built from ''"),
        ({"version": "v2"}, "its version is 'v2' .want yyyymmddHHMMSS-commit"),
        ({"version": "../../etc/passwd"}, "its version is"),
        ({"version": None}, "its version is ''"),
        ({"version": f"20261124101500-{'f' * 10}"}, "is not of its commit"),
        ({"commit": ""}, "is not of its commit"),
        ({"commit": COMMIT[:10]}, "is not of its commit"),
        ({"commit": COMMIT + "\n"}, "is not of its commit"),
        ({"sha256": "a" * 63}, "want 64 digits"),
        ({"sha256": "A" * 64}, "want 64 digits"),
        ({"sha256": "$(id)"}, "want 64 digits"),
        ({"url": ""}, "no http"),
        ({"url": "file:///etc/shadow"}, "no http"),
        ({"url": "http://evil.example.com/iTrust.war"}, "want below http://10.57.0.16:8081/"),
        ({"url": "http://10.57.0.16:80812/iTrust.war"}, "want below"),
        ({"url": "http://10.57.0.16:8081@evil.example.com/iTrust.war"}, "holds a log-in"),
        ({"url": f"{ARTIFACTS}../x.war"}, "want below"),
        ({"url": f"{ARTIFACTS}a/%2e%2e/x.war"}, "want below"),
        ({"url": f"{ARTIFACTS}x.war?to=evil"}, "want below"),
        ({"url": f"{ARTIFACTS}x.war#y"}, "want below"),
        ({"url": f"{ARTIFACTS}x y.war"}, "no http"),
    ],
)  # fmt: skip
def test_report_that_is_not_to_be_rolled_is_refused_with_its_reason(changes, reason):
    with pytest.raises(BuildRefused, match=reason):
        told(**changes)


@pytest.mark.parametrize("body", ["", "{", "[]", "null", "[" * 100_000, '{"version":' * 50_000])
def test_report_that_is_no_json_object_is_refused(body):
    with pytest.raises(BuildRefused, match="no JSON object") as refused:
        told(body)
    assert refused.value.version == "unknown"


def test_service_without_artifacts_takes_no_build():
    with pytest.raises(BuildRefused, match="want below an address set in pillar"):
        told(service=Service("itrust", "N@itrust", "", "itrust", "", "/", 8080, Probe()))


def test_refused_build_is_named_by_its_version_or_its_commit():
    for changes, name in [
        ({}, VERSION), ({"version": ""}, COMMIT[:12]), ({"version": "$(id)", "commit": "x"}, "unknown"),
    ]:  # fmt: skip
        with pytest.raises(BuildRefused) as refused:
            told(result="FAILURE", **changes)
        assert refused.value.version == name


@pytest.mark.parametrize(
    "page", ["javascript:alert(1)", "http://user:pw@x/", "http://x/\n", "http://x/" + "y" * 300]
)
def test_page_that_is_no_plain_address_is_left_out(page):
    assert told(build_url=page).page == ""
