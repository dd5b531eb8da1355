"""Which tests can run here. The e2e tests need root; CI must not pass without them."""

import os

import pytest
import salt._logging

# Salt keeps log records for its console and writes them when Python ends: pages, after pytest's last line.
salt._logging.shutdown_temp_handler()

NO_ROOT = "e2e: needs root for the lab's machines; run it with sudo"


def pytest_collection_modifyitems(config, items):
    """Mark what lies in tests/e2e, and leave it out where there is no root; in CI that is an error."""
    e2e = [item for item in items if "tests/e2e/" in item.path.as_posix()]
    for item in e2e:
        item.add_marker(pytest.mark.e2e)
    if os.geteuid() == 0 or not e2e:
        return
    if os.environ.get("CI") == "true":
        raise pytest.UsageError(NO_ROOT)
    for item in e2e:
        item.add_marker(pytest.mark.skip(reason=NO_ROOT))
