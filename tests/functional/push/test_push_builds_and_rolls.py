"""
The whole chain but for the hosts: a real `git push`, the hook, the lab's build server with the real job, the
real door, the reactor, the runner, the ledger and the roll's own process.
"""

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from push_support import HOOK, PASSWORD, wait_for

REPO = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPO / "tests/functional/jenkins"))

import jenkins_support  # noqa: E402
from stand_in import StandIn  # noqa: E402


@pytest.fixture
def builder(tmp_path, api, servers):
    """A project, its bare repository with the hook, and a build server that reports to the master's door."""
    project = jenkins_support.Project(tmp_path / "project", SimpleNamespace(url=api.url))
    bare, token = tmp_path / "itrust.git", tmp_path / "token"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(bare)], check=True)
    project.git("remote", "add", "origin", str(bare))
    report = project.settings["report"] | {"password": PASSWORD}
    told = project.tell(repository=str(bare), artifacts_url=servers.artifacts.url, report=report)
    servers.artifacts.folder = project.artifacts
    home = {
        "home": str(tmp_path / "home"),
        "bind": "127.0.0.1",
        "port": 0,
        "user": "sluice",
        "token": "a-token",
    }
    server = StandIn(home | {"quiet_seconds": 0.05})
    server.jobs.create(
        "itrust", jenkins_support.job_xml(f"{sys.executable} {jenkins_support.SCRIPT}", str(told)).encode()
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    (bare / "hooks/post-receive").write_text(HOOK.read_text())
    (bare / "hooks/post-receive").chmod(0o755)
    token.write_text(jenkins_support.TRIGGER)
    trigger = f"http://127.0.0.1:{server.server_address[1]}/job/itrust/build"
    for name, value in {"trigger": trigger, "tokenFile": str(token)}.items():
        subprocess.run(["git", "-C", str(bare), "config", f"sluice.{name}", value], check=True)
    yield project
    server.shutdown()
    thread.join()
    server.close()
    servers.artifacts.folder = None


def test_push_is_built_reported_checked_and_its_roll_begun(builder, ledger):
    commit = builder.commit("a change of the chain")
    builder.git("push", "--quiet", "origin", "main")

    def row():
        return next((one for one in ledger.history("itrust") if one.version.endswith(commit[:10])), None)

    # No host is there to be rolled: the roll that was begun says so where the build waited.
    release = wait_for(lambda: (found := row()) and found.state == "refused" and found, 60, "the roll's word")
    artifact = ledger.artifact("itrust", release.version)
    assert artifact.commit_id == commit
    assert (release.who, release.trigger) == ("jenkins", f"push {commit[:7]}")
    assert "was refused, nothing was changed" in release.reason


def test_build_that_fails_is_refused_in_the_ledger(builder, ledger):
    builder.write("app/build.py", "raise SystemExit('the tests failed')\n")
    commit = builder.commit("a change that does not build")
    builder.git("push", "--quiet", "origin", "main")

    def row():
        return next((one for one in ledger.history("itrust") if commit[:10] in one.version), None)

    release = wait_for(row, 60, "the refusal")
    assert release.state == "refused" and "the build ended with 'FAILURE' (want SUCCESS)" in release.reason
    assert ledger.artifact("itrust", release.version) is None
