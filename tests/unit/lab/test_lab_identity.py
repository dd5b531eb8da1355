"""Keys are made once, placed on both sides, and known by the fingerprint that Salt computes."""

import dataclasses
import os
import shutil
import stat
import subprocess

import pytest
from salt.utils.crypt import pem_finger

from lab import disks, host, identity, settings


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The state of a lab of two machines that has its keys; they take their time, so it is made once."""
    lab = settings.load("paper", network="10.99.0.0/24", env={}, state_root=tmp_path_factory.mktemp("made"))
    lab = dataclasses.replace(lab, machines=lab.machines[:2])
    identity.make_keys(lab)
    return lab


@pytest.fixture
def keyed(lab, made):
    """A copy of it for one test."""
    shutil.copytree(made.state, lab.state)
    return dataclasses.replace(lab, machines=made.machines)


def test_fingerprint_is_the_one_salt_tells(keyed):
    public = keyed.state / "keys/_master.pub"
    assert identity.fingerprint(public.read_text()) == pem_finger(str(public), sum_type="sha256")
    assert identity.fingerprint(public.read_text() + "\n") == pem_finger(str(public), sum_type="sha256")


def test_keys_are_private_and_one_pair_each(keyed):
    keys = keyed.state / "keys"
    assert len(list(keys.iterdir())) == 2 * (len(keyed.machines) + 1)
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys.glob("*.pem")} == {0o400}
    assert len({path.read_text() for path in keys.glob("*.pub")}) == len(keyed.machines) + 1


def test_whole_pair_stays_and_half_a_pair_is_made_again(keyed):
    keys = keyed.state / "keys"
    before = {path.name: path.read_text() for path in keys.iterdir()}
    (keys / "lb-1.pub").unlink()
    identity.make_keys(keyed)
    after = {path.name: path.read_text() for path in keys.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"lb-1.pem", "lb-1.pub"}
    derived = subprocess.run(["openssl", "rsa", "-pubout", "-in", keys / "lb-1.pem"],
                             capture_output=True, text=True, check=True)
    assert derived.stdout == after["lb-1.pub"]


def test_master_accepts_every_machine_beforehand(keyed):
    identity.write_master(keyed)
    pki = disks.root(keyed, "master") / "etc/salt/pki/master"
    assert sorted(os.listdir(pki / "minions")) == sorted(machine.id for machine in keyed.machines)
    assert (pki / "minions/lb-1").read_text() == (keyed.state / "keys/lb-1.pub").read_text()
    assert stat.S_IMODE((pki / "master.pem").stat().st_mode) == 0o400
    assert not (pki / "minions_pre").exists()


def test_minion_knows_itself_and_its_master(keyed):
    machine = keyed.machine("lb-1")
    identity.write_minion(keyed, machine)
    root = disks.root(keyed, "lb-1")
    settings = (root / "etc/salt/minion.d/lab.conf").read_text()
    finger = identity.fingerprint((keyed.state / "keys/_master.pub").read_text())
    assert "id: lb-1\n" in settings
    assert "master: 10.99.0.10\n" in settings
    assert f"master_finger: '{finger}'\n" in settings
    keys = keyed.state / "keys"
    assert (root / "etc/salt/pki/minion/minion.pem").read_text() == (keys / "lb-1.pem").read_text()
    assert stat.S_IMODE((root / "etc/salt/pki/minion").stat().st_mode) == 0o700


def test_machine_gets_its_name_address_and_way_out(lab):
    identity.write_system(lab, lab.machine("lb-1"), host.Inherited({"/etc/pip.conf": b"x"}))
    etc = disks.root(lab, "lb-1") / "etc"
    assert (etc / "hostname").read_text() == "lb-1\n"
    assert "10.99.0.31 canary-1\n" in (etc / "hosts").read_text()
    unit = (etc / "systemd/network/10-host0.network").read_text()
    assert "Address=10.99.0.11/24\nGateway=10.99.0.1\n" in unit
    assert (etc / "pip.conf").read_text() == "x"


def test_every_name_and_address_of_the_lab_is_its_own(lab):
    own = identity.own_addresses(lab)
    assert {"10.99.0.1", "10.99.0.10", "master", "canary-1", "10.99.0.31"} <= set(own)
