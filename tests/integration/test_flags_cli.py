"""salt-run flags.* and salt redis-1 flag.* as a user types them: output, exit codes, who it was."""

import getpass
import json
import re
import subprocess
import sys

import pytest
from world import wait_for

from tests.support.redis_fleet import REPO, RedisFleet, password


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    with RedisFleet(tmp_path_factory.mktemp("redis")) as fleet:
        yield fleet


@pytest.fixture
def flags(outside, servers, release_settings):
    """The fleet of Redis, empty, in the settings of the master."""
    servers.call("redis-1", "FLUSHALL")
    outside.settings.write_text(json.dumps(release_settings | {"redis": servers.settings()}))
    yield servers
    outside.settings.write_text(json.dumps(release_settings))


@pytest.fixture
def salt_run(master):
    """On a master whose minions nobody needs."""
    return master.salt_run_cli(timeout=90)


def shell(cli, *words):
    """A command as a user types it, without the --out=json the test tools add."""
    command = [sys.executable, cli.get_script_path(), f"--config-dir={cli.config_dir}", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=90)


def test_a_flag_is_made_flipped_and_shown(flags, salt_run):
    refused = shell(salt_run, "flags.set", "key1", "1")
    assert refused.returncode == 1
    assert refused.stdout.strip() == (
        "There is no flag key1. To make a new one: salt-run flags.set key1 1 new=True"
    )
    assert shell(salt_run, "flags.set", "key1", "off", "new=True").returncode == 0
    done = shell(salt_run, "flags.set", "key1", "on", "wait=True")
    assert done.returncode == 0, done
    assert re.fullmatch(
        r"key1 is set to 1 \(was 0\), on every server: redis-1 .+ ms, redis-3 .+ ms; .+ ms in all\n",
        done.stdout,
    )
    told = shell(
        salt_run,
        "flags.describe",
        "key1",
        "owner=pictures",
        "description=a picture: nice",
        "expires=2020-01-31",
    )
    assert told.returncode == 0, told
    listed = shell(salt_run, "flags.list")
    user = getpass.getuser()
    assert re.search(rf"key1 +1 +pictures +2020-01-31 .+Z +\S*{user}\S*@master +STALE\n", listed.stdout)
    found = json.loads(shell(salt_run, "flags.get", "key1", "servers=True", "--out=json").stdout)
    assert found["servers"] == {"redis-1": "1", "redis-2": "1", "redis-3": "1"}
    assert found["description"] == "a picture: nice"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["flags.set", "key1", "2"], "key1: 2 is not one of its values; want 1 or 0"),
        (["flags.set", "bad name", "1"], "not a flag's name"),
        (["flags.rules", "key1", '{"match": [{"percentage": 101}]}'], "rules.match[0].percentage"),
        (["flags.wait", "key1", "0", "timeout=0.1"], "key1 is not 0 everywhere after 0.1 s: redis-1 has 1"),
    ],
)
def test_what_is_refused_is_one_line_and_an_exit_code(flags, salt_run, words, said):
    flags.call("redis-1", "SET", "key1", "1")
    done = shell(salt_run, *words)
    assert done.returncode == 1, done
    assert said in done.stdout and len(done.stdout.strip().splitlines()) == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert flags.call("redis-1", "KEYS", "*") == ["key1"]


def test_watch_prints_changes_as_they_come(flags, salt_run):
    flags.call("redis-1", "SET", "key1", "0")
    words = ["flags.watch", "key1", "seconds=60"]
    command = [sys.executable, salt_run.get_script_path(), f"--config-dir={salt_run.config_dir}", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            wait_for(lambda: "sub=2" in flags.call("redis-1", "CLIENT", "LIST"), 60, "a subscription")
            wait_for(lambda: "cmd=lrange" in flags.call("redis-1", "CLIENT", "LIST"), 20, "a first look")
            flags.call("redis-1", "SET", "key1", "1")
            line = process.stdout.readline()
        finally:
            process.terminate()
    assert re.fullmatch(r"[\d-]+ [\d:]+Z  key1  set  0 -> 1  by redis-cli or another program\n", line)


@pytest.fixture(scope="module")
def redis_1(master, outside, servers, pillar_tree):
    """A minion of that id, which is the host of the Redis master."""
    users = {"writer": {"password": password("writer")}}
    redis = {"servers": dict(servers.hosts), "port": servers.port, "users": users}
    overrides = {
        "module_dirs": [str(REPO / "_modules")],
        "states_dirs": [str(REPO / "_states")],
        "utils_dirs": [str(REPO / "_utils")],
    }
    top = (pillar_tree / "top.sls").read_text()
    (pillar_tree / "redis.sls").write_text(json.dumps({"redis": redis}))
    (pillar_tree / "top.sls").write_text(top + "  'redis-1':\n    - redis\n")
    minion = master.salt_minion_daemon("redis-1", overrides=overrides)
    with minion.started():
        yield minion
    # Or whoever asks all minions waits for it.
    assert master.salt_key_cli().run("-y", "-d", "redis-1").returncode == 0
    (pillar_tree / "top.sls").write_text(top)


def test_a_redis_host_sets_flags_and_tells_who_it_was(flags, master, redis_1):
    salt = master.salt_cli(timeout=60)
    done = shell(salt, "redis-1", "flag.set", "key1", "1", "new=True", "--out=json")
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["redis-1"]["changed"] is True
    found = json.loads(shell(salt, "redis-1", "flag.history", "key1", "--out=json").stdout)["redis-1"]
    assert re.fullmatch(rf"\S*{getpass.getuser()}\S*@redis-1", found[0]["by"])
    refused = shell(salt, "redis-1", "flag.set", "key1", "blue")
    assert refused.returncode != 0
    assert "key1: 'blue' is not one of its values" in refused.stdout
    assert "Traceback" not in refused.stdout
