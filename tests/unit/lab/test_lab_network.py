"""Which addresses and interfaces a lab may take, and the rules it makes."""

import json
import os
import subprocess

import pytest

from lab import network, settings
from lab.errors import LabError


@pytest.fixture
def interfaces(tmp_path, monkeypatch):
    """A tree like /sys/class/net: `add(name, alias, ports)` makes a bridge, ports=None another thing."""
    root = tmp_path / "net"
    root.mkdir()
    addresses = {}

    def add(name, alias="", ports=(), address=None):
        (root / name).mkdir()
        (root / name / "ifalias").write_text(alias + "\n")
        if ports is not None:
            (root / name / "bridge").mkdir()
            (root / name / "brif").mkdir()
            for port in ports:
                (root / name / "brif" / port).touch()
        addresses[name] = [{"family": "inet", "local": address}] if address else []

    def run(words, **options):
        return json.dumps([{"addr_info": [*addresses[words[-1]], {"family": "inet6", "local": "fe80::1"}]}])

    monkeypatch.setattr(network, "INTERFACES", root)
    monkeypatch.setattr(network, "run", run)
    return add


def route(dst, dev="eth0"):
    return {"dst": dst, "dev": dev}


@pytest.mark.parametrize("taken", ["10.99.0.0/24", "10.99.0.128/25", "10.0.0.0/8", "10.99.0.7"])
def test_route_into_the_network_is_told(lab, taken):
    assert network.overlaps(lab, [route("default"), route(taken)]) == [
        f"{taken} on eth0"
    ]


@pytest.mark.parametrize("free", ["10.98.0.0/24", "192.168.0.0/16", "default", "0.0.0.0/1", "10.99.1.0/24"])
def test_other_route_is_no_overlap(lab, free):
    assert network.overlaps(lab, [route(free)]) == []


def test_own_bridge_is_no_overlap(lab):
    assert network.overlaps(lab, [route("10.99.0.0/24", "paperbr")]) == []


def test_route_over_several_interfaces_is_told(lab):
    assert network.overlaps(lab, [{"dst": "10.99.0.0/16", "nexthops": []}]) == [
        "10.99.0.0/16 on another interface"
    ]


def test_every_overlap_is_told(lab):
    assert len(network.overlaps(lab, [route("10.99.0.0/24", "a"), route("10.0.0.0/8", "b")])) == 2


def test_overlap_is_refused_with_the_way_out(lab, monkeypatch):
    monkeypatch.setattr(network, "run", lambda words: json.dumps([route("10.99.0.0/16", "tun0")]))
    with pytest.raises(LabError, match="10.99.0.0/24 overlaps with 10.99.0.0/16 on tun0.*--network"):
        network.check_routes(lab)


def test_bridge_that_is_not_there_is_fine(lab, interfaces):
    network.check_bridge(lab)


def test_own_bridge_is_fine(lab, interfaces):
    interfaces("paperbr", "sluice-lab paper", ["vb-1"], "10.99.0.1")
    network.check_bridge(lab)
    assert network.own_bridges(lab) == ["paperbr"]


def test_bare_bridge_of_an_up_that_was_cut_off_can_be_taken(lab, interfaces):
    interfaces("paperbr")
    network.check_bridge(lab)


@pytest.mark.parametrize(
    "made", [{"address": "10.1.0.1"}, {"ports": ["veth1"]}, {"ports": None}, {"alias": "sluice-lab other"}]
)
def test_bridge_of_somebody_else_is_refused(lab, interfaces, made):
    interfaces("paperbr", **made)
    with pytest.raises(LabError, match="interface paperbr belongs to .*--bridge"):
        network.check_bridge(lab)


def test_down_takes_a_bare_bridge_only_if_this_lab_was_made_with_it(lab, interfaces):
    interfaces("paperbr")
    assert network.own_bridges(lab) == []
    settings.record(lab)
    assert network.own_bridges(lab) == ["paperbr"]


@pytest.mark.parametrize("alias", ["sluice-lab paper2", "sluice-lab pape", "paper", "my bridge"])
def test_down_never_takes_a_bridge_with_another_name_on_it(lab, interfaces, alias):
    settings.record(lab)
    interfaces("paperbr", alias)
    assert network.own_bridges(lab) == []


def test_rules_masquerade_the_network_and_keep_strangers_out(lab):
    rules = network.rules(lab)
    assert "table ip sluice_lab_paper {" in rules
    assert 'ip saddr 10.99.0.0/24 oifname != "paperbr" masquerade' in rules
    assert rules.index("ct state new drop") < rules.index('oifname "paperbr" accept')


def test_loading_the_rules_again_replaces_them(lab):
    lines = network.rules(lab).splitlines()
    assert lines[:2] == ["table ip sluice_lab_paper", "delete table ip sluice_lab_paper"]


@pytest.mark.skipif(os.geteuid() != 0, reason="asks the kernel: needs root")
def test_kernel_accepts_the_rules(lab):
    subprocess.run(["nft", "--check", "-f", "-"], input=network.rules(lab), text=True, check=True)


def test_removing_an_interface_that_is_gone_is_fine():
    network.remove("sluicenosuch0")


@pytest.mark.skipif(os.geteuid() == 0, reason="needs to lack the right")
def test_removing_an_interface_without_the_right_is_told():
    with pytest.raises(LabError, match="ip link delete lo"):
        network.remove("lo")
