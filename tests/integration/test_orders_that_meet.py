"""State runs that meet on a minion: each has its turn, and whoever gave the order hears of it."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import salt.config
import sluice_fleet

ORDERS = 3


@pytest.fixture
def order(master):
    """`salt lb-1 …` as a user types it; the finished process, or subprocess.TimeoutExpired."""
    cli = master.salt_cli()

    def give(*words):
        command = [sys.executable, cli.get_script_path(), f"--config-dir={cli.config_dir}", "--out=json"]
        return subprocess.run([*command, "lb-1", *words], capture_output=True, text=True, timeout=40)

    return give


@pytest.fixture
def gate(order, fleet, tmp_path, eventually):
    """A state run is at work on lb-1, and ends when this file is there."""
    opened = tmp_path / "gate"
    linked = order("state.sls_id", "minion-state-queue", "minion")
    assert linked.returncode == 0, linked
    held = f"until [ -e {opened} ]; do sleep 0.05; done"
    order("--async", "state.single", "cmd.run", f"name={held}", "timeout=90")
    eventually(lambda: "state.single" in order("saltutil.running").stdout, 20, "the run that is at work")
    yield opened
    opened.touch()
    eventually(
        lambda: json.loads(order("saltutil.running").stdout) == {"lb-1": []}, 30, "the end of all runs"
    )


@pytest.fixture
def queued(fleet):
    """Tells the ids of the orders that wait on lb-1's disk."""
    cache = Path(fleet["lb-1"].config["cachedir"])
    return lambda: [path.stem.split("_")[2] for path in cache.glob("queues/*/state_queue/queued_*.p")]


def test_state_runs_that_meet_do_not_wait_for_each_other(gate, order, queued, eventually):
    with ThreadPoolExecutor(ORDERS) as pool:
        orders = [pool.submit(order, "state.single", "test.nop", f"name=order-{n}") for n in range(ORDERS)]
        eventually(lambda: len(queued()) == ORDERS, 30, f"{ORDERS} orders that wait")
        # What a client asks about an order that takes long: without an answer it gives it up.
        for jid in queued():
            assert json.loads(order("saltutil.find_job", jid).stdout)["lb-1"]["queued"]
        gate.touch()
        for done in [waiting.result() for waiting in orders]:
            assert done.returncode == 0, done
            assert "order-" in done.stdout


def test_the_master_gives_up_waiting_for_a_run_that_does_not_end(gate, master, queued, monkeypatch):
    monkeypatch.setattr(sluice_fleet, "STILL_AT_IT_SECONDS", 3)
    fleet = sluice_fleet.Fleet(salt.config.master_config(master.config["conf_file"]))
    (answer,) = fleet.call(["lb-1"], "state.single", "test.nop", name="late", queue=True, timeout=1).values()
    assert answer.error == "no end after 4 s; see what it is at with saltutil.running"
    assert len(queued()) == 1
