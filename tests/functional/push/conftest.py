"""A real salt-master with its reactor and a real salt-api, on loopback."""

import contextlib
import hashlib
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from push_support import PASSWORD, REPOSITORY, TRIGGER, Servers, ask, log_in, wait_for
from saltfactories.bases import SaltDaemon
from saltfactories.daemons.api import SaltApi
from sluice_ledger import Ledger

from tests.support.certificates import Authority
from tests.support.forges import SECRETS
from tests.support.ports import free_port

REPO = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def servers():
    found = Servers()
    yield found
    found.close()


@pytest.fixture(scope="session")
def settings(tmp_path_factory, servers):
    """release.json of a service that is built and rolled."""
    folder = tmp_path_factory.mktemp("push")
    service = {
        "stable": "N@itrust", "state": "itrust", "health_path": "/", "port": 8080, "repository": REPOSITORY,
        "artifacts": servers.artifacts.url,
        "push": {**SECRETS, "trigger": {"url": f"{servers.jenkins.url}job/itrust/build", "token": TRIGGER}},
    }  # fmt: skip
    made = {
        "ledger": str(folder / "ledger.db"), "redis": {}, "alert_token": "", "alert_port": 1,
        "balancers": "N@balancer", "services": {"itrust": service},
    }  # fmt: skip
    (folder / "release.json").write_text(json.dumps(made))
    return folder / "release.json"


@pytest.fixture
def ledger(settings):
    return Ledger(json.loads(settings.read_text())["ledger"])


@pytest.fixture(scope="session")
def salt_factories_config():
    return {"start_timeout": 90}


@pytest.fixture(scope="session")
def overrides(tmp_path_factory, settings):
    """The master's configuration: what conf/master.d gives it, with paths of this test."""
    users = tmp_path_factory.mktemp("users") / "users"
    lines = {"jenkins": PASSWORD, "operator": "not-a-secret-of-an-operator"}
    hashed = {name: hashlib.sha256(word.encode()).hexdigest() for name, word in lines.items()}
    users.write_text("".join(f"{name}:{word}\n" for name, word in hashed.items()))
    text = (REPO / "conf/master.d/reactor.conf").read_text().replace("{{ checkout }}", str(REPO))
    return {
        "user": os.environ.get("USER", "root"),
        "sluice_release": str(settings),
        "runner_dirs": [str(REPO / "_runners")], "utils_dirs": [str(REPO / "_utils")],
        "netapi_dirs": [str(REPO / "_netapi")],
        "file_roots": {"base": [str(REPO / "salt")]},
        "nodegroups": {"itrust": "itrust-*", "balancer": "lb-*", "master": "master"},
        **yaml.safe_load(text),
        "external_auth": {
            "file": {"^filename": str(users), "^hashtype": "sha256", "jenkins": [], "operator": [".*"]}
        },
        "release_hook": {"host": "127.0.0.1", "port": free_port(), "users": ["jenkins"]},
        "auto_accept": True, "timeout": 5, "log_level_logfile": "info",
    }  # fmt: skip


@pytest.fixture(scope="session")
def master(salt_factories, overrides):
    factory = salt_factories.salt_master_daemon("push-master", overrides=overrides)
    with factory.started():
        yield factory


class Daemon(SaltApi):
    """salt-api, of which the factory knows no others than the two doors that come with it."""

    def __attrs_post_init__(self):
        self.check_ports = [self.config["release_hook"]["port"]]
        SaltDaemon.__attrs_post_init__(self)


@pytest.fixture(scope="session")
def api(master):
    """The master's API: `url` to ask, `logs` of salt-api and salt-master."""
    with served(master) as found:
        yield found


@pytest.fixture(scope="session")
def door_without_a_master(salt_factories, overrides, tmp_path_factory):
    """The same by https, of a master that does not run."""
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    hook = {**overrides["release_hook"], "port": free_port()}
    for name, text in zip(("ssl_crt", "ssl_key"), authority.pair("127.0.0.1"), strict=True):
        (folder / name).write_bytes(text)
        hook[name] = str(folder / name)
    master = salt_factories.salt_master_daemon("push-away", overrides={**overrides, "release_hook": hook})
    with served(master, "https", authority.context()) as found:
        yield found


@contextlib.contextmanager
def served(master, scheme="http", context=None):
    """salt-api of a master, until the end of the context."""
    daemon = master.salt_api_daemon(factory_class=Daemon)
    url = f"{scheme}://127.0.0.1:{master.config['release_hook']['port']}"

    def answers():
        try:
            return ask(f"{url}/", method="GET", context=context)[0] == 404
        except OSError:
            return False

    with daemon.started():
        wait_for(answers, what="an answer of salt-api")
        logs = [Path(factory.config["log_file"]) for factory in (master, daemon)]
        yield SimpleNamespace(url=url, logs=logs, context=context)


@pytest.fixture
def token(api):
    """Of the build server."""
    status, headers, body = log_in(api, "jenkins", PASSWORD)
    assert status == 200
    return json.loads(body)["return"][0]["token"]
