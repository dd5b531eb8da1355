"""The script of the job: what it publishes, what it reports, and what it does not do."""

import hashlib
import json
import subprocess
import zipfile

import pytest
from jenkins_support import PASSWORD

VERSION = "20260102030405-"


def test_a_commit_is_published_and_reported(project, master):
    commit = project.git("rev-parse", "HEAD")
    code, said = project.build()
    assert code == 0, said
    version = VERSION + commit[:10]
    folder = f"itrust/{version}"
    assert project.published() == [
        "itrust", folder, f"{folder}/iTrust.war", f"{folder}/iTrust.war.sha256",
    ]  # fmt: skip
    digest = hashlib.sha256((project.artifacts / folder / "iTrust.war").read_bytes()).hexdigest()
    assert (project.artifacts / folder / "iTrust.war.sha256").read_text() == f"{digest}  iTrust.war\n"
    assert master.log_ins == [{"eauth": "file", "username": "jenkins", "password": "report-secret"}]
    told = {
        "version": version, "url": f"http://192.0.2.16:8081/{folder}/iTrust.war", "sha256": digest,
        "commit": commit, "branch": "main", "result": "SUCCESS",
        "build_url": "http://192.0.2.16:8080/job/x/1/",
    }  # fmt: skip
    assert master.reports == [("/hook/release/itrust/built", told)]


def test_the_schema_goes_into_the_war_in_the_order_of_the_manifest(project):
    assert project.build()[0] == 0
    with zipfile.ZipFile(next(project.artifacts.glob("itrust/*/iTrust.war"))) as war:
        assert war.namelist() == [
            "text", "WEB-INF/sql/MANIFEST", "WEB-INF/sql/Tables.sql", "WEB-INF/sql/changes/1.sql",
        ]  # fmt: skip


def test_a_manifest_of_the_settings_wins(project):
    project.write("app/sql/Other.sql", "x")
    project.commit("two")
    assert project.build(manifest=["Other.sql"])[0] == 0
    with zipfile.ZipFile(next(project.artifacts.glob("itrust/*/iTrust.war"))) as war:
        assert war.read("WEB-INF/sql/MANIFEST") == b"Other.sql\n"


@pytest.mark.parametrize("name", ["gone.sql", "../text", "/etc/hostname"])
def test_a_manifest_names_files_of_the_repository_only(project, name):
    code, said = project.build(manifest=[name])
    assert code == 1
    assert f"{name} of the SQL manifest is no file below" in said
    assert project.published() == []


def test_a_failed_build_publishes_nothing_leaves_nothing_to_archive_and_is_reported(project, master):
    assert project.build()[0] == 0
    before = project.published()
    project.write("app/build.py", "raise SystemExit(3)")
    commit = project.commit("bad")
    code, said = project.build()
    assert code == 1
    assert "ended with code 3, see above" in said
    assert project.published() == before
    assert not (project.workspace / "out").exists()
    told = master.reports[-1][1]
    assert (told["result"], told["commit"], told["url"], told["sha256"]) == ("FAILURE", commit, "", "")


def test_a_commit_built_again_keeps_its_first_artifact(project, master):
    assert project.build()[0] == 0
    other = ["sh", "-c", "mkdir target; echo 2 > target/x.war"]
    code, said = project.build(build=other, sql="")
    assert code == 0
    assert "was published before, with another content; that one stays" in said
    assert master.reports[0][1]["sha256"] == master.reports[1][1]["sha256"]


@pytest.mark.parametrize(
    "branch", ["$(touch x)", "a;b", "--upload-pack=x", "a b", "../x", "a..b", "", "`x`", "a\nb"]
)
def test_a_hostile_branch_name_is_refused_and_run_by_nobody(project, master, branch):
    code, said = project.build(branch=branch)
    assert code == 1
    assert "want letters, digits" in said
    assert [path.name for path in project.workspace.iterdir()] == []
    assert master.reports[0][1]["result"] == "FAILURE"


def test_hostile_branches_of_the_repository_are_not_fetched(project):
    project.git("branch", "x;touch${IFS}owned")
    assert project.build()[0] == 0
    refs = (project.workspace / "source/.git/refs/heads").iterdir()
    assert [path.name for path in refs] == ["fetched"]


def test_only_the_configured_branch_is_built(project, master):
    main = project.git("rev-parse", "HEAD")
    project.git("checkout", "--quiet", "-b", "other")
    project.commit("other")
    assert project.build()[0] == 0
    assert master.reports[0][1]["commit"] == main


def test_a_build_that_hangs_is_ended_with_what_it_started(project):
    code, said = project.build(build=["sh", "-c", "sleep 60 & sleep 60"], timeout_seconds=1)
    assert code == 1
    assert "not done after 1 s; it was ended" in said


