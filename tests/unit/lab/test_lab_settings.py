"""Names, bridges and networks that work, and clear words for those that do not."""

import ipaddress
import json
import stat

import pytest

from lab import settings
from lab.errors import LabError

NETWORK = ipaddress.IPv4Network("10.57.0.0/24")


def load(tmp_path, *args, **env):
    return settings.load(*args, env=env, state_root=tmp_path)


def fleet_file(tmp_path, text):
    path = tmp_path / "fleet.toml"
    path.write_text(text)
    return path


def test_defaults_are_sluice_on_sluice0(tmp_path):
    lab = load(tmp_path)
    assert (lab.name, lab.bridge, str(lab.network)) == ("sluice", "sluice0", "10.57.0.0/24")
    assert lab.host_address == "10.57.0.1"
    assert lab.machine("master").address == "10.57.0.10"


def test_argument_wins_over_environment_and_environment_over_default(tmp_path):
    env = {"SLUICE_LAB_NAME": "env", "SLUICE_LAB_BRIDGE": "envbr", "SLUICE_LAB_NETWORK": "10.9.0.0/24"}
    assert load(tmp_path, **env).bridge == "envbr"
    lab = load(tmp_path, "arg", "argbr", "10.8.0.0/16", **env)
    assert (lab.name, lab.bridge, str(lab.network)) == ("arg", "argbr", "10.8.0.0/16")


def test_cache_is_a_setting(tmp_path):
    assert str(load(tmp_path, SLUICE_LAB_CACHE="/big/disk").cache) == "/big/disk"


@pytest.mark.parametrize("name", ["a", "kernel", "two-labs", "x" * 20])
def test_good_name_is_taken(tmp_path, name):
    assert load(tmp_path, name).name == name


@pytest.mark.parametrize("name", ["", "A", "1a", "-a", "a-", "a_b", "a/b", "..", "a b", "x" * 21, "a\n"])
def test_bad_name_is_refused(tmp_path, name):
    with pytest.raises(LabError, match="want small letters"):
        load(tmp_path, name)


@pytest.mark.parametrize("bridge", ["A0", "0br", "br-1", "br 1", "b" * 16, "br\n"])
def test_bad_bridge_is_refused(tmp_path, bridge):
    with pytest.raises(LabError, match="bridge .*want small letters"):
        load(tmp_path, "x", bridge)


@pytest.mark.parametrize("network", ["10.1.0.0/24", "172.16.0.0/12", "192.168.4.0/22", "10.0.0.0/8"])
def test_private_network_is_taken(network):
    assert str(settings.parse_network(network)) == network


@pytest.mark.parametrize(
    "network", ["", "10.0.0.0", "10.0.0.0/25", "10.0.0.1/24", "8.8.8.0/24", "127.1.0.0/24", "169.254.0.0/16",
                "192.0.2.0/24", "172.0.0.0/8", "fd00::/64", "x"],
)
def test_other_network_is_refused(network):
    with pytest.raises(LabError, match="like 10.57.0.0/24"):
        settings.parse_network(network)


def test_names_derived_from_two_labs_differ(tmp_path):
    one, two = load(tmp_path, "a"), load(tmp_path, "a-b")
    for what in ("state", "table", "group", "lock"):
        assert getattr(one, what) != getattr(two, what)


@pytest.mark.parametrize("name", ["host", "images", "kernel"])
def test_lock_of_a_lab_is_never_a_lock_of_all_labs(tmp_path, name):
    assert load(tmp_path, name).lock == f"lab-{name}"


def test_unknown_machine_is_told_with_the_known_ones(tmp_path):
    with pytest.raises(LabError, match="no machine 'nope' in lab 'sluice'; it has master, lb-1"):
        load(tmp_path).machine("nope")


def test_recorded_settings_are_remembered_by_name(tmp_path):
    settings.record(load(tmp_path, "mine", "minebr", "10.77.0.0/24"))
    lab = load(tmp_path, "mine")
    assert (lab.bridge, str(lab.network)) == ("minebr", "10.77.0.0/24")


def test_recorded_settings_are_private(tmp_path):
    lab = load(tmp_path, "mine")
    settings.record(lab)
    assert stat.S_IMODE(lab.state.stat().st_mode) == 0o700


def test_other_settings_than_recorded_are_refused(tmp_path):
    settings.record(load(tmp_path, "mine", "minebr", "10.77.0.0/24"))
    with pytest.raises(LabError, match="made with network 10.77.0.0/24, not 10.78.0.0/24.*down"):
        load(tmp_path, "mine", None, "10.78.0.0/24")
    with pytest.raises(LabError, match="made with bridge minebr, not other"):
        load(tmp_path, "mine", SLUICE_LAB_BRIDGE="other")


