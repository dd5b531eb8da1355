"""jenkins_job against the stand-in: what it makes, reads back, builds, and says when it cannot."""

import sys
import threading

import pytest
from states_support import REPO

sys.path[:0] = [str(REPO / "tests/apps/jenkins"), str(REPO / "tests/functional/jenkins")]
import sluice_jenkins  # noqa: E402
from jenkins_support import TOKEN, TRIGGER, job_xml  # noqa: E402
from stand_in import Answer, StandIn  # noqa: E402


@pytest.fixture(scope="module")
def loaded(machine_of_module):
    return machine_of_module("git-1")


@pytest.fixture
def server(tmp_path):
    told = {"home": str(tmp_path / "home"), "bind": "127.0.0.1", "port": 0, "user": "sluice", "token": TOKEN}
    one = StandIn(told | {"quiet_seconds": 0.05})
    thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield one
    one.shutdown()
    thread.join()
    one.close()


@pytest.fixture
def job(loaded, server, tmp_path):
    return Job(loaded, server, tmp_path)


class Job:
    """The states for one job, with its definition in a file."""

    def __init__(self, loaded, server, folder):
        self.loaded, self.server, self.folder = loaded, server, folder
        self.config, self.token = folder / "itrust.xml", folder / "token"
        self.token.write_text(TOKEN + "\n")
        self.define("exit 0")

    def define(self, command, **more):
        self.config.write_text(job_xml("sh -c", f"'{command}'", **more))

    def apply(self, function, test=False, **more):
        told = {"name": "itrust", "url": self.server.builds.url, "user": "sluice"}
        told["token_file"] = str(self.token)
        if function == "present":
            told["config"] = str(self.config)
        if function == "built":
            told |= {"marker": str(self.folder / "marker"), "timeout_seconds": 20}
        ret = self.loaded.apply(f"jenkins_job.{function}", test=test, **(told | more))
        assert TOKEN not in str(ret)
        assert TRIGGER not in str(ret)
        return ret


def outcome(ret):
    return ret["result"], bool(ret["changes"])


def test_a_job_is_made_and_a_second_run_changes_nothing(job):
    assert outcome(job.apply("present")) == (True, True)
    assert job.server.jobs.names() == ["itrust"]
    assert outcome(job.apply("present")) == (True, False)


def test_test_mode_tells_the_same_changes_and_makes_nothing(job):
    planned = job.apply("present", test=True)
    assert planned["result"] is None
    assert job.server.jobs.names() == []
    assert job.apply("present")["changes"] == planned["changes"]


def test_test_mode_before_the_definition_is_there_tells_what_would_be(job):
    job.config.unlink()
    assert outcome(job.apply("present", test=True)) == (None, True)


def test_an_edit_on_a_page_of_jenkins_is_told_and_undone(job):
    job.apply("present")
    edited = job.server.jobs.xml("itrust").replace(b"exit 0", b"exit 1")
    job.server.jobs.update("itrust", edited)
    ret = job.apply("present")
    assert ret["changes"] == {
        "builders/0/hudson.tasks.Shell/command": {"old": "exec sh -c 'exit 1'", "new": "exec sh -c 'exit 0'"}
    }
    assert b"exit 0" in job.server.jobs.xml("itrust")


def test_a_new_trigger_token_is_changed_and_not_shown(job):
    job.apply("present")
    job.define("exit 0", trigger="another-secret")
    ret = job.apply("present")
    assert ret["changes"] == {"authToken": {"old": "(secret)", "new": "(secret)"}}
    assert job.server.jobs.job("itrust").token == "another-secret"


def test_a_server_that_drops_a_part_of_the_job_is_told(job, monkeypatch):
    # As Jenkins does with a step whose plugin it has not.
    update = job.server.jobs.update
    lossy = lambda name, xml: update(name, xml.replace(b"JUnitResultArchiver", b"Gone"))  # noqa: E731
    monkeypatch.setattr(job.server.jobs, "update", lossy)
    monkeypatch.setattr("jobs.JUNIT", "hudson.tasks.junit.Gone")
    ret = job.apply("present")
    assert ret["result"] is False
    assert "Jenkins took the job, but tells something else of publishers/1" in ret["comment"]
    assert "is a plugin missing?" in ret["comment"]


def test_a_job_is_built_once_after_each_change_of_it(job):
    job.apply("present")
    assert outcome(job.apply("built", test=True)) == (None, True)
    assert outcome(job.apply("built")) == (True, True)
    assert outcome(job.apply("built")) == (True, False)
    job.define("exit 0 # changed")
    job.apply("present")
    assert job.apply("built")["changes"] == {"itrust": {"old": None, "new": "build 2"}}


def test_a_build_that_fails_is_told_with_its_page_and_tried_again(job):
    job.define("exit 7")
    job.apply("present")
    for number in (1, 2):
        ret = job.apply("built")
        assert outcome(ret) == (False, False)
        page = f"{job.server.builds.url}/job/itrust/{number}/console"
        assert ret["comment"] == f"itrust: build {number} ended as FAILURE; see {page}"


