"""A push to a repository of one's own, with the hook that starts the build."""

import subprocess
from types import SimpleNamespace

import pytest
from push_support import HOOK, TRIGGER
from sluice_webhook_push import COMMIT


def git(place, *words):
    found = subprocess.run(["git", "-C", str(place), *words], capture_output=True, text=True, check=True)
    return found.stdout.strip() + found.stderr


@pytest.fixture
def repository(tmp_path, servers):
    """A bare repository with the hook, and a clone with one commit that was not pushed."""
    bare, clone, token = tmp_path / "itrust.git", tmp_path / "clone", tmp_path / "token"
    subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], check=True)
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(clone)], check=True)
    token.write_text(TRIGGER + "\n")
    (bare / "hooks/post-receive").write_text(HOOK.read_text())
    (bare / "hooks/post-receive").chmod(0o755)
    for name, value in {"trigger": f"{servers.jenkins.url}job/itrust/build", "tokenFile": str(token)}.items():
        git(bare, "config", f"sluice.{name}", value)
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    git(clone, *who, "commit", "--quiet", "--allow-empty", "-m", "one")
    git(clone, "remote", "add", "origin", str(bare))
    servers.jenkins.causes.clear()
    return SimpleNamespace(bare=bare, clone=clone, token=token, commit=git(clone, "rev-parse", "HEAD"))


def push(repository, *words):
    return git(repository.clone, "push", "--quiet", "origin", *words)


def test_push_of_the_branch_starts_the_build(repository, servers):
    assert COMMIT.match(repository.commit)
    said = push(repository, "main")
    assert servers.jenkins.causes == [f"push {repository.commit}"]
    assert f"sluice: the build of {repository.commit} was asked for" in said and TRIGGER not in said


@pytest.mark.parametrize("ref", ["main:other", "main:refs/tags/v1", "main:x;touch${IFS}y", "main:mainx"])
def test_push_of_anything_else_starts_nothing(repository, servers, ref):
    push(repository, ref)
    assert servers.jenkins.causes == []


def test_deletion_of_the_branch_starts_nothing(repository, servers):
    push(repository, "main:other")
    git(repository.bare, "symbolic-ref", "HEAD", "refs/heads/other")
    push(repository, "main")
    push(repository, ":main")
    assert len(servers.jenkins.causes) == 1


def test_push_is_taken_and_told_of_when_the_build_server_refuses(repository, servers):
    servers.jenkins.token = "another"
    try:
        said = push(repository, "main")
    finally:
        servers.jenkins.token = TRIGGER
    assert "sluice: no build was started: curl:" in said and "403" in said
    assert git(repository.bare, "rev-parse", "main") == repository.commit


def test_push_is_taken_and_told_of_when_the_build_server_is_away(repository):
    git(repository.bare, "config", "sluice.trigger", "http://127.0.0.1:9/job/itrust/build")
    assert "sluice: no build was started: curl:" in push(repository, "main")
    assert git(repository.bare, "rev-parse", "main") == repository.commit


def test_token_that_could_be_more_than_a_token_is_refused(repository, servers):
    repository.token.write_text('x"\nurl = "http://evil.example.com')
    assert "has other characters than" in push(repository, "main")
    assert servers.jenkins.causes == []