@pytest.mark.parametrize("content", ["", "{", "[]", "5", '"x"', "null", "\xff"])
def test_corrupt_record_is_told_with_the_way_out(tmp_path, content):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/settings.json").write_text(content, encoding="latin-1")
    with pytest.raises(LabError, match=r"settings\.json: .*remove the file and run `lab down`"):
        load(tmp_path, "mine")


@pytest.mark.parametrize("made", [{"bridge": 5}, {"network": "10.0.0.0/30"}, {"bridge": ["x"]}])
def test_record_with_unusable_values_is_refused(tmp_path, made):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/settings.json").write_text(json.dumps(made))
    with pytest.raises(LabError):
        load(tmp_path, "mine")


REDIS = ["redis-1", "git-1", "redis-2", "redis-3"]


CHECKBOX = ["master", "lb-1", *REDIS, "checkbox-1", "checkbox-2", "canary-1"]
ITRUST = [f"itrust-{number}" for number in range(1, 6)]


def test_fleet_file_of_the_repository_has_fifteen_machines():
    ids = [machine.id for machine in settings.read_fleet(NETWORK)]
    assert ids == [*CHECKBOX, "jenkins-1", *ITRUST]


def test_lab_without_a_word_has_the_checkbox_machines(tmp_path):
    lab = load(tmp_path)
    assert lab.fleet == "checkbox"
    assert [machine.id for machine in lab.machines] == CHECKBOX


def test_part_itrust_has_what_a_roll_from_a_push_needs():
    ids = [machine.id for machine in settings.read_fleet(NETWORK, "itrust")]
    assert ids == ["master", "lb-1", "redis-1", "git-1", "jenkins-1", *ITRUST]


def test_part_of_a_fleet_has_its_machines_with_the_same_addresses():
    part = settings.read_fleet(NETWORK, "flags")
    assert [machine.id for machine in part] == ["master", *REDIS, "checkbox-1", "checkbox-2"]
    assert set(part) < set(settings.read_fleet(NETWORK))


def test_part_of_a_fleet_is_remembered_by_name(tmp_path):
    settings.record(load(tmp_path, "mine", "minebr", "10.77.0.0/24", "flags"))
    assert load(tmp_path, "mine").fleet == "flags"
    assert len(load(tmp_path, "mine").machines) == 7
    with pytest.raises(LabError, match="made with fleet flags, not all"):
        load(tmp_path, "mine", SLUICE_LAB_FLEET="all")


def test_unknown_part_of_a_fleet_is_told_with_the_known_ones(tmp_path):
    with pytest.raises(LabError, match=r"no fleet 'nope' in fleet.toml; it has all, checkbox, flags"):
        load(tmp_path, SLUICE_LAB_FLEET="nope")


def test_lab_made_before_there_were_parts_has_the_checkbox_machines(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/settings.json").write_text('{"bridge": "minebr", "network": "10.77.0.0/24"}')
    assert load(tmp_path, "mine").fleet == "checkbox"


def test_machine_number_counts_from_the_start_of_a_large_network(tmp_path):
    path = fleet_file(tmp_path, "[machines]\nweb = 254\n")
    machines = settings.read_fleet(ipaddress.IPv4Network("10.8.0.0/16"), path=path)
    assert machines == (settings.Machine("web", "10.8.0.254"),)


@pytest.mark.parametrize(
    "text",
    ["", "machines = 5", "machines = [1]", "[machines", "[machines]\nWeb = 5", "[machines]\nweb = 1",
     "[machines]\nweb = 255", "[machines]\nweb = '5'", "[machines]\nweb = true",
     "[machines]\na = 5\nb = 5", "[machines]\n'a/b' = 5", "fleets = 5\n[machines]\na = 5",
     "[machines]\na = 5\n[fleets]\nx = []", "[machines]\na = 5\n[fleets]\nx = ['b']",
     "[machines]\na = 5\n[fleets]\nx = 'a'", "[machines]\na = 5\n[fleets]\nx = [[]]"],
)
def test_bad_fleet_file_is_refused(tmp_path, text):
    with pytest.raises(LabError, match="fleet.toml"):
        settings.read_fleet(NETWORK, path=fleet_file(tmp_path, text))


def test_missing_fleet_file_is_told(tmp_path):
    with pytest.raises(LabError, match="fleet.toml"):
        settings.read_fleet(NETWORK, path=tmp_path / "fleet.toml")
