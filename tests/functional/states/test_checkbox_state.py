"""checkbox: what pillar says becomes of it, for the stand-in and for the real checkbox.io."""

import json
import os
import re
import shutil
import subprocess

import pytest
import yaml
from states_support import REPO

FILES = "salt://checkbox/files"


def low_of(one, sls="checkbox"):
    low = one.modules["state.show_low_sls"](sls, pillar=one.opts["pillar_override"])
    assert all(isinstance(chunk, dict) for chunk in low), low
    return {chunk["__id__"]: chunk for chunk in low}


def real():
    """Pillar of a fleet that runs the real checkbox.io: the example of pillar/prod with secrets."""
    secrets = {"MONGO_PASSWORD": "a-secret", "MAIL_PASSWORD": "another"}
    return {"checkbox": {"env": secrets}, "redis": {"users": {"reader": {"password": "a-third"}}}}


@pytest.fixture(scope="module")
def shared(machine_of_module):
    return machine_of_module("checkbox-2")


@pytest.mark.parametrize("version", ["v1", "1.10", "release-2.0_rc1", "main", "a" * 64])
def test_a_version_that_git_may_name_is_built(machine, version):
    low = low_of(machine("checkbox-2", extra_pillar={"checkbox": {"version": version}}))
    assert low["checkbox-release"]["name"] == f"/srv/checkbox/releases/{version}"
    assert low["checkbox-release"]["version"] == version


@pytest.mark.parametrize("version", ["v1\n", "../v1", "v1 v2", "-v1", "a" * 65, "{{ 1 }}", "v1: x", "\u00e4"])
def test_a_hostile_version_is_refused_and_nothing_is_built(machine, version):
    low = low_of(machine("checkbox-2", extra_pillar={"checkbox": {"version": version}}))
    assert "is not the name of a git tag or branch" in low["checkbox-version"]["name"]
    assert not {"checkbox-release", "checkbox-service", "checkbox-current"} & set(low)


@pytest.mark.parametrize("version", [1.10, 2, True, ["v1"]])
def test_a_version_that_is_no_text_is_refused(machine, version):
    # 1.10 in YAML is the number 1.1: another version.
    low = low_of(machine("checkbox-2", extra_pillar={"checkbox": {"version": version}}))
    assert low["checkbox-version"]["fun"] == "because"
    assert "is no text; put it in quotes" in low["checkbox-version"]["name"]
    assert "checkbox-release" not in low


@pytest.mark.parametrize("version", ["", None])
def test_without_a_version_nothing_is_built_and_nothing_fails(machine, version):
    low = low_of(machine("checkbox-2", extra_pillar={"checkbox": {"version": version}}))
    assert low["checkbox-version"]["fun"] == "nop"
    assert "checkbox-release" not in low


def test_a_canary_does_not_fall_back_to_the_declared_version(machine):
    low = low_of(machine("canary-1"))
    assert low["checkbox-version"]["fun"] == "nop"


def rendered(one, path, template, **context):
    """The comment of a failed file state, or the file's text."""
    ret = one.call(
        {
            "state": "file",
            "fun": "managed",
            "name": str(path),
            "source": f"{FILES}/{template}",
            "template": "jinja",
            "context": context,
            "mode": "0600",
            "show_changes": False,
            "order": 1,
            "__id__": "x",
            "__sls__": "x",
            "__env__": "base",
        }
    )
    return path.read_text() if ret["result"] else ret["comment"]


def as_systemd_reads(text):
    """An EnvironmentFile with values in double quotes: a backslash takes the next character as it is."""
    found = re.findall(r'^([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"$', text, re.MULTILINE)
    assert len(found) == len(text.strip().splitlines())
    return {name: re.sub(r"\\(.)", r"\1", value) for name, value in found}


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "with blanks",
        'a "quote"',
        "back\\slash",
        "$HOME `id` %h",
        "#no;comment",
        "'",
        '\\"',
        "\u00e9",
    ],
)
def test_any_value_of_one_line_reaches_the_application(shared, tmp_path, value):
    text = rendered(shared, tmp_path / "env", "environment", env={"MONGO_PASSWORD": value, "APP_PORT": 3002})
    assert as_systemd_reads(text) == {"MONGO_PASSWORD": value, "APP_PORT": "3002"}


@pytest.mark.parametrize(
    "env",
    [
        {"A": "two\nlines"},
        {"A": "x\r"},
        {"A": "x\0"},
        {"A B": "x"},
        {"1A": "x"},
        {"A=B": "x"},
        {"A\n": "x"},
        {"": "x"},
    ],
)
def test_what_is_no_environment_variable_is_refused_without_its_value(shared, tmp_path, env):
    said = rendered(shared, tmp_path / "env", "environment", env={"SECRET": "swordfish"} | env)
    assert "is no environment variable" in said
    assert "swordfish" not in said
    assert not (tmp_path / "env").exists()


READER = {"users": {"reader": {"password": "swordfish"}}}


def env_of(one):
    return low_of(one)["checkbox-environment"]["context"]["env"]


