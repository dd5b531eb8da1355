"""Ansible beside the lab: its environment, its way to the machines, and one run of the playbook."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from bench.balancer.tools import run as fetch
from lab import disks, machines
from lab.process import run
from lab.settings import CHECKOUT, Lab

HERE = Path(__file__).parent
KEY = "id_ed25519"
RUN_SECONDS = 1800


def fetch_ansible(folder: Path) -> Path:
    """The folder with Ansible's programs; its environment is made as its lock file says."""
    wanted = (HERE / "peers.lock").read_bytes()
    venv, done = folder / "venv", folder / "peers-installed.lock"
    if not done.exists() or done.read_bytes() != wanted:
        folder.mkdir(parents=True, exist_ok=True)
        fetch([sys.executable, "-m", "venv", "--clear", str(venv)], folder)
        words = ["-m", "pip", "-q", "install", "--require-hashes", "-r", str(HERE / "peers.lock")]
        fetch([str(venv / "bin/python"), *words], folder)
        done.write_bytes(wanted)
    return venv / "bin"


def open_ssh(lab: Lab, hosts: list[str], folder: Path) -> None:
    """Let this computer into the hosts by SSH, with a key of its own."""
    key = folder / KEY
    if not key.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
    salt = ["salt", "--timeout=120", "-N", "itrust"]
    machines.check_in(lab, "master", [*salt, "pkg.install", "openssh-server"], timeout=300)
    for host in hosts:
        known = disks.root(lab, host) / "root/.ssh/authorized_keys"
        known.parent.mkdir(mode=0o700, exist_ok=True)
        known.write_text(key.with_suffix(".pub").read_text())
        machines.check_in(lab, host, ["systemctl", "start", "ssh"])


def inventory(lab: Lab, hosts: list[str], folder: Path) -> dict[str, Any]:
    """Who is updated, and with which token each drains itself."""
    tokens = yaml.safe_load((CHECKOUT / "pillar/lab/secrets/host_tokens.sls").read_text())["host_tokens"]
    return {
        "itrust": {
            "hosts": {
                host: {"ansible_host": lab.machine(host).address, "balancer_token": tokens[host]}
                for host in hosts
            },
            "vars": {
                "ansible_user": "root",
                "ansible_ssh_private_key_file": str(folder / KEY),
                "balancers": [lab.machine("lb-1").address],
            },
        }
    }


def play(programs: Path, folder: Path, who: dict[str, Any], artifact: dict[str, str]) -> None:
    """Update the hosts. Raises LabError with Ansible's last lines if one of them could not be."""
    (folder / "inventory.json").write_text(json.dumps(who))
    words = ["-i", str(folder / "inventory.json"), "-e", json.dumps(artifact), str(HERE / "playbook.yml")]
    environment = {"ANSIBLE_CONFIG": str(HERE / "ansible.cfg"), "ANSIBLE_LOCALHOST_WARNING": "False"}
    run(
        [programs / "ansible-playbook", *words],
        timeout=RUN_SECONDS,
        env=environment,
        title="ansible-playbook",
    )
