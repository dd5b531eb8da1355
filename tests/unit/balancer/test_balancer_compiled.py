"""The compiled part is there where it is asked for, and nowhere else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import balancer
from balancer import exchange, frontend, heads, request, upstream

REPO = Path(__file__).parents[3]
COMPILED = bool(os.environ.get("SLUICE_COMPILED"))
MODULES = [path.stem for path in (REPO / "balancer").glob("*.pxd") if path.stem != "__init__"]


@pytest.mark.parametrize("module", [exchange, frontend, request, upstream])
def test_these_tests_are_of_the_balancer_that_was_asked_for(module):
    assert module.__file__.endswith(".so" if COMPILED else ".py")
    assert heads.COMPILED == COMPILED


def test_nothing_compiled_lies_among_the_sources():
    """It would hide the source beside it, however the source is changed."""
    assert list((REPO / "balancer").glob("*.so")) == []


@pytest.mark.parametrize("name", MODULES)
def test_each_module_may_be_imported_first(name):
    """Compiled modules take each other's classes before their own first line runs."""
    words = [sys.executable, "-c", f"import balancer.{name}"]
    done = subprocess.run(words, cwd=Path(balancer.__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
