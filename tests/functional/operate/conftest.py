"""One real fleet of Redis for all tests of flags, and Salt's loaders as its machines have them."""

import copy
import json
from pathlib import Path

import pytest
import salt.config
import salt.loader
from operate_support import pillar_of
from sluice_flag_orders import Flags

from tests.support.redis_fleet import RedisFleet

REPO = Path(__file__).resolve().parents[3]
GRAINS = {"os": "Debian", "os_family": "Debian", "kernel": "Linux"}


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    with RedisFleet(tmp_path_factory.mktemp("redis")) as fleet:
        yield fleet


@pytest.fixture
def fleet(servers):
    """redis-1 is the master, redis-2 and redis-3 its replicas; all empty, and all of them run."""
    for id_ in servers.servers:
        servers.restart(id_)
    servers.wait_linked()
    servers.call("redis-1", "FLUSHALL")
    servers.call("redis-1", "WAIT", "2", "5000", timeout=6)
    return servers


@pytest.fixture
def a_fleet(tmp_path):
    """a_fleet(**as RedisFleet): one of its own, for a test that bends it."""
    started = []

    def start(**kwargs):
        one = RedisFleet(tmp_path / f"fleet{len(started)}", **kwargs)
        started.append(one)
        return one.__enter__()

    yield start
    for one in started:
        one.close()


@pytest.fixture
def operator(fleet):
    """What alice on the Salt master can do."""
    return Flags(fleet.declared().user("writer"), "alice@master")


class Minion:
    """
    One machine: `call("flag.set", ...)` as an order, `apply("flag.present", ...)` as a state.

    Salt's loaders share what they loaded within a process: a test uses the machine that it made last.
    """

    def __init__(self, folder, id_, pillar):
        opts = copy.deepcopy(dict(salt.config.minion_config(None)))
        opts |= {
            "id": id_,
            "root_dir": str(folder),
            "cachedir": str(folder),
            "file_client": "local",
            "grains": GRAINS | {"id": id_},
            "pillar": pillar,
            "module_dirs": [str(REPO / "_modules")],
            "states_dirs": [str(REPO / "_states")],
            "utils_dirs": [str(REPO / "_utils")],
            "test": False,
        }
        self.opts = opts
        utils = salt.loader.utils(opts)
        self.modules = salt.loader.minion_mods(opts, utils=utils)
        self.states = salt.loader.states(opts, self.modules, utils, salt.loader.serializers(opts))

    def call(self, function, *args, **kwargs):
        return self.modules[function](*args, **kwargs)

    def apply(self, function, test=False, **kwargs):
        self.states.pack["__opts__"]["test"] = self.opts["test"] = test
        return self.states[function](**kwargs)


@pytest.fixture
def minion(tmp_path):
    """minion(fleet, "redis-1"): that machine of a fleet; any other id is an application's host."""

    def make(fleet, id_, pillar=None):
        user = "writer" if id_ in fleet.hosts else "reader"
        folder = tmp_path / id_
        folder.mkdir(exist_ok=True)
        return Minion(folder, id_, pillar_of(fleet, user) if pillar is None else pillar)

    return make


class Runner:
    """The runners of a Salt master."""

    def __init__(self, folder, settings):
        path = folder / "release.json"
        path.write_text(json.dumps(settings))
        opts = copy.deepcopy(dict(salt.config.master_config(None)))
        opts |= {
            "root_dir": str(folder),
            "cachedir": str(folder),
            "sock_dir": str(folder),
            "runner_dirs": [str(REPO / "_runners")],
            "utils_dirs": [str(REPO / "_utils")],
            "sluice_release": str(path),
        }
        self.functions = salt.loader.runner(opts, utils=salt.loader.utils(opts))

    def call(self, function, *args, **kwargs):
        return self.functions[function](*args, **kwargs)

    def text(self, function, *args, **kwargs):
        """What `salt-run` prints for it at a terminal."""
        self.functions.pack["__opts__"]["fun"] = function
        try:
            return self.call(function, *args, **kwargs)
        finally:
            self.functions.pack["__opts__"].pop("fun")


@pytest.fixture
def runner(tmp_path):
    """runner(fleet): with the settings of that fleet; `redis` changes that part of them."""

    def make(fleet, **redis):
        settings = {
            "ledger": str(tmp_path / "ledger.db"),
            "redis": fleet.settings() | redis,
            "alert_token": "token",
            "alert_port": 9902,
            "balancers": "N@balancer",
            "services": {},
        }
        return Runner(tmp_path, settings)

    return make
