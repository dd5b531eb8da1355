"""A short soak; the long one is `make soak`."""

import json
import subprocess
import sys

from running import ROOT


def test_no_request_fails_in_twenty_seconds_of_trouble(tmp_path):
    output = tmp_path / "soak.json"
    words = [sys.executable, "-m", "tests.soak", "--seconds", "20", "--pace", "2", "--output", str(output)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(output.read_text())
    assert found["violations"] == []
    assert found["requests"] > 1000
    assert set(found["trouble"]) >= {"kill_a_worker", "kill_a_backend", "drain_restart_restore", "lose_redis"}
