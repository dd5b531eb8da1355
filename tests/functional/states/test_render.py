"""Every state file renders and compiles for every role, in every environment."""

import re
from pathlib import Path

import pytest
from states_support import FLEET, REPO

SALT = REPO / "salt"
ORDERS = {path.stem for path in SALT.glob("*.sls")}
STATES = sorted(
    str(path.relative_to(SALT).with_suffix("")).removesuffix("/init").replace("/", ".")
    for path in SALT.glob("[!_]*/**/*.sls")
)
ALTERNATIVES = (
    "mongodb.mongodb_org",
    "mongodb.secantus",
    "jenkins.apt",
    "jenkins.server",
    "jenkins.stand_in",
    "jenkins.war",
)
ROLES = {
    "master": {"minion", "master"},
    "lb-1": {"minion", "balancer"},
    "redis-1": {"minion", "redis", "redis.flags"},
    "redis-2": {"minion", "redis", "redis.flags"},
    "redis-3": {"minion", "redis", "redis.flags"},
    "git-1": {"minion"},
    "checkbox-1": {"minion", "mongodb", "checkbox", "flags"},
    "checkbox-2": {"minion", "checkbox", "flags"},
    "canary-1": {"minion", "checkbox", "flags"},
    "jenkins-1": {"minion", "jenkins"},
    "itrust-1": {"minion", "mariadb", "itrust"},
    "itrust-2": {"minion", "itrust"},
}


@pytest.mark.parametrize("environment", ["lab", "prod"])
@pytest.mark.parametrize("minion_id", FLEET)
def test_every_state_renders_for_role(machine, minion_id, environment):
    one = machine(minion_id, environment)
    assert "_errors" not in one.pillar, one.pillar["_errors"]
    # Making Salt ready takes longer than a file does: together, but for those of which a machine has one.
    for together in ([sls for sls in STATES if sls not in ALTERNATIVES], *([sls] for sls in ALTERNATIVES)):
        low = one.modules["state.show_low_sls"](together)
        assert low, together
        assert all(isinstance(chunk, dict) for chunk in low), (together, low)


@pytest.mark.parametrize("environment", ["lab", "prod"])
@pytest.mark.parametrize("minion_id", FLEET)
def test_highstate_compiles(machine, minion_id, environment):
    low = machine(minion_id, environment).modules["state.show_lowstate"]()
    assert all(isinstance(chunk, dict) for chunk in low), low


@pytest.mark.parametrize("minion_id", FLEET)
def test_each_role_gets_its_own_states(machine, minion_id):
    top = machine(minion_id).modules["state.show_top"]()
    assert set(top["base"]) == ROLES[minion_id]


def test_a_grain_gives_nobody_a_role(machine):
    claims = {"roles": ["master", "balancer"], "role": "redis", "nodegroup": "mongodb"}
    odd = machine("git-1", extra_grains=claims)
    assert set(odd.modules["state.show_top"]()["base"]) == {"minion"}
    assert not {"redis", "mongodb", "balancer", "release_settings"} & set(odd.pillar)


def test_state_ids_start_with_the_name_of_their_state():
    for path in SALT.glob("[!_]*/**/*.sls"):
        folder = path.relative_to(SALT).parts[0]
        ids = re.findall(r"^([a-z][^\s:]*):$", path.read_text(), re.MULTILINE)
        assert [name for name in ids if not name.startswith(f"{folder}-")] in ([], ["include"]), path


def test_no_state_file_is_longer_than_150_lines():
    long = {path.name: len(path.read_text().splitlines()) for path in SALT.glob("[!_]*/**/*.sls")}
    assert {name: lines for name, lines in long.items() if lines > 150} == {}


def test_orders_and_states_do_not_share_a_name():
    # salt/x.sls would silently win over salt/x/init.sls
    assert not ORDERS & {path.parent.name for path in SALT.glob("*/init.sls")}


def test_only_what_minions_need_is_linked_into_the_file_root():
    links = {path.name: path.readlink() for path in SALT.iterdir() if path.is_symlink()}
    assert links == {name: Path("..") / name for name in ("_modules", "_states", "_utils")}
