"""The job's definition on Hudson 3.3.2: taken, built and archived by a real server of Jenkins' family."""

import importlib.util
import sys
import time

import pytest
from hudson_server import PASSWORD as USER_PASSWORD
from hudson_server import USER, Hudson, HudsonServer, ask
from jenkins_support import BUILD, PASSWORD, REPO, SCRIPT, TRIGGER, job_xml

# As Maven's tests leave it.
TESTED = """
place = pathlib.Path("target/surefire-reports")
place.mkdir(parents=True)
case = '<testcase classname="A" name="a"/>'
(place / "TEST-A.xml").write_text(f'<testsuite name="A" tests="1">{case}</testsuite>')
"""


@pytest.fixture(scope="module")
def hudson(tmp_path_factory):
    one = HudsonServer(tmp_path_factory.mktemp("hudson"))
    try:
        one.wait_ready()
        yield one
    finally:
        one.close()


@pytest.fixture
def job(hudson, project, request):
    project.write("app/build.py", BUILD + TESTED)
    project.commit("with a test")
    return Job(hudson, project, request.node.name.removeprefix("test_")[:40])


class Job:
    """One job of the server, by the states and by its trigger."""

    def __init__(self, hudson, project, name):
        self.hudson, self.project, self.name = hudson, project, name
        self.rest = Hudson(hudson.url, USER, USER_PASSWORD)
        self.config, self.token = project.root / "job.xml", project.root / "token"
        self.config.write_text(job_xml(f"{sys.executable} {SCRIPT}", project.tell()))
        self.token.write_text(USER_PASSWORD)
        spec = importlib.util.spec_from_file_location("jenkins_job", REPO / "_states/jenkins_job.py")
        self.states = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.states)
        self.states.__opts__ = {"test": False}
        self.states._server = lambda *_: self.rest

    def present(self):
        ret = self.states.present(self.name, self.config, self.hudson.url, USER, self.token)
        assert ret["result"] is True, ret["comment"]
        return ret["changes"]

    def built(self):
        marker = self.project.root / "marker"
        return self.states.built(self.name, self.hudson.url, USER, self.token, marker, 30)

    def trigger(self, token=TRIGGER):
        """The code that whoever has no log-in gets; 200 is the job's page, which a redirect leads to."""
        return ask(f"{self.hudson.url}/job/{self.name}/build?token={token}&delay=0sec", b"")[0]

    def page(self, rest):
        code, body = ask(f"{self.hudson.url}/job/{self.name}/{rest}")
        assert code == 200, rest
        return body


def test_the_definition_means_the_same_once_hudson_has_written_it_anew(job):
    assert job.present() != {}
    anew = job.rest.written_anew(job.name)
    assert "<project-properties" in anew
    assert "<project-properties" not in job.config.read_text()
    assert job.present() == {}


def test_a_job_written_anew_is_changed_again_by_the_state(job):
    job.config.write_text(job.config.read_text().replace("out/*", "*.none"))
    job.present()
    job.rest.written_anew(job.name)
    job.config.write_text(job.config.read_text().replace("*.none", "out/*"))
    assert [change["new"] for change in job.present().values()] == ["out/*"]
    assert job.present() == {}


def test_a_push_is_built_published_archived_and_reported(job, project, master):
    job.present()
    job.rest.written_anew(job.name)
    assert job.trigger() == 200
    build = job.rest.ended(job.name, 1)
    console = job.page("1/consoleText").decode()
    assert build["result"] == "SUCCESS", console
    assert sorted(one["relativePath"] for one in build["artifacts"]) == [
        "out/iTrust.war", "out/iTrust.war.sha256",
    ]  # fmt: skip
    published = next(project.artifacts.glob("itrust/*/iTrust.war"))
    assert job.page("1/artifact/out/iTrust.war") == published.read_bytes()
    tests = [one for one in build["actions"] if "totalCount" in one]
    assert [(one["totalCount"], one["failCount"]) for one in tests] == [(1, 0)]
    assert [(path, told["result"]) for path, told in master.reports] == [
        ("/hook/release/itrust/built", "SUCCESS")
    ]
    assert PASSWORD not in console
    assert TRIGGER not in console
    assert job.present() == {}


def test_a_trigger_with_another_token_builds_nothing(job):
    job.present()
    assert job.trigger("wrong") in (401, 403)
    assert job.rest.next_number(job.name) == 1


def test_a_failed_build_archives_nothing_of_the_one_before(job, project, master):
    job.present()
    job.trigger()
    assert job.rest.ended(job.name, 1)["artifacts"] != []
    project.write("app/build.py", "raise SystemExit(1)")
    project.commit("bad")
    job.trigger()
    build = job.rest.ended(job.name, 2)
    assert (build["result"], build["artifacts"]) == ("FAILURE", [])
    assert [told["result"] for _, told in master.reports] == ["SUCCESS", "FAILURE"]


def test_a_second_trigger_waits_while_a_build_runs(job, project):
    project.write(
        "app/build.py",
        BUILD
        + TESTED
        + f"""
import time
gate = pathlib.Path({str(project.root / "gate")!r})
while not gate.exists(): time.sleep(0.05)
""",
    )
    project.commit("waits for a gate")
    job.present()
    try:
        job.trigger()
        wait_until(lambda: job.rest.next_number(job.name) == 2)
        job.trigger()
        wait_until(lambda: job.rest._json(f"/job/{job.name}/api/json")["inQueue"])
        assert job.rest.next_number(job.name) == 2
    finally:
        (project.root / "gate").touch()
    assert [job.rest.ended(job.name, number)["result"] for number in (1, 2)] == ["SUCCESS", "SUCCESS"]


def test_a_definition_is_built_once(job):
    job.present()
    assert job.built()["changes"] == {job.name: {"old": None, "new": "build 1"}}
    assert job.built()["changes"] == {}


def wait_until(holds):
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
