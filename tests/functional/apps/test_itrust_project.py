"""The stand-in iTrust as a build finds it: its repository, what Maven makes of it, what stops a build."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

APP = Path(__file__).resolve().parents[2] / "apps/itrust"
TAGS = ["v0", "v1", "v2", "v3-bad", "v4", "v5-never", "v6", "v7-red", "v8"]


def make(target):
    subprocess.run([sys.executable, APP / "make_repo.py", target], check=True)
    return target


def git(repository, *words):
    done = subprocess.run(["git", "-C", repository, *words], check=True, capture_output=True, text=True)
    return done.stdout.split()


def checkout(repository, tag, place):
    subprocess.run(
        ["git", "clone", "--quiet", "--branch", tag, "-c", "advice.detachedHead=false", repository, place],
        check=True,
    )
    return place / "iTrust"


def build(project, *more):
    """Run Maven as a job does; the finished process."""
    words = ["mvn", "-B", "-q", "-Dexec.skip=true", *more, "package"]
    return subprocess.run(words, cwd=project, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return make(tmp_path_factory.mktemp("git") / "itrust.git")


@pytest.fixture(scope="module")
def war(repository, tmp_path_factory):
    project = checkout(repository, "v6", tmp_path_factory.mktemp("v6") / "work")
    done = build(project)
    assert done.returncode == 0, done.stdout + done.stderr
    return project / "target/iTrust-23.0.0.war"


def test_repository_is_one_line_of_pushes_and_always_the_same(repository, tmp_path):
    again = make(tmp_path / "again.git")
    tags = [git(repository, "rev-parse", tag)[0] for tag in TAGS]
    assert [git(again, "rev-parse", tag)[0] for tag in TAGS] == tags
    assert git(repository, "rev-list", "--reverse", "v8") == tags
    assert git(repository, "rev-parse", "main") == tags[:1]


def test_commits_have_times_of_their_own(repository):
    times = git(repository, "log", "--format=%ct", "v8")
    assert len(set(times)) == len(TAGS)


def test_maven_builds_a_javax_war_with_its_own_driver_and_version(war):
    with zipfile.ZipFile(war) as packed:
        names = packed.namelist()
        assert b"version=v6" in packed.read("WEB-INF/version.properties")
        assert b"javax/servlet" in packed.read("WEB-INF/classes/lab/itrust/Start.class")
    assert "WEB-INF/lib/mysql-connector-java-5.1.37.jar" in names
    assert {"login.jsp", "css.jsp", "auth/forwardUser.jsp", "util/displayDatabase.jsp"} <= set(names)


def test_manifest_names_files_that_are_there_in_the_order_they_need(repository, tmp_path):
    sql = checkout(repository, "v6", tmp_path / "work") / "sql"
    told = (sql / "MANIFEST").read_text().split()
    assert told[0] == "createTables.sql"
    assert all((sql / name).is_file() for name in told)


def test_version_with_a_failing_test_is_not_built(war, repository, tmp_path):
    project = checkout(repository, "v7-red", tmp_path / "work")
    done = build(project)
    assert done.returncode != 0
    assert "tests=fail" in done.stdout
    assert not list((project / "target").glob("*.war"))


def test_build_without_exec_skip_reaches_for_the_configured_database(war, repository, tmp_path):
    project = checkout(repository, "v6", tmp_path / "work")
    # A database that is not there stands in for the one that such a build would drop.
    context = project / "src/test/java/lab/itrust/DatabaseBuilder.java"
    context.write_text(context.read_text().replace("localhost:3306", "localhost:1"))
    done = build(project, "-Dexec.skip=false")
    assert done.returncode != 0
    assert "DatabaseBuilder" in done.stdout or "Communications link failure" in done.stdout
