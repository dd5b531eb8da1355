"""The stand-in for Jenkins: its REST surface, and that it really runs a job. No word on Jenkins itself."""

import base64
import json
import sys
import time
import urllib.error
import urllib.request

import pytest
from jenkins_support import SCRIPT, TOKEN, TRIGGER, job_xml

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
CREATE = "/createItem?name=itrust"


def ask(server, path, body=None, auth=TOKEN, crumb=True, method=None):
    """(code, headers, text) of one request; `auth` None is nobody."""
    headers = {}
    if auth is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(f"sluice:{auth}".encode()).decode()
    method = method or ("GET" if body is None else "POST")
    if method == "POST" and crumb:
        headers["Jenkins-Crumb"] = json.loads(ask(server, "/crumbIssuer/api/json")[2])["crumb"]
    url = f"http://127.0.0.1:{server.server_address[1]}{path}"
    data = body.encode() if body is not None else None
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with OPENER.open(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()


def shell(command, token=TRIGGER):
    return job_xml("sh", "-c 'true'", trigger=token).replace("exec sh -c &#39;true&#39;", command)


def made(server, xml):
    assert ask(server, CREATE, xml)[0] == 200
    return server


def ended(server, number):
    """The build's JSON once it has ended."""
    deadline = time.monotonic() + 20
    while True:
        code, _, text = ask(server, f"/job/itrust/{number}/api/json")
        if code == 200 and not json.loads(text)["building"]:
            return json.loads(text)
        assert time.monotonic() < deadline, (code, text)
        time.sleep(0.02)


def queued(location):
    """The path of a queue item, from the header that tells it."""
    return location[location.index("/queue") :] + "api/json"


@pytest.mark.parametrize(("auth", "code"), [("wrong", 401), (None, 403), (TOKEN, 200)])
def test_a_job_is_made_by_the_user_with_the_token_alone(served, auth, code):
    assert ask(served(), CREATE, shell("true"), auth=auth)[0] == code


def test_who_asks_is_told(served):
    assert json.loads(ask(served(), "/me/api/json")[2])["id"] == "sluice"
    assert ask(served(), "/me/api/json", auth=None)[0] == 403


def test_a_post_without_a_crumb_is_refused(served):
    assert ask(served(), CREATE, shell("true"), crumb=False)[0] == 403


@pytest.mark.parametrize(
    "xml",
    [
        "<project>",
        "nonsense",
        "<maven2-moduleset/>",
        "<project><builders><hudson.plugins.git.X/></builders></project>",
    ],
)
def test_a_job_it_cannot_run_is_not_taken(served, xml):
    server = served()
    assert ask(server, CREATE, xml)[0] == 400
    assert ask(server, "/job/itrust/config.xml")[0] == 404


@pytest.mark.parametrize("name", ["../x", "a/b", "", "%2e%2e"])
def test_a_name_that_leaves_the_home_is_not_taken(served, name):
    assert ask(served(), f"/createItem?name={name}", shell("true"))[0] == 400


def test_config_is_for_the_user_as_the_trigger_stands_in_it(served):
    server = made(served(), shell("true"))
    assert ask(server, "/job/itrust/config.xml", auth=None)[0] == 403
    assert TRIGGER in ask(server, "/job/itrust/config.xml")[2]


@pytest.mark.parametrize("token", ["", "wrong", "%00"])
def test_the_trigger_url_wants_the_jobs_own_token(served, token):
    assert ask(made(served(), shell("true")), f"/job/itrust/build?token={token}", auth=None)[0] == 403


def test_a_job_without_a_token_has_no_trigger_url(served):
    server = made(served(), shell("true", token=""))
    assert ask(server, "/job/itrust/build?token=", auth=None)[0] == 403


def test_the_trigger_url_queues_a_build_that_runs_and_is_told(served):
    server = made(served(), shell("echo built > made; mkdir out; cp made out/it"))
    code, headers, _ = ask(server, f"/job/itrust/build?token={TRIGGER}", auth=None)
    assert code == 201
    build = ended(server, 1)
    assert build["result"] == "SUCCESS"
    item = json.loads(ask(server, queued(headers["Location"]))[2])
    assert item["executable"]["number"] == 1
    assert "Finished: SUCCESS" in ask(server, "/job/itrust/1/consoleText")[2]
    assert ask(server, "/job/itrust/1/artifact/out/it")[2] == "built\n"
    assert ask(server, "/job/itrust/1/artifact/../build.json")[0] == 404


def test_triggers_in_the_quiet_period_are_one_build(served):
    server = made(served(quiet_seconds=0.5), shell("true"))
    places = {ask(server, f"/job/itrust/build?token={TRIGGER}")[1]["Location"] for _ in range(4)}
    assert len(places) == 1
    ended(server, 1)
    assert json.loads(ask(server, "/job/itrust/api/json")[2])["nextBuildNumber"] == 2


def test_one_build_runs_at_a_time(served):
    server = made(served(), shell("test ! -e busy; touch busy; sleep 0.3; rm busy"))
    ask(server, f"/job/itrust/build?token={TRIGGER}")
    while ask(server, "/job/itrust/1/api/json")[0] != 200:
        time.sleep(0.01)
    ask(server, f"/job/itrust/build?token={TRIGGER}")
    assert [ended(server, number)["result"] for number in (1, 2)] == ["SUCCESS", "SUCCESS"]


def test_a_failed_test_makes_a_build_unstable(served):
    report = '&lt;testsuite tests="2" failures="1" errors="0"/&gt;'
    place = "source/a/target/surefire-reports"
    server = made(served(), shell(f"mkdir -p {place}; echo '{report}' &gt; {place}/T.xml"))
    ask(server, f"/job/itrust/build?token={TRIGGER}")
    assert ended(server, 1)["result"] == "UNSTABLE"


def test_jobs_and_builds_survive_a_restart_and_a_build_cut_off_is_aborted(served):
    server = made(served(), shell("sleep 60"))
    ask(server, f"/job/itrust/build?token={TRIGGER}")
    while ask(server, "/job/itrust/1/api/json")[0] != 200:
        time.sleep(0.01)
    again = served()
    assert ended(again, 1)["result"] == "ABORTED"
    assert TRIGGER in ask(again, "/job/itrust/config.xml")[2]


def test_old_builds_are_discarded(served):
    server = made(served(), shell("true").replace("<numToKeep>20<", "<numToKeep>1<"))
    for number in (1, 2):
        ask(server, f"/job/itrust/build?token={TRIGGER}")
        ended(server, number)
    deadline = time.monotonic() + 10
    while ask(server, "/job/itrust/1/api/json")[0] != 404:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_disabled_job_is_not_built(served):
    server = made(served(), shell("true").replace("<disabled>false", "<disabled>true"))
    place = ask(server, f"/job/itrust/build?token={TRIGGER}")[1]["Location"]
    deadline = time.monotonic() + 10
    while not json.loads(ask(server, queued(place))[2])["cancelled"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_job_builds_publishes_and_reports_a_push(served, project, master):
    settings = project.tell()
    server = made(served(), job_xml(f"{sys.executable} {SCRIPT}", settings))
    ask(server, f"/job/itrust/build?token={TRIGGER}", auth=None)
    build = ended(server, 1)
    console = ask(server, "/job/itrust/1/consoleText")[2]
    assert build["result"] == "SUCCESS", console
    assert [one["fileName"] for one in build["artifacts"]] == ["iTrust.war", "iTrust.war.sha256"]
    assert master.reports[0][1]["build_url"] == build["url"]
    assert "report-secret" not in console


def test_a_failed_build_archives_no_artifact_of_the_one_before(served, project, master):
    settings = project.tell()
    server = made(served(), job_xml(f"{sys.executable} {SCRIPT}", settings))
    ask(server, f"/job/itrust/build?token={TRIGGER}")
    assert ended(server, 1)["artifacts"] != []
    project.write("app/build.py", "raise SystemExit(1)")
    project.commit("bad")
    ask(server, f"/job/itrust/build?token={TRIGGER}")
    build = ended(server, 2)
    assert (build["result"], build["artifacts"]) == ("FAILURE", [])
    assert [told["result"] for _, told in master.reports] == ["SUCCESS", "FAILURE"]
