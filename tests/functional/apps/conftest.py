"""The stand-in checkbox application, installed as a release is, and run on loopback."""

import contextlib
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from apps_support import Application, environment

from tests.support.redis_fleet import RedisFleet

SITE = Path(__file__).resolve().parents[2] / "apps/checkbox/server-side/site"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluice-tools"
INSTALL = ["npm", "ci", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"]


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The application with its modules; those are kept in the cache until its lock file changes."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("there is no node with npm")
    lock = hashlib.sha256((SITE / "package-lock.json").read_bytes()).hexdigest()
    modules = CACHE / f"checkbox-{lock[:12]}"
    if not modules.exists():
        modules.parent.mkdir(parents=True, exist_ok=True)
        made = tmp_path_factory.mktemp("modules")
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SITE / name, made)
        subprocess.run(INSTALL, cwd=made, check=True, timeout=300)
        with contextlib.suppress(OSError):  # another run was faster
            shutil.move(made, modules)
    here = tmp_path_factory.mktemp("site")
    shutil.copytree(SITE, here, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
    (here / "node_modules").symlink_to(modules / "node_modules")
    return here


@pytest.fixture
def start(site, tmp_path):
    """Start an application with more environment; it ends with the test."""
    started = []

    def one(**env):
        started.append(Application(site, tmp_path, **env))
        return started[-1]

    yield one
    for application in started:
        application.close()


@pytest.fixture
def redis(tmp_path):
    with RedisFleet(tmp_path / "redis", replicas=2) as fleet:
        yield fleet


@pytest.fixture
def application(start, redis):
    """One that reads a fleet with key1 on."""
    redis.call("redis-1", "SET", "key1", "1")
    one = start(**environment(redis))
    one.wait_for("picture")
    return one