def test_a_command_that_is_not_there_is_told(project):
    code, said = project.build(build=["no-such-maven"])
    assert (code, "is its package installed?" in said) == (1, True)


def test_a_repository_that_is_not_there_is_told(project):
    code, said = project.build(repository="http://127.0.0.1:1/x")
    assert code == 1
    assert "FAILED: git fetch: ended with code 128" in said


def test_a_password_in_the_repositorys_url_is_refused_and_not_shown(project):
    code, said = project.build(repository="http://u:secret-word@127.0.0.1:1/x")
    assert code == 1
    assert "the repository's URL has a password in it" in said
    assert "secret-word" not in said


@pytest.mark.parametrize(("glob", "names"), [("target/*.ear", "none"), ("*/*.war", "app.war, z.war")])
def test_a_build_makes_exactly_one_war(project, glob, names):
    project.write("app/build.py", (project.work / "app/build.py").read_text()
                  + "import shutil; shutil.copy('target/app.war', 'target/z.war')")  # fmt: skip
    project.commit("two")
    code, said = project.build(war=glob)
    assert code == 1
    assert f"want exactly one WAR, the build made {names}" in said


def test_old_artifacts_are_removed_and_nothing_that_is_not_one(project):
    (project.artifacts / "itrust/keep-me").mkdir(parents=True)
    for number in range(3):
        (project.artifacts / f"itrust/2025010100000{number}-{'a' * 10}").mkdir()
    assert project.build(keep=2)[0] == 0
    left = sorted(path.name for path in (project.artifacts / "itrust").iterdir())
    assert len(left) == 3
    assert left[0].startswith(("20250101000002", "20250101000001", "20250101000000"))
    assert left[1].startswith(VERSION)
    assert left[2] == "keep-me"


def test_a_master_that_comes_back_gets_the_report(project, master):
    master.statuses = [503]
    code, said = project.build()
    assert code == 0
    assert "reported SUCCESS to" in said


@pytest.mark.parametrize(("status", "asked"), [(401, 1), (403, 1), (500, 2)])
def test_a_master_that_refuses_the_report_fails_the_build_in_words(project, master, status, asked):
    master.statuses = [status] * 9
    code, said = project.build()
    assert code == 1
    assert f"NOT REPORTED: the master at {master.url} does not take it: it said {status}" in said
    assert 9 - len(master.statuses) == asked


def test_a_master_that_is_not_there_fails_the_build_in_words(project):
    report = project.settings["report"] | {"url": "http://127.0.0.1:1", "tries": 1}
    code, said = project.build(report=report)
    assert code == 1
    assert "NOT REPORTED: the master at http://127.0.0.1:1 does not take it: [Errno 111]" in said
    assert len([name for name in project.published() if name.endswith(".war")]) == 1


def test_a_place_that_cannot_be_written_is_told_in_words(project):
    (project.artifacts / "itrust").write_text("in the way")
    code, said = project.build()
    assert code == 1
    assert "FAILED: " in said
    assert "Traceback" not in said


@pytest.fixture
def small_disk(tmp_path):
    """An artifacts directory with room for a WAR of the tests, and not for a large one."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_full_leaves_nothing_half_published_and_the_next_build_does(
    project, master, small_disk
):
    assert project.build(artifacts=str(small_disk))[0] == 0
    before = sorted(small_disk.rglob("*"))
    project.write("app/sql/changes/2.sql", "x" * 400_000)
    project.commit("large")
    code, said = project.build()
    assert code == 1
    assert "cannot be published: No space left on device; nothing is left of it" in said
    assert sorted(small_disk.rglob("*")) == before
    told = master.reports[-1][1]
    assert (told["result"], told["url"], told["sha256"]) == ("FAILURE", "", "")
    project.write("app/sql/changes/2.sql", "x")
    project.commit("small again")
    assert project.build()[0] == 0
    assert len(list(small_disk.glob("itrust/*/iTrust.war"))) == 2


def test_the_reports_password_is_in_no_arguments_or_environment_while_a_build_runs(project, tmp_path):
    seen = tmp_path / "seen"
    look = "import sys, json, pathlib, os; p = os.getpid(); found = []\n" + (
        "while p > 1:\n"
        "    one = pathlib.Path('/proc', str(p))\n"
        "    found += [(one / 'cmdline').read_bytes().decode(), (one / 'environ').read_bytes().decode()]\n"
        "    p = int((one / 'stat').read_text().rpartition(')')[2].split()[1])\n"
        f"pathlib.Path({str(seen)!r}).write_text(json.dumps(found))\n"
    )
    project.write("app/build.py", (project.work / "app/build.py").read_text() + look)
    project.commit("looks around")
    assert project.build()[0] == 0
    found = json.loads(seen.read_text())
    assert any("build_webapp.py" in one for one in found)
    assert PASSWORD not in "".join(found)
