"""A lab on paper: its state and cache lie in the test's own directory."""

import pytest

from lab import settings


@pytest.fixture
def lab(tmp_path):
    env = {"SLUICE_LAB_CACHE": str(tmp_path / "cache")}
    return settings.load("paper", "paperbr", "10.99.0.0/24", env=env, state_root=tmp_path / "state")
