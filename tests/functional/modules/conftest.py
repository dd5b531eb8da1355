"""The execution modules as a minion's loader has them."""

import copy
from pathlib import Path

import pytest
import salt.config
import salt.loader

REPO = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def modules(tmp_path_factory):
    """Name to function."""
    root = tmp_path_factory.mktemp("minion")
    opts = copy.deepcopy(dict(salt.config.minion_config(None)))
    opts |= {
        "id": "lb-1",
        "root_dir": str(root),
        "cachedir": str(root),
        "file_client": "local",
        "grains": {"id": "lb-1", "os": "Debian", "os_family": "Debian", "kernel": "Linux"},
        "pillar": {},
        "module_dirs": [str(REPO / "_modules")],
        "utils_dirs": [str(REPO / "_utils")],
    }
    return salt.loader.minion_mods(opts, utils=salt.loader.utils(opts))
