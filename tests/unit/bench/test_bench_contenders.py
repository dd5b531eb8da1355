"""How the proxies are set up."""

import json
import re

import pytest

from balancer.config import load
from bench.balancer.contenders import CONTENDERS, HERE, Place, fill, sluice, tool
from bench.balancer.errors import BenchError


def place(folder):
    return Place(folder, 20001, 20002, 20003, 20004, 2, folder)


@pytest.mark.parametrize("name", sorted(path.name for path in (HERE / "conf").iterdir()))
def test_every_word_of_a_template_is_filled_in(name, tmp_path):
    words = {**place(tmp_path).words(), "BODIES": tmp_path, "SMALL": "x"}
    assert re.findall(r"@[A-Z]+@", fill((HERE / "conf" / name).read_text(), words)) == []


def test_the_balancer_takes_its_file(tmp_path):
    launch = sluice(place(tmp_path), affinity=True, compiled=False)
    config = load(tmp_path / "sluice.json")
    assert (config.workers, config.access_log) == (2, tmp_path / "access.log")
    assert launch.argv[-1] == str(tmp_path / "sluice.json")


def test_every_proxy_splits_the_traffic_and_writes_a_log():
    for name in ("haproxy.cfg", "nginx.conf", "Caddyfile", "sluice.json"):
        text = (HERE / "conf" / name).read_text()
        assert "70" in text and "30" in text, name
        assert "@LOG@" in text or "log stdout" in text, name


def test_the_lock_of_http_proxy_is_exact_and_names_no_registry():
    lock = (HERE / "node" / "package-lock.json").read_text()
    assert "resolved" not in lock and "://" not in lock.replace("https://github.com", "")
    packages = json.loads(lock)["packages"]
    wanted = json.loads((HERE / "node" / "package.json").read_text())["dependencies"]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted


def test_a_missing_program_is_named_with_its_package(monkeypatch, tmp_path):
    monkeypatch.setattr("shutil.which", lambda name, path: None)
    with pytest.raises(BenchError, match="nginx: not installed.*nginx-light"):
        tool("nginx")


def test_names_of_proxies_are_their_keys():
    assert list(CONTENDERS) == [one.name for one in CONTENDERS.values()]
