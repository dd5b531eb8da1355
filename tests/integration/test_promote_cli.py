"""salt-run flags.servers and flags.promote as an operator types them: output, exit codes, no passwords."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.redis_fleet import RedisFleet, wait_for


@pytest.fixture
def redis(outside, release_settings, tmp_path):
    """Three servers of its own, in the settings of the master."""
    with RedisFleet(tmp_path / "redis") as fleet:
        outside.settings.write_text(json.dumps(release_settings | {"redis": fleet.settings()}))
        yield fleet
        outside.settings.write_text(json.dumps(release_settings))


@pytest.fixture
def order(master):
    """order("flags.servers", ...) as a user types it."""
    cli = master.salt_run_cli(timeout=90)

    def run(*words):
        command = [sys.executable, cli.get_script_path(), f"--config-dir={cli.config_dir}", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=90)

    return run


def test_an_operator_sees_promotes_and_is_refused(redis, order, master):
    seen = order("flags.servers")
    assert seen.returncode == 0 and "redis-2" in seen.stdout and "up, to redis-1" in seen.stdout, seen
    told = json.loads(order("flags.servers", "--out=json").stdout)
    assert {id_: row["role"] for id_, row in told.items()} == {
        "redis-1": "master", "redis-2": "replica", "redis-3": "replica",
    }  # fmt: skip

    would = order("flags.promote", "redis-2", "test=True")
    assert would.returncode == 0 and "would hand over to redis-2" in would.stdout, would
    assert redis.linked("redis-1")

    done = order("flags.promote", "redis-2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hands over to redis-2" in done.stdout and "redis-2 is the master now, of term 1" in done.stdout
    assert redis.linked("redis-2")

    redis.kill("redis-2")
    redis.kill("redis-3")
    wait_for(lambda: redis.info("redis-1")["master_link_status"] == "down")
    refused = order("flags.promote", "redis-1")
    assert refused.returncode == 1 and "Traceback" not in refused.stdout + refused.stderr
    assert refused.stdout.startswith(
        "redis-1 was not promoted, as writes might be lost: redis-3 may know more"
    )
    assert "There is no Redis master" in (broken := order("flags.servers")).stdout and broken.returncode == 1
    assert "no answer" in broken.stdout

    forced = json.loads(order("flags.promote", "redis-1", "force=True", "--out=json").stdout)
    assert (forced["master"], forced["term"], forced["followers"]) == ("redis-1", 2, [])
    odd = order("flags.promote", "redis-1", "force=maybe")
    assert odd.returncode == 1 and "force is 'maybe', want True or False" in odd.stdout

    said = "".join(one.stdout + one.stderr for one in (seen, would, done, refused, broken, odd))
    log = Path(master.config["log_file"]).read_text()
    assert "not-a-secret-admin" not in said + log and "not-a-secret-release" not in said + log
