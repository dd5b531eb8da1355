"""Which tests can run here. The e2e tests need root; CI must not pass without them."""

import os
import subprocess
import sys

import pytest
import salt._logging

# Salt keeps log records for its console and writes them when Python ends: pages, after pytest's last line.
salt._logging.shutdown_temp_handler()

# `SLUICE_COMPILED=1 pytest ...` tests the balancer with its compiled part, built anew if a source changed.
if os.environ.get("SLUICE_COMPILED"):
    BUILD = [sys.executable, os.path.join(os.path.dirname(__file__), "..", "scripts", "build-balancer")]
    TREE = subprocess.run(BUILD, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    sys.path.insert(0, TREE)
    # Where `python -m balancer` finds it, too.
    os.environ["SLUICE_TREE"] = TREE

NO_ROOT = "e2e: needs root for the lab's machines; run it with sudo"


def pytest_collection_modifyitems(config, items):
    """Mark what lies in tests/e2e and tests/e2e_rolling; left out where there is no root: in CI an error."""
    e2e = [item for item in items if "tests/e2e" in item.path.as_posix()]
    for item in e2e:
        item.add_marker(pytest.mark.e2e)
    if os.geteuid() == 0 or not e2e:
        return
    if os.environ.get("CI") == "true":
        raise pytest.UsageError(NO_ROOT)
    for item in e2e:
        item.add_marker(pytest.mark.skip(reason=NO_ROOT))
