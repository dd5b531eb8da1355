"""A real master and real minions on loopback, with everything around them faked or local."""

import contextlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))

from world import (  # noqa: E402
    ALERT_TOKEN,
    REDIS_PASSWORD,
    FakeBalancer,
    FakeMongo,
    FakeService,
    RealRedis,
    make_git_repository,
    wait_for,
    write_ratio,
)

MINIONS = ("lb-1", "canary-1", "checkbox-1")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sluice")


@pytest.fixture(scope="session")
def outside(folder):
    """All that is not Salt."""
    (folder / "redis").mkdir()
    found = SimpleNamespace(
        balancer=FakeBalancer(),
        service=FakeService(),
        mongo=FakeMongo(),
        redis=RealRedis(folder / "redis"),
        git=make_git_repository(folder / "checkbox.git"),
        ledger=folder / "ledger.db",
        settings=folder / "release.json",
        pillar=folder / "pillar",
        balancer_config=folder / "balancer.json",
    )
    yield found
    found.redis.stop()
    found.mongo.stop()
    found.balancer.close()
    found.service.close()


@pytest.fixture(scope="session")
def release_settings(outside):
    settings = {
        "ledger": str(outside.ledger),
        "redis": {
            "servers": [{"id": "redis-1", "host": "127.0.0.1", "port": outside.redis.port}],
            "username": "default",
            "password": REDIS_PASSWORD,
        },
        "alert_token": ALERT_TOKEN,
        "alert_port": outside.balancer.port,
        "balancers": "N@balancer",
        "services": {
            "checkbox": {
                "stable": "N@checkbox_stable",
                "canary": "N@checkbox_canary",
                "state": "checkbox",
                "source": outside.git,
                "health_path": "/health",
                "port": outside.service.port,
                "probe": {"count": 60, "paths": ["/health", "/getPic"], "max_p95_ms": 250,
                          "version_header": "X-Checkbox-Version"},
                "needs": [
                    {"name": "MongoDB", "kind": "mongodb", "host": "127.0.0.1", "port": outside.mongo.port}
                ],
            }
        },
    }  # fmt: skip
    outside.settings.write_text(json.dumps(settings))
    return settings


@pytest.fixture(scope="session")
def pillar_tree(outside):
    outside.pillar.mkdir()
    (outside.pillar / "top.sls").write_text("base:\n  '*':\n    - traffic\n    - canary\n    - release\n")
    write_ratio(outside, 70, 30)
    (outside.pillar / "canary.sls").write_text("canary: {service: checkbox, version: v2}\n")
    services = {"checkbox": {"canary": "N@checkbox_canary", "state": "checkbox"}}
    (outside.pillar / "release.sls").write_text(json.dumps({"release_settings": {"services": services}}))
    return outside.pillar


@pytest.fixture(scope="session")
def salt_factories_config():
    return {"start_timeout": 90}


@pytest.fixture(scope="session")
def master(salt_factories, outside, release_settings, pillar_tree):
    here = Path(__file__).parent
    overrides = {
        "user": os.environ.get("USER", "root"),
        "sluice_release": str(outside.settings),
        "runner_dirs": [str(REPO / "_runners")],
        "utils_dirs": [str(REPO / "_utils")],
        "states_dirs": [str(REPO / "_states")],
        "pillar_dirs": [str(REPO / "_pillar")],
        "engines_dirs": [str(REPO / "_engines")],
        "ext_pillar": [{"ledger": {"settings": str(outside.settings)}}],
        "file_roots": {"base": [str(here / "states"), str(REPO / "salt")]},
        "pillar_roots": {"base": [str(pillar_tree)]},
        "nodegroups": {
            "master": "master",
            "balancer": "lb-*",
            "checkbox_stable": "checkbox-*",
            "checkbox_canary": "canary-*",
            "web": "web-*",
        },
        "reactor": [
            {"release/*/alert": [str(REPO / "reactor/alert.sls")]},
            {"sluice/pillar/changed": [str(REPO / "reactor/pillar.sls")]},
            {"sluice/master/ready": [str(REPO / "reactor/ready.sls")]},
        ],
        "engines": [{"pillar_watch": {"root": str(pillar_tree)}}],
        "reactor_refresh_interval": 31536000,
        "auto_accept": True,
        "timeout": 5,
        "log_level_logfile": "info",
    }
    factory = salt_factories.salt_master_daemon("master", overrides=overrides)
    with factory.started():
        yield factory


@pytest.fixture(scope="session")
def minion_settings(outside, folder):
    here = Path(__file__).parent
    return {
        "module_dirs": [str(here / "fakes"), str(REPO / "_modules")],
        "state_queue": yaml.safe_load((REPO / "conf/minion.d/sluice.conf").read_text())["state_queue"],
        "fake_balancer_port": outside.balancer.port,
        "fake_balancer_config": str(outside.balancer_config),
        "fake_web": str(folder / "web"),
        "mine_functions": {
            "sluice_address": [{"mine_function": "network.ip_addrs"}, {"cidr": "127.0.0.0/8"},
                               {"include_loopback": True}],
        },
    }  # fmt: skip


@contextlib.contextmanager
def started(master, ids, overrides):
    """Minions by their ids, until the end of the context."""
    found = {id_: master.salt_minion_daemon(id_, overrides=overrides) for id_ in ids}
    try:
        for factory in found.values():
            factory.start()
        yield found
    finally:
        # Each takes some seconds to end.
        with ThreadPoolExecutor(len(found)) as pool:
            list(pool.map(lambda factory: factory.terminate(), found.values()))


@pytest.fixture(scope="session")
def minions(master, minion_settings):
    with started(master, MINIONS, minion_settings) as found:
        yield found


@pytest.fixture(scope="module")
def web_hosts(master, fleet, minion_settings, folder):
    """Three more minions, the hosts of the service `web`."""
    ids = ("web-1", "web-2", "web-3")
    for id_ in ids:
        (folder / "web" / id_).mkdir(parents=True, exist_ok=True)
    with started(master, ids, minion_settings) as found:
        mined = master.salt_cli().run("mine.update", minion_tgt="web-*")
        assert mined.returncode == 0, mined
        yield found


@pytest.fixture(scope="session")
def fleet(master, minions):
    """The fleet, with every address in the mine."""
    mined = master.salt_cli().run("mine.update", minion_tgt="*")
    assert mined.returncode == 0, mined
    return minions


@pytest.fixture
def salt_run(master, fleet):
    return master.salt_run_cli(timeout=90)


@pytest.fixture
def world(outside, fleet):
    """The outside, as new for each test."""
    outside.balancer.reset()
    outside.service.reset()
    outside.mongo.start()
    outside.redis.start()
    outside.redis.call("FLUSHALL")
    for name in ("", "-wal", "-shm"):
        Path(f"{outside.ledger}{name}").unlink(missing_ok=True)
    yield outside


@pytest.fixture
def eventually():
    return wait_for


@pytest.fixture
def settings_with(outside, release_settings):
    """A context in which the settings of checkbox differ."""

    @contextlib.contextmanager
    def changed(**values):
        services = {"checkbox": release_settings["services"]["checkbox"] | values}
        outside.settings.write_text(json.dumps(release_settings | {"services": services}))
        try:
            yield
        finally:
            outside.settings.write_text(json.dumps(release_settings))

    return changed