def test_a_build_that_does_not_end_is_told(job):
    job.define("sleep 30")
    job.apply("present")
    ret = job.apply("built", timeout_seconds=0.3)
    assert ret["result"] is False
    assert "the build of itrust has not ended after 0.3 s" in ret["comment"]


def test_a_build_that_is_taken_out_of_the_queue_is_told_and_not_waited_for(job):
    # As a build is that somebody cancels, or whose job is disabled meanwhile.
    job.config.write_text(job.config.read_text().replace("<disabled>false", "<disabled>true"))
    job.apply("present")
    ret = job.apply("built")
    assert outcome(ret) == (False, False)
    assert ret["comment"].endswith("the build of itrust was taken out of the queue")


def test_a_job_that_is_not_there_is_not_built(job):
    assert "there is no such job" in job.apply("built")["comment"]
    assert outcome(job.apply("built", test=True)) == (None, True)


def test_a_job_is_removed_once(job):
    job.apply("present")
    assert outcome(job.apply("absent", test=True)) == (None, True)
    assert outcome(job.apply("absent")) == (True, True)
    assert job.server.jobs.names() == []
    assert outcome(job.apply("absent")) == (True, False)


@pytest.mark.parametrize("function", ["present", "built", "absent"])
def test_a_jenkins_that_is_down_is_one_line(job, function):
    ret = job.apply(function, url="http://127.0.0.1:1")
    assert outcome(ret) == (False, False)
    assert ret["comment"].startswith("itrust: http://127.0.0.1:1 does not answer (")
    assert "\n" not in ret["comment"]


@pytest.mark.parametrize("function", ["present", "built", "absent"])
def test_a_wrong_token_is_one_line(job, function):
    job.token.write_text("wrong")
    comment = job.apply(function)["comment"]
    assert "401: it does not know user sluice with this token; check jenkins:admin" in comment
    assert "wrong" not in comment


def test_a_crumb_that_is_not_taken_is_one_line(job, monkeypatch):
    def refuse(*_):
        raise Answer(403, "No valid crumb was included in the request")

    monkeypatch.setattr("stand_in.Door.check_post", refuse)
    assert "403: user sluice may not, or the crumb is not valid" in job.apply("present")["comment"]


def test_xml_that_jenkins_does_not_take_is_one_line(job):
    job.config.write_text("<maven2-moduleset/>")
    assert "/createItem: 400: it cannot use the job's XML" in job.apply("present")["comment"]


def test_what_is_no_xml_is_not_posted(job):
    job.config.write_text("<project>")
    assert "the job's XML cannot be read: no element found" in job.apply("present")["comment"]
    assert job.server.jobs.names() == []


def test_a_server_that_is_no_jenkins_is_told(job, monkeypatch):
    monkeypatch.setattr("stand_in.as_json", lambda _: Answer(200, "[1]"))
    assert "is that a Jenkins?" in job.apply("present")["comment"]


@pytest.mark.parametrize("name", ["../x", "a b", "", "x/y"])
def test_a_name_that_is_none_is_refused(job, name):
    assert "that is no name of a job" in job.apply("present", name=name)["comment"]


# As a newer Jenkins writes the job: version 1.1, the discarder as a property, plugins and its defaults.
REEMITTED = [
    ("<?xml version='1.0' encoding='UTF-8'?>", "<?xml version='1.1' encoding='UTF-8'?>"),
    ('<logRotator class="hudson.tasks.LogRotator">', "<properties><jenkins.model.BuildDiscarderProperty>"
     '<strategy class="hudson.tasks.LogRotator">'),
    ("</logRotator>", "<removeLastBuild>false</removeLastBuild></strategy>"
     "</jenkins.model.BuildDiscarderProperty></properties>"),
    ("<hudson.tasks.Shell>", "<hudson.tasks.Shell><configuredLocalRules/>"),
    ("<artifacts>", "<allowEmptyArchive>false</allowEmptyArchive><latestOnly>false</latestOnly><artifacts>"),
    ("<hudson.tasks.junit.JUnitResultArchiver>", '<hudson.tasks.junit.JUnitResultArchiver plugin="junit@1">'),
    ("  <canRoam>true</canRoam>\n", ""),
]  # fmt: skip


def test_meaning_is_that_of_the_job_as_jenkins_writes_it():
    text = told = job_xml("sh", "x")
    for old, new in REEMITTED:
        assert old in told
        told = told.replace(old, new)
    assert sluice_jenkins.meaning(told) == sluice_jenkins.meaning(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<disabled>false", "<disabled>true"),
        ("<numToKeep>20", "<numToKeep>2"),
        ("out/*", "*"),
        ("<triggers/>", "<triggers><hudson.triggers.TimerTrigger/></triggers>"),
        ("</builders>", "<hudson.tasks.Shell><command>id</command></hudson.tasks.Shell></builders>"),
        ('<scm class="hudson.scm.NullSCM"/>', '<scm class="x.Git"><url>u</url></scm>'),
        (f"<authToken>{TRIGGER}", "<authToken>other"),
    ],
)
def test_another_meaning_is_seen(old, new):
    text = job_xml("sh", "x")
    assert old in text
    assert sluice_jenkins.meaning(text.replace(old, new)) != sluice_jenkins.meaning(text)
