"""The real loaders, pillar and state compiler, as a minion of a role has them; no machine is changed."""

import copy
import json
from pathlib import Path

import pytest
import salt.config
import salt.loader
import salt.pillar
import salt.serializers
import salt.state
from redis_machines import RedisMachines
from states_support import GRAINS, NODEGROUPS, REPO

# The parts of the stand-in for Jenkins.
STAND_IN = ("stand_in", "jobs", "builds")


class Machine:
    """One minion: its pillar, its execution modules and its states."""

    def __init__(self, opts, extra_pillar):
        self.opts = opts
        compiler = salt.pillar.get_pillar(
            opts, opts["grains"], opts["id"], "base", pillar_override=extra_pillar
        )
        self.pillar = compiler.compile_pillar()
        opts["pillar"] = self.pillar
        opts["pillar_override"] = extra_pillar
        utils = salt.loader.utils(opts)
        self.modules = salt.loader.minion_mods(opts, utils=utils)
        serializers = salt.loader.serializers(opts)
        self.states = salt.loader.states(opts, self.modules, utils, serializers)

    def apply(self, function, test=False, **kwargs):
        """Run one state function, in test mode or for good."""
        self.states.pack["__opts__"]["test"] = self.opts["test"] = test
        return self.states[function](**kwargs)

    def call(self, chunk, test=False):
        """Run one compiled state as a state run does."""
        return salt.state.State(self.opts | {"test": test}, initial_pillar=self.pillar).call(chunk)


@pytest.fixture(scope="session")
def released(tmp_path_factory):
    """The settings of the release side with an empty ledger, as the external pillar wants them."""
    folder = tmp_path_factory.mktemp("release")
    services = {
        "checkbox": {
            "stable": "N@checkbox_stable",
            "canary": "N@checkbox_canary",
            "state": "checkbox",
            "source": "git://192.0.2.1/checkbox",
            "health_path": "/health",
            "port": 80,
            "probe": {},
        }
    }
    settings = {
        "ledger": str(folder / "ledger.db"),
        "redis": {},
        "alert_token": "token",
        "alert_port": 9902,
        "balancers": "N@balancer",
        "services": services,
    }
    path = folder / "release.json"
    path.write_text(json.dumps(settings))
    return path


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """The second file root: what the master state publishes."""
    folder = tmp_path_factory.mktemp("published")
    for source, name in (
        ("conf/minion.d/sluice.conf", "minion.d/sluice.conf"),
        ("requirements/balancer.lock", "balancer/requirements.lock"),
        ("requirements/mongodb-lab.lock", "mongodb/requirements.lock"),
        *((f"tests/apps/jenkins/{name}.py", f"jenkins/stand_in/{name}.py") for name in STAND_IN),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((REPO / source).read_bytes())
    (folder / "balancer/wheel").mkdir()
    (folder / "balancer/wheel/sluice_balancer-0.1.0-py3-none-any.whl").write_bytes(b"")
    return folder


@pytest.fixture
def machine(machine_of_module):
    """
    machine("lb-1", environment="lab", extra_pillar={...})

    Made anew each time: Salt's matchers are shared by all loaders of a process and remember the last
    machine that was made, so a test uses the one it made last.
    """
    return machine_of_module


@pytest.fixture(scope="module")
def machine_of_module(tmp_path_factory, released, published):
    """The same, for tests that ask no matcher and can share one machine."""

    def make(minion_id, environment="lab", extra_pillar=None, extra_grains=None):
        root = tmp_path_factory.mktemp(minion_id)
        return Machine(*options(root, minion_id, environment, extra_pillar, extra_grains))

    def options(root, minion_id, environment, extra_pillar, extra_grains):
        opts = dict(salt.config.minion_config(None))
        roots = {name: str(root / name) for name in ("cachedir", "pki_dir", "sock_dir")}
        for folder in roots.values():
            Path(folder).mkdir()
        own = {
            "id": minion_id,
            "root_dir": str(root),
            "conf_file": str(root / "minion"),
            "log_file": str(root / "log"),
            "file_client": "local",
            "file_roots": {"base": [str(REPO / "salt"), str(published)]},
            "pillar_roots": {"base": [str(REPO / "pillar" / environment), str(REPO / "pillar/base")]},
            "module_dirs": [str(Path(__file__).parent / "modules"), str(REPO / "_modules")],
            "states_dirs": [str(REPO / "_states")],
            "utils_dirs": [str(REPO / "_utils")],
            "pillar_dirs": [str(REPO / "_pillar")],
            "ext_pillar": [{"ledger": {"settings": str(released)}}],
            "nodegroups": NODEGROUPS,
            "grains": GRAINS | {"id": minion_id} | (extra_grains or {}),
            "state_events": False,
        }
        return copy.deepcopy(opts) | roots | own, extra_pillar or {}

    return make


@pytest.fixture
def machines(loaded, tmp_path):
    """machines(count, **pillar): that many with Redis, not yet applied; for a module with `loaded`."""
    made = []

    def make(count=3, **pillar):
        made.append(RedisMachines(tmp_path / str(len(made)), loaded, count, **pillar))
        return made[-1]

    yield make
    for one in made:
        one.close()