def test_application_is_told_of_every_redis_and_the_user_that_may_only_read(machine):
    env = env_of(machine("checkbox-2"))
    assert env["REDIS_SERVERS"] == "redis-1=10.57.0.12:6379 redis-2=10.57.0.14:6379 redis-3=10.57.0.15:6379"
    assert (env["REDIS_USERNAME"], env["REDIS_PASSWORD"]) == ("reader", "lab-fake-redis-reader")
    assert "REDIS_TLS" not in env


def test_address_of_ipv6_stands_in_brackets(machine):
    told = {"redis": READER | {"port": 6380, "servers": {"redis-1": "fd00::1"}}}
    assert "redis-1=[fd00::1]:6380" in env_of(machine("checkbox-2", extra_pillar=told))["REDIS_SERVERS"]


def test_environment_in_pillar_wins(machine):
    told = {"checkbox": {"env": {"REDIS_SERVERS": "mine=10.0.0.1:1"}}}
    assert env_of(machine("checkbox-2", extra_pillar=told))["REDIS_SERVERS"] == "mine=10.0.0.1:1"


@pytest.mark.parametrize(
    ("ca", "file"),
    [("/etc/ssl/own.pem", "/etc/ssl/own.pem"), ("-----BEGIN", "/etc/sluice/checkbox-redis-ca.pem")],
)
def test_application_believes_the_authority_of_the_servers(machine, ca, file):
    one = machine("checkbox-2", extra_pillar={"redis": READER | {"tls": {"enabled": True, "ca": ca}}})
    env, low = env_of(one), low_of(one)
    assert (env["REDIS_TLS"], env["REDIS_CA"]) == ("1", file)
    assert ("checkbox-redis-ca" in low) is (file == "/etc/sluice/checkbox-redis-ca.pem")


def test_without_redis_servers_the_environment_is_as_it_was(machine):
    one = machine("checkbox-2", extra_pillar={"redis": {"servers": None}})
    assert [name for name in env_of(one) if name.startswith("REDIS")] == []


def test_nginx_hands_on_the_paths_of_pillar(shared, tmp_path):
    paths = ["/api/", "/health"]
    text = rendered(
        shared, tmp_path / "site", "nginx-site", root="/srv/x", paths=paths, port=3002, version="v1"
    )
    assert re.findall(r"^  location (\S+) {$", text, re.MULTILINE) == ["/", *paths]
    assert text.count("{") == text.count("}")


@pytest.mark.parametrize("path", ["api", "/a b", "/a{", "/a;", "~ x", "", None, "/a\n"])
def test_nginx_gets_nothing_that_is_no_path(shared, tmp_path, path):
    said = rendered(shared, tmp_path / "site", "nginx-site", root="/x", paths=[path], port=1, version="v1")
    assert "pillar checkbox:proxied_paths" in said
    assert not (tmp_path / "site").exists()


def test_the_example_of_prod_installs_the_real_checkbox_io(machine):
    one = machine("checkbox-2", "prod", extra_pillar=real())
    low = low_of(one)
    assert [name for name, chunk in low.items() if chunk["state"] == "refuse"] == []
    # No health route, no /getPic, no version header.
    assert low["checkbox-healthy"]["name"] == "http://127.0.0.1/api/study/listing"
    assert low["checkbox-nginx"]["context"]["paths"] == ["/api/"]
    assert low["checkbox-release"]["subdir"] == "server-side/site"
    env = low["checkbox-environment"]["context"]["env"]
    assert {"APP_PORT", "MONGO_IP", "MONGO_PORT", "MONGO_USER", "MONGO_PASSWORD", "NODE_OPTIONS"} <= set(env)


def test_the_release_side_of_prod_asks_the_real_checkbox_io_for_what_it_has():
    settings = yaml.safe_load((REPO / "pillar/prod/release.sls").read_text())["release_settings"]
    service = settings["services"]["checkbox"]
    assert service["health_path"] == "/api/study/listing"
    assert "version_header" not in service["probe"]
    assert not {"/health", "/getPic"} & set(service["probe"]["paths"])
    balancer = yaml.safe_load((REPO / "pillar/prod/balancer.sls").read_text())["balancer"]
    assert balancer["services"]["checkbox"]["health"]["path"] == "/api/study/listing"


def test_the_application_is_started_again_when_it_dies(shared, tmp_path):
    text = rendered(
        shared, tmp_path / "unit", "checkbox.service", site="/srv/checkbox/current/server-side/site"
    )
    assert re.search(r"^Restart=on-failure$", text, re.MULTILINE)
    assert re.search(r"^StartLimitIntervalSec=0$", text, re.MULTILINE)
    assert re.search(r"^EnvironmentFile=/etc/sluice/checkbox.env$", text, re.MULTILINE)


@pytest.mark.skipif(not shutil.which("node"), reason="there is no node")
def test_node_knows_os_tmpdir_by_its_old_name_with_the_options_of_prod(shared, tmp_path):
    env = yaml.safe_load((REPO / "pillar/prod/checkbox/init.sls").read_text())["checkbox"]["env"]
    options = as_systemd_reads(rendered(shared, tmp_path / "env", "environment", env=env))["NODE_OPTIONS"]
    script = tmp_path / "old.js"
    script.write_text("console.log(JSON.stringify(require('os').tmpDir()))")
    done = subprocess.run(
        ["node", str(script)],
        env={"PATH": os.environ["PATH"], "NODE_OPTIONS": options, "TMPDIR": "/tmp"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == "/tmp"
